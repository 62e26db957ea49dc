package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

func TestLogOf(t *testing.T) {
	const confDir = "/srv/a"
	tests := []struct {
		name   string
		conf   string
		args   string
		parent int
		want   LogInfo
		errHas string
	}{
		{"Parent", "log_file = /x/y.log\n", "-c /srv/a", 10, LogInfo{"/x/y.log", true, "", false, 0}, ""},
		{"BelowAudispd", "log_file = /x/y.log\n", "-c /srv/a", 20, LogInfo{"/x/y.log", true, "", false, 0}, ""},
		{"BelowAWrapper", "", "-c /srv/a", 30, LogInfo{"/var/log/audit/audit.log", true, "", false, 0}, ""},
		{"NoLogs", "write_logs = No\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", false, "/srv/a/auditd.conf has write_logs = no", false, 0}, ""},
		{"NoLogFormat", "log_format = NOLOG\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", false, "/srv/a/auditd.conf has log_format = NOLOG", false, 0}, ""},
		{"Foreground", "", "-fc /srv/a", 10, LogInfo{"/var/log/audit/audit.log", false, "auditd was started with -f and prints its records", false, 0}, ""},
		{"NoFork", "", "-nc /srv/a", 10, LogInfo{"/var/log/audit/audit.log", true, "", false, 0}, ""},
		{"Mistake", "q_depth = x\nlog_file = /x/y.log\n", "-c /srv/a", 10, LogInfo{"/x/y.log", true, "", false, 0}, "q_depth"},
		{"Others", "tcp_listen_port = 60\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", true, "", true, 0}, ""},
		{"OthersToo", "tcp_listen_port = 60\ndistribute_network = yes\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", true, "", false, 0}, ""},
		{"Rotated", "max_log_file = 8\nnum_logs = 5\nmax_log_file_action = ROTATE\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", true, "", false, 40 << 20}, ""},
		{"NotRotated", "max_log_file = 8\nnum_logs = 1\nmax_log_file_action = ROTATE\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", true, "", false, 0}, ""},
		{"Kept", "max_log_file = 8\nnum_logs = 5\nmax_log_file_action = KEEP_LOGS\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", true, "", false, 0}, ""},
		{"DefaultDir", "", "-n", 10, LogInfo{"/etc/log", true, "", false, 0}, ""},
		{"RelativeDir", "", "-c a", 10, LogInfo{}, "relative directory -c a"},
		{"NoConf", "", "-c /srv/b", 10, LogInfo{}, "/srv/b/auditd.conf"},
		{"NotAuditd", "", "-c /srv/a", 40, LogInfo{}, `parent (pid 40, "bash") is not auditd`},
		{"Gone", "", "-c /srv/a", 99, LogInfo{}, "no such file"},
		{"Init", "", "-c /srv/a", 0, LogInfo{}, "not auditd"},
		{"Loop", "", "-c /srv/a", 50, LogInfo{}, "not auditd"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fakeMachine(t)
			m.put(t, confDir+"/auditd.conf", test.conf, 0o640)
			m.put(t, "/etc/audit/auditd.conf", "log_file = /etc/log\n", 0o640)
			m.run(t, 1, 0, "init", "", "/sbin/init")
			m.run(t, 10, 1, "auditd", "", append([]string{"/sbin/auditd"}, strings.Fields(test.args)...)...)
			m.run(t, 20, 10, "audispd", "", "/sbin/audispd", "-c", "/srv/other")
			m.run(t, 30, 20, "sh", "", "sh", "-c", "/x")
			m.run(t, 40, 1, "bash", "", "bash")
			m.run(t, 50, 51, "a", "", "a")
			m.run(t, 51, 50, "b", "", "b")
			got, err := m.logOf(test.parent)
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			switch {
			case test.errHas == "" && err != nil:
				t.Error(err)
			case test.errHas != "" && (err == nil || !strings.Contains(err.Error(), test.errHas) || strings.Contains(err.Error(), "\n")):
				t.Errorf("error %v, want one line with %q", err, test.errHas)
			}
			var conf *ConfError
			if errors.As(err, &conf) != (got.Path != "" && err != nil) {
				t.Errorf("Path %q with error %v", got.Path, err)
			}
		})
	}
}

// A real auditd's log is found from its plugin's parent, and it is the file that
// auditd has open.
func TestLiveLogOfAuditd(t *testing.T) {
	lab.Require(t)
	a := lab.Start(t, lab.Options{Plugins: []lab.Plugin{cat}})
	got, err := LogOf(a.PID())
	if err != nil || got != (LogInfo{Path: a.Log(), Written: true}) {
		t.Fatalf("got %+v, %v; want %s", got, err, a.Log())
	}
	links, err := filepath.Glob("/proc/" + strconv.Itoa(a.PID()) + "/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == got.Path {
			return
		}
	}
	t.Errorf("auditd (pid %d) does not have %s open", a.PID(), got.Path)
}

// TestLiveLastLogged: the last whole record with an id counts, however large what follows is.
func TestLiveLastLogged(t *testing.T) {
	lab.Require(t)
	a := lab.Start(t, lab.Options{Plugins: []lab.Plugin{cat}})
	begin := time.Now().Add(-clockTick)
	a.Mark()
	var last Stamp
	for deadline := time.Now().Add(time.Minute); last.At.Before(begin) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		last, _ = Machine{}.lastLogged(a.PID())
	}
	if last.At.Before(begin) || last.At.After(time.Now()) || last.Serial == 0 {
		t.Fatalf("the last record is of %v, made after %v", last, begin)
	}

	f, err := os.OpenFile(a.Log(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, text := range []string{"no record\n\n", "type=USER msg=audit(9999999999.001:7): cut"} {
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if got, known := (Machine{}).lastLogged(a.PID()); !known || got.At.Before(begin) || got.At.After(time.Now()) {
			t.Errorf("after %q: %v, %v", text, got, known)
		}
	}
	if _, err := f.WriteString(strings.Repeat("x", 2*logTail)); err != nil {
		t.Fatal(err)
	}
	if got, known := (Machine{}).lastLogged(a.PID()); known {
		t.Errorf("a log that ends with no record: %v", got)
	}
}

// TestUpToDate: a plugin that is one record late is not taken for one that has all, though both
// records may be of the same millisecond, or the log is behind for a moment.
func TestUpToDate(t *testing.T) {
	m := fakeMachine(t)
	m.put(t, "/srv/a/auditd.conf", "log_file = /srv/a/log\n", 0o640)
	m.run(t, 10, 1, "auditd", "", "/sbin/auditd", "-c", "/srv/a")
	m.put(t, "/srv/a/log", "type=USER msg=audit(1700000000.004:7): one\ntype=USER msg=audit(1700000000.004:8): two\n", 0o600)
	at := time.UnixMilli(1700000000004)
	for _, test := range []struct {
		name string
		got  []Stamp
		want bool
	}{
		{"all", []Stamp{{at, 8}}, true},
		{"a later one that is not in the log yet", []Stamp{{at.Add(4 * time.Millisecond), 9}}, true},
		{"not the last one of the same tick", []Stamp{{at, 7}}, false},
		{"a serial that wraps", []Stamp{{at.Add(4 * time.Millisecond), 1}}, true},
		{"all for a moment", []Stamp{{at, 8}, {at, 8}, {at, 7}}, false},
		{"an old one", []Stamp{{at.Add(-time.Second), 6}}, false},
	} {
		asked := 0
		i := &Installer{Machine: m, Received: func(string) (Stamp, error) {
			asked++
			return test.got[min(asked, len(test.got))-1], nil
		}}
		if got := i.upToDate(10, at); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestUpToDateWhileRecordsCome: one that is always a record late is not taken for up to date by a record that comes
// within each look, and on a busy host one that is a moment behind is.
func TestUpToDateWhileRecordsCome(t *testing.T) {
	for _, test := range []struct {
		name         string
		first, later uint32 // records that come before the plugin is asked, and after
		late         uint32 // by how many the plugin is
		want         bool
	}{
		{name: "a record late", first: 1, late: 1},
		{name: "a record late, and they come after it was asked", later: 1, late: 1},
		{name: "busy", first: 250, later: 250, late: 3, want: true},
		{name: "busy, and given nothing any more", first: 250, later: 250, late: 1000},
	} {
		m := fakeMachine(t)
		m.put(t, "/srv/a/auditd.conf", "log_file = /srv/a/log\n", 0o640)
		m.run(t, 10, 1, "auditd", "", "/sbin/auditd", "-c", "/srv/a")
		at, last := time.UnixMilli(1700000000004), uint32(2000)
		log := func(n uint32) {
			last += n
			m.put(t, "/srv/a/log", fmt.Sprintf("type=USER msg=audit(1700000000.004:%d): it\n", last), 0o600)
		}
		log(0)
		i := &Installer{Machine: m, Received: func(string) (Stamp, error) {
			log(test.first)
			defer log(test.later)
			return Stamp{at, last - test.late}, nil
		}}
		if got := i.upToDate(10, at); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestAuditLogs: those of the auditd above, of the one that runs, and of /etc/audit are known
// whatever else is wrong.
func TestAuditLogs(t *testing.T) {
	for _, tt := range []struct {
		name   string
		parent int
		pid    int // that the kernel names
		args   string
		etc    string // auditd.conf in /etc/audit, "-" for none
		want   string
	}{
		{"parent", 10, 0, "-c /srv/a", "log_file = /etc/log\n", "/etc/log /x/y.log"},
		{"another parent", 40, 10, "-c /srv/a", "log_file = /etc/log\n", "/etc/log /x/y.log"},
		{"nothing runs", 40, 0, "", "log_file = /etc/log\n", "/etc/log"},
		{"no configuration", 40, 0, "", "-", "/var/log/audit/audit.log"},
		{"a mistake", 40, 0, "", "q_depth = x\nlog_file = /etc//log\n", "/etc/log"},
		{"one for both", 10, 10, "-n", "log_file = /etc/log\n", "/etc/log"},
		{"relative directory", 10, 10, "-c a", "log_file = /etc/log\n", "/etc/log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := fakeMachine(t)
			m.KernelPID = func() (int, error) { return tt.pid, nil }
			m.put(t, "/srv/a/auditd.conf", "log_file = /x/y.log\n", 0o640)
			if tt.etc != "-" {
				m.put(t, "/etc/audit/auditd.conf", tt.etc, 0o640)
			}
			m.run(t, 1, 0, "init", "", "/sbin/init")
			m.run(t, 10, 1, "auditd", "", append([]string{"/sbin/auditd"}, strings.Fields(tt.args)...)...)
			m.run(t, 40, 1, "bash", "", "bash")
			if got := strings.Join(m.auditLogs(tt.parent), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
