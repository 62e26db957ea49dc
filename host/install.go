package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// DefaultConfig is where the relay looks for its configuration when it is
// started without arguments.
const DefaultConfig = "/etc/audit/audisp-relay.toml"

// DefaultWait is how long Install and Uninstall wait for auditd to act.
const DefaultWait = 5 * time.Second

// Installer puts the relay under the auditd of a machine and takes it out
// again. It changes one file in the plugin directory, writes the configuration
// if there is none, and makes auditd reload. It needs to be root. One goroutine
// uses it.
type Installer struct {
	Machine  Machine
	Binary   string // absolute path of the program auditd shall start
	Config   string // the relay's configuration; "" means DefaultConfig
	Format   string // string or binary: what auditd writes to the plugin
	ConfDir  string // auditd's configuration directory; "" means that of the auditd that runs
	NoReload bool   // leave the running auditd alone

	DropIn []byte        // the shipped drop-in, taken as a template
	Sample []byte        // the configuration to install where there is none
	Wait   time.Duration // see DefaultWait

	// Say is told what is done, a line at a time without the newline.
	Say func(format string, args ...any)
}

// Install makes auditd start Binary as a plugin and waits until it runs. What
// is in place already is left as it is. A drop-in with other content is kept
// under a name that auditd ignores. Where only a restart of auditd helps, the
// error says so, with everything in place for it. On auditd 2.x, which runs one
// dispatcher and no plugins, it says what to write into auditd.conf.
func (i *Installer) Install(ctx context.Context) error {
	a, err := i.locate()
	if err != nil {
		return err
	}
	if err := i.Machine.CheckBinary(i.Binary, a.OneDispatcher()); err != nil {
		return err
	}
	if a.OneDispatcher() {
		return i.explainDispatcher(a)
	}
	dir := i.Machine.PluginDir(a)
	if _, err := os.Stat(i.Machine.path(dir)); err != nil {
		return fmt.Errorf("plugin directory %s: %w: install auditd (package auditd or audit), or name its configuration with --conf-dir", dir, pathless(err))
	}
	wanted, err := i.dropIn()
	if err != nil {
		return err
	}
	if err := i.installConfig(); err != nil {
		return err
	}
	if err := i.installDropIn(ctx, a, i.Machine.path(dir), wanted); err != nil {
		return err
	}
	return i.start(ctx, a)
}

// dropIn is the file that the plugin directory shall hold.
func (i *Installer) dropIn() ([]byte, error) {
	d := dropIn{binary: i.Binary, format: i.Format}
	if i.Config != DefaultConfig {
		d.config = i.Config
	}
	return d.render(i.DropIn)
}

// installDropIn puts the drop-in into the plugin directory dir. If another one
// is there and its plugin runs, that plugin is stopped first where it can be.
func (i *Installer) installDropIn(ctx context.Context, a Auditd, dir string, wanted []byte) error {
	path := dir + "/" + DropInName
	there, err := readIfThere(path)
	if err != nil {
		return fmt.Errorf("read the present drop-in: %w", err)
	}
	same := bytes.Equal(there, wanted)
	if same && i.rightMode(path) {
		i.Say("%s is in place already", path)
		return nil
	}
	restart := false
	if there != nil && !same {
		if err := i.keep(dir+"/"+previousName, there); err != nil {
			return err
		}
		if restart, err = i.stopPrevious(ctx, a, path, parseDropIn(there).binary); err != nil {
			return err
		}
	}
	if err := i.Machine.writeFile(path, wanted); err != nil {
		return fmt.Errorf("write the drop-in %s: %w", path, err)
	}
	i.Say("wrote %s", path)
	if restart {
		return fmt.Errorf("auditd (pid %d) takes up a changed path, args or format of its only plugin when it is started, not when it reloads: restart auditd", a.PID)
	}
	return nil
}

// keep saves the content of the previous drop-in.
func (i *Installer) keep(path string, content []byte) error {
	if err := i.Machine.writeFile(path, content); err != nil {
		return fmt.Errorf("keep the present drop-in as %s: %w", path, err)
	}
	i.Say("kept the previous drop-in as %s", path)
	return nil
}

// stopPrevious takes the drop-in at path away and makes auditd stop its plugin,
// so that the next reload starts one after the new drop-in. Before 4.2 auditd
// does not look at a changed path, args or format of a plugin that it has
// (measured on 3.0.9: with a changed path it starts the old one again).
//
// It does not do so to the only plugin: see dispatcherNote. Then auditd must be
// restarted.
func (i *Installer) stopPrevious(ctx context.Context, a Auditd, path, binary string) (restart bool, err error) {
	switch {
	case a.PID == 0 || i.NoReload || a.atLeast(4, 2) || i.Machine.plugin(a.PID, binary) == 0:
		return false, nil
	case !i.Machine.otherPlugin(a.PID, binary):
		return true, nil
	}
	if err := os.Remove(path); err != nil {
		return false, fmt.Errorf("take the previous drop-in out: %w", err)
	}
	return false, i.stop(ctx, a, binary)
}

// dispatcherNote: when a reload stops the last plugin of auditd 3.0.9, its
// dispatcher ends. If a later reload starts a plugin, the new dispatcher
// reads its queue from another place than records are put into, so that they
// come q_depth records late, in the wrong order, and then not at all; it also
// sends the new plugin a left-over SIGHUP, which ends a process that has not set
// up its signals yet. Both were seen on 3.0.9. Only a restart of auditd helps.
const dispatcherNote = "once its last plugin was removed by a reload, auditd (3.0.9 at least) needs a restart before it serves a plugin again"

// rightMode says whether an existing drop-in has the owner and mode that ours
// would have.
func (i *Installer) rightMode(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode() == 0o640 && ownerOf(st) == i.Machine.owner
}

// installConfig writes the configuration where there is none.
func (i *Installer) installConfig() error {
	path := i.Machine.path(i.Config)
	_, err := os.Stat(path)
	if err == nil {
		i.Say("left the configuration %s as it is", path)
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = i.Machine.writeFile(path, i.Sample)
	}
	if err != nil {
		return fmt.Errorf("install the configuration: %w", err)
	}
	i.Say("wrote the configuration %s", path)
	return nil
}

// start makes auditd read its plugins again and waits for ours.
func (i *Installer) start(ctx context.Context, a Auditd) error {
	switch {
	case a.PID == 0:
		i.Say("no auditd runs on %s: start it (systemctl start auditd, or auditd) and it starts the plugin", a.ConfDir)
		return nil
	case i.Machine.childRunning(a.PID, i.Binary) != 0:
		i.Say("auditd (pid %d) runs the plugin already, as pid %d", a.PID, i.Machine.childRunning(a.PID, i.Binary))
		return nil
	case i.NoReload:
		i.Say("auditd (pid %d) starts the plugin when it reloads: kill -HUP %d", a.PID, a.PID)
		return nil
	}
	first := !i.Machine.otherPlugin(a.PID, i.Binary)
	if err := i.Machine.Reload(a.PID); err != nil {
		return err
	}
	pid := i.steadyPlugin(ctx, a.PID)
	if pid == 0 {
		return fmt.Errorf("auditd (pid %d) does not keep %s running: run `%s check`, see what auditd says (journalctl -t auditd, or /var/log/syslog or messages), or restart auditd: %s",
			a.PID, i.Binary, i.Binary, dispatcherNote)
	}
	i.Say("auditd (pid %d) runs the plugin as pid %d", a.PID, pid)
	if first && !a.atLeast(4, 2) {
		i.Say("it is the only plugin; if no records come: %s", dispatcherNote)
	}
	return nil
}

// steadyPlugin waits until auditd runs the binary, and has not lost it again a
// moment later. It returns its pid, 0 if that does not happen in time.
func (i *Installer) steadyPlugin(ctx context.Context, auditd int) int {
	var pid int
	i.poll(ctx, func() bool {
		pid = i.Machine.childRunning(auditd, i.Binary)
		return pid != 0
	})
	if pid == 0 {
		return 0
	}
	sleep(ctx, i.wait()/10)
	if !i.Machine.runs(pid, i.Binary) {
		return 0
	}
	return pid
}

// Uninstall takes the drop-in away, makes auditd stop the plugin and waits
// until it is gone. The configuration and what the relay wrote stay.
func (i *Installer) Uninstall(ctx context.Context) error {
	a, err := i.locate()
	if err != nil {
		return err
	}
	if a.OneDispatcher() {
		return fmt.Errorf("%s runs one dispatcher: in %s set `dispatcher = /sbin/audispd` again, then %s", a.name(), a.Conf.File, a.reload())
	}
	path := i.Machine.path(i.Machine.PluginDir(a) + "/" + DropInName)
	there, err := readIfThere(path)
	if err != nil {
		return fmt.Errorf("read the drop-in: %w", err)
	}
	if there == nil {
		i.Say("%s is not there: nothing to remove", path)
		return nil
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
		if !i.Machine.otherPlugin(a.PID, d.binary) && !a.atLeast(4, 2) {
			i.Say("auditd (pid %d) has no plugin left: %s", a.PID, dispatcherNote)
		}
	}
	i.sayWhatStays(a, d)
	return nil
}

func (i *Installer) sayWhatStays(a Auditd, d dropIn) {
	config := d.config
	if config == "" {
		config = DefaultConfig
	}
	for _, path := range []string{config, i.Machine.PluginDir(a) + "/" + previousName, d.binary} {
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
	if err := i.Machine.Reload(a.PID); err != nil {
		return err
	}
	if pid == 0 {
		return nil
	}
	if !i.poll(ctx, func() bool { return !i.Machine.executes(pid, binary) }) {
		return fmt.Errorf("the plugin (pid %d) still runs %v after auditd (pid %d) was told to reload: see why with `cat /proc/%d/stack`, or kill -9 %d",
			pid, i.wait(), a.PID, pid, pid)
	}
	i.Say("auditd (pid %d) has stopped the plugin (pid %d)", a.PID, pid)
	return nil
}

// locate finds the auditd that is meant and completes the installer's defaults.
func (i *Installer) locate() (Auditd, error) {
	if i.Config == "" {
		i.Config = DefaultConfig
	}
	a, err := i.Machine.FindAuditd()
	dir := i.ConfDir
	if dir == "" {
		dir = DefaultConfDir
	}
	// An auditd that runs on another directory than the one asked for is not the one to reload.
	if errors.Is(err, ErrNoAuditd) || (i.ConfDir != "" && i.ConfDir != a.ConfDir) {
		a, err = i.Machine.StoppedAuditd(dir)
	}
	// The defaults would lead to the plugins of another auditd.
	if i.ConfDir != "" && !exists(i.Machine.path(i.ConfDir+"/auditd.conf")) {
		return a, fmt.Errorf("there is no auditd.conf in %s: name the directory that auditd is started with (auditd -c) with --conf-dir, or leave that out", i.ConfDir)
	}
	var conf *ConfError
	if errors.As(err, &conf) {
		i.Say("warning: auditd skips or rejects part of its configuration: %v", conf)
		err = nil
	}
	return a, err
}

// explainDispatcher is for auditd 2.x: its auditd.conf is the administrator's.
// It gives its dispatcher no arguments but the -c DIR it was started with.
func (i *Installer) explainDispatcher(a Auditd) error {
	config := a.ConfDir + "/" + filepath.Base(DefaultConfig)
	if i.Config != DefaultConfig && i.Config != config {
		return fmt.Errorf("%s passes no arguments of its own to its dispatcher: put the configuration at %s and leave --config out", a.name(), config)
	}
	i.Config = config
	if err := i.installConfig(); err != nil {
		return err
	}
	return fmt.Errorf("%s runs one dispatcher and no plugins: in %s set `dispatcher = %s` (now %q), in %s set `plugin_dir = %q` to keep audispd's plugins, then %s",
		a.name(), a.Conf.File, i.Binary, a.Conf.Dispatcher, config, i.Machine.PluginDir(a), a.reload())
}

// reload is how messages say that auditd is to read its configuration.
func (a Auditd) reload() string {
	if a.PID == 0 {
		return "start auditd"
	}
	return fmt.Sprintf("kill -HUP %d", a.PID)
}

// Reload makes auditd read its configuration and its plugins again. The process
// is pinned before it is looked at, so that the signal cannot reach another one
// that got its number meanwhile (os.FindProcess holds a pidfd where the kernel
// has them, since 5.4).
func (m Machine) Reload(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("reload auditd (pid %d): %w", pid, err)
	}
	defer p.Release()
	comm, err := m.comm(pid)
	if err != nil || comm != "auditd" {
		return fmt.Errorf("reload auditd: pid %d is not auditd any more: run this again", pid)
	}
	if err := p.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload auditd (pid %d): %w", pid, err)
	}
	return nil
}

func (i *Installer) wait() time.Duration {
	if i.Wait == 0 {
		return DefaultWait
	}
	return i.Wait
}

// poll asks again and again until done says yes or the time is up.
func (i *Installer) poll(ctx context.Context, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, i.wait())
	defer cancel()
	for !done() {
		if !sleep(ctx, 50*time.Millisecond) {
			return done()
		}
	}
	return true
}

// sleep waits for d; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return path != "" && err == nil
}
