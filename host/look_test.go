package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const stateReport = `audit version = 3.0.9
current time = 08/24/23 20:21:31
writing to logs = yes
Logging partition free space 45565 MB
logging suspended = yes
file system space action performed = yes
admin space action performed = no
disk error detected = no
Number of active plugins = 2
current plugin queue depth = 4294967295
max plugin queue depth used = 1999
plugin queue size = 2000
plugin queue overflow detected = yes
plugin queueing suspended = no
`

// TestStartedOnAnOldHost: that has been up for three years and more, whose ticks in nanoseconds a hundredfold need more than 63 bits.
func TestStartedOnAnOldHost(t *testing.T) {
	m := Machine{Root: t.TempDir()}
	const up = 1200 * 24 * time.Hour
	boot := time.Unix(1_600_000_000, 0)
	m.put(t, "/proc/stat", "cpu 1 2 3\nbtime 1600000000\n", 0o444)
	m.put(t, "/proc/7/stat", fmt.Sprintf("7 (a) b) S 1"+strings.Repeat(" 0", 17)+" %d 0 0", up/(10*time.Millisecond)), 0o444)
	if at, err := m.started(7); err != nil || !at.Equal(boot.Add(up)) {
		t.Errorf("started %v (%v), want %v", at, err, boot.Add(up))
	}
}

// TestReadState: the newer of the two reports is read, and what cannot be right is left out.
func TestReadState(t *testing.T) {
	m := Machine{Root: t.TempDir()}
	if _, err := m.ReadState(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a report: %v", err)
	}
	m.put(t, "/var/run/auditd.state", stateReport, 0o640)
	m.put(t, "/run/audit/auditd.state", "audit version = 4.2\n", 0o640)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(m.path("/run/audit/auditd.state"), old, old); err != nil {
		t.Fatal(err)
	}
	got, err := m.ReadState()
	if err != nil {
		t.Fatal(err)
	}
	if time.Since(got.Written) > time.Minute {
		t.Errorf("written %v", got.Written)
	}
	got.Written = time.Time{}
	want := AuditdState{
		File: "/var/run/auditd.state", Version: "3.0.9", Plugins: 2, MaxQueue: 1999, Depth: 2000,
		Overflowed: true, LogSuspended: true, SpaceAction: true,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(stateReport))
	f.Add([]byte("plugin queue size = 99999999999999999999\n= = =\n\xff = \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s := parseState(text); s.Queue < 0 || s.MaxQueue < 0 || s.Depth < 0 || s.Plugins < 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestPluginFiles: what starts the relay is found under any name that some auditd reads, with
// what makes auditd skip it.
func TestPluginFiles(t *testing.T) {
	m := Machine{Root: t.TempDir()}
	const relay = "active = yes\npath = /usr/sbin/audisp-relay\nargs = -c /etc/x.toml\nformat = BINARY\n"
	for name, text := range map[string]string{
		"audisp-relay.conf": relay, "copy.conf": relay, "old.bak": relay, ".hidden.conf": relay, "two.dots.conf": relay,
		"other.conf": "active = no\npath = /sbin/other\ntype = alwys\n", "broken.conf": "active = yes # now\ncolour = red\npath = bin/x",
	} {
		m.put(t, "/etc/audit/plugins.d/"+name, text, 0o640)
	}
	files, err := m.PluginFiles(Auditd{Version: "3.0.9", Conf: defaultAuditdConf()}, "/usr/sbin/audisp-relay")
	if err != nil {
		t.Fatal(err)
	}
	var relays, problems []string
	for _, f := range files {
		if f.Relay {
			relays = append(relays, filepath.Base(f.Path))
			if !f.Active || f.Config != "/etc/x.toml" || f.Format != "binary" || !f.Loaded {
				t.Errorf("%+v", f)
			}
		}
		problems = append(problems, f.Problems...)
	}
	if want := []string{"audisp-relay.conf", "copy.conf", "old.bak"}; !reflect.DeepEqual(relays, want) {
		t.Errorf("relays %q, want %q", relays, want)
	}
	for _, want := range []string{
		"other.conf:3: type = alwys: want always or builtin", "broken.conf:1: active has 3 values", "broken.conf:2: auditd has no key colour",
		"broken.conf:3: the last line has no newline", "broken.conf: has no path",
	} {
		if !strings.Contains(strings.Join(problems, "\n"), want) {
			t.Errorf("problems %q lack %q", problems, want)
		}
	}
}

// TestRefusal: what auditd refuses depends on its version.
func TestRefusal(t *testing.T) {
	for _, tt := range []struct {
		version string
		file    PluginFile
		fix     string
	}{
		{"3.0.9", PluginFile{Mode: 0o640}, ""},
		{"3.0.9", PluginFile{Mode: 0o660}, ""},
		{"4.2", PluginFile{Mode: 0o660}, "chmod 0640"},
		{"3.0.9", PluginFile{Mode: 0o646}, "chmod 0640"},
		{"4.2", PluginFile{Mode: 0o640, UID: 1}, "chown root:root"},
	} {
		why, fix := Auditd{Version: tt.version}.Refusal(tt.file)
		if fix != tt.fix || (why == "") != (fix == "") {
			t.Errorf("%s, %+v: %q, %q", tt.version, tt.file, why, fix)
		}
	}
}

// TestConfValues: the keys that say what becomes of a full queue and a full disk are read.
func TestConfValues(t *testing.T) {
	c, err := ParseAuditdConf("auditd.conf", []byte("q_depth = 400\noverflow_action = Suspend\nspace_left = 25%\nadmin_space_left_action = HALT\nmax_log_file = 8\nnum_logs = 5\n"))
	if err != nil || c.QDepth != 400 || c.OverflowAction != "suspend" || c.SpaceLeft != "25%" || c.AdminSpaceLeftAction != "halt" || c.MaxLogFile != 8 || c.NumLogs != 5 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := ParseAuditdConf("auditd.conf", []byte("num_logs = many\n")); err == nil {
		t.Error("num_logs = many is taken")
	}
}

// TestRuleLineSurvives: rules of any bytes are a line or "?".
func TestRuleLineSurvives(t *testing.T) {
	for _, wire := range [][]byte{nil, {1}, make([]byte, 1040), []byte(strings.Repeat("\xff", 1060))} {
		if line := ruleLine(wire); strings.Contains(line, "\n") {
			t.Errorf("%q", line)
		}
	}
}

// TestProcessOfAnotherUser: a program that a user may not look at is hidden, which is not the same as none.
func TestProcessOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	const nobody = 65534
	other := os.Getppid() // root's, and not the first process: some systems hide that from root, too
	var p Process
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			err = errno
			return
		}
		p, err = Machine{}.FindProcess(other)
	}()
	<-done
	if err != nil || p.Exe != "" || !p.Hidden {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := (Machine{}).FindProcess(other); err != nil || p.Hidden {
		t.Errorf("as root: %+v, %v", p, err)
	}
}

// TestFindProcess: a running process is found with its file and time of start.
func TestFindProcess(t *testing.T) {
	p, err := Machine{}.FindProcess(os.Getpid())
	if err != nil || p.PPID != os.Getppid() || p.Exe == "" || p.Replaced {
		t.Fatalf("%+v, %v", p, err)
	}
	if age := time.Since(p.Started); age < -2*time.Second || age > time.Hour {
		t.Errorf("started %v ago", age)
	}
}
