package host

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A configuration that check refuses is refused before anything is changed.
func TestInstallChecksTheConfiguration(t *testing.T) {
	m := stoppedMachine(t)
	m.put(t, DefaultConfig, "wrong", 0o640)
	i, _ := newInstaller(m, "/usr/sbin/relay")
	i.Check = func(path string) error {
		if path != m.path(DefaultConfig) {
			t.Errorf("%s is checked", path)
		}
		return errors.New("is wrong")
	}
	checkError(t, i.Install(context.Background()), "is wrong")
	if names := m.list(t, "/etc/audit/plugins.d"); names != "syslog.conf" {
		t.Errorf("plugin directory holds: %s", names)
	}
	if err := os.Remove(m.path(DefaultConfig)); err != nil {
		t.Fatal(err)
	}
	install(t, i) // there is none to be checked
}

// What others than root can write is refused.
func TestInstallRefusesWhatOthersCanWrite(t *testing.T) {
	for dir, want := range map[string]string{
		"/usr/sbin":            "binary /usr/sbin/relay must not be run: /usr/sbin has mode",
		"/usr":                 "binary /usr/sbin/relay must not be run: /usr has mode",
		"/etc/audit":           "drop-in " + dropInPath + ": /etc/audit has mode",
		"/etc/audit/plugins.d": "drop-in " + dropInPath + ": /etc/audit/plugins.d has mode",
		"/etc/relay":           "configuration /etc/relay/c.toml: /etc/relay has mode",
	} {
		for _, mode := range []os.FileMode{0o775, 0o757} {
			m := stoppedMachine(t)
			m.put(t, "/etc/relay/x", "", 0o640)
			if err := os.Chmod(m.path(dir), mode); err != nil {
				t.Fatal(err)
			}
			i, _ := newInstaller(m, "/usr/sbin/relay")
			i.Config = "/etc/relay/c.toml"
			checkError(t, i.Install(context.Background()), want)
			if names := m.list(t, "/etc/audit/plugins.d"); names != "syslog.conf" {
				t.Errorf("plugin directory holds: %s", names)
			}
		}
	}
}

// A second file that starts the relay is named, by the rules of the auditd that is there.
func TestInstallNamesASecondDropIn(t *testing.T) {
	active := shippedDropIn
	tests := []struct {
		name, text, version string
		refused, warned     bool
	}{
		{"copy.conf", active, "4.2.1", true, false},
		{"copy.conf", active, "3.0.9", true, false},
		{"audisp-relay-binary.conf", active, "4.2.1", true, false},
		{"nodot", active, "4.2.1", true, false},
		{"audisp-relay.conf~", active, "3.0.9", true, false},
		{"audisp-relay.conf~", active, "4.0.2", true, false},
		{"audisp-relay.conf~", active, "4.0.3", false, true},
		{"audisp-relay.conf~", active, "4.2.1", false, true},
		{"audisp-relay.bak", active, "3.1.5", true, false},
		{"#audisp-relay.conf#", active, "3.1.5", true, false},
		{"audisp-relay.conf.bak", active, "3.0.9", false, false},
		{"audisp-relay.conf.dpkg-old", active, "3.0.9", false, false},
		{"audisp-relay.conf.rpmsave", active, "3.0.9", false, false},
		{".audisp-relay.conf.swp", active, "3.0.9", false, false},
		{"copy.conf", strings.Replace(active, "active = yes", "active = no", 1), "4.2.1", false, false},
		{"copy.conf", strings.Replace(active, "/usr/sbin/audisp-relay", "/usr/sbin/relay", 1), "4.2.1", true, false},
		{"copy.conf", strings.Replace(active, "/usr/sbin/audisp-relay", "/usr/local/sbin/audisp-relay", 1), "4.2.1", true, false},
		{"other.conf", strings.Replace(active, "/usr/sbin/audisp-relay", "/sbin/audisp-remote", 1), "4.2.1", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.version, func(t *testing.T) {
			m := stoppedMachine(t)
			m.auditdVersion = tt.version
			m.put(t, "/etc/audit/plugins.d/"+tt.name, tt.text, 0o640)
			i, said := newInstaller(m, "/usr/sbin/relay")
			err := i.Install(context.Background())
			if tt.refused {
				checkError(t, err, "starts a second relay for "+m.path("/etc/audit/plugins.d/"+tt.name)+": remove it")
			} else {
				checkError(t, err, "")
			}
			if said.has("warning: "+m.path("/etc/audit/plugins.d/"+tt.name)) != tt.warned {
				t.Errorf("said:\n%s", strings.Join(said.lines, "\n"))
			}
		})
	}
}

// What is no file is not read, let alone waited for.
func TestInstallWaitsForNoFIFO(t *testing.T) {
	for _, path := range []string{dropInPath, "/etc/audit/plugins.d/fifo.conf", "/etc/audit/auditd.conf"} {
		m := stoppedMachine(t)
		os.Remove(m.path(path))
		if err := syscall.Mkfifo(m.path(path), 0o600); err != nil {
			t.Fatal(err)
		}
		i, _ := newInstaller(m, "/usr/sbin/relay")
		if err := i.Install(context.Background()); (err == nil) != strings.Contains(path, "fifo.conf") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// On auditd 2.x it is done when auditd.conf names the relay: repeating it changes nothing.
func TestInstallOnAuditd2IsRepeatable(t *testing.T) {
	m := stoppedMachine(t)
	m.auditdVersion = "2.8.5"
	m.put(t, "/etc/audisp/audispd.conf", "q_depth = 250\nplugin_dir = /srv/audisp/plugins.d/\n", 0o640)
	m.put(t, "/etc/audit/auditd.conf", "dispatcher = /sbin/audispd\n", 0o640)
	i, said := newInstaller(m, "/usr/sbin/relay")
	checkError(t, i.Install(context.Background()), "set `plugin_dir = \"/srv/audisp/plugins.d\"`")
	m.put(t, "/etc/audit/auditd.conf", "dispatcher = /usr/sbin/relay\n", 0o640)
	install(t, i)
	said.want(t, "audispd's plugins are in /srv/audisp/plugins.d")
	said.want(t, "unchanged")
	if err := os.Symlink("usr/sbin", m.path("/sbin")); err != nil {
		t.Fatal(err)
	}
	m.put(t, "/etc/audit/auditd.conf", "dispatcher = /sbin/relay\n", 0o640) // the same program
	install(t, i)
	i.Check = func(string) error { return errors.New("is wrong") }
	checkError(t, i.Install(context.Background()), "is wrong")
}

// On auditd 2.x the relay is removed where it is the dispatcher no more, or never was; a setting of 2.x that a later auditd ignores says
// nothing of that.
func TestUninstallOnAuditd2(t *testing.T) {
	const audispds = "/etc/audisp/plugins.d/" + DropInName
	for _, tt := range []struct {
		version, dispatcher, removed, want string
	}{
		{"2.8.5", "/usr/sbin/relay", "", "set `dispatcher = /sbin/audispd` again"},
		{"2.8.5", "/usr/local/sbin/audisp-relay", "", "set `dispatcher = /sbin/audispd` again"},
		{"2.8.5", "/sbin/audispd", audispds, ""},
		{"", "/sbin/audispd", dropInPath, ""},
		{"", "/usr/sbin/relay", "", "set `dispatcher = /sbin/audispd` again"},
		{"3.1.5", "/sbin/audispd", dropInPath, ""},
	} {
		m := stoppedMachine(t)
		m.auditdVersion = tt.version
		m.put(t, "/etc/audit/auditd.conf", "dispatcher = "+tt.dispatcher+"\n", 0o640)
		files := []string{audispds, dropInPath}
		for _, path := range files {
			m.put(t, path, "active = yes\npath = /usr/sbin/relay\n", 0o640)
		}
		u, _ := newInstaller(m, "/usr/sbin/relay")
		checkError(t, u.Uninstall(context.Background()), tt.want)
		for _, path := range files {
			if removed := !exists(m.path(path)); removed != (path == tt.removed) {
				t.Errorf("%q, %s: %s removed: %v", tt.version, tt.dispatcher, path, removed)
			}
		}
	}
}

// "unchanged" is said where nothing was done, and nowhere else.
func TestInstallSaysUnchanged(t *testing.T) {
	m := stoppedMachine(t)
	i, said := newInstaller(m, "/usr/sbin/relay")
	install(t, i)
	if said.has("unchanged") {
		t.Error("the first time")
	}
	install(t, i)
	said.want(t, "unchanged")
	i, said = newInstaller(m, "/usr/sbin/relay")
	i.Format = "binary"
	install(t, i)
	if said.has("unchanged") {
		t.Error("after a change")
	}
}

// What an installation that was killed has left in the plugin directory goes.
func TestInstallRemovesItsHolder(t *testing.T) {
	m := stoppedMachine(t)
	m.put(t, "/etc/audit/plugins.d/"+holderName, string(holderDropIn(holderProgram)), 0o640)
	i, said := newInstaller(m, "/usr/sbin/relay")
	install(t, i)
	said.want(t, "which an earlier install had left")
	if names := m.list(t, "/etc/audit/plugins.d"); names != "audisp-relay.conf syslog.conf" {
		t.Errorf("plugin directory holds: %s", names)
	}
}

// Where auditd itself takes up a changed drop-in at a reload, as from 4.2 on, it is made to
// reload, although the plugin runs.
func TestInstallReloadsForAChange(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	m, dir, auditd := runningMachine(t, false)
	if err := os.WriteFile(dir+"/conf/"+fakeRestarts, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	m.auditdVersion = "4.2.1"
	i, said := newInstaller(m, standin(t, dir+"/bin1"))
	i.Config = dir + "/relay.toml"
	install(t, i)
	pids := m.relays(auditd, i.Binary)
	changes := []func(){
		func() { i.Format = "binary" },
		func() { i.Config = dir + "/other.toml" },
		func() { i.Binary = standin(t, dir+"/bin2") },
		func() { // the file was written since auditd read it
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(dir+"/plugins/"+DropInName, later, later); err != nil {
				t.Fatal(err)
			}
		},
	}
	for n, change := range changes {
		change()
		install(t, i)
		now := m.relays(auditd, i.Binary)
		if len(now) != 1 || now[0] == pids[0] {
			t.Errorf("change %d: the plugin went from %v to %v; said:\n%s", n, pids, now, strings.Join(said.lines, "\n"))
		}
		pids = now
	}
	if m.childRunning(auditd, dir+"/bin1/standin") != 0 {
		t.Error("the first binary still runs")
	}
}

// An only plugin that auditd starts and gives nothing, or what it should have given long
// ago, is not called installed.
func TestInstallAwaitsRecords(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for name, test := range map[string]struct {
		last time.Time
		want string
	}{
		"none": {time.Time{}, "gives it no records, or late ones: restart auditd"},
		"late": {time.Now().Add(-time.Minute), "gives it no records, or late ones: restart auditd"},
		"live": {time.Now().Add(time.Hour), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, dir, _ := runningMachine(t, false)
			i, _ := newInstaller(m, standin(t, dir+"/bin1"))
			i.Config, i.Wait = dir+"/relay.toml", 30*time.Second
			i.Received = func(string) (Stamp, error) { return Stamp{At: test.last}, nil }
			i.Probe = func() error { i.Wait = 50 * time.Millisecond; return nil } // it runs by now
			if err := i.Install(context.Background()); (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Error(err)
			}
		})
	}
}

// TestAnotherProgramGetsTheRecords: where another program has auditd's place, install refuses and names it; the package can be upgraded and removed.
func TestAnotherProgramGetsTheRecords(t *testing.T) {
	for _, installed := range []bool{true, false} { // auditd's own package
		m := stoppedMachine(t)
		m.put(t, dropInPath, "active = yes\npath = /usr/sbin/relay\n", 0o640)
		m.run(t, 9, 1, "auditbeat", "", "auditbeat")
		m.KernelPID = func() (int, error) { return 9, nil }
		if !installed {
			if err := os.Remove(m.path("/etc/audit/auditd.conf")); err != nil {
				t.Fatal(err)
			}
		}

		i, said := newInstaller(m, "/usr/sbin/relay")
		checkError(t, i.Install(context.Background()), `"auditbeat" (pid 9)`)
		checkError(t, i.Upgrade(context.Background()), "")
		said.want(t, "nothing to replace")
		if !exists(m.path(dropInPath)) {
			t.Error("the drop-in was removed early")
		}
		checkError(t, i.Uninstall(context.Background()), "")
		said.want(t, "auditbeat")
		said.want(t, "removed "+m.path(dropInPath))
		if exists(m.path(dropInPath)) {
			t.Error("the drop-in is there yet")
		}
	}
}
