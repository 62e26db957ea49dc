package doctor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/plugin/sandbox"
	"audisp-relay/sinks/unix"
)

// healthy are hosts that are set up in another way, and on which all is well.
var healthy = map[string]func(m *machine){
	"no systemd": func(m *machine) {
		m.check(errors.Join(os.RemoveAll(m.path("/run/systemd")), os.RemoveAll(m.path("/lib/systemd")), os.Remove(m.path("/usr/sbin/service"))))
		m.put("/proc/700/cgroup", "0::/\n")
		m.put("/proc/800/cgroup", "0::/\n")
	},
	"RAW":             func(m *machine) { m.edit(confPath, "ENRICHED", "RAW") },
	"node names":      func(m *machine) { m.edit(confPath, "max_restarts = 10", "max_restarts = 10\nname_format = FQD") },
	"4.2.1, enriched": func(m *machine) { m.auditctl("4.2.1") },
	"4.2.1, node names": func(m *machine) {
		m.auditctl("4.2.1")
		m.edit(confPath, "log_format = ENRICHED", "log_format = RAW\nname_format = HOSTNAME")
	},
	"unknown version": func(m *machine) { m.check(os.Remove(m.path("/usr/sbin/auditctl"))) },
	"no state report": func(m *machine) { m.check(os.Remove(m.path("/run/audit/auditd.state"))) },
	"old state report": func(m *machine) {
		m.edit("/run/audit/auditd.state", "detected = no", "detected = yes")
		m.age("/run/audit/auditd.state", 48*time.Hour)
	},
	"configuration saved again": func(m *machine) {
		m.age(tomlPath, 0)
		m.relay.ConfigSum = fmt.Sprintf("%x", sha256.Sum256([]byte(healthyRelay)))
	},
	"KEEP_LOGS":                      func(m *machine) { m.edit(confPath, "ROTATE", "KEEP_LOGS") },
	"no configuration":               func(m *machine) { m.check(os.Remove(m.path(tomlPath))); m.relay.Config = "" },
	"no logs of a syslog":            func(m *machine) { m.check(os.MkdirAll(m.path("/var/log/syslog"), 0o755)) },
	"no limit of the kernel's queue": func(m *machine) { m.kernel.BacklogLimit = 0 },
	"locked rules":                   func(m *machine) { m.kernel.Enabled = 2 },
	"kernel before 3.14":             func(m *machine) { m.kernel.WaitTimeKnown, m.kernel.BacklogWaitTime = false, 0 },
	"no rules":                       func(m *machine) { m.rules = nil },
	"a sandbox that leaves programs": func(m *machine) {
		m.relay.Sandbox = sandbox.Report{On: true, Parts: []sandbox.Part{{Name: sandbox.Seccomp, On: true}, {Name: sandbox.NoPrograms, Why: "sinks.x runs /sbin/x"}}}
	},
	"records of other hosts": func(m *machine) {
		m.edit(confPath, "q_depth", "tcp_listen_port = 60\nq_depth")
		m.log(m.recordAt(time.Minute, "SYSCALL", "a=b"))
		m.relay.Input.Last = m.now.Add(-time.Hour)
	},
	"quiet for hours": func(m *machine) {
		m.log(m.recordAt(5*time.Hour, "SYSCALL", "a=b"))
		m.relay.Input.Last = m.now.Add(-5 * time.Hour)
		m.relay.Input.Rate, m.relay.Input.LongRate = 0, 0
	},
	"a burst of seconds": func(m *machine) { m.relay.Input.Rate, m.sink("siem").RateIn = 20_000, 20_000 },
	"a relay that has just begun": func(m *machine) {
		m.boot = m.now.Add(-90 * time.Second)
		m.put("/proc/stat", fmt.Sprintf("btime %d\n", m.boot.Unix()))
		m.relay.Started = m.boot.Add(time.Minute)
		m.relay.Input.LongRate, m.sink("siem").LongRateIn = 20_000, 20_000
	},
	"an empty log":     func(m *machine) { m.log() },
	"a stopped socket": func(m *machine) { m.sink("local").Sink.Details = new(unix.Details) },
	"a link to the log": func(m *machine) {
		m.check(os.Rename(m.path("/var/log/audit"), m.path("/srv")))
		m.link("/var/log/audit", m.path("/srv"))
	},
}

// TestHealthyHosts: what is only another way to set a host up is no finding, and no doubt.
func TestHealthyHosts(t *testing.T) {
	for name, change := range healthy {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			change(m)
			r := m.diagnose()
			for _, f := range append(r.Findings, r.Hidden...) {
				t.Errorf("%s: %s (%s)", f.Code, f.Text, f.Evidence)
			}
		})
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
	if r := m.diagnose(); !has(r, "AR-SPOOL-FULL") || !has(r, "AR-CONFIG") {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestSpoolOfAFilter: what a filter leaves out does not fill a spool.
func TestSpoolOfAFilter(t *testing.T) {
	m := newMachine(t)
	s := m.sink("siem")
	s.LongRateIn, s.Received, s.Filtered = 10_000, 1_000_000, 999_000
	if r := m.diagnose(); len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestJournaldDropsNothing: a limit of auditd's unit counts in place of journald's, and that of its namespace; what a filter leaves out
// is not sent to it, nor what another daemon reads that journald forwards to.
func TestJournaldDropsNothing(t *testing.T) {
	for name, plant := range map[string]func(m *machine){
		"unit":           func(m *machine) { m.edit(unitPath, "[Service]\n", "[Service]\nLogRateLimitIntervalSec=0\n") },
		"filter":         func(m *machine) { m.sink("journal").RateOut = 1 },
		"namespace":      func(m *machine) { m.edit(unitPath, "[Service]\n", "[Service]\nLogNamespace=audit\n") },
		"another daemon": func(m *machine) { m.link("/dev/log", "/run/systemd/journal/syslog") },
		"events":         func(m *machine) { m.sink("journal").Format, m.relay.Input.Events = "json", 4 },
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
	m.relay.Input.Rate, m.relay.Input.LongRate, m.relay.Input.Bytes = 100, 100, m.relay.Input.Records*8986
	m.sink("siem").LongRateIn = 200
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
