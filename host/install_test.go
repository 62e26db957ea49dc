package host

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCheckBinary(t *testing.T) {
	tests := []struct {
		name    string
		path    string
		mode    os.FileMode
		dirMode os.FileMode
		version string // of auditd
		want    string
	}{
		{name: "Good", path: "/usr/sbin/relay", mode: 0o755},
		{name: "Narrow", path: "/usr/sbin/relay", mode: 0o750},
		{name: "Dispatcher", path: "/usr/sbin/relay", mode: 0o750, version: "2.8.5"},
		{name: "NotExecutable", path: "/usr/sbin/relay", mode: 0o640, want: "lacks some of 0750: chmod 0755"},
		{name: "ReadOnly", path: "/usr/sbin/relay", mode: 0o555, version: "4.0.3", want: "lacks some of 0750"},
		{name: "ReadOnlyLater", path: "/usr/sbin/relay", mode: 0o555, version: "4.0.4"},
		{name: "GroupMayNotRun", path: "/usr/sbin/relay", mode: 0o700, want: "lacks some of 0750"},
		{name: "GroupWritable", path: "/usr/sbin/relay", mode: 0o775, want: "lets others write"},
		{name: "WorldWritable", path: "/usr/sbin/relay", mode: 0o757, want: "lets others write"},
		{name: "OtherModeForDispatcher", path: "/usr/sbin/relay", mode: 0o751, version: "2.8.5", want: "exactly 0750 or 0755"},
		{name: "WorldWritableDirectory", path: "/usr/sbin/relay", mode: 0o755, dirMode: 0o777, want: "replace what is in"},
		{name: "GroupWritableDirectory", path: "/usr/sbin/relay", mode: 0o755, dirMode: 0o775, want: "chmod go-w "},
		{name: "StickyDirectory", path: "/usr/sbin/relay", mode: 0o755, dirMode: 0o777 | os.ModeSticky},
		{name: "ShortDirectory", path: "/x/relay", mode: 0o755, want: "as short as /x"},
		{name: "Space", path: "/usr/s bin/relay", mode: 0o755, want: "no spaces"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fakeMachine(t)
			m.put(t, test.path, "", test.mode)
			if test.dirMode != 0 {
				if err := os.Chmod(filepath.Dir(m.path(test.path)), test.dirMode); err != nil {
					t.Fatal(err)
				}
			}
			checkError(t, m.CheckBinary(test.path, Auditd{Version: test.version}), test.want)
		})
	}
	m := fakeMachine(t)
	m.put(t, "/usr/sbin/relay", "", 0o755)
	checkError(t, m.CheckBinary("sbin/relay", Auditd{}), "not a plain absolute path")
	checkError(t, m.CheckBinary("/usr/sbin/../sbin/relay", Auditd{}), "not a plain absolute path")
	checkError(t, m.CheckBinary("/usr/sbin/none", Auditd{}), "no such file")
	m.put(t, "/usr/sbin/dir/x", "", 0o755)
	checkError(t, m.CheckBinary("/usr/sbin/dir", Auditd{}), "not a regular file")
	m.owner++
	checkError(t, m.CheckBinary("/usr/sbin/relay", Auditd{}), "install -o root -g root -m 0755")
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want one with %q", err, want)
	case err != nil && strings.Contains(err.Error(), "\n"):
		t.Errorf("more than one line: %q", err)
	}
}

func TestRenderDropIn(t *testing.T) {
	d := dropIn{binary: "/opt/relay/bin", config: "/opt/relay/a.toml", format: "binary", active: true}
	got, err := d.render([]byte(shippedDropIn))
	if err != nil {
		t.Fatal(err)
	}
	want := "# comment\nactive = yes\ndirection = out\npath = /opt/relay/bin\nargs = -c /opt/relay/a.toml\ntype = always\nformat = binary\n"
	if string(got) != want {
		t.Errorf("got:\n%s", got)
	}
	if back := parseDropIn(got); back != d {
		t.Errorf("read back %+v, wrote %+v", back, d)
	}
	_, err = dropIn{binary: "/opt/" + strings.Repeat("x", 160), format: "string"}.render([]byte(shippedDropIn))
	checkError(t, err, "auditd before 4.1.3 skips lines")
	_, err = dropIn{binary: "/opt/x", config: "/a b", format: "string"}.render([]byte(shippedDropIn))
	checkError(t, err, `no spaces in paths: rename "/a b"`)
	_, err = d.render([]byte("active = yes\n"))
	checkError(t, err, "no path or format line")
}

// stoppedMachine has auditd installed but not running.
func stoppedMachine(t *testing.T) Machine {
	m := fakeMachine(t)
	m.put(t, "/etc/audit/auditd.conf", "plugin_dir = /etc/audit/plugins.d\n", 0o640)
	m.put(t, "/etc/audit/plugins.d/syslog.conf", "active = no\n", 0o640)
	m.put(t, "/usr/sbin/relay", "", 0o755)
	return m
}

const dropInPath = "/etc/audit/plugins.d/" + DropInName

func TestInstallWithoutAuditdRunning(t *testing.T) {
	m := stoppedMachine(t)
	i, said := newInstaller(m, "/usr/sbin/relay")
	install(t, i)
	said.want(t, "start it")
	if got := m.get(t, dropInPath); got != strings.Replace(shippedDropIn, "/usr/sbin/audisp-relay", "/usr/sbin/relay", 1) {
		t.Errorf("drop-in:\n%s", got)
	}
	st, err := os.Stat(m.path(dropInPath))
	if err != nil || st.Mode() != 0o640 {
		t.Errorf("drop-in has mode %v, %v; want 0640", st.Mode(), err)
	}
	if got := m.get(t, DefaultConfig); got != "# sample\n" {
		t.Errorf("configuration: %q", got)
	}

	// Again: nothing is touched, the administrator's configuration least of all.
	m.put(t, DefaultConfig, "# mine\n", 0o640)
	again, said := newInstaller(m, "/usr/sbin/relay")
	install(t, again)
	said.want(t, "in place already")
	said.want(t, "left the configuration")
	if got := m.get(t, DefaultConfig); got != "# mine\n" {
		t.Errorf("configuration was overwritten: %q", got)
	}
	if names := m.list(t, "/etc/audit/plugins.d"); names != "audisp-relay.conf syslog.conf" {
		t.Errorf("plugin directory holds: %s", names)
	}
}

func TestInstallCorrectsMode(t *testing.T) {
	m := stoppedMachine(t)
	i, _ := newInstaller(m, "/usr/sbin/relay")
	install(t, i)
	if err := os.Chmod(m.path(dropInPath), 0o666); err != nil {
		t.Fatal(err)
	}
	install(t, i)
	if st, _ := os.Stat(m.path(dropInPath)); st.Mode() != 0o640 {
		t.Errorf("mode %v, want 0640", st.Mode())
	}
}

func TestInstallKeepsPreviousAndUninstallNamesWhatStays(t *testing.T) {
	m := stoppedMachine(t)
	m.put(t, dropInPath, "active = no\n", 0o640)
	i, said := newInstaller(m, "/usr/sbin/relay")
	install(t, i)
	said.want(t, "kept the previous")
	if got := m.get(t, "/etc/audit/plugins.d/.audisp-relay.conf.old"); got != "active = no\n" {
		t.Errorf("kept %q", got)
	}

	u, said := newInstaller(m, "")
	for range 2 {
		if err := u.Uninstall(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for _, left := range []string{"removed", "left " + m.path(DefaultConfig), ".audisp-relay.conf.old", "/usr/sbin/relay", "nothing to remove"} {
		said.want(t, left)
	}
	if names := m.list(t, "/etc/audit/plugins.d"); names != ".audisp-relay.conf.old syslog.conf" {
		t.Errorf("plugin directory holds: %s", names)
	}
}

// TestUninstallNamesOtherStarts: a file of another name that starts the relay goes on doing so, whether ours is there or not.
func TestUninstallNamesOtherStarts(t *testing.T) {
	m := stoppedMachine(t)
	m.put(t, dropInPath, "active = yes\npath = /usr/sbin/relay\n", 0o640)
	m.put(t, "/etc/audit/plugins.d/copy.conf", "active = yes\npath = /usr/sbin/relay\n", 0o640)
	for range 2 { // ours is not there any more
		u, said := newInstaller(m, "/usr/sbin/relay")
		if err := u.Uninstall(context.Background()); err != nil {
			t.Fatal(err)
		}
		said.want(t, "warning: "+m.path("/etc/audit/plugins.d/copy.conf")+" starts a relay, too: remove it")
	}
	if err := os.RemoveAll(m.path(DefaultPluginDir)); err != nil {
		t.Fatal(err)
	}
	u, said := newInstaller(m, "/usr/sbin/relay")
	if err := u.Uninstall(context.Background()); err != nil {
		t.Fatal(err)
	}
	said.want(t, "nothing to remove")
}

func TestInstallRefuses(t *testing.T) {
	tests := []struct {
		name string
		set  func(t *testing.T, m Machine, i *Installer)
		want string
	}{
		{"UnsafeBinary", func(t *testing.T, m Machine, i *Installer) {
			m.put(t, "/usr/sbin/relay", "", 0o777)
		}, "lets others write"},
		{"NoPluginDirectory", func(t *testing.T, m Machine, i *Installer) {
			if err := os.RemoveAll(m.path(DefaultPluginDir)); err != nil {
				t.Fatal(err)
			}
		}, "install auditd"},
		{"WrongConfDir", func(t *testing.T, m Machine, i *Installer) {
			i.ConfDir = "/nowhere"
		}, "there is no auditd.conf in /nowhere"},
		{"DirectoryInPlaceOfDropIn", func(t *testing.T, m Machine, i *Installer) {
			m.put(t, dropInPath+"/x", "", 0o640)
		}, "read the present drop-in"},
		{"Auditd2", func(t *testing.T, m Machine, i *Installer) {
			m.put(t, "/etc/audit/auditd.conf", "dispatcher = /sbin/audispd\n", 0o640)
			m.put(t, "/sbin/auditctl", "#!/bin/sh\necho auditctl version 2.8.5\n", 0o755)
		}, "auditd 2.8.5 runs one dispatcher and no plugins: in /etc/audit/auditd.conf set `dispatcher = /usr/sbin/relay`"},
		// It hands its -c on to the dispatcher, which then reads the configuration there.
		{"Auditd2ConfDir", func(t *testing.T, m Machine, i *Installer) {
			i.ConfDir = "/etc/other"
			m.put(t, "/etc/other/auditd.conf", "dispatcher = /sbin/audispd\n", 0o640)
			m.put(t, "/sbin/auditctl", "#!/bin/sh\necho auditctl version 2.8.5\n", 0o755)
		}, "in /etc/other/audisp-relay.toml set `plugin_dir = \"/etc/audisp/plugins.d\"` to keep audispd's plugins, then start auditd"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := stoppedMachine(t)
			i, _ := newInstaller(m, "/usr/sbin/relay")
			test.set(t, m, i)
			checkError(t, i.Install(context.Background()), test.want)
			if st, err := os.Stat(m.path(dropInPath)); err == nil && st.Mode().IsRegular() {
				t.Error("a drop-in was written nevertheless")
			}
		})
	}
}

// An auditd.conf that auditd itself only half reads is no reason to stop.
func TestInstallWarnsOfAuditdConf(t *testing.T) {
	m := stoppedMachine(t)
	m.put(t, "/etc/audit/auditd.conf", "plugin_dir=/x\n", 0o640)
	i, said := newInstaller(m, "/usr/sbin/relay")
	install(t, i)
	said.want(t, "warning: auditd skips or rejects")
	if _, err := os.Stat(m.path(dropInPath)); err != nil {
		t.Error(err)
	}
}

// runningMachine has a process that reloads like auditd, if need be with another
// plugin. It returns the directory of everything and auditd's pid.
func runningMachine(t *testing.T, other bool) (m Machine, dir string, auditd int) {
	t.Helper()
	dir = t.TempDir()
	for _, sub := range []string{"bin1", "bin2", "conf", "plugins"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if other {
		copyOfSelf(t, dir+"/other")
	}
	if err := os.WriteFile(dir+"/conf/auditd.conf", []byte("plugin_dir = "+dir+"/plugins\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	auditd = startFakeAuditd(t, dir)
	return Machine{owner: uint32(os.Getuid()), KernelPID: func() (int, error) { return auditd, nil }}, dir, auditd
}

// The whole way, without rights.
func TestInstallAndUninstallUnderARunningAuditd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	m, dir, auditd := runningMachine(t, true)
	first, second := standin(t, dir+"/bin1"), standin(t, dir+"/bin2")

	i, said := newInstaller(m, first)
	i.Config = dir + "/relay.toml"
	install(t, i)
	said.want(t, "runs the plugin as pid")
	pid := m.childRunning(auditd, first)
	if pid == 0 {
		t.Fatal("the plugin does not run")
	}
	install(t, i)
	said.want(t, "runs the plugin already")
	if again := m.childRunning(auditd, first); again != pid {
		t.Errorf("installing again changed the plugin from pid %d to %d", pid, again)
	}

	i.Binary = second
	install(t, i)
	said.want(t, "has stopped the plugin")
	if m.childRunning(auditd, first) != 0 || m.childRunning(auditd, second) == 0 {
		t.Error("the second binary did not take the first one's place")
	}

	if err := i.Uninstall(context.Background()); err != nil {
		t.Fatal(err)
	}
	if pid := m.childRunning(auditd, second); pid != 0 {
		t.Errorf("the plugin still runs as pid %d", pid)
	}
	if said.has("restart") {
		t.Errorf("a restart of auditd is asked for without need:\n%s", strings.Join(said.lines, "\n"))
	}
}

// Changed settings of the only plugin take effect, too: another plugin is there meanwhile, so
// that auditd continues dispatching.
func TestInstallChangesTheOnlyPlugin(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	m, dir, auditd := runningMachine(t, false)
	i, said := newInstaller(m, standin(t, dir+"/bin1"))
	i.Config, i.holder = dir+"/relay.toml", copyOfSelf(t, dir+"/other")
	install(t, i)
	said.want(t, "the only plugin")
	pid := m.childRunning(auditd, i.Binary)

	i.Format = "binary"
	install(t, i)
	now := m.relays(auditd, i.Binary)
	if len(now) != 1 || now[0] == pid {
		t.Errorf("the plugin went from pid %d to %v", pid, now)
	}
	if text := m.get(t, dir+"/plugins/"+DropInName); !strings.Contains(text, "format = binary") {
		t.Errorf("drop-in:\n%s", text)
	}
	if m.otherPlugin(auditd, i.Binary) || exists(dir+"/plugins/"+holderName) {
		t.Error("the other plugin is still there")
	}

	// Where that other one cannot be started auditd has to be restarted.
	i.Format, i.holder, i.Wait = "string", dir+"/none", 300*time.Millisecond
	checkError(t, i.Install(context.Background()), "restart auditd")
	if after := m.relays(auditd, i.Binary); len(after) != 1 || after[0] != now[0] {
		t.Errorf("the plugin went from %v to %v", now, after)
	}
	if text := m.get(t, dir+"/plugins/"+DropInName); !strings.Contains(text, "format = string") {
		t.Errorf("nothing is prepared for the restart:\n%s", text)
	}

	i.Wait = 0
	if err := i.Uninstall(context.Background()); err != nil {
		t.Fatal(err)
	}
	said.want(t, "has no plugin left")
}

func TestInstallSaysWhenThePluginDoesNotStart(t *testing.T) {
	t.Parallel()
	m, dir, _ := runningMachine(t, true)
	broken := dir + "/broken"
	if err := os.WriteFile(broken, []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	i, _ := newInstaller(m, broken)
	i.Config, i.Wait = dir+"/relay.toml", 300*time.Millisecond
	checkError(t, i.Install(context.Background()), "does not keep")
}

// startFakeAuditd starts fakeAuditd on dir/conf and dir/plugins and returns its
// pid.
func startFakeAuditd(t *testing.T, dir string) int {
	t.Helper()
	cmd := exec.Command(copyOfSelf(t, filepath.Join(dir, "auditd")), "-c", dir+"/conf")
	stop, err := cmd.StdinPipe() // it ends when its stdin does
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the stand-in for auditd: %v", err)
		}
	})
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatalf("wait for the stand-in for auditd: %v", err)
	}
	return cmd.Process.Pid
}

func (m Machine) get(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(m.path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (m Machine) list(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(m.path(path))
	if err != nil {
		t.Fatal(err)
	}
	var names bytes.Buffer
	for _, e := range entries {
		names.WriteString(e.Name() + " ")
	}
	return strings.TrimSpace(names.String())
}
