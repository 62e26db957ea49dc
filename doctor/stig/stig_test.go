package stig

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/sinks"
	_ "audisp-relay/sinks/all"
	"audisp-relay/test/lab"
)

const goodConfig = `
state_dir = "/var/lib/audisp-relay"
[sinks.siem]
type = "syslog"
transport = "tls"
address = "loghost.example:6514"
ca_file = "/etc/audit/ca.pem"
`

// goodHost is one that gives evidence for each rule that can have it, in a tree of its own.
func goodHost(t *testing.T) *Host {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string, mode os.FileMode) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}

	put("/usr/sbin/audisp-relay", "", 0o755)
	put("/usr/sbin/auditctl", "", 0o755)
	put("/var/lib/audisp-relay/state.json", "", 0o600)
	put("/var/log/audit/audit.log", "", 0o600)
	put("/etc/aide/aide.conf", "# tools\n/usr/sbin/auditctl p+sha512\n/usr/sbin/audisp-relay p+i+n+u+g+s+b+acl+xattrs+sha512\n", 0o600)
	now := time.Now()
	conf, err := host.ParseAuditdConf("/etc/audit/auditd.conf", []byte("overflow_action = syslog\nname_format = hostname\nspace_left = 25%\nspace_left_action = email\n"+
		"admin_space_left = 5%\nadmin_space_left_action = single\nmax_log_file = 8\nnum_logs = 5\nmax_log_file_action = rotate\n"))
	if err != nil {
		t.Fatal(err)
	}
	relay := &plugin.Report{Pid: 7, FIPS: "v1.0.0-c2097c7c", Now: now, Started: now.Add(-24 * time.Hour), Consumers: []consumer.Report{{Name: "siem", Delivered: 1000}}}
	relay.Input.Records, relay.Input.Bytes = 4<<10, 1<<20
	return &Host{
		Root: root, Names: []string{"localhost", "db17.example"}, Addresses: []net.IP{net.ParseIP("192.0.2.17")}, Now: now, Binary: "/usr/sbin/audisp-relay", Config: parse(t, goodConfig), Auditd: host.Auditd{Conf: conf}, Relay: relay,
		FIPSModule: "v1.0.0-c2097c7c", KernelFIPS: true,
	}
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("audisp-relay.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer returns the answer to a rule.
func answer(t *testing.T, h *Host, id string) Answer {
	t.Helper()
	for _, a := range Evaluate(h) {
		if slices.Contains(a.Rules, id) {
			return a
		}
	}
	t.Fatalf("no rule %s", id)
	return Answer{}
}

// answerTest is a host that is as it should be but for one thing.
type answerTest struct {
	rule, name string
	change     func(*Host)
	want       Status
	evidence   string
}

// TestAnswers changes one thing at a time of a host that is as it should be.
func TestAnswers(t *testing.T) {
	sink := func(keys string) func(*Host) { return func(h *Host) { h.Config = parse(t, "[sinks.siem]\n"+keys) } }
	auditd := func(change func(*host.AuditdConf)) func(*Host) { return func(h *Host) { change(&h.Auditd.Conf) } }
	conf := func(text string) host.AuditdConf {
		c, err := host.ParseAuditdConf("/etc/audit/auditd.conf", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	chmod := func(h *Host, name string, mode os.FileMode) {
		if err := os.Chmod(filepath.Join(h.Root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	with := func(keys string) func(*Host) { return func(h *Host) { h.Config = parse(t, goodConfig+keys) } }
	withProgram := func(h *Host) {
		h.Config = parse(t, goodConfig+"[sinks.other]\ntype = \"program\"\npath = \"/sbin/audisp-remote\"\n")
	}
	week := func(change func(*Host)) func(*Host) { // where records stay on the host
		return func(h *Host) { sink("type = \"file\"\npath = \"/var/log/audisp-relay/x\"\n")(h); change(h) }
	}
	tests := []answerTest{
		{"RHEL-09-652055", "as it should be", nil, Satisfied, "1000 records delivered"},
		{"RHEL-09-652055", "relay does not run", func(h *Host) { h.Relay, h.RelayErr = nil, plugin.ErrNotRunning }, Gap, "does not run"},
		{"RHEL-09-652055", "degraded", func(h *Host) { h.Relay.Consumers[0].Sink = sinks.Status{Degraded: true, Error: "no\x1bserver"} }, Gap, `no\x1bserver`},
		{"RHEL-09-652055", "nothing delivered", func(h *Host) { h.Relay.Consumers[0].Delivered = 0 }, Gap, "nothing yet"},
		{"RHEL-09-652055", "filter", func(h *Host) { h.Config.Sinks[0].Filter = "uid == 0" }, Gap, "leaves some out"},
		{"RHEL-09-652055", "local syslog", sink(`type = "syslog"`), Ask, "local syslog daemon"},
		{"RHEL-09-652055", "loopback", sink("type = \"syslog\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:514\"\n"), Ask, "is this host"},
		{"RHEL-09-652055", "own name", sink("type = \"syslog\"\ntransport = \"tcp\"\naddress = \"DB17.example:514\"\n"), Ask, "is this host"},
		{"RHEL-09-652055", "own address", sink("type = \"syslog\"\ntransport = \"tcp\"\naddress = \"192.0.2.17:514\"\n"), Ask, "is this host"},
		{"RHEL-09-652055", "otlp", sink("type = \"otlp\"\nurl = \"https://collector.example\"\n"), Satisfied, "OTLP with TLS to https://collector.example/v1/logs; 1000 records delivered"},
		{"RHEL-09-652055", "otlp to an agent", sink("type = \"otlp\"\nurl = \"http://localhost:4318\"\n"), Ask, "where localhost is this host"},
		{"RHEL-09-652055", "nats", sink("type = \"nats\"\nservers = [\"n1:4222\", \"n2:4222\"]\n"), Satisfied, "NATS without TLS to nats://n1:4222 nats://n2:4222; 1000 records delivered"},
		{"RHEL-09-652055", "nats, one of them here", sink("type = \"nats\"\nservers = [\"n1:4222\", \"192.0.2.17:4222\"]\n"), Ask, "where 192.0.2.17 is this host"},
		{"RHEL-09-652055", "file only", sink("type = \"file\"\npath = \"/var/log/x\"\n"), Gap, "no sink delivers to another host"},
		{"RHEL-09-652055", "no configuration", func(h *Host) { h.Config, h.ConfigErr = nil, errors.New("broken") }, Ask, "broken"},
		{"RHEL-09-652045", "as it should be", nil, Satisfied, "TLS 1.2 or later"},
		{"RHEL-09-652045", "in clear", sink("type = \"syslog\"\ntransport = \"tcp\"\naddress = \"10.0.0.1:514\"\n"), Gap, "in clear"},
		{"RHEL-09-652045", "otlp in clear", sink("type = \"otlp\"\nurl = \"http://h:4318\"\n"), Gap, "OTLP to http://h:4318/v1/logs is in clear"},
		{"RHEL-09-652045", "nats in clear", sink("type = \"nats\"\nservers = [\"h\"]\n"), Gap, "NATS to nats://h is in clear"},
		{"RHEL-09-652045", "nats", sink("type = \"nats\"\nservers = [\"tls://h\"]\n"), Satisfied, "NATS to tls://h uses TLS 1.2 or later"},
		{"RHEL-09-652045", "a program beside it", withProgram, Ask, "sinks.other: runs /sbin/audisp-remote"},
		{"RHEL-09-652040", "a program beside it", withProgram, Ask, "sinks.other: runs /sbin/audisp-remote"},
		{"RHEL-09-652045", "none", sink("type = \"file\"\npath = \"/var/log/x\"\n"), Ask, "no sink"},
		{"SLES-15-030680", "TLS only", nil, Gap, "no Kerberos"},
		{"SLES-15-030680", "audisp-remote", sink("type = \"program\"\npath = \"/sbin/audisp-remote\"\n"), Ask, "/sbin/audisp-remote"},
		{"RHEL-09-652040", "as it should be", nil, Satisfied, `for "loghost.example"`},
		{"RHEL-09-652040", "system's CAs", sink("type = \"syslog\"\ntransport = \"tls\"\naddress = \"h:6514\"\n"), Ask, "every CA"},
		{"RHEL-09-652040", "in clear", sink("type = \"syslog\"\ntransport = \"udp\"\naddress = \"h:514\"\n"), Gap, "not authenticated"},
		{"RHEL-09-652040", "otlp", sink("type = \"otlp\"\nurl = \"https://[2001:db8::7]:4318\"\nca_file = \"/ca.pem\"\n"), Satisfied, `for "2001:db8::7"`},
		{"RHEL-09-652040", "nats", sink("type = \"nats\"\nservers = [\"tls://n1\", \"tls://n2\"]\nca_file = \"/ca.pem\"\n"), Satisfied, `for "n1 or n2"`},
		{"RHEL-09-652040", "nats in clear", sink("type = \"nats\"\nservers = [\"h\"]\n"), Gap, "not authenticated"},
		{"RHEL-09-653065", "as it should be", nil, Satisfied, "overflow_action = syslog"},
		{"RHEL-09-653065", "auditd ignores", auditd(func(c *host.AuditdConf) { c.OverflowAction = "ignore" }), Gap, "overflow_action = ignore"},
		{"RHEL-09-653065", "auditd's default", func(h *Host) { h.Auditd.Conf = conf("name_format = hostname\n") }, Gap, "overflow_action is not set, auditd takes syslog"},
		{"RHEL-09-653065", "auditd 2.x", func(h *Host) { h.Auditd.Version = "2.8.5" }, Ask, "audispd.conf"},
		{"RHEL-09-653060", "auditd 2.x", func(h *Host) { h.Auditd.Version = "2.8.5" }, Ask, "audispd.conf"},
		{"RHEL-09-653065", "the relay ignores", sink("type = \"syslog\"\noverflow_action = \"ignore\"\n"), Gap, `sinks.siem: overflow_action = "ignore"`},
		{"OL07-00-030320", "default", nil, Gap, `network_failure_action = "ignore", after = "10m0s"`},
		{"OL07-00-030320", "both", with("network_failure_action = \"syslog\"\ndisk_full_action = \"halt\"\nafter = \"1m\"\n"), Satisfied, `disk_full_action = "halt", after = "1m0s"`},
		{"OL07-00-030320", "network only", with("network_failure_action = \"single\"\n"), Gap, `disk_full_action = "ignore"`},
		{"OL07-00-030320", "a program", with("network_failure_action = \"exec /sbin/x\"\ndisk_full_action = \"syslog\"\n"), Gap, `network_failure_action = "exec /sbin/x"`},
		{"OL07-00-030320", "no spool", with("network_failure_action = \"syslog\"\nspool.max_size = \"0\"\n"), Satisfied, "no spool"},
		{"OL07-00-030320", "otlp", sink("type = \"otlp\"\nurl = \"https://h\"\n"), Gap, `network_failure_action = "ignore"`},
		{"OL07-00-030320", "otlp to an agent", sink("type = \"otlp\"\nurl = \"http://127.0.0.1:4318\"\n"), Ask, "no sink delivers to another host"},
		{"OL07-00-030320", "local syslog", sink("type = \"syslog\"\n"), Ask, "no sink delivers to another host"},
		{"OL07-00-030320", "audisp-remote", with("network_failure_action = \"syslog\"\ndisk_full_action = \"syslog\"\n[sinks.other]\ntype = \"program\"\npath = \"/sbin/audisp-remote\"\n"), Ask, "sinks.other: runs /sbin/audisp-remote"},
		{"RHEL-09-653035", "spool warned of", nil, Ask, "sinks.siem: a warning at 75% of its spool of 256MiB"},
		{"RHEL-09-653035", "no warning", with("spool.warn_at = \"off\"\n"), Gap, "warn_at of its spool is off"},
		{"RHEL-09-653035", "a late warning", with("spool.warn_at = \"90%\"\n"), Gap, "warn_at of its spool is 90%"},
		{"RHEL-09-653060", "as it should be", nil, Satisfied, "name_format = hostname"},
		{"RHEL-09-653060", "no auditd", func(h *Host) { h.AuditdErr = host.ErrNoAuditd }, Ask, "no auditd is running"},
		{"RHEL-09-653060", "stripped from lines", sink("type = \"file\"\npath = \"/var/log/x\"\nnode = \"strip\"\n"), Ask, `sinks.siem: node = "strip"`},
		{"RHEL-09-653060", "stripped from lines for the local daemon", sink("type = \"syslog\"\nnode = \"strip\"\n"), Ask, `sinks.siem: node = "strip"`},
		{"RHEL-09-653060", "moved to HOSTNAME", sink("type = \"syslog\"\ntransport = \"tcp\"\naddress = \"h:514\"\nnode = \"strip\"\n"), Satisfied, "the HOSTNAME of each message"},
		{"RHEL-09-653060", "stripped, events", sink("type = \"file\"\npath = \"/var/log/x\"\nformat = \"json\"\nnode = \"strip\"\n"), Satisfied, "a field of each event"},
		{"RHEL-09-653060", "stripped, records of an event on a line", sink("type = \"file\"\npath = \"/var/log/x\"\nformat = \"joined\"\nnode = \"strip\"\n"), Ask, `sinks.siem: node = "strip"`},
		{"RHEL-09-653060", "stripped, otlp", sink("type = \"otlp\"\nurl = \"http://h:4318\"\nformat = \"string\"\nnode = \"strip\"\n"), Satisfied, "the attribute host.name"},
		{"RHEL-09-653060", "none", auditd(func(c *host.AuditdConf) { c.NameFormat = "none" }), Gap, "name_format = none"},
		{"RHEL-09-653035", "as it should be", nil, Ask, "space_left = 25%"},
		{"RHEL-09-653035", "too little", auditd(func(c *host.AuditdConf) { c.SpaceLeft = "10%" }), Gap, "space_left = 10%"},
		{"RHEL-09-653035", "suspend", auditd(func(c *host.AuditdConf) { c.AdminSpaceLeftAction = "suspend" }), Gap, "suspend"},
		{"RHEL-09-653035", "nothing set", auditd(func(c *host.AuditdConf) { c.SpaceLeft = "" }), Gap, "space_left is not set"},
		{"RHEL-09-653030", "as it should be", nil, Satisfied, "days"},
		{"RHEL-09-653030", "too fast, and sent at once", func(h *Host) { h.Relay.Input.Records, h.Relay.Input.Bytes = 1<<32, 1<<40 }, Ask, "0.0 days"},
		{"RHEL-09-653030", "too fast", week(func(h *Host) { h.Relay.Input.Records, h.Relay.Input.Bytes = 1<<32, 1<<40 }), Gap, "0.0 days"},
		{"RHEL-09-653030", "files overwritten", week(func(h *Host) { h.Relay.Input.Bytes = 10 << 20 }), Gap, "fill 40MiB in 4.0 days"},
		{"RHEL-09-653030", "one file, then nothing more", week(func(h *Host) { h.Relay.Input.Bytes, h.Auditd.Conf.MaxLogFileAction = 2<<20, "suspend" }), Gap, "fill 8MiB in 4.0 days"},
		{"RHEL-09-653030", "one file that grows", week(func(h *Host) { h.Relay.Input.Bytes, h.Auditd.Conf.MaxLogFileAction = 10<<20, "syslog" }), Satisfied, "days"},
		{"RHEL-09-653030", "nothing to rotate", week(func(h *Host) { h.Relay.Input.Bytes, h.Auditd.Conf.NumLogs = 10<<20, 1 }), Satisfied, "days"},
		{"RHEL-09-653030", "no log", week(func(h *Host) { h.Auditd.Conf.WriteLogs = false }), Gap, "stores nothing"},
		{"RHEL-09-653030", "no log either", week(func(h *Host) { h.Auditd.Conf.LogFormat = "nolog" }), Gap, "stores nothing"},
		{"RHEL-09-653030", "huge numbers", auditd(func(c *host.AuditdConf) { c.MaxLogFile, c.NumLogs = 1<<31-1, 1<<31-1 }), Satisfied, "days"},
		{"RHEL-09-653030", "no rate yet", func(h *Host) { h.Relay.Started = h.Now }, Ask, "rate of records is not known"},
		{"RHEL-10-200631", "as it should be", nil, Satisfied, "aide.conf:3:"},
		{"RHEL-10-200631", "another program", func(h *Host) { h.Binary = "/usr/local/sbin/audisp-relay" }, Gap, "none of 1 files"},
		{"RHEL-10-200631", "a FIFO", func(h *Host) {
			path := filepath.Join(h.Root, "/etc/aide/aide.conf")
			if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, Gap, "none of 1 files"},
		{"RHEL-10-200631", "no AIDE", func(h *Host) { h.Root = t.TempDir() }, Gap, "no configuration of AIDE"},
		{"RHEL-10-400300", "file for all", sink("type = \"file\"\npath = \"/var/log/audisp-relay/x\"\nmode = \"0644\"\n"), Gap, "mode = 0644"},
		{"RHEL-10-400300", "tool for all", func(h *Host) { chmod(h, "/usr/sbin/auditctl", 0o777) }, Gap, "/usr/sbin/auditctl: mode 0777"},
		{"RHEL-10-400300", "log for all", func(h *Host) { chmod(h, "/var/log/audit/audit.log", 0o644) }, Gap, "audit.log: mode 0644"},
		{"RHEL-10-400300", "log for a group", func(h *Host) { chmod(h, "/var/log/audit/audit.log", 0o640) }, Ask, "its group can read"},
		{"RHEL-10-400300", "log not known", auditd(func(c *host.AuditdConf) { c.LogFile = "" }), Ask, "log is not known"},
		{"RHEL-10-400300", "as it should be", func(h *Host) { h.Config.File = "" }, Satisfied, "/usr/sbin/auditctl: mode 0755, uid 0"},
		{"RHEL-10-400300", "not there", func(h *Host) { h.Config.StateDir = "/absent" }, Ask, "/absent was not looked at"},
		{"RHEL-09-671010", "as it should be", nil, Ask, "the running relay runs the Go Cryptographic Module v1.0.0-c2097c7c in FIPS mode"},
		{"RHEL-09-671010", "other build", func(h *Host) { h.FIPSModule = "" }, Gap, "this program does not run in FIPS mode"},
		{"RHEL-09-671010", "other relay", func(h *Host) { h.Relay.FIPS = "" }, Gap, "the running relay does not run in FIPS mode"},
		{"RHEL-09-671010", "not validated", func(h *Host) { h.Relay.FIPS = "latest" }, Gap, "is not validated"},
		{"RHEL-09-671010", "relay does not run", func(h *Host) { h.Relay, h.RelayErr = nil, plugin.ErrNotRunning }, Ask, "cannot be asked"},
		{"RHEL-09-671010", "other kernel", func(h *Host) { h.KernelFIPS = false }, Gap, "fips_enabled is not 1"},
	}

	tried := make(map[string]bool)
	for _, tt := range tests {
		tried[tt.rule] = true
		tt.run(t)
	}
	for _, r := range rules {
		if !slices.ContainsFunc(r.ids, func(id string) bool { return tried[id] }) {
			t.Errorf("no test of %q: %v", r.title, r.ids)
		}
	}
}

func (tt *answerTest) run(t *testing.T) {
	t.Helper()
	if tt.rule == "RHEL-10-400300" && os.Getuid() != 0 {
		t.Logf("%s, %s: not tried: the files have to be root's", tt.rule, tt.name)
		return
	}
	h := goodHost(t)
	if tt.change != nil {
		tt.change(h)
	}
	a := answer(t, h, tt.rule)
	if a.Status != tt.want || !strings.Contains(strings.Join(a.Evidence, "\n"), tt.evidence) {
		t.Errorf("%s, %s: %+v, want %s and %q", tt.rule, tt.name, a, tt.want, tt.evidence)
	}
	if a.Status != Satisfied && len(a.Set) == 0 {
		t.Errorf("%s, %s: no word of what to do", tt.rule, tt.name)
	}
}

// TestSharedDirectory: no mode is proposed for a directory that other programs may need.
func TestSharedDirectory(t *testing.T) {
	h := goodHost(t)
	h.Config = parse(t, "[sinks.x]\ntype = \"file\"\npath = \"/var/log/x\"\nmode = \"0600\"\n")
	if err := os.Chmod(filepath.Join(h.Root, "/var/log"), 0o775); err != nil {
		t.Fatal(err)
	}
	a := answer(t, h, "RHEL-10-400300")
	if a.Status != Gap || strings.Contains(strings.Join(a.Set, "\n"), "chmod 0750 /var/log") || !strings.Contains(strings.Join(a.Set, "\n"), "directory of its own") {
		t.Errorf("%+v", a)
	}
}

// TestStateDirOfTheWorker: a relay as packages install it has given state_dir to its worker, and that is no gap; who else has it is one.
func TestStateDirOfTheWorker(t *testing.T) {
	uid, gid := lab.AsNobody(t) // root, as the files have to be root's, and one another's
	for _, x := range []struct {
		owner    int
		mode     os.FileMode
		want     Status
		set, not string // of what is to be done
	}{
		{uid, 0o700, Satisfied, "", "state"}, {uid, 0o750, Satisfied, "", "state"},
		{uid, 0o755, Gap, "chmod 0700 /var/lib/audisp-relay", "chown"},
		{uid - 1, 0o700, Gap, "chown root /var/lib/audisp-relay", "nobody"},
	} {
		h := goodHost(t)
		h.Config.File = ""
		dir := filepath.Join(h.Root, h.Config.StateDir)
		if err := errors.Join(os.Chown(dir, x.owner, gid), os.Chmod(dir, x.mode)); err != nil {
			t.Fatal(err)
		}
		a := answer(t, h, "RHEL-10-400300")
		set := strings.Join(a.Set, "\n")
		if a.Status != x.want || !strings.Contains(set, x.set) || strings.Contains(set, x.not) {
			t.Errorf("uid %d, mode %04o: %+v, want %s", x.owner, x.mode, a, x.want)
		}
	}
}

// TestNothingIsClaimedBlindly: where nothing could be looked at, no rule is satisfied.
func TestNothingIsClaimedBlindly(t *testing.T) {
	h := &Host{Root: t.TempDir(), Now: time.Now(), ConfigErr: errors.New("x"), AuditdErr: errors.New("y"), RelayErr: errors.New("z")}
	for _, a := range Evaluate(h) {
		if a.Status == Satisfied {
			t.Errorf("%+v", a)
		}
	}
}

// TestMistakesInAuditdConf: the lines that are right are judged, and the mistake is shown.
func TestMistakesInAuditdConf(t *testing.T) {
	h := goodHost(t)
	h.AuditdErr = &host.ConfError{Problems: []string{"auditd.conf:9: odd"}}
	if a := answer(t, h, "RHEL-09-653060"); a.Status != Satisfied || !slices.Contains(a.Evidence, "auditd.conf:9: odd") {
		t.Errorf("%+v", a)
	}
}

// TestWrite: text and JSON have every rule.
func TestWrite(t *testing.T) {
	answers := Evaluate(goodHost(t))
	var text, asJSON bytes.Buffer
	if err := errors.Join(WriteText(&text, answers), WriteJSON(&asJSON, answers, "h", time.Now())); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Profile         string
		Satisfied, Gaps int
		Answers         []Answer
	}

	if err := json.Unmarshal(asJSON.Bytes(), &back); err != nil || back.Profile != "stig" || len(back.Answers) != len(rules) ||
		back.Satisfied != Count(answers, Satisfied) || back.Gaps == 0 {
		t.Errorf("%v: %+v", err, back)
	}
	for _, r := range rules {
		if !strings.Contains(text.String(), r.title+"\n") || !strings.Contains(text.String(), strings.Join(r.ids, " ")) {
			t.Errorf("the text lacks %q", r.title)
		}
	}
}
