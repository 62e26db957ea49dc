package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Uninstall takes the drop-in away, makes auditd stop the plugin and waits
// until it is gone. The configuration and what the relay wrote stay. Where another program gets the kernel's
// records none counts as running: the package can be removed nevertheless. So it can under an auditd 2.x whose
// dispatcher is not the relay.
func (i *Installer) Uninstall(ctx context.Context) error {
	i.removes = true
	a, err := i.locate()
	if err != nil {
		return err
	}
	if a.OneDispatcher() {
		if i.startsRelay(dropIn{active: true, binary: a.Conf.Dispatcher}) {
			return fmt.Errorf("%s runs one dispatcher: in %s set `dispatcher = /sbin/audispd` again, then %s", a.name(), a.Conf.File, a.reload())
		}
		if a.Version == "" {
			a.Conf.Dispatcher = "" // a later one leaves it where it was, and has plugins
		}
	}

	path := i.Machine.path(i.Machine.PluginDir(a) + "/" + DropInName)
	there, err := readIfThere(path)
	if err != nil {
		return fmt.Errorf("read the drop-in: %w", err)
	}
	if there == nil {
		i.Say("%s is not there: nothing to remove", path)
		return cmp.Or(i.dropHolder(ctx, a, filepath.Dir(path)), i.sayOthers(a, filepath.Dir(path)))
	}
	if _, err := i.removeHolder(filepath.Dir(path)); err != nil { // the reload below stops both
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the drop-in: %w", err)
	}

	i.Say("removed %s", path)
	d := parseDropIn(there)
	switch {
	case a.PID != 0 && i.NoReload:
		i.Say("auditd (pid %d) stops the plugin when it reloads: kill -HUP %d", a.PID, a.PID)
	case a.PID != 0:
		if err := i.stop(ctx, a, d.binary); err != nil {
			return err
		}
		if !i.Machine.otherPlugin(a.PID, d.binary) && !a.AtLeast(4, 2) {
			i.Say("auditd (pid %d) has no plugin left: %s", a.PID, dispatcherNote)
		}
	}

	err = i.sayOthers(a, filepath.Dir(path))
	i.sayWhatStays(a, d)
	return err
}

// sayOthers names the files that start a relay besides the drop-in: an editor's copy, or one of another name.
func (i *Installer) sayOthers(a Auditd, dir string) error {
	started, _, err := i.secondDropIns(a, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing can be in it
	}
	for _, second := range started {
		i.Say("warning: %s starts a relay, too: remove it", second)
	}
	return err
}

func (i *Installer) sayWhatStays(a Auditd, d dropIn) {
	for _, path := range []string{cmp.Or(d.config, DefaultConfig), i.Machine.PluginDir(a) + "/" + previousName, d.binary} {
		if path = i.Machine.path(path); exists(path) {
			i.Say("left %s", path)
		}
	}
	i.Say("left all files that the relay's sinks wrote")
}

// stop makes auditd reload after the drop-in was taken away, and waits until it
// no longer runs the binary.
func (i *Installer) stop(ctx context.Context, a Auditd, binary string) error {
	pid := i.Machine.plugin(a.PID, binary)
	if err := i.reload(ctx, a); err != nil {
		return err
	}
	if pid == 0 {
		return nil
	}
	if !i.poll(ctx, func() bool { return !i.Machine.executes(pid, binary) }) {
		return fmt.Errorf("the plugin (pid %d) still runs %v after auditd (pid %d) was asked to reload: see why with `cat /proc/%d/stack`, or kill -9 %d",
			pid, i.wait(), a.PID, pid, pid)
	}
	i.Say("auditd (pid %d) has stopped the plugin (pid %d)", a.PID, pid)
	return nil
}
