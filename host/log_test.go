package host

import (
	"errors"
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
		{"Parent", "log_file = /x/y.log\n", "-c /srv/a", 10, LogInfo{"/x/y.log", true, "", false}, ""},
		{"BehindAudispd", "log_file = /x/y.log\n", "-c /srv/a", 20, LogInfo{"/x/y.log", true, "", false}, ""},
		{"BehindWrapper", "", "-c /srv/a", 30, LogInfo{"/var/log/audit/audit.log", true, "", false}, ""},
		{"NoLogs", "write_logs = No\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", false, "/srv/a/auditd.conf has write_logs = no", false}, ""},
		{"NoLogFormat", "log_format = NOLOG\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", false, "/srv/a/auditd.conf has log_format = NOLOG", false}, ""},
		{"Foreground", "", "-fc /srv/a", 10, LogInfo{"/var/log/audit/audit.log", false, "auditd was started with -f and prints its records", false}, ""},
		{"NoFork", "", "-nc /srv/a", 10, LogInfo{"/var/log/audit/audit.log", true, "", false}, ""},
		{"Mistake", "q_depth = x\nlog_file = /x/y.log\n", "-c /srv/a", 10, LogInfo{"/x/y.log", true, "", false}, "q_depth"},
		{"Others", "tcp_listen_port = 60\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", true, "", true}, ""},
		{"OthersToo", "tcp_listen_port = 60\ndistribute_network = yes\n", "-c /srv/a", 10, LogInfo{"/var/log/audit/audit.log", true, "", false}, ""},
		{"DefaultDir", "", "-n", 10, LogInfo{"/etc/log", true, "", false}, ""},
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
func TestLogOfRealAuditd(t *testing.T) {
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

// TestLastLogged: the last whole record with an id counts, however large what follows is.
func TestLastLogged(t *testing.T) {
	lab.Require(t)
	a := lab.Start(t, lab.Options{Plugins: []lab.Plugin{cat}})
	begin := time.Now().Add(-clockTick)
	a.Mark()
	var at time.Time
	for deadline := time.Now().Add(10 * time.Second); at.Before(begin) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		at, _ = Machine{}.lastLogged(a.PID())
	}
	if at.Before(begin) || at.After(time.Now()) {
		t.Fatalf("the last record is of %v, made after %v", at, begin)
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
		if got, known := (Machine{}).lastLogged(a.PID()); !known || got.Before(begin) || got.After(time.Now()) {
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
