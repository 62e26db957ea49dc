package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	"audisp-relay/sinks/syslog"
	"audisp-relay/sinks/unix"
)

// TestHealthyHost: where all is well there are no findings, hidden ones neither.
func TestHealthyHost(t *testing.T) {
	r := newMachine(t).diagnose()
	for _, f := range append(r.Findings, r.Hidden...) {
		t.Errorf("%s: %s (%s)", f.Code, f.Text, f.Evidence)
	}
	if code := r.ExitCode(Text); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

const (
	dropInPath = "/etc/audit/plugins.d/audisp-relay.conf"
	confPath   = "/etc/audit/auditd.conf"
	tomlPath   = "/etc/audit/audisp-relay.toml"
	unitPath   = "/lib/systemd/system/auditd.service"
)

// plants break a healthy machine in one way each; the finding of that code, and no other, is to be
// found, with a fix that has these words.
var plants = []struct {
	code  string
	fix   string
	plant func(m *machine)
}{
	{"AR-PID-TAKEN", "kill 900", func(m *machine) { m.process(900, 1, "/usr/bin/auditbeat"); m.kernel.PID = 900 }},
	{"AR-AUDITD-DOWN", "systemctl start auditd", (*machine).stopAuditd},
	{"AR-AUDITD-DOWN", "systemctl start auditd", func(m *machine) {
		m.stopAuditd() // and what follows from that
		m.kernel.Enabled, m.kernel.Lost, m.kernel.Backlog = 0, 100, 8192
	}},
	{"AR-AUDITD-DOWN", "systemctl start auditd", func(m *machine) { // killed, and no record since
		m.stopAuditd()
		m.kernel.PID = auditdPID
	}},
	{"AR-AUDIT-OFF", "auditctl -e 1", func(m *machine) { m.kernel.Enabled = 0 }},
	{"AR-AUDIT-OFF", "grubby", func(m *machine) {
		m.stopAuditd()
		m.refused = syscall.ECONNREFUSED
		m.put("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 audit=0 quiet\n")
	}},
	{"AR-BACKLOG-LIMIT", "auditctl -b 8192 && echo '-b 8192' >> /etc/audit/rules.d/", func(m *machine) { m.kernel.BacklogLimit = 64 }},
	{"AR-BACKLOG-LIMIT", "echo '-b 8192' >> /etc/audit/rules.d/zz-audisp-relay.rules && augenrules, then reboot", func(m *machine) {
		m.kernel.BacklogLimit, m.kernel.Enabled = 64, 2
	}},
	{"AR-BACKLOG-FULL", "aureport", func(m *machine) { m.kernel.Backlog = 8000 }},
	{"AR-BACKLOG-WAIT", "--reset_backlog_wait_time_actual", func(m *machine) { m.kernel.BacklogWaited = 12 }},
	{"AR-BACKLOG-NOWAIT", "auditctl --backlog_wait_time 60000", func(m *machine) { m.kernel.BacklogWaitTime = 0 }},
	{"AR-KERNEL-LOST", "--reset-lost", func(m *machine) { m.kernel.Lost = 7 }},
	{"AR-RATE-LIMIT", "auditctl -r 0", func(m *machine) { m.kernel.RateLimit = 100; m.kernel.Lost = 7 }},
	{"AR-RULES-NEVER", "auditctl -d never,task", func(m *machine) { m.rules = []string{"-a never,task"} }},
	{"AR-RULES-NEVER", "reboot", func(m *machine) { m.rules, m.kernel.Enabled = []string{"-a never,task"}, 2 }},

	{"AR-AUDITD-CONF", confPath, func(m *machine) { m.edit(confPath, "num_logs = 5", "num_logs=5") }},
	{"AR-AUDITD-CUTS", "log_format = ENRICHED", func(m *machine) { m.auditctl("4.2.1"); m.edit(confPath, "ENRICHED", "RAW") }},
	{"AR-AUDITD-PADS", "/usr/sbin/audisp-relay install --format string", func(m *machine) { m.edit(dropInPath, "format = string", "format = binary") }},
	{"AR-AUDITD-REPLACED", "service auditd restart", func(m *machine) { m.link("/proc/700/exe", m.path("/usr/sbin/auditd")+" (deleted)") }},
	{"AR-NO-LOG", "write_logs = yes", func(m *machine) { m.edit(confPath, "write_logs = yes", "write_logs = no") }},
	{"AR-NO-LOG", "log_format = ENRICHED", func(m *machine) {
		m.edit(confPath, "ENRICHED", "NOLOG")
		m.relay.Recovery.LogError = "auditd writes no log"
	}},
	{"AR-NO-LOG", "write_logs = yes", func(m *machine) { // auditd does not look at the disk then
		m.edit(confPath, "write_logs = yes", "write_logs = no")
		m.disk.Size, m.disk.Avail = 100<<30, 1<<20
		m.noSpools()
	}},
	{"AR-LOG-STOPPED", "kill -USR2 700", func(m *machine) {
		m.edit("/run/audit/auditd.state", "logging suspended = no", "logging suspended = yes")
	}},
	{"AR-LOG-STOPPED", "kill -USR2 700", func(m *machine) { // auditd has made no report, and its disk is full
		m.check(os.Remove(m.path("/run/audit/auditd.state")))
		m.age("/var/log/audit/audit.log", time.Hour)
		m.disk.Size, m.disk.Avail = 100<<30, 1<<20
		m.noSpools()
	}},
	{"AR-LOG-DISK", "make room", func(m *machine) { m.disk.Size, m.disk.Avail = 100<<30, 60<<20; m.noSpools() }},
	{"AR-LOG-LIMIT", "max_log_file_action = ROTATE", func(m *machine) { m.edit(confPath, "ROTATE", "SUSPEND") }},
	{"AR-LOG-LIMIT", "max_log_file_action = ROTATE", func(m *machine) { m.edit(confPath, "ROTATE", "SYSLOG") }},
	{"AR-LOG-LIMIT", "num_logs = 5", func(m *machine) { m.edit(confPath, "num_logs = 5", "num_logs = 1") }},
	{"AR-LOG-SHORT", "max_log_file = ", func(m *machine) { m.relay.Input.Rate = 20000 }},
	{"AR-QUEUE-SUSPENDED", "kill -USR2 700", func(m *machine) {
		m.edit("/run/audit/auditd.state", "suspended = no", "suspended = yes")
		m.log(m.recordAt(time.Minute, "SYSCALL", "a=b"))
		m.relay.Input.Last = m.now.Add(-time.Hour)
		m.lost("local", queue.Upstream, 5)
	}},
	{"AR-QUEUE-FULL", "q_depth = 8000", func(m *machine) { m.edit("/run/audit/auditd.state", "detected = no", "detected = yes") }},
	{"AR-QUEUE-FULL", "q_depth = 8000", func(m *machine) { m.logged = []string{"queue to plugins is full - dropping event"} }},
	{"AR-QUEUE-SHORT", "q_depth = 2000", func(m *machine) { m.edit(confPath, "q_depth = 2000", "q_depth = 80") }},
	{"AR-QUEUE-SHORT", "q_depth = 2000", func(m *machine) { m.edit(confPath, "q_depth = 2000", "  q_depth   =   80") }},
	{"AR-QUEUE-ACTION", "overflow_action = SYSLOG", func(m *machine) { m.edit(confPath, "overflow_action = SYSLOG", "overflow_action = IGNORE") }},

	{"AR-PLUGIN-DIR", "mkdir", func(m *machine) { m.stopRelay(); m.check(os.RemoveAll(m.path("/etc/audit/plugins.d"))) }},
	{"AR-NOT-INSTALLED", "audisp-relay install", func(m *machine) { m.stopRelay(); m.check(os.Remove(m.path(dropInPath))) }},
	{"AR-DROPIN-OWNER", "chmod 0640 " + dropInPath + " && kill -HUP 700", func(m *machine) { m.stopRelay(); m.check(os.Chmod(m.path(dropInPath), 0o666)) }},
	{"AR-DROPIN-OWNER", "chown root:root " + dropInPath + " && kill -HUP 700", func(m *machine) { m.check(os.Chown(m.path(dropInPath), 1, 1)) }},
	{"AR-DROPIN-SYNTAX", "audisp-relay install", func(m *machine) { m.stopRelay(); m.edit(dropInPath, "direction = out", "direction=out") }},
	{"AR-DROPIN-SYNTAX", "rm " + dropInPath, func(m *machine) { m.stopRelay(); m.link(dropInPath, "/no/such/file") }},
	{"AR-DROPIN-INACTIVE", "active = yes", func(m *machine) { m.stopRelay(); m.edit(dropInPath, "active = yes", "Active   = NO") }},
	{"AR-DROPIN-INACTIVE", "active = yes", func(m *machine) { m.stopRelay(); m.edit(dropInPath, "active = yes\n", "") }},
	{"AR-DROPIN-INACTIVE", "active = yes", func(m *machine) { m.stopRelay(); m.edit(dropInPath, "active = yes", "active = no") }},
	{"AR-DROPIN-TWICE", "active = no' -e '/^ *active *=/Id' '/etc/audit/plugins.d/audisp-relay.conf~' && kill -HUP 700", func(m *machine) {
		m.put(dropInPath+"~", healthyDropIn)
		m.process(801, auditdPID, "/usr/sbin/audisp-relay")
	}},
	{"AR-DROPIN-TWICE", "/etc/audit/plugins.d/old.bak", func(m *machine) { m.auditctl("4.0.5"); m.put("/etc/audit/plugins.d/old.bak", healthyDropIn) }},
	{"AR-PROGRAM", "chmod 0755", func(m *machine) { m.stopRelay(); m.check(os.Chmod(m.path("/usr/sbin/audisp-relay"), 0o600)) }},
	{"AR-PROGRAM", "build it", func(m *machine) { m.stopRelay(); m.check(os.Remove(m.path("/usr/sbin/audisp-relay"))) }},
	{"AR-RELOAD-REFUSED", "kill -HUP 700", func(m *machine) {
		m.auditctl("4.2.2")
		m.put("/etc/audit/plugins.d/x.conf", "active = maybe\npath = /sbin/x\n")
	}},
	{"AR-GAVE-UP", "service auditd restart", func(m *machine) {
		m.stopRelay()
		m.logged = []string{"plugin /usr/sbin/audisp-relay terminated unexpectedly", "plugin /usr/sbin/audisp-relay has exceeded max_restarts"}
	}},
	{"AR-CRASHED", "journalctl", func(m *machine) {
		m.put("/var/log/syslog", "Nov 28 06:00:00 h auditd[700]: plugin /usr/sbin/audisp-relay terminated unexpectedly \n"+
			"Nov 28 06:00:00 h auditd[1]: plugin /usr/sbin/audisp-relay has exceeded max_restarts \n")
		m.stopRelay()
	}},
	{"AR-CRASHED", "journalctl", func(m *machine) { m.logged = []string{"plugin /usr/sbin/audisp-relay terminated unexpectedly"} }},
	{"AR-NO-DISPATCHER", "service auditd restart", func(m *machine) { m.stopRelay(); m.logged = []string{"No plugins found, not dispatching events"} }},
	{"AR-NOT-RELOADED", "kill -HUP 700", func(m *machine) { m.stopRelay(); m.age(dropInPath, 0) }},
	{"AR-NOT-STARTED", "service auditd restart", (*machine).stopRelay},
	{"AR-NOT-STARTED", "kill 700 && sleep 2 && systemctl start auditd", func(m *machine) { // as on Arch Linux
		m.stopRelay()
		m.check(os.Remove(m.path("/usr/sbin/service")))
	}},
	{"AR-RELAYS", "service auditd restart", func(m *machine) { m.process(801, auditdPID, "/usr/sbin/audisp-relay") }},

	{"AR-SILENT", "mkdir -p /run/audisp-relay", func(m *machine) { m.relay = nil }},
	{"AR-SILENT", "kill -KILL 800", func(m *machine) {
		m.hangs = errors.New("no answer")
	}},
	{"AR-REPLACED", "kill -HUP 700", func(m *machine) { m.link("/proc/800/exe", m.path("/usr/sbin/audisp-relay")+" (deleted)") }},
	{"AR-CONFIG", "check " + tomlPath, func(m *machine) { m.edit(tomlPath, "transport", "tarnsport") }},
	{"AR-CONFIG", "check " + tomlPath, func(m *machine) { m.check(os.Chmod(m.path(tomlPath), 0o666)) }},
	{"AR-CONFIG", "put it back at /etc/audit/own.toml", func(m *machine) {
		m.edit(dropInPath, "type = always", "args = -c /etc/audit/own.toml\ntype = always")
		m.relay.ConfigError = "open /etc/audit/own.toml: no such file or directory"
	}},
	{"AR-CONFIG", "put it back at " + tomlPath, func(m *machine) { // removed, and then a reload
		m.check(os.Remove(m.path(tomlPath)))
		m.relay.ConfigError = "open " + tomlPath + ": no such file or directory"
	}},
	{"AR-CONFIG", "kill -HUP 800", func(m *machine) { m.relay.ConfigError = "x.toml:1: it was wrong" }},
	{"AR-CONFIG-NEWER", "kill -HUP 800", func(m *machine) { m.age(tomlPath, time.Hour) }},
	{"AR-CONFIG-NEWER", "service auditd restart", func(m *machine) { // a reload before 4.2 does not take arguments up
		m.edit(dropInPath, "type = always", "args = -c /etc/audit/own.toml\ntype = always")
		m.put("/etc/audit/own.toml", healthyRelay)
	}},
	{"AR-STREAM-STOPPED", "service auditd restart", func(m *machine) {
		m.log(m.recordAt(time.Minute, "SYSCALL", "a=b"))
		m.relay.Input.Last = m.now.Add(-time.Hour)
	}},
	{"AR-INPUT-STALLED", "qos", func(m *machine) {
		m.sink("siem").StalledLately = 5 * time.Second
		m.sink("siem").Oldest, m.sink("siem").Queued = m.now.Add(-time.Hour), 10
		m.log(m.recordAt(time.Minute, "SYSCALL", "a=b"))
		m.kernel.Backlog, m.relay.Input.Last = 8192, m.now.Add(-time.Hour)
	}},
	{"AR-UPSTREAM-LOST", "q_depth", func(m *machine) { m.lost("journal", queue.Upstream, 5) }},
	{"AR-UPSTREAM-LOST", "q_depth", func(m *machine) { m.lost("siem", queue.Kernel, 5) }}, // the others came later
	{"AR-RECOVERY", "ls -la /var/log/audit/audit.log", func(m *machine) { m.relay.Recovery.LogError = "permission denied" }},
	{"AR-OWN-LOG", "[log]", func(m *machine) { m.relay.LogFault = "no such directory" }},
	{"AR-PANICS", "upgrade", func(m *machine) { m.sink("local").Poison, m.sink("local").PoisonAt = 1, "1.000:1" }},
	{"AR-CLOCK", "time-sync", func(m *machine) { m.relay.Started = m.relay.Started.Add(-time.Hour) }},

	{"AR-SINK-DOWN", "doctor --sink siem", func(m *machine) {
		m.sink("siem").Sink.Degraded, m.sink("siem").Sink.Error = true, "connection refused"
		m.sink("siem").Oldest, m.sink("siem").Queued = m.now.Add(-time.Hour), 10
	}},
	{"AR-SINK-SUSPENDED", "kill -USR2 800", func(m *machine) { m.sink("siem").Suspended = true; m.lost("siem", queue.Suspended, 5) }},
	{"AR-SINK-LATE", "filter", func(m *machine) { m.sink("siem").Oldest, m.sink("siem").Queued = m.now.Add(-time.Hour), 10 }},
	{"AR-SINK-NO-CLIENT", "/run/audisp-relay/events.sock", func(m *machine) {
		m.edit(tomlPath, "[sinks.siem]", "when_idle = \"queue\"\n[sinks.siem]")
		m.sink("local").Sink.Details = new(unix.Details)
		m.sink("local").Oldest, m.sink("local").Queued = m.now.Add(-time.Hour), 10
	}},
	{"AR-SINK-LOST", "spool", func(m *machine) { m.lost("siem", queue.Full, 5) }},
	{"AR-SINK-LOST", "spool", func(m *machine) { m.lost("local", queue.SlowClient, 5) }},
	{"AR-SINK-FLAW", "check", func(m *machine) { m.sink("local").Sink.Flaw = "there is no group adm" }},
	{"AR-SINK-ACTION", "syslog", func(m *machine) { m.edit(tomlPath, "[sinks.siem]", "overflow_action = \"ignore\"\n[sinks.siem]") }},
	{"AR-SPOOL-FULL", "max_size", func(m *machine) { m.sink("siem").SpoolSize = 200 << 20 }},
	{"AR-SPOOL-SHORT", "max_size", func(m *machine) { m.sink("siem").RateIn = 10_000 }},
	{"AR-SPOOL-DISK", "df -h /var/lib/audisp-relay", func(m *machine) { m.disk.Avail = 1 << 30 }},
	{"AR-CERT-EXPIRED", "/etc/ca.pem", func(m *machine) { m.certificate(-time.Hour); m.sink("siem").Sink.Degraded = true }},
	{"AR-CERT-EXPIRES", "/etc/ca.pem", func(m *machine) { m.certificate(5*24*time.Hour + time.Minute) }},
	{"AR-CERT-EXPIRES", "doctor --sink siem", func(m *machine) { m.sink("siem").Sink.Details = &syslog.Details{Expires: m.now.Add(time.Hour)} }},
	{"AR-CERT-FILE", "PEM", func(m *machine) { m.certificate(0); m.put("/etc/ca.pem", "no certificate\n") }},

	{"AR-JOURNALD-LISTENS", "systemctl mask --now systemd-journald-audit.socket", func(m *machine) {
		m.process(1, 0, "/usr/lib/systemd/systemd")
		m.put("/proc/net/netlink", "sk Eth Pid Groups Rmem\n0000 9 1 00000001 0\n0000 9 700 00000000 0\n")
	}},
	{"AR-JOURNALD-RATE", "RateLimitBurst=", func(m *machine) {
		m.link("/dev/log", "/run/systemd/journal/dev-log")
		m.put("/etc/systemd/journald.conf.d/x.conf", "[Journal]\nRateLimitIntervalSec=1min\nRateLimitBurst=600\n")
	}},
	{"AR-JOURNALD-RATE", "RateLimitBurst=", func(m *machine) {
		m.link("/dev/log", "/run/systemd/journal/dev-log")
		m.put("/etc/systemd/journald.conf", "[Journal]\nRateLimitInterval=60s\nRateLimitBurst=600\n")
	}},
	{"AR-SANDBOX-READONLY", "ReadWritePaths=/var/lib", func(m *machine) {
		m.put("/proc/800/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 8:1 / /var/lib ro - ext4 /dev/sda1 rw\n")
	}},
	{"AR-SANDBOX-READONLY", "mount -o remount,rw /var", func(m *machine) {
		const mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 8:2 / /var ro - ext4 /dev/sda2 ro\n"
		m.put("/proc/800/mountinfo", mounts)
		m.put("/proc/1/mountinfo", mounts)
	}},
	{"AR-SANDBOX-NETWORK", "PrivateNetwork=no", func(m *machine) { m.link("/proc/800/ns/net", "net:[1]"); m.sink("siem").Sink.Degraded = true }},
	{"AR-SANDBOX-NETWORK", "RestrictAddressFamilies=AF_INET AF_INET6", func(m *machine) {
		m.put("/etc/systemd/system/auditd.service.d/hard.conf", "[Service]\nRestrictAddressFamilies=AF_UNIX AF_NETLINK\n")
	}},
	{"AR-SANDBOX-NETWORK", "RestrictAddressFamilies=AF_INET AF_INET6", func(m *machine) {
		m.put("/etc/systemd/system/auditd.service.d/hard.conf", "[Service]\nRestrictAddressFamilies=~AF_INET AF_INET6\n")
	}},
	{"AR-SANDBOX-TMP", "outside of /tmp", func(m *machine) {
		m.edit(tomlPath, "/run/audisp-relay/events.sock", "/tmp/events.sock")
		m.edit(unitPath, "[Service]\n", "[Service]\nPrivateTmp=true\n")
	}},
	{"AR-SANDBOX-CPU", "CPUQuota=", func(m *machine) { m.put("/sys/fs/cgroup/system.slice/auditd.service/cpu.max", "20000 100000\n") }},
	{"AR-DENIED", "ausearch", func(m *machine) {
		m.log(m.record("AVC", `avc:  denied  { write } for  pid=800 comm="audisp-relay" name="spool" dev="sda1" scontext=system_u:system_r:audisp_t:s0 tclass=dir permissive=0`),
			m.record("AVC", `avc:  denied  { write } for  pid=80 comm="other" permissive=0`))
	}},
	{"AR-FEEDBACK", "auditctl -A never,exit -F ", (*machine).plantLoop},
	{"AR-FEEDBACK", "a rule by program exempts", func(m *machine) { // a script that reads from a socket
		m.process(950, 1, "/usr/bin/python3")
		m.sink("local").Sink.Details = &unix.Details{Clients: []unix.Client{{Pid: 950}}}
		var lines []string
		for range 30 {
			lines = append(lines, m.record("SYSCALL", `arch=c000003e syscall=1 pid=950 comm="agent" exe="/usr/bin/python3" key="x"`))
		}
		m.log(lines...)
	}},
	{"AR-FEEDBACK", "then reboot", func(m *machine) { m.plantLoop(); m.kernel.Enabled = 2 }},
}

func (m *machine) stopRelay() {
	m.end(relayPID)
	m.relay = nil
}

func (m *machine) stopAuditd() {
	m.stopRelay()
	m.end(auditdPID)
	m.kernel.PID = 0
}

// noSpools takes the spools away, so that only auditd's own log needs the disk.
func (m *machine) noSpools() {
	m.edit(tomlPath, "[sinks.local]", "[spool]\nmax_size = \"0\"\n[sinks.local]")
}

func (m *machine) plantLoop() {
	var lines []string
	for range 30 {
		lines = append(lines, m.record("SYSCALL", `arch=c000003e syscall=1 pid=800 comm="audisp-relay" exe="`+m.path("/usr/sbin/audisp-relay")+`" key="x"`))
	}
	m.log(lines...)
}

// certificate gives the sink siem a file of authorities that expires in d.
func (m *machine) certificate(d time.Duration) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	m.check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: m.now.Add(-time.Hour * 48), NotAfter: m.now.Add(d)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	m.check(err)
	m.put("/etc/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	m.edit(tomlPath, `transport = "tcp"`, "transport = \"tls\"\nca_file = \"/etc/ca.pem\"")
}

// TestEachFindingIsFoundAlone: each way in which a host is broken gives the one finding that is its
// root, with what ends it.
func TestEachFindingIsFoundAlone(t *testing.T) {
	for _, tt := range plants {
		t.Run(tt.code, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			tt.plant(m)
			r := m.diagnose()
			if got := labels(r.Findings); len(got) != 1 || r.Findings[0].Code != tt.code {
				for _, f := range append(r.Findings, r.Hidden...) {
					t.Logf("%s (hidden by %q): %s; %s", f.Code, f.HiddenBy, f.Text, f.Evidence)
				}
				t.Fatalf("findings %q, want %s alone", got, tt.code)
			}
			f := r.Findings[0]
			if !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("fix %q lacks %q", f.Fix, tt.fix)
			}
			if f.Text == "" || f.Evidence == "" || strings.Contains(f.Text+f.Evidence+f.Fix, "%!") {
				t.Errorf("finding is not complete: %+v", f)
			}
		})
	}
}

// TestEachCodeIsPlanted: no check is without a test, and none has a code twice.
func TestEachCodeIsPlanted(t *testing.T) {
	planted := map[string]bool{CodeUnknown: true} // TestUnknown
	for _, p := range plants {
		planted[p.code] = true
	}
	codes := Codes()
	for i, code := range codes {
		if !planted[code] {
			t.Errorf("nothing plants %s", code)
		}
		if slices.Contains(codes[:i], code) {
			t.Errorf("two checks have the code %s", code)
		}
	}
	for _, c := range Checks() {
		for _, other := range c.DependsOn {
			if !slices.Contains(codes, other) {
				t.Errorf("%s depends on %s, which there is not", c.Code, other)
			}
			if i := slices.IndexFunc(Checks(), func(d Check) bool { return d.Code == other }); i >= 0 && slices.Contains(Checks()[i].DependsOn, c.Code) {
				t.Errorf("%s and %s hide each other", c.Code, other)
			}
		}
	}
}

// TestUnknown: what cannot be found out is one finding and hides nothing else.
func TestUnknown(t *testing.T) {
	m := newMachine(t)
	m.check(os.Remove(m.path("/var/log/audit/audit.log")))
	m.check(os.Mkdir(m.path("/var/log/audit/audit.log"), 0o700))
	r := m.diagnose()
	if got, want := labels(r.Findings), []string{CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Fatalf("findings %q, want %q", got, want)
	}
	if code := r.ExitCode(Nagios); code != 3 {
		t.Errorf("exit code %d of nagios, want 3", code)
	}
	if e := r.Findings[0].Evidence; !strings.Contains(e, "auditd's log: ") {
		t.Errorf("evidence %q", e)
	}
}

// TestWithoutRights: that kernel and relay may not be asked is the one finding, and nothing is
// taken for broken.
func TestWithoutRights(t *testing.T) {
	m := newMachine(t)
	m.denied = true
	r := m.diagnose()
	if got, want := labels(r.Findings), []string{CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Fatalf("findings %q, want %q", got, want)
	}
	if fix := r.Findings[0].Fix; fix != "sudo audisp-relay doctor" {
		t.Errorf("fix %q", fix)
	}
}

// TestOneCrashIsOne: a line that is in the journal and in two files of a syslog daemon is one crash.
func TestOneCrashIsOne(t *testing.T) {
	m := newMachine(t)
	m.logged = []string{"plugin /usr/sbin/audisp-relay terminated unexpectedly"}
	for _, name := range []string{"/var/log/syslog", "/var/log/messages"} {
		m.put(name, "Nov 28 06:00:00 h auditd[700]: plugin /usr/sbin/audisp-relay terminated unexpectedly \n")
	}
	for _, where := range []string{"journal", "files"} {
		if r := m.diagnose(); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Text, "end once") {
			t.Errorf("%s: %+v", where, r.Findings)
		}
		m.logged = nil
	}
}

// TestMessagesUnknown: where the relay does not run, that auditd's messages cannot be read is said.
func TestMessagesUnknown(t *testing.T) {
	m := newMachine(t)
	m.stopRelay()
	m.unread = errors.New("journalctl hangs")
	if got, want := labels(m.diagnose().Findings), []string{"AR-NOT-STARTED", CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}

func TestSplitLines(t *testing.T) {
	if got := splitLines(" \n"); len(got) != 0 {
		t.Errorf("blank text: %q", got)
	}
	if got := splitLines("a\nb\n"); len(got) != 2 {
		t.Errorf("two lines: %q", got)
	}
}

// TestOldCrash: a crash of long ago is no finding any more, unless auditd is about to give the relay up.
func TestOldCrash(t *testing.T) {
	m := newMachine(t)
	m.boot = m.now.Add(-100 * 24 * time.Hour)
	m.put("/proc/stat", fmt.Sprintf("btime %d\n", m.boot.Unix()))
	m.relay.Started = m.boot.Add(time.Minute)
	m.logged = []string{"plugin /usr/sbin/audisp-relay terminated unexpectedly"}
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
	m.logged = slices.Repeat(m.logged, 9)
	if got, want := labels(m.diagnose().Findings), []string{"AR-CRASHED"}; !reflect.DeepEqual(got, want) {
		t.Errorf("nine of ten: findings %q, want %q", got, want)
	}
}

// TestDenialOfAnother: what a program that only calls itself audisp-relay was refused is a warning, and
// says that. The evidence is a whole record.
func TestDenialOfAnother(t *testing.T) {
	m := newMachine(t)
	m.log(m.record("AVC", `avc:  denied  { read } for  pid=4242 comm="audisp-relay" name="shadow" permissive=0`))
	r := m.diagnose()
	if len(r.Findings) != 1 || r.Findings[0].Severity != Warn || !strings.Contains(r.Findings[0].Text, "any program") {
		t.Fatalf("%+v", r.Findings)
	}
	if e := r.Findings[0].Evidence; !strings.Contains(e, "type=AVC msg=audit(") {
		t.Errorf("evidence %q", e)
	}
}

// TestSpoolOfABrokenConfiguration: what the running relay has counts, not what the file says now.
func TestSpoolOfABrokenConfiguration(t *testing.T) {
	m := newMachine(t)
	m.put(tomlPath, "[[[\n")
	m.sink("siem").SpoolSize = 250 << 20
	if r := m.diagnose(); !r.Has("AR-SPOOL-FULL") || !r.Has("AR-CONFIG") {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestSpoolOfAFilter: what a filter leaves out does not fill a spool.
func TestSpoolOfAFilter(t *testing.T) {
	m := newMachine(t)
	s := m.sink("siem")
	s.RateIn, s.Received, s.Filtered = 10_000, 1_000_000, 999_000
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestJournaldDropsNothing: a limit of auditd's unit counts in place of journald's, and what a filter
// leaves out is not sent to it.
func TestJournaldDropsNothing(t *testing.T) {
	for name, plant := range map[string]func(m *machine){
		"unit":   func(m *machine) { m.edit(unitPath, "[Service]\n", "[Service]\nLogRateLimitIntervalSec=0\n") },
		"filter": func(m *machine) { m.sink("journal").RateOut = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.link("/dev/log", "/run/systemd/journal/dev-log")
			m.put("/etc/systemd/journald.conf", "[Journal]\nRateLimitIntervalSec=1min\nRateLimitBurst=600\n")
			plant(m)
			if r := m.diagnose(); len(r.Findings) > 0 {
				t.Errorf("findings %+v", r.Findings)
			}
		})
	}
}

// TestLinkOnReadOnlyRoot: on a host whose root is read-only a link may lead to where the relay can write.
func TestLinkOnReadOnlyRoot(t *testing.T) {
	m := newMachine(t)
	const mounts = "22 1 8:1 / / ro - ext4 /dev/sda1 ro\n23 22 0:5 / /run rw - tmpfs tmpfs rw\n24 22 8:2 / /data rw - ext4 /dev/sda2 rw\n"
	m.put("/proc/800/mountinfo", mounts)
	m.put("/proc/1/mountinfo", mounts)
	m.check(os.MkdirAll(m.path("/data/lib"), 0o755))
	m.link("/var/lib", m.path("/data/lib"))
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestArgumentsThatHang: a process whose arguments cannot be read, as those on a FUSE page, is not read.
func TestArgumentsThatHang(t *testing.T) {
	m := newMachine(t)
	m.process(4242, 1, "/home/mallory/x")
	m.check(errors.Join(os.Remove(m.path("/proc/4242/cmdline")), syscall.Mkfifo(m.path("/proc/4242/cmdline"), 0o600)))
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestPaddedRecords: what auditd fills binary records up with is neither in audit.log nor in a spool.
func TestPaddedRecords(t *testing.T) {
	m := newMachine(t)
	m.relay.Input.Rate, m.relay.Input.Bytes = 100, m.relay.Input.Records*8986
	m.sink("siem").RateIn = 200
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestInactivePluginWithoutPath: auditd takes such a file, and reloads.
func TestInactivePluginWithoutPath(t *testing.T) {
	m := newMachine(t)
	m.auditctl("4.2.2")
	m.put("/etc/audit/plugins.d/x.conf", "active = no\n")
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestContainer: in a container nothing is known of the host's audit, and nothing is taken for broken.
func TestContainer(t *testing.T) {
	m := newMachine(t)
	m.stopAuditd()
	m.check(os.RemoveAll(m.path("/etc/audit")))
	m.refused = syscall.ECONNREFUSED
	m.link("/proc/self/ns/pid", "pid:[4026532001]")
	r := m.diagnose()
	if got, want := labels(r.Findings), []string{CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Fatalf("findings %q, want %q", got, want)
	}
	if fix := r.Findings[0].Fix; !strings.Contains(fix, "on the host") {
		t.Errorf("fix %q", fix)
	}
}

// TestWrappedRelay: a relay behind another program of auditd's is found.
func TestWrappedRelay(t *testing.T) {
	m := newMachine(t)
	m.check(os.Remove(m.path(dropInPath)))
	m.put("/etc/audit/plugins.d/filter.conf", "active = yes\npath = /sbin/audisp-filter\n")
	m.end(relayPID)
	m.process(750, auditdPID, "/sbin/audisp-filter")
	m.process(relayPID, 750, "/usr/sbin/audisp-relay")
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %q", labels(r.Findings))
	}
}

// TestRelayOfAnother: one that auditd did not start says nothing of the one that it does not run.
func TestRelayOfAnother(t *testing.T) {
	m := newMachine(t)
	m.lost("siem", queue.Full, 5)
	m.other = m.relay
	m.stopRelay()
	if got := labels(m.diagnose().Findings); !reflect.DeepEqual(got, []string{"AR-NOT-STARTED"}) {
		t.Errorf("findings %q", got)
	}
}

// TestDispatcher: an auditd 2.x has the relay as its dispatcher, or another one.
func TestDispatcher(t *testing.T) {
	m := newMachine(t)
	m.auditctl("2.8.5")
	m.check(os.RemoveAll(m.path("/etc/audit/plugins.d")))
	m.edit(confPath, "plugin_dir = /etc/audit/plugins.d", "dispatcher = /usr/sbin/audisp-relay")
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %q", labels(r.Findings))
	}
	m.stopRelay()
	if got, want := labels(m.diagnose().Findings), []string{"AR-NOT-STARTED"}; !reflect.DeepEqual(got, want) {
		t.Errorf("with the relay stopped: findings %q, want %q", got, want)
	}
	m.edit(confPath, "/usr/sbin/audisp-relay", "/sbin/audispd")
	if got, want := labels(m.diagnose().Findings), []string{"AR-NOT-INSTALLED"}; !reflect.DeepEqual(got, want) {
		t.Errorf("with another dispatcher: findings %q, want %q", got, want)
	}
}

// TestQuietStream: records that auditd logs and does not give to plugins do not make the stream seem
// to have stopped.
func TestQuietStream(t *testing.T) {
	m := newMachine(t)
	m.log(m.recordAt(time.Minute, "DAEMON_CONFIG", `op=reconfigure state=changed auid=0 pid=1 subj=x res=success`))
	m.relay.Input.Last = m.now.Add(-time.Hour)
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %q", labels(r.Findings))
	}
}

// TestFirstRecordForHours: one that auditd wrote after the relay was asked does not make the stream seem
// to have stopped.
func TestFirstRecordForHours(t *testing.T) {
	m := newMachine(t)
	m.log(m.recordAt(2*time.Hour, "SYSCALL", "a=b"), m.record("SYSCALL", "a=b"))
	m.relay.Input.Last = m.now.Add(-time.Hour)
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestStrangeFiles: what any process may have written into the files that are read breaks nothing.
func TestStrangeFiles(t *testing.T) {
	noise := []string{"", "\x00\x00\x00", strings.Repeat("\xff\x1b[2J = \n", 3000), strings.Repeat("a", 1<<16), "= = =\n[Service\n-----BEGIN CERTIFICATE-----\n"}
	files := []string{
		confPath, dropInPath, tomlPath, unitPath, "/proc/700/stat", "/proc/700/cgroup", "/proc/800/mountinfo", "/proc/net/netlink", "/proc/stat", "/proc/800/cmdline",
		"/run/audit/auditd.state", "/var/log/audit/audit.log", "/var/log/syslog", "/etc/systemd/journald.conf", "/usr/sbin/audisp-relay",
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			for _, text := range noise {
				m := newMachine(t)
				m.put(name, text)
				var b strings.Builder
				if err := m.diagnose().Write(&b, Style{Format: Text}); err != nil {
					t.Error(err)
				}
				if strings.Contains(b.String(), "\x1b") {
					t.Errorf("an escape reaches the terminal: %q", b.String())
				}
			}
		})
	}
}

// TestLateCertificates: of several authorities one that is valid will do.
func TestLateCertificates(t *testing.T) {
	now := time.Unix(1e9, 0)
	file := CertFile{Certs: []Cert{{"old", now.Add(-time.Hour)}, {"new", now.Add(time.Hour)}}}
	if c := file.expiry(); c.Subject != "new" {
		t.Errorf("of authorities %s counts", c.Subject)
	}
	file.Own = true
	if c := file.expiry(); c.Subject != "old" {
		t.Errorf("of the relay's own certificates %s counts", c.Subject)
	}
}

// TestOldLossesAreForgotten: a loss of long ago is no finding.
func TestOldLossesAreForgotten(t *testing.T) {
	m := newMachine(t)
	m.sink("siem").Lost = map[string]consumer.LossReport{queue.Full.String(): {Records: 5, At: m.now.Add(-48 * time.Hour)}}
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %q", labels(r.Findings))
	}
}
