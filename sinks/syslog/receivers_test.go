package syslog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"audisp-relay/config"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

// receiver is a program that people send their records to, with its own defaults, above
// all of how long a message may be.
type receiver struct {
	name                         string
	transport, protocol, framing string
	// start runs it, with its files in dir, for a sink that l describes but for the address,
	// which it sets. What it returns gives what has arrived: for each message the part
	// that its header names, a '|', the text, and a newline.
	start func(t *testing.T, dir string, l *Config) (stored func() []byte)
}

// manyRecords are what each receiver gets: 10 000, some of them long, so that all that
// is cut at the receiver would be missing.
func manyRecords() []byte {
	const records, long = 10_000, 10
	out := sinktest.Lines(0, records-long)
	for i := range long {
		out = fmt.Appendf(out, "type=PATH msg=audit(1700000000.123:%d): item=0 name=%s inode=424242 dev=fd:00 mode=0100644 nametype=DELETE cap_fp=0\n",
			5_000_000+i, strings.Repeat("E69687E4BBB6E5908D", 440+i*80))
	}
	return out
}

// TestReceiversTakeEveryRecord: what people use takes 10 000 records, each whole.
func TestReceiversTakeEveryRecord(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	receivers := []receiver{
		{"rsyslog imuxsock", "local", "rfc3164", "", rsyslogInput("imuxsock", `sysSock.use="off"`, `Socket="%s" CreatePath="off" RateLimit.Interval="0"`)},
		{"rsyslog imptcp at a socket", "local", "rfc3164", "", rsyslogInput("imptcp", "", `path="%s"`)},
		{"rsyslog imudp", "udp", "rfc5424", "", rsyslogInput("imudp", "", `address="127.0.0.1" port="%s" rcvbufSize="64m"`)},
		{"rsyslog imtcp", "tcp", "rfc5424", "octet-counted", rsyslogInput("imtcp", "", `address="127.0.0.1" port="%s"`)},
		{"rsyslog imtcp, both", "tcp", "rfc5424", "both", rsyslogInput("imtcp", "", `address="127.0.0.1" port="%s"`)},
		{"rsyslog imtcp, lines", "tcp", "rfc3164", "newline", rsyslogInput("imtcp", "", `address="127.0.0.1" port="%s"`)},
		{"rsyslog imptcp", "tcp", "rfc5424", "octet-counted", rsyslogInput("imptcp", "", `address="127.0.0.1" port="%s"`)},
		{"rsyslog imptcp, both", "tcp", "rfc5424", "both", rsyslogInput("imptcp", "", `address="127.0.0.1" port="%s"`)},
		{"rsyslog imptcp, lines", "tcp", "rfc5424", "newline", rsyslogInput("imptcp", "", `address="127.0.0.1" port="%s"`)},
		{"rsyslog imrelp", "relp", "rfc5424", "", rsyslogInput("imrelp", "", `address="127.0.0.1" port="%s"`)},
		{"syslog-ng network()", "tcp", "rfc3164", "newline", syslogNG(`network(ip("127.0.0.1") port(%s))`)},
		{"syslog-ng network(), RFC 5424", "tcp", "rfc5424", "newline", syslogNG(`network(ip("127.0.0.1") port(%s) flags(syslog-protocol))`)},
		{"syslog-ng syslog()", "tcp", "rfc5424", "octet-counted", syslogNG(`syslog(ip("127.0.0.1") port(%s))`)},
		{"syslog-ng syslog(), both", "tcp", "rfc5424", "both", syslogNG(`syslog(ip("127.0.0.1") port(%s))`)},
		{"syslog-ng unix-stream()", "local", "rfc3164", "", syslogNG(`unix-stream("%s")`)},
		{"syslog-ng unix-dgram()", "local", "rfc3164", "", syslogNG(`unix-dgram("%s")`)},
		{"journald", "local", "rfc3164", "", startJournald},
		{"socat", "tcp", "rfc5424", "newline", startSocat},
		{"OpenTelemetry Collector", "tcp", "rfc5424", "newline", startOTel},
	}
	records := manyRecords()
	for _, rc := range receivers {
		t.Run(rc.name, func(t *testing.T) {
			t.Parallel()
			l := &Config{Transport: rc.transport, Protocol: rc.protocol, Framing: rc.framing,
				Facility: "user", Severity: "info", Tag: "audisp-relay"}
			stored := rc.start(t, t.TempDir(), l)
			r := run(t, config.Sink{Name: "test", Type: "syslog", Settings: l})
			r.put(records)
			r.end()
			var got []byte
			complete := func() bool {
				var err error
				if got, err = join(stored()); err != nil {
					t.Fatal(err)
				}
				return lines(got) >= lines(records)
			}
			eventuallySlow(t, "10 000 records", complete, func() string { return fmt.Sprintf("%d have arrived", lines(got)) })
			if d := firstDifference(got, records); d != "" {
				t.Error(d)
			}
			if st := r.sink.Status(); st.Failures != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// join puts the records together out of the messages of a receiver's file.
func join(messages []byte) (records []byte, err error) {
	var j joiner
	for line := range bytes.Lines(messages) {
		part, text, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("|"))
		if !ok || !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		if string(part) == "-" {
			part = nil
		}
		record, complete, err := j.add(string(part), bytes.TrimPrefix(text, []byte(" "))) // rsyslogd leaves the space after a tag
		if err != nil {
			return nil, err
		}
		if complete {
			records = append(append(records, record...), '\n')
		}
	}
	return records, nil
}

// place sets a free address in l, and returns how a receiver's configuration names it
// and whether the receiver is there.
func place(t *testing.T, dir string, l *Config) (name string, ready func() bool) {
	t.Helper()
	if l.Transport == "local" {
		l.Address = filepath.Join(dir, "log")
		return l.Address, func() bool { return connectable(l.Address) }
	}
	network := "tcp"
	if l.Transport == "udp" {
		network = "udp"
	}
	port := lab.FreePort(t, network)
	l.Address = net.JoinHostPort("127.0.0.1", port)
	return port, func() bool {
		bound, err := lab.Bound(network, l.Address)
		return err == nil && bound
	}
}

// contents returns what reads a file.
func contents(path string) func() []byte {
	return func() []byte {
		data, _ := os.ReadFile(path)
		return data
	}
}

// daemon runs cmd until the test ends, and returns when it is ready.
func daemon(t *testing.T, cmd *exec.Cmd, ready func() bool) {
	t.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // unshare(1) takes no notice of SIGTERM
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s says: %.2000s", cmd.Path, said.Bytes())
		}
	})
	eventually(t, cmd.Path+" to be ready", ready)
}

// rsyslogInput runs rsyslogd with one input and no limits but its defaults.
func rsyslogInput(module, options, input string) func(*testing.T, string, *Config) func() []byte {
	return func(t *testing.T, dir string, l *Config) func() []byte {
		if _, err := exec.LookPath("rsyslogd"); err != nil {
			lab.Missing(t, "rsyslogd is not installed: %v", err)
		}
		needsModule(t, module)
		name, ready := place(t, dir, l)
		conf, out := filepath.Join(dir, "conf"), filepath.Join(dir, "out")
		text := fmt.Sprintf("global(workDirectory=%q)\nmodule(load=%q %s)\n", dir, module, options) +
			"template(name=\"t\" type=\"string\" string=\"%procid%|%msg%\\n\")\n" +
			fmt.Sprintf("input(type=%q "+input+")\naction(type=\"omfile\" file=%q template=\"t\")\n", module, name, out)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		daemon(t, exec.Command("rsyslogd", "-n", "-f", conf, "-i", filepath.Join(dir, "pid")), ready)
		return contents(out)
	}
}

// syslogNGRoot is where packaging/getdeps.sh unpacks it: Debian's package cannot be
// installed beside rsyslog's.
func syslogNGRoot() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "audisp-relay", "syslog-ng")
}

// syslogNG runs syslog-ng with one source.
func syslogNG(source string) func(*testing.T, string, *Config) func() []byte {
	return func(t *testing.T, dir string, l *Config) func() []byte {
		root := ""
		program, err := exec.LookPath("syslog-ng")
		if err != nil {
			root = syslogNGRoot()
			if program, err = exec.LookPath(filepath.Join(root, "usr/sbin/syslog-ng")); err != nil {
				lab.Missing(t, "syslog-ng is not installed: %v", err)
			}
		}
		name, ready := place(t, dir, l)
		conf, out := filepath.Join(dir, "conf"), filepath.Join(dir, "out")
		text := "@version: current\nsource s { " + fmt.Sprintf(source, name) + "; };\n" +
			fmt.Sprintf("destination d { file(%q template(\"${PID}|${MESSAGE}\\n\")); };\n", out) +
			"log { source(s); destination(d); flags(flow-control); };\n"
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"-F", "--no-caps", "-f", conf, "-R", filepath.Join(dir, "persist"), "-p", filepath.Join(dir, "pid"), "-c", filepath.Join(dir, "ctl")}
		cmd := exec.Command(program, args...)
		if root != "" {
			modules, _ := filepath.Glob(root + "/usr/lib*/syslog-ng/[0-9]*")
			libs, _ := filepath.Glob(root + "/usr/lib/*-linux-gnu*")
			more, _ := filepath.Glob(root + "/lib/*-linux-gnu*")
			if len(modules) == 0 {
				lab.Missing(t, "no modules of syslog-ng below %s", root)
			}
			cmd.Args = append(cmd.Args, "--module-path="+modules[0])
			cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(append(append(libs, more...), filepath.Dir(modules[0])), ":"))
		}
		daemon(t, cmd, ready)
		return contents(out)
	}
}

// startJournald runs systemd-journald where it has a /run and a configuration of its own,
// no network, and no right to touch the kernel's auditing.
func startJournald(t *testing.T, dir string, l *Config) func() []byte {
	const journald = "/lib/systemd/systemd-journald"
	if os.Geteuid() != 0 {
		lab.Missing(t, "needs root for a mount namespace")
	}
	for _, tool := range []string{journald, "journalctl", "unshare", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			lab.Missing(t, "%s is not installed: %v", tool, err)
		}
	}
	cmd := exec.Command("unshare", "-m", "-n", "-u", "-p", "-f", "--mount-proc", "--kill-child", "--propagation", "private", "sh", "-ec", `
		mount -t tmpfs none /run
		mkdir -p /run/systemd/journal /run/log/journal
		[ -s /etc/machine-id ] || { echo 0123456789abcdef0123456789abcdef >/run/id; mount --bind /run/id /etc/machine-id; }
		mount -t tmpfs none /etc/systemd
		printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nReadKMsg=no\nAudit=\nForwardToSyslog=no\nForwardToWall=no\n' >/etc/systemd/journald.conf
		exec setpriv --bounding-set -audit_control,-audit_read,-audit_write --inh-caps -audit_control,-audit_read,-audit_write `+journald)
	root := ""
	daemon(t, cmd, func() bool {
		pid := strconv.Itoa(cmd.Process.Pid)
		children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		root = "/proc/" + strings.TrimSpace(string(children)) + "/root"
		l.Address = root + "/run/systemd/journal/dev-log"
		return len(children) > 0 && connectable(l.Address)
	})
	return func() []byte {
		cmd := exec.Command("journalctl", "-D", root+"/run/log/journal", "--all", "-o", "json", "--output-fields=SYSLOG_PID,MESSAGE", "SYSLOG_IDENTIFIER=audisp-relay")
		out, err := cmd.Output()
		if err != nil {
			return nil // nothing is there yet
		}
		var text []byte
		for line := range bytes.Lines(out) {
			var entry struct{ SYSLOG_PID, MESSAGE string }
			if err := json.Unmarshal(line, &entry); err != nil {
				t.Fatalf("%v: %.200q", err, line)
			}
			text = fmt.Appendf(text, "%s|%s\n", entry.SYSLOG_PID, entry.MESSAGE)
		}
		return text
	}
}

// startSocat runs socat, an example of all that stores what it reads.
func startSocat(t *testing.T, dir string, l *Config) func() []byte {
	if _, err := exec.LookPath("socat"); err != nil {
		lab.Missing(t, "socat is not installed: %v", err)
	}
	port, ready := place(t, dir, l)
	out := filepath.Join(dir, "out")
	daemon(t, exec.Command("socat", "-u", "TCP-LISTEN:"+port+",bind=127.0.0.1,reuseaddr", "CREATE:"+out), ready)
	return func() (text []byte) {
		for line := range bytes.Lines(contents(out)()) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				break // still being written
			}
			part, message, err := split5424(line[:len(line)-1])
			if err != nil {
				t.Fatal(err)
			}
			text = fmt.Appendf(text, "%s|%s\n", part, message)
		}
		return text
	}
}
