package host

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/test/lab"
)

// TestChangeOnAFullDisk: the changed drop-in takes the place of the one before also if the disk is full from the moment on in which
// that was taken out.
func TestChangeOnAFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	m, dir, auditd := runningMachine(t, true)
	plugins := dir + "/plugins"
	if err := unix.Mount("tmpfs", plugins, "tmpfs", 0, "size=64k,mode=0755"); err != nil {
		lab.Missing(t, "cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(plugins, unix.MNT_DETACH) })
	i, said := newInstaller(m, standin(t, dir+"/bin1"))
	i.Config = dir + "/relay.toml"
	install(t, i)

	i.Format = "binary"
	i.Say = func(format string, args ...any) {
		if strings.Contains(format, "has stopped the plugin") {
			if os.WriteFile(plugins+"/.full", make([]byte, 128<<10), 0o600) == nil {
				t.Error("the disk is not full")
			}
		}
		said.say(format, args...)
	}
	install(t, i)
	said.want(t, "has stopped the plugin")
	if text := m.get(t, plugins+"/"+DropInName); !strings.Contains(text, "format = binary") {
		t.Errorf("drop-in:\n%s", text)
	}
	if m.childRunning(auditd, i.Binary) == 0 {
		t.Error("the plugin does not run")
	}
	if names := m.list(t, plugins); names != "."+DropInName+".old .full "+DropInName {
		t.Errorf("plugin directory holds: %s", names)
	}
}

// TestHolderStaysUntilTheRelayRuns: what an installation that was killed has left may be auditd's only plugin. It goes with the next one,
// after the relay was started, and with a removal.
func TestHolderStaysUntilTheRelayRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	m, dir, auditd := runningMachine(t, false)
	i, said := newInstaller(m, standin(t, dir+"/bin1"))
	i.Config, i.holder = dir+"/relay.toml", copyOfSelf(t, dir+"/other")
	holder := dir + "/plugins/" + holderName
	leave := func() {
		t.Helper()
		if err := os.WriteFile(holder, holderDropIn(i.holder), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := i.reload(context.Background(), Auditd{PID: auditd}); err != nil {
			t.Fatal(err)
		}
		if !i.poll(context.Background(), func() bool { return m.childRunning(auditd, i.holder) != 0 }) {
			t.Fatal("the other plugin does not run")
		}
	}
	gone := func() {
		t.Helper()
		if exists(holder) || !i.poll(context.Background(), func() bool { return m.childRunning(auditd, i.holder) == 0 }) {
			t.Error("the other plugin is still there")
		}
	}

	leave()
	kept := false
	i.Say = func(format string, args ...any) {
		if strings.Contains(format, "runs the plugin as pid") {
			kept = exists(holder)
		}
		said.say(format, args...)
	}
	install(t, i)
	gone()
	if !kept {
		t.Error("it was gone before the relay ran")
	}

	for _, want := range []string{"removed " + dir + "/plugins/" + DropInName, "nothing to remove"} {
		leave()
		if err := i.Uninstall(context.Background()); err != nil {
			t.Fatal(err)
		}
		said.want(t, want)
		gone()
	}
}

// TestReloadsAreApart: auditd has done with one before it is asked for the next.
func TestReloadsAreApart(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	m, _, auditd := runningMachine(t, false)
	i, _ := newInstaller(m, "")
	began := time.Now()
	for range 3 {
		if err := i.reload(context.Background(), Auditd{PID: auditd}); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 2*reloadPause {
		t.Errorf("three within %v", took)
	}
}
