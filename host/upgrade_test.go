package host

import (
	"context"
	"os"
	"strings"
	"testing"
)

// replaceProgram puts another file in the place of a program that runs, as packages do.
func replaceProgram(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestUpgradeUnderARunningAuditd: the new program runs with the settings that the drop-in had,
// and the second call changes nothing.
func TestUpgradeUnderARunningAuditd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	m, dir, auditd := runningMachine(t, true)
	i, _ := newInstaller(m, standin(t, dir+"/bin1"))
	i.Config, i.Format = dir+"/relay.toml", "binary"
	install(t, i)
	pid, before := m.childRunning(auditd, i.Binary), m.get(t, dir+"/plugins/"+DropInName)

	replaceProgram(t, i.Binary)
	again, said := newInstaller(m, i.Binary) // as a package calls it: without a setting
	for range 2 {
		if err := again.Upgrade(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	said.want(t, "runs the plugin already")
	now := m.relays(auditd, i.Binary)
	if len(now) != 1 || now[0] == pid {
		t.Errorf("the plugin went from pid %d to %v", pid, now)
	}
	if after := m.get(t, dir+"/plugins/"+DropInName); after != before {
		t.Errorf("the drop-in was changed:\n%s\nwas:\n%s", after, before)
	}

	// A reload would end what no file starts again.
	replaceProgram(t, i.Binary)
	if err := os.Remove(dir + "/plugins/" + DropInName); err != nil {
		t.Fatal(err)
	}
	checkError(t, again.Upgrade(context.Background()), "run "+i.Binary+" install")
	if after := m.plugin(auditd, i.Binary); after != now[0] {
		t.Errorf("the plugin went from pid %d to %d", now[0], after)
	}
}

// TestUpgradeLeavesOthersAlone: without an auditd, and under one that does not run the relay,
// there is nothing to do, and nothing is started.
func TestUpgradeLeavesOthersAlone(t *testing.T) {
	m := stoppedMachine(t)
	i, said := newInstaller(m, "/usr/sbin/relay")
	if err := i.Upgrade(context.Background()); err != nil {
		t.Error(err)
	}
	said.want(t, "no auditd runs")
	if exists(m.path(dropInPath)) {
		t.Error("there is a drop-in now")
	}

	if testing.Short() {
		t.Skip("takes seconds")
	}
	m, dir, auditd := runningMachine(t, true)
	i, said = newInstaller(m, standin(t, dir+"/bin1"))
	if err := i.Upgrade(context.Background()); err != nil {
		t.Error(err)
	}
	said.want(t, "nothing to replace")
	if pid := m.plugin(auditd, i.Binary); pid != 0 {
		t.Errorf("the plugin was started as pid %d", pid)
	}
}

// TestProgramsAreFoundThroughLinks: where /usr/sbin is a link to /usr/bin the drop-in may name the one and the kernel the other, also of
// a file that has been replaced.
func TestProgramsAreFoundThroughLinks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	m, dir, auditd := runningMachine(t, true)
	program := standin(t, dir+"/bin1")
	if err := os.Symlink("bin1", dir+"/sbin"); err != nil {
		t.Fatal(err)
	}
	i, _ := newInstaller(m, dir+"/sbin/standin")
	i.Config = dir + "/relay.toml"
	install(t, i)
	pid := m.childRunning(auditd, program)

	replaceProgram(t, program)
	u, said := newInstaller(m, program) // as the program finds itself
	if err := u.Upgrade(context.Background()); err != nil {
		t.Fatal(err)
	}
	now := m.relays(auditd, program)
	if len(now) != 1 || now[0] == pid {
		t.Errorf("the plugin went from pid %d to %v:\n%s", pid, now, strings.Join(said.lines, "\n"))
	}

	replaceProgram(t, program)
	if err := u.Uninstall(context.Background()); err != nil {
		t.Fatal(err)
	}
	said.want(t, "has stopped the plugin")
	if left := m.plugin(auditd, program); left != 0 {
		t.Errorf("the plugin still runs as pid %d", left)
	}
}
