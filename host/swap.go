package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// swap takes the drop-in away, makes auditd stop its plugin, and puts the wanted one there,
// so that the next reload starts it. Before 4.2 auditd does not look at a changed path, args
// or format of a plugin that it has (measured on 3.0.9: with a changed path it starts the
// old one again). If it is the only plugin another one is run for that time: see
// dispatcherNote. The wanted one is on the disk before anything else is done: a full one would leave none.
func (i *Installer) swap(ctx context.Context, a Auditd, dir, binary string, wanted []byte) error {
	path := dir + "/" + DropInName
	next, err := i.Machine.stage(path, wanted)
	if err != nil {
		return fmt.Errorf("write the drop-in %s: %w", path, err)
	}
	defer next.drop() // if something fails before it is put into its place
	if !i.Machine.otherPlugin(a.PID, binary) {
		release, err := i.hold(ctx, a, dir)
		if errors.Is(err, errNoHolder) {
			return errors.Join(i.putStaged(next),
				fmt.Errorf("auditd (pid %d) takes up a changed path, args or format of its only plugin when it is started, not when it reloads: restart auditd", a.PID))
		}
		if err != nil {
			return err
		}
		defer func() {
			if err := release(); err != nil {
				i.Say("warning: %v", err)
			}
		}()
	}

	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take the previous drop-in out: %w", err)
	}
	if err := i.stop(ctx, a, binary); err != nil {
		return errors.Join(err, i.putStaged(next))
	}
	if err := i.putStaged(next); err != nil {
		return err
	}
	return i.start(ctx, a, 0)
}

// dispatcherNote: when a reload stops the last plugin of auditd 3.0.9, its
// dispatcher ends. If a later reload starts a plugin, the new dispatcher
// reads its queue from another place than records are put into, so that they
// come q_depth records late, in the wrong order, and then not at all; it also
// sends the new plugin a left-over SIGHUP, which ends a process that has not set
// up its signals yet. Both were seen on 3.0.9. Only a restart of auditd helps.
const dispatcherNote = "once its last plugin was removed by a reload, auditd (3.0.9 at least) needs a restart before it serves a plugin again"

// reloadPause is how long after one reload the next is asked for: of two signals within milliseconds auditd may miss what the second one
// is for, or end its dispatcher (3.0.9).
const reloadPause = 200 * time.Millisecond

// reload makes auditd read its plugins again, when it has done so with the last time.
func (i *Installer) reload(ctx context.Context, a Auditd) error {
	if !i.reloaded.IsZero() {
		sleep(ctx, time.Until(i.reloaded.Add(reloadPause)))
	}
	err := i.Machine.Reload(a.PID)
	i.reloaded = time.Now()
	return err
}

// holderName is a plugin that only reads. It is there while the relay, the only plugin, is
// stopped to be started with other settings: an auditd before 4.2 that has none left needs a
// restart before it serves a plugin again (dispatcherNote).
const holderName = "audisp-relay-hold.conf"

// holderProgram passes what it reads to stdout, which is /dev/null under auditd.
const holderProgram = "/bin/cat"

func holderDropIn(program string) []byte {
	return []byte("active = yes\ndirection = out\npath = " + program + "\ntype = always\nformat = string\n")
}

// hold makes auditd run another plugin besides the relay, and returns what takes it away.
func (i *Installer) hold(ctx context.Context, a Auditd, dir string) (release func() error, err error) {
	program := cmp.Or(i.holder, holderProgram)
	path := filepath.Join(dir, holderName)
	remove := func() error {
		pid := i.Machine.plugin(a.PID, program)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := i.reload(ctx, a); err != nil {
			return err
		}
		if !i.poll(ctx, func() bool { return pid == 0 || !i.Machine.executes(pid, program) }) {
			return fmt.Errorf("%s (pid %d) still runs under auditd (pid %d): restart auditd", program, pid, a.PID)
		}
		return nil
	}
	if err := i.Machine.writeFile(path, holderDropIn(program)); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	if err := i.reload(ctx, a); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}

	if !i.poll(ctx, func() bool { return len(i.Machine.relays(a.PID, program)) > 0 }) {
		return nil, errors.Join(errNoHolder, remove())
	}
	return remove, nil
}

var errNoHolder = errors.New("auditd starts no other plugin beside the relay")

// dropHolder removes what an installation that was killed has left, when the relay runs: until then it may be the only plugin that
// auditd has.
func (i *Installer) dropHolder(ctx context.Context, a Auditd, dir string) error {
	removed, err := i.removeHolder(dir)
	if err != nil || !removed || a.PID == 0 || i.NoReload {
		return err
	}
	return i.reload(ctx, a)
}

// removeHolder removes the file of what hold has made auditd run, if an installation that was killed has left it.
func (i *Installer) removeHolder(dir string) (removed bool, err error) {
	path := filepath.Join(dir, holderName)
	text, err := readIfThere(path)
	if err != nil || !bytes.Equal(text, holderDropIn(cmp.Or(i.holder, holderProgram))) {
		return false, nil
	}
	if err := os.Remove(path); err != nil {
		return false, fmt.Errorf("remove what an earlier install has left: %w", err)
	}
	i.say("removed %s, which an earlier install had left", path)
	return true, nil
}
