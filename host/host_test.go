package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also is the other programs that the tests need: copies of the test's
// binary go by their name. "standin" reads stdin to its end, as a plugin does.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "other":
		signal.Ignore(syscall.SIGHUP)
		io.Copy(io.Discard, os.Stdin)
	case "standin":
		signal.Ignore(syscall.SIGHUP) // as the relay does
		got, err := os.OpenFile(os.Args[0]+".got", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err == nil {
			io.Copy(got, os.Stdin)
		}
		io.Copy(io.Discard, os.Stdin)
	case "auditd":
		fakeAuditd(os.Args[2])
	default:
		goleak.VerifyTestMain(m)
	}
}

// fakeRestarts is a file beside auditd.conf that makes fakeAuditd start a changed plugin again.
const fakeRestarts = "restarts"

// fakeAuditd does on SIGHUP what auditd 3.0.9 does, as far as the relay's
// drop-ins are concerned, or with fakeRestarts what 4.2 does; if there is a program
// "other" beside it, that is its other plugin. It ends when its stdin does.
func fakeAuditd(confDir string) {
	other := exec.Command(filepath.Join(filepath.Dir(os.Args[0]), "other"))
	if in, err := other.StdinPipe(); err == nil && other.Start() == nil {
		defer other.Wait()
		defer in.Close()
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	eof := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(eof)
	}()
	type child struct {
		cmd  *exec.Cmd
		feed io.Closer
	}
	running := map[string]child{}
	stop := func(name string) {
		if p := running[name]; p.cmd != nil {
			p.cmd.Process.Signal(syscall.SIGTERM)
			p.feed.Close()
			p.cmd.Wait()
			delete(running, name)
		}
	}
	defer stop(DropInName)
	defer stop(holderName)
	fmt.Println("ready")
	for {
		select {
		case <-hup:
		case <-eof:
			return
		}
		conf, _ := Machine{}.ReadAuditdConf(confDir)
		for _, name := range []string{holderName, DropInName} {
			text, _ := os.ReadFile(conf.PluginDir + "/" + name)
			wanted := parseDropIn(text).binary
			p := running[name]
			// auditd notices another file in the place of a program that it has started.
			if p.cmd != nil && (p.cmd.Path != wanted || !(Machine{}).runs(p.cmd.Process.Pid, wanted) || exists(filepath.Join(confDir, fakeRestarts))) {
				stop(name)
				p.cmd = nil
			}
			if p.cmd == nil && wanted != "" {
				p.cmd = exec.Command(wanted)
				p.feed, _ = p.cmd.StdinPipe()
				if p.cmd.Start() == nil {
					running[name] = p
				}
			}
		}
	}
}

// copyOfSelf copies the test's binary to path.
func copyOfSelf(t *testing.T, path string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	// A program that is open for writing cannot be run: what another test starts just now must not
	// inherit it.
	syscall.ForkLock.RLock()
	err = os.WriteFile(path, data, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// standin puts a plugin's binary into dir.
func standin(t *testing.T, dir string) string {
	return copyOfSelf(t, filepath.Join(dir, "standin"))
}

// fakeMachine is a tree in a temporary directory in which nothing runs.
func fakeMachine(t *testing.T) Machine {
	t.Helper()
	m := Machine{Root: t.TempDir(), owner: uint32(os.Getuid())}
	m.KernelPID = func() (int, error) { return 0, nil }
	if err := os.MkdirAll(m.path("/proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

// put writes a file of the machine.
func (m Machine) put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(path), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(m.path(path), mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

// run adds a process to /proc.
func (m Machine) run(t *testing.T, pid, ppid int, comm, exe string, argv ...string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d", pid)
	m.put(t, dir+"/comm", comm+"\n", 0o644)
	m.put(t, dir+"/stat", fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194560", pid, comm, ppid), 0o644)
	m.put(t, dir+"/cmdline", strings.Join(argv, "\x00")+"\x00", 0o644)
	m.put(t, dir+"/status", uids(os.Getuid()), 0o644)
	if exe != "" {
		if err := os.Symlink(exe, m.path(dir+"/exe")); err != nil {
			t.Fatal(err)
		}
	}
}

// uids is the line of /proc/PID/status that says whose a process is.
func uids(uid int) string { return fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", uid) }

func TestFindAuditd(t *testing.T) {
	notPermitted := func() (int, error) { return 0, fmt.Errorf("ask: %w", syscall.EPERM) }
	tests := []struct {
		name   string
		set    func(t *testing.T, m *Machine)
		pid    int
		dir    string
		errHas string
	}{
		{name: "KernelNamesIt", pid: 7, dir: "/etc/audit", set: func(t *testing.T, m *Machine) {
			m.run(t, 7, 1, "auditd", "/sbin/auditd", "/sbin/auditd")
			m.KernelPID = func() (int, error) { return 7, nil }
		}},
		{name: "OwnDirectory", pid: 7, dir: "/srv/a", set: func(t *testing.T, m *Machine) {
			m.run(t, 7, 1, "auditd", "/sbin/auditd", "/sbin/auditd", "-nc", "/srv/a")
			m.put(t, "/srv/a/auditd.conf", "", 0o640)
			m.KernelPID = func() (int, error) { return 7, nil }
		}},
		{name: "NoneAccordingToKernel", errHas: ErrNoAuditd.Error(), set: func(t *testing.T, m *Machine) {
			m.run(t, 7, 1, "auditd", "/sbin/auditd", "/sbin/auditd") // say, of a container
		}},
		{name: "PIDHeldByAnother", errHas: `"auditbeat" (pid 9)`, set: func(t *testing.T, m *Machine) {
			m.run(t, 9, 1, "auditbeat", "", "auditbeat")
			m.KernelPID = func() (int, error) { return 9, nil }
		}},
		{name: "Killed", errHas: ErrNoAuditd.Error() + ": the process that had the audit pid 9", set: func(t *testing.T, m *Machine) {
			m.KernelPID = func() (int, error) { return 9, nil }
		}},
		{name: "ScanFindsIt", pid: 7, dir: "/etc/audit", set: func(t *testing.T, m *Machine) {
			m.run(t, 7, 1, "auditd", "", "/sbin/auditd")
			m.run(t, 8, 7, "auditd", "", "/sbin/auditd") // forked, not yet the plugin
			m.run(t, 9, 2, "x) S 7 (auditd", "", "x")
			m.run(t, 10, 2, "kauditd", "")
			m.KernelPID = notPermitted
		}},
		{name: "ScanFindsNone", errHas: ErrNoAuditd.Error(), set: func(t *testing.T, m *Machine) {
			m.KernelPID = notPermitted
		}},
		{name: "ScanFindsSeveral", errHas: "(7, 8)", set: func(t *testing.T, m *Machine) {
			m.run(t, 7, 1, "auditd", "", "auditd")
			m.run(t, 8, 1, "auditd", "", "auditd")
			m.KernelPID = notPermitted
		}},
		{name: "ScanPassesOverOthers", pid: 7, dir: "/etc/audit", set: func(t *testing.T, m *Machine) {
			m.run(t, 7, 1, "auditd", "", "auditd")
			m.run(t, 8, 1, "auditd", "", "auditd", "-c", "/tmp/x")
			m.put(t, "/proc/8/status", uids(4242), 0o644)
			m.KernelPID = notPermitted
		}},
		{name: "ScanFindsOneOfAnother", errHas: ErrNoAuditd.Error(), set: func(t *testing.T, m *Machine) {
			m.run(t, 8, 1, "auditd", "", "auditd", "-c", "/tmp/x")
			m.put(t, "/proc/8/status", uids(4242), 0o644)
			m.KernelPID = notPermitted
		}},
		{name: "KernelFails", errHas: "out of range", set: func(t *testing.T, m *Machine) {
			m.KernelPID = func() (int, error) { return 0, syscall.ERANGE }
		}},
		{name: "DirectoryWithSlash", pid: 7, dir: "/a/b", set: func(t *testing.T, m *Machine) {
			m.run(t, 7, 1, "auditd", "", "auditd", "-c", "/a//b/")
			m.put(t, "/a/b/auditd.conf", "", 0o640)
			m.KernelPID = func() (int, error) { return 7, nil }
		}},
		{name: "RelativeDirectory", errHas: "--conf-dir", set: func(t *testing.T, m *Machine) {
			m.run(t, 7, 1, "auditd", "", "auditd", "-c", "here")
			m.KernelPID = func() (int, error) { return 7, nil }
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fakeMachine(t)
			m.put(t, "/etc/audit/auditd.conf", "log_file = /x/y\n", 0o640)
			test.set(t, &m)
			a, err := m.FindAuditd()
			if test.errHas != "" {
				if err == nil || !strings.Contains(err.Error(), test.errHas) {
					t.Fatalf("error %v, want one with %q", err, test.errHas)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a.PID != test.pid || a.ConfDir != test.dir {
				t.Errorf("got pid %d, directory %q; want %d, %q", a.PID, a.ConfDir, test.pid, test.dir)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for line, want := range map[string]string{
		"/sbin/auditd":                      "",
		"/sbin/auditd -c /a":                "/a",
		"/sbin/auditd -c/a":                 "/a",
		"/sbin/auditd -f -l -nc /a":         "/a",
		"/sbin/auditd -s nochange -c /a":    "/a",
		"/sbin/auditd -sf -c/f":             "/f",
		"/sbin/auditd -s -c -c /a":          "/a",
		"/sbin/auditd -sc /b":               "",
		"/sbin/auditd -c /a -c /b":          "/b",
		"/sbin/auditd -c":                   "",
		"/sbin/auditd -- -c /a":             "",
		"/bin/sh /sbin/auditd - -c /a --cc": "/a",
	} {
		o := process{Cmdline: strings.Split(line, " ")}.options()
		if o.confDir != want {
			t.Errorf("%s: got %q, want %q", line, o.confDir, want)
		}
		if want := strings.Contains(line, " -f"); o.foreground != want {
			t.Errorf("%s: foreground %v", line, o.foreground)
		}
	}
}

func TestVersion(t *testing.T) {
	m := fakeMachine(t)
	if got := m.version("/sbin/auditd"); got != "" {
		t.Errorf("without auditctl: %q", got)
	}
	m.put(t, "/sbin/auditctl", "#!/bin/sh\n[ \"$1\" = -v ] && echo 'auditctl version 2.8.5'\n", 0o755)
	m.put(t, "/opt/auditctl", "#!/bin/sh\necho 'auditctl version 4.1.2-rc1'\n", 0o755)
	m.put(t, "/odd/auditctl", "#!/bin/sh\necho 'auditctl: unknown option'; exit 1\n", 0o755)
	for exe, want := range map[string]string{
		"/sbin/auditd": "2.8.5", "": "2.8.5", "/odd/auditd": "2.8.5", "/opt/auditd": "4.1.2-rc1", "/opt/auditd (deleted)": "",
	} {
		if got := m.version(exe); got != want {
			t.Errorf("version of %q: got %q, want %q", exe, got, want)
		}
	}
	for version, want := range map[string]bool{
		"": false, "2.8.5": false, "3.9": false, "4.1.4": false, "4.2": true, "4.2-rc1": true, "4.10.1": true, "10.0": true,
	} {
		if got := (Auditd{Version: version}).AtLeast(4, 2); got != want {
			t.Errorf("%q at least 4.2: %v", version, got)
		}
	}
}

func TestPaddedFrames(t *testing.T) {
	for version, want := range map[string]bool{
		"": false, "2.8.5": true, "3.0.9": true, "4.0.5": true, "4.1": true, "4.1.0": true, "4.1.0-rc1": true, "4.1.1": false, "4.1.4": false, "4.2.1": false, "10.0": false,
	} {
		m := fakeMachine(t)
		m.put(t, "/opt/sbin/auditctl", "#!/bin/sh\necho 'auditctl version "+version+"'\n", 0o755)
		if got, v := m.paddedFrames("/opt/sbin/audisp-af_unix"); got != want || v != version {
			t.Errorf("%q: padded %v of %q, want %v", version, got, v, want)
		}
	}
}

func TestPluginDir(t *testing.T) {
	m := fakeMachine(t)
	conf := defaultAuditdConf()
	old := Auditd{Version: "2.8.5", Conf: conf}
	if got := m.PluginDir(old); got != "/etc/audisp/plugins.d" {
		t.Errorf("2.x without audispd.conf: %s", got)
	}
	m.put(t, audispdConf, "plugin_dir = /srv/p/\n", 0o640)
	if got := m.PluginDir(old); got != "/srv/p" {
		t.Errorf("2.x: %s", got)
	}
	conf.Dispatcher = "/sbin/audispd" // left over from 2.x, ignored by 3.x
	if got := m.PluginDir(Auditd{Version: "3.0.9", Conf: conf}); got != DefaultPluginDir {
		t.Errorf("3.x: %s", got)
	}
	if !(Auditd{Conf: conf}).OneDispatcher() {
		t.Error("unknown version with a dispatcher: want 2.x")
	}
}

func TestReloadOnlySignalsAuditd(t *testing.T) {
	m := fakeMachine(t)
	m.run(t, os.Getpid(), 1, "postgres", "", "postgres")
	if err := m.Reload(os.Getpid()); err == nil || !strings.Contains(err.Error(), "not auditd any more") {
		t.Errorf("got %v", err) // and this process would be dead had the signal been sent
	}
	if err := m.Reload(1 << 22); err == nil {
		t.Error("no error for a process that is not there")
	}
}

// sayer collects what an installer says.
type sayer struct{ lines []string }

func (s *sayer) say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *sayer) has(text string) bool { return strings.Contains(strings.Join(s.lines, "\n"), text) }

func (s *sayer) want(t *testing.T, text string) {
	t.Helper()
	if !s.has(text) {
		t.Errorf("nothing said about %q in:\n%s", text, strings.Join(s.lines, "\n"))
	}
}

const shippedDropIn = "# comment\nactive = yes\ndirection = out\npath = /usr/sbin/audisp-relay\ntype = always\nformat = string\n"

func newInstaller(m Machine, binary string) (*Installer, *sayer) {
	s := &sayer{}
	return &Installer{
		Machine: m, Binary: binary, Format: "string", DropIn: []byte(shippedDropIn), Sample: []byte("# sample\n"), Say: s.say,
	}, s
}

func install(t *testing.T, i *Installer) {
	t.Helper()
	if err := i.Install(context.Background()); err != nil {
		t.Fatalf("install: %v", err)
	}
}

// childRunning finds the child of parent that runs the file at binary; 0 if there is none.
func (m Machine) childRunning(parent int, binary string) int {
	return m.child(parent, func(pid int) bool { return m.runs(pid, binary) })
}

// TestLearnedVersion: what was learned at the start is known when no program can be asked any more, and says
// nothing of another tree.
func TestLearnedVersion(t *testing.T) {
	known := "4.0.2"
	installed.Store(&known)
	defer installed.Store(nil)
	if padded, version := PaddedFrames(""); !padded || version != known {
		t.Errorf("%v, %q", padded, version)
	}
	if version := (Machine{Root: t.TempDir()}).version(""); version != "" {
		t.Errorf("of another tree: %q", version)
	}
}
