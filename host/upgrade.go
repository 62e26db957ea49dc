package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// Upgrade is for packages that have put a new program in the place of the one that runs: it
// has the process execute that, and where it cannot, makes auditd end the process and start
// another one, with the drop-in and the configuration as they are. Nothing is changed, and the error is nil, where no auditd runs
// or another program gets the kernel's records, where it does not run Binary, and where it runs the new program already. An auditd 2.x starts
// it with its own next start. NoReload makes it say what a reload would do.
func (i *Installer) Upgrade(ctx context.Context) error {
	_, err := i.Machine.FindAuditd()
	if errors.Is(err, ErrNoAuditd) {
		i.Say("no auditd runs: nothing to replace")
		return nil
	}
	if other, is := errors.AsType[otherHolder](err); is {
		i.Say("nothing to replace: %v", other)
		return nil
	}
	a, err := i.locate()
	if err != nil {
		return err
	}

	old := i.Machine.plugin(a.PID, i.Binary)
	switch {
	case old == 0:
		i.Say("auditd (pid %d) does not run %s: nothing to replace", a.PID, i.Binary)
		return nil
	case i.Machine.runs(old, i.Binary):
		i.Say("auditd (pid %d) runs the plugin already, as pid %d", a.PID, old)
		return nil
	case a.OneDispatcher():
		i.Say("auditd (pid %d) starts the new program when it is restarted", a.PID)
		return nil
	}

	if err := i.Machine.CheckBinary(i.Binary, a); err != nil {
		return err
	}
	d, err := i.presentDropIn(a)
	if err != nil || !d.active || !i.Machine.sameProgram(d.binary, i.Binary) { // a reload would only end the plugin
		return fmt.Errorf("auditd (pid %d) runs %s as pid %d, but no file in %s says so: run %s install", a.PID, i.Binary, old, i.Machine.PluginDir(a), i.Binary)
	}
	i.Config = cmp.Or(d.config, DefaultConfig)
	if i.renew(ctx, a, old) {
		return nil
	}
	return i.start(ctx, a, 0)
}

// renew has the plugin execute the new program, and reports whether that runs. auditd, which may not
// start another plugin when it reloads or give it nothing (see dispatcherNote), takes no part.
func (i *Installer) renew(ctx context.Context, a Auditd, pid int) bool {
	if i.Renew == nil || i.NoReload {
		return false
	}
	if err := i.Renew(i.Machine.path(i.Config)); err != nil {
		i.Say("auditd has to replace the plugin, which cannot do so itself: %v", err)
		return false
	}
	renewed := func() bool { return i.Machine.runs(pid, i.Binary) }
	if !i.poll(ctx, renewed) || !sleep(ctx, i.wait()/10) || !renewed() {
		i.Say("auditd has to replace the plugin: its process %d does not keep the new program running", pid)
		return false
	}
	i.say("auditd (pid %d) runs the new program in the same process, %d", a.PID, pid)
	return true
}

// presentDropIn reads the relay's file in the plugin directory; without it all is empty.
func (i *Installer) presentDropIn(a Auditd) (dropIn, error) {
	text, err := readIfThere(i.Machine.path(i.Machine.PluginDir(a) + "/" + DropInName))
	return parseDropIn(text), err
}
