package host

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/test/lab"
)

// cat is another plugin of the same auditd.
var cat = lab.Plugin{Name: "cat", Path: "/bin/cat"}

// The real auditd starts what is installed, keeps it when it is installed
// again, takes a changed drop-in, and stops it.
func TestInstallUnderRealAuditd(t *testing.T) {
	lab.Require(t)
	a := lab.Start(t, lab.Options{Plugins: []lab.Plugin{cat}})
	auditd, err := Machine{}.FindAuditd()
	if err != nil {
		t.Fatal(err)
	}
	if auditd.PID != a.PID() || auditd.ConfDir != a.Dir() || auditd.Conf.LogFile != a.Log() || filepath.Base(auditd.Exe) != "auditd" {
		t.Errorf("found %+v, want pid %d on %s", auditd, a.PID(), a.Dir())
	}
	if auditd.OneDispatcher() {
		t.Skipf("auditd %q has no plugins of its own", auditd.Version)
	}

	i, said := newInstaller(Machine{}, standin(t, t.TempDir()))
	i.Config = t.TempDir() + "/relay.toml"
	install(t, i)
	first := (Machine{}).childRunning(auditd.PID, i.Binary)
	if first == 0 {
		t.Fatalf("the plugin does not run; said:\n%s", strings.Join(said.lines, "\n"))
	}
	install(t, i)
	if again := (Machine{}).childRunning(auditd.PID, i.Binary); again != first {
		t.Errorf("installing again changed the plugin from pid %d to %d", first, again)
	}

	i.Format = "binary"
	install(t, i)
	if changed := (Machine{}).childRunning(auditd.PID, i.Binary); changed == 0 || changed == first {
		t.Errorf("after a change of the format the plugin is pid %d, it was %d", changed, first)
	}

	if err := i.Uninstall(context.Background()); err != nil {
		t.Fatal(err)
	}
	if pid := (Machine{}).childRunning(auditd.PID, i.Binary); pid != 0 {
		t.Errorf("the plugin still runs as pid %d", pid)
	}
	if pid, err := AuditPID(); err != nil || pid != auditd.PID {
		t.Errorf("the audit PID went from %d to %d, %v", auditd.PID, pid, err)
	}
	t.Logf("auditd %s, pid %d; said:\n%s", auditd.Version, auditd.PID, strings.Join(said.lines, "\n"))
}

// An auditd that has had no plugin yet starts its first one on reload.
func TestInstallTheFirstPluginOfARealAuditd(t *testing.T) {
	lab.Require(t)
	a := lab.Start(t, lab.Options{})
	i, said := newInstaller(Machine{}, standin(t, t.TempDir()))
	i.Config = t.TempDir() + "/relay.toml"
	install(t, i)
	if (Machine{}).childRunning(a.PID(), i.Binary) == 0 {
		t.Errorf("the plugin does not run; said:\n%s", strings.Join(said.lines, "\n"))
	}
}
