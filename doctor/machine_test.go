package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"audisp-relay/host"
	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	_ "audisp-relay/sinks/all"
)

// machine is a tree of files that looks like a host on which all is well, with what a kernel
// and a relay would answer. Tests break it.
type machine struct {
	t      *testing.T
	root   string
	kernel host.KernelStatus
	rules  []string
	relay  *plugin.Report // nil: does not answer
	other  *plugin.Report // of one that auditd did not start; nil: there is none
	disk   Disk
	logged []string // by auditd
	now    time.Time
	boot   time.Time
	denied bool // kernel and relay answer to root only

	refused error // what the kernel answers, nil: its status
	unread  error // why the journal cannot be read
	hangs   error // what a question to the relay ends with
}

const (
	auditdPID = 700
	relayPID  = 800
	inode     = "net:[4026531840]"
)

const healthyConf = `log_file = /var/log/audit/audit.log
log_format = ENRICHED
write_logs = yes
max_log_file = 8
num_logs = 5
max_log_file_action = ROTATE
space_left = 75
space_left_action = SYSLOG
admin_space_left = 50
admin_space_left_action = SUSPEND
q_depth = 2000
overflow_action = SYSLOG
max_restarts = 10
plugin_dir = /etc/audit/plugins.d
`

const healthyDropIn = `# a comment
active = yes
direction = out
path = /usr/sbin/audisp-relay
type = always
format = string
`

const healthyRelay = `[sinks.local]
type = "unix"
path = "/run/audisp-relay/events.sock"
[sinks.siem]
type = "syslog"
transport = "tcp"
address = "192.0.2.1:514"
[sinks.journal]
type = "syslog"
`

const healthyState = "audit version = 3.0.9\nNumber of active plugins = 1\nplugin queue size = 2000\nmax plugin queue depth used = 3\n" +
	"plugin queue overflow detected = no\nplugin queueing suspended = no\nlogging suspended = no\ndisk error detected = no\n"

// newMachine makes a host on which nothing is wrong.
func newMachine(t *testing.T) *machine {
	if os.Getuid() != 0 {
		t.Skip("needs root, who owns what auditd reads")
	}
	now := time.Now().Truncate(time.Second)
	m := &machine{
		t: t, root: t.TempDir(), now: now, boot: now.Add(-24 * time.Hour),
		kernel: host.KernelStatus{PID: auditdPID, Enabled: 1, BacklogLimit: 8192, BacklogWaitTime: 60000, WaitTimeKnown: true},
		rules:  []string{"-w /etc/passwd -p wa -k identity"},
		disk:   Disk{Size: 100 << 30, Avail: 50 << 30},
	}
	m.put("/etc/audit/auditd.conf", healthyConf)
	m.put("/etc/audit/plugins.d/audisp-relay.conf", healthyDropIn)
	m.put("/etc/audit/audisp-relay.toml", healthyRelay)
	m.auditctl("3.0.9")
	m.program("/usr/sbin/auditd")
	m.program("/usr/sbin/audisp-relay")
	m.program("/usr/sbin/service")
	m.put("/lib/systemd/system/auditd.service", "[Service]\nExecStart=/sbin/auditd\nMemoryDenyWriteExecute=true\n")
	m.check(os.MkdirAll(m.path("/run/systemd/system"), 0o755))
	m.put("/proc/stat", fmt.Sprintf("cpu 1 2 3\nbtime %d\n", m.boot.Unix()))
	m.put("/proc/net/netlink", "sk Eth Pid Groups Rmem\n0000 9 700 00000000 0\n")
	m.process(1, 0, "/usr/sbin/init")
	m.process(auditdPID, 1, "/usr/sbin/auditd")
	m.process(relayPID, auditdPID, "/usr/sbin/audisp-relay")
	m.put("/run/audit/auditd.state", healthyState)
	m.log(m.record("SYSCALL", `arch=c000003e syscall=59 success=yes exit=0 pid=4711 comm="sh" exe="/usr/bin/sh" key="x"`))
	m.age("/etc/audit/plugins.d/audisp-relay.conf", 48*time.Hour)
	m.age("/etc/audit/audisp-relay.toml", 48*time.Hour)

	m.relay = &plugin.Report{
		Pid: relayPID, Parent: auditdPID, Now: now, Started: m.boot.Add(time.Minute), Config: "/etc/audit/audisp-relay.toml", ConfigAt: m.boot.Add(time.Minute),
	}
	m.relay.Input.Records, m.relay.Input.Bytes, m.relay.Input.Rate, m.relay.Input.LongRate = 1000, 300_000, 20, 20
	m.relay.Input.Last = now
	m.relay.Consumers = []consumer.Report{{Name: "journal", Type: "syslog"}, {Name: "local", Type: "unix"}, {Name: "siem", Type: "syslog"}}
	for i := range m.relay.Consumers {
		m.relay.Consumers[i].RateIn, m.relay.Consumers[i].LongRateIn, m.relay.Consumers[i].RateOut = 20, 20, 20
		m.relay.Consumers[i].SpoolMax = 256 << 20
	}
	return m
}

func (m *machine) check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

// put writes a file of mode 0640.
func (m *machine) put(name, text string) {
	m.t.Helper()
	m.check(errors.Join(os.MkdirAll(filepath.Dir(m.path(name)), 0o755), os.WriteFile(m.path(name), []byte(text), 0o640), os.Chmod(m.path(name), 0o640)))
}

func (m *machine) link(name, to string) {
	m.t.Helper()
	os.Remove(m.path(name))
	m.check(errors.Join(os.MkdirAll(filepath.Dir(m.path(name)), 0o755), os.Symlink(to, m.path(name))))
}

// edit replaces text in a file, which has to have it, and keeps the file's age.
func (m *machine) edit(name, old, text string) {
	m.t.Helper()
	data, err := os.ReadFile(m.path(name))
	m.check(err)
	info, err := os.Stat(m.path(name))
	m.check(err)
	if !strings.Contains(string(data), old) {
		m.t.Fatalf("%s has no %q", name, old)
	}
	m.put(name, strings.Replace(string(data), old, text, 1))
	m.check(os.Chtimes(m.path(name), info.ModTime(), info.ModTime()))
}

func (m *machine) age(name string, age time.Duration) {
	m.t.Helper()
	m.check(os.Chtimes(m.path(name), m.now.Add(-age), m.now.Add(-age)))
}

func (m *machine) program(name string) {
	m.put(name, "#!/bin/sh\n")
	m.check(os.Chmod(m.path(name), 0o755))
}

// auditctl makes auditd a version.
func (m *machine) auditctl(version string) {
	m.put("/usr/sbin/auditctl", "#!/bin/sh\necho auditctl version "+version+"\n")
	m.check(os.Chmod(m.path("/usr/sbin/auditctl"), 0o755))
}

// process makes one in /proc that was started a minute after the boot.
func (m *machine) process(pid, parent int, program string) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	name := filepath.Base(program)
	m.put(dir+"comm", name+"\n")
	m.put(dir+"cmdline", program+"\x00")
	m.put(dir+"status", "Uid:\t0\t0\t0\t0\n")
	m.put(dir+"stat", fmt.Sprintf("%d (%s) S %d"+strings.Repeat(" 0", 17)+" 6000 0 0", pid, name, parent))
	m.put(dir+"cgroup", "0::/system.slice/auditd.service\n")
	m.put(dir+"mountinfo", "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n")
	m.link(dir+"exe", m.path(program))
	m.link(dir+"ns/net", inode)
}

func (m *machine) end(pid int) { m.check(os.RemoveAll(m.path(fmt.Sprintf("/proc/%d", pid)))) }

var serial atomic.Uint32

// record is a line of audit.log of now.
func (m *machine) record(typ, fields string) string { return m.recordAt(0, typ, fields) }

// recordAt is one that is so old.
func (m *machine) recordAt(age time.Duration, typ, fields string) string {
	return fmt.Sprintf("type=%s msg=audit(%d.000:%d): %s\n", typ, m.now.Add(-age).Unix(), serial.Add(1), fields)
}

func (m *machine) log(lines ...string) { m.put("/var/log/audit/audit.log", strings.Join(lines, "")) }

// sink is what the relay says of one.
func (m *machine) sink(name string) *consumer.Report {
	for i := range m.relay.Consumers {
		if m.relay.Consumers[i].Name == name {
			return &m.relay.Consumers[i]
		}
	}
	m.t.Fatalf("no sink %s", name)
	return nil
}

func (m *machine) lost(sink string, cause queue.Cause, records uint64) {
	m.sink(sink).Lost = map[string]consumer.LossReport{cause.String(): {Records: records, At: m.now.Add(-time.Hour)}}
}

// elsewhere is the run_dir of a relay that auditd did not start.
const elsewhere = "/run/elsewhere"

// gather looks at the machine.
func (m *machine) gather() *Facts {
	g := &Gatherer{
		Machine: host.Machine{Root: m.root}, Version: "test",
		Kernel: func() (host.KernelStatus, error) {
			if m.denied {
				return host.KernelStatus{}, syscall.EPERM
			}
			return m.kernel, m.refused
		},
		Rules: func() ([]string, error) {
			if m.denied {
				return nil, syscall.EPERM
			}
			return m.rules, m.refused
		},
		Query: func(dir string) (*plugin.Report, error) {
			if dir == elsewhere {
				return m.other, nil
			}
			if m.denied {
				return nil, os.ErrPermission
			}
			if m.relay == nil {
				return nil, plugin.ErrNotRunning
			}
			return m.relay, m.hangs
		},
		Find: func() (string, error) {
			if m.other == nil {
				return "", plugin.ErrNotRunning
			}
			return elsewhere, nil
		},
		Disk:    func(string) (Disk, error) { return m.disk, nil },
		Now:     func() time.Time { return m.now },
		Journal: func(context.Context, int) ([]string, error) { return m.logged, m.unread },
	}
	return g.Gather(context.Background())
}

func (m *machine) diagnose() *Report { return Diagnose(m.gather(), Checks()) }
