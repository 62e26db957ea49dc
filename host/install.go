package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"audisp-relay/host/runnable"
)

// DefaultConfig is where the relay looks for its configuration when it is
// started without arguments.
const DefaultConfig = "/etc/audit/audisp-relay.toml"

// DefaultBinary is where packages put the program.
const DefaultBinary = "/usr/sbin/audisp-relay"

// DefaultWait is how long Install and Uninstall wait for auditd to act.
const DefaultWait = 5 * time.Second

// Installer puts the relay under the auditd of a machine and takes it out
// again. It changes one file in the plugin directory, writes the configuration
// if there is none, and makes auditd reload. It needs to be root. One goroutine
// uses it.
type Installer struct {
	Machine  Machine
	Binary   string // absolute path of the program that auditd is to start
	Config   string // the relay's configuration; "" means DefaultConfig
	Format   string // string or binary: what auditd writes to the plugin
	ConfDir  string // auditd's configuration directory; "" means that of the auditd that runs
	NoReload bool   // leave the running auditd alone

	DropIn []byte        // the shipped drop-in, taken as a template
	Sample []byte        // the configuration to install where there is none
	Wait   time.Duration // see DefaultWait

	// Check says what is wrong with a configuration that is there; nil leaves that out.
	Check func(config string) error
	// Import makes the configuration to install in the place of Sample, of what auditd's other
	// plugins are configured to do by the files in a directory, and names the files that it
	// takes over; without any it returns neither. nil: Sample is installed.
	Import func(a Auditd, dir string) (config []byte, dropIns []string, err error)
	// Received asks the plugin that runs on a configuration which record auditd has given to it
	// last; nil: it cannot be asked.
	Received func(config string) (Stamp, error)
	// Probe makes an audit record, so that there is one to be received; nil: none is made.
	Probe func() error
	// Renew asks the plugin that runs on a configuration to execute the program that is at its path
	// now, in its own process; nil: it cannot be asked.
	Renew func(config string) error

	// Say is called with what is found, a line at a time without the newline.
	Say func(format string, args ...any)

	holder   string    // the program of holderDropIn, "" is holderProgram; only tests set it
	changed  bool      // something was written, removed or started
	removes  bool      // it is to be possible without an auditd, whoever has taken its place
	reloaded time.Time // when auditd was made to reload last

	made     []byte   // the configuration that Import has made
	replaces bool     // it goes into the place of the packaged one
	wrote    bool     // it was written
	taken    []string // the plugins' files that it takes over
}

// Install makes auditd start Binary as a plugin and waits until it runs. What
// is in place already is left as it is; if all is, it says "unchanged". A drop-in with
// other content is kept under a name that auditd ignores, and the plugin started again.
// Where only a restart of auditd helps, the error says so, with everything in place for
// it. A configuration with errors, a second file that starts the relay, and what others
// than root can write are refused before anything is changed. On auditd 2.x, which runs one
// dispatcher and no plugins, it says what to write into auditd.conf, if that is not there.
func (i *Installer) Install(ctx context.Context) error {
	i.changed = false
	a, err := i.locate()
	if err != nil {
		return err
	}
	if err := i.Machine.CheckBinary(i.Binary, a); err != nil {
		return err
	}
	if a.OneDispatcher() {
		err = i.installDispatcher(ctx, a)
	} else {
		err = i.installPlugin(ctx, a)
	}
	if err == nil && !i.changed {
		i.Say("unchanged: all is as wanted")
	}
	if err == nil {
		i.sayTwice(a)
	}
	return err
}

func (i *Installer) installPlugin(ctx context.Context, a Auditd) error {
	dir := i.Machine.PluginDir(a)
	if _, err := os.Stat(i.Machine.path(dir)); err != nil {
		return fmt.Errorf("plugin directory %s: %w: install auditd (package auditd or audit), or name its configuration with --conf-dir", dir, Pathless(err))
	}
	wanted, err := i.dropIn()
	if err != nil {
		return err
	}
	if err := i.Machine.checkParents("drop-in", dir+"/"+DropInName, "name another plugin_dir in auditd.conf"); err != nil {
		return err
	}
	if err := i.checkConfig(a); err != nil {
		return err
	}
	if err := i.refuseSecond(a, i.Machine.path(dir)); err != nil {
		return err
	}
	if err := i.installConfig(); err != nil {
		return err
	}

	old, err := i.installDropIn(ctx, a, i.Machine.path(dir), wanted)
	if err != nil {
		return err
	}
	if err := i.start(ctx, a, old); err != nil {
		return err
	}
	return i.dropHolder(ctx, a, i.Machine.path(dir))
}

// say is Say for what is changed.
func (i *Installer) say(format string, args ...any) {
	i.changed = true
	i.Say(format, args...)
}

// dropIn returns what the plugin directory is to hold.
func (i *Installer) dropIn() ([]byte, error) {
	d := dropIn{binary: i.Binary, format: i.Format}
	if i.Config != DefaultConfig {
		d.config = i.Config
	}
	return d.render(i.DropIn)
}

// installDropIn puts the drop-in into the plugin directory dir. A plugin that runs with
// other settings is stopped where auditd would not do so itself; its pid is returned if it
// runs on.
func (i *Installer) installDropIn(ctx context.Context, a Auditd, dir string, wanted []byte) (old int, err error) {
	path := dir + "/" + DropInName
	there, err := readIfThere(path)
	if err != nil {
		return 0, fmt.Errorf("read the present drop-in: %w", err)
	}
	same := bytes.Equal(there, wanted)
	running := 0
	if there != nil && a.PID != 0 {
		running = i.Machine.plugin(a.PID, parseDropIn(there).binary)
	}

	if same && running != 0 && i.Machine.startedBefore(running, path) {
		i.Say("the plugin (pid %d) was started before %s was written", running, path)
	} else if same {
		running = 0 // nothing to stop
	}
	if !same && there != nil {
		if err := i.keep(dir+"/"+previousName, there); err != nil {
			return 0, err
		}
	}

	if running != 0 && !i.NoReload && !a.AtLeast(4, 2) {
		return 0, i.swap(ctx, a, dir, parseDropIn(there).binary, wanted)
	}
	if same && i.rightMode(path) {
		i.Say("%s is in place already", path)
		return running, nil
	}
	return running, i.putDropIn(path, wanted)
}

func (i *Installer) putDropIn(path string, wanted []byte) error {
	next, err := i.Machine.stage(path, wanted)
	if err != nil {
		return fmt.Errorf("write the drop-in %s: %w", path, err)
	}
	return i.putStaged(next)
}

func (i *Installer) putStaged(next staged) error {
	if err := next.put(); err != nil {
		return fmt.Errorf("write the drop-in %s: %w", next.path, err)
	}
	i.say("wrote %s", next.path)
	return nil
}

// keep saves the content of the previous drop-in.
func (i *Installer) keep(path string, content []byte) error {
	if err := i.Machine.writeFile(path, content); err != nil {
		return fmt.Errorf("keep the present drop-in as %s: %w", path, err)
	}
	i.say("kept the previous drop-in as %s", path)
	return nil
}

// rightMode says whether an existing drop-in has the owner and mode that ours
// would have.
func (i *Installer) rightMode(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode() == 0o640 && runnable.OwnerOf(st) == i.Machine.owner
}

// start makes auditd read its plugins again and waits for ours. old is the pid of one that
// runs with other settings, and that auditd will end; 0 for none.
func (i *Installer) start(ctx context.Context, a Auditd, old int) error {
	running := i.Machine.relays(a.PID, i.Binary)
	switch {
	case a.PID == 0:
		i.Say("no auditd runs on %s: start it (systemctl start auditd, or auditd) and it starts the plugin", a.ConfDir)
		return nil
	case len(running) == 1 && old == 0:
		i.Say("auditd (pid %d) runs the plugin already, as pid %d", a.PID, running[0])
		return i.apply(running[0])
	case i.NoReload && old != 0 && !a.AtLeast(4, 2):
		i.Say("auditd (pid %d) takes up the changed drop-in when it is restarted", a.PID)
		return nil
	case i.NoReload:
		i.Say("auditd (pid %d) starts the plugin when it reloads: kill -HUP %d", a.PID, a.PID)
		return nil
	}

	first := !i.Machine.otherPlugin(a.PID, i.Binary)
	if err := i.reload(ctx, a); err != nil {
		return err
	}
	pid := i.steadyPlugin(ctx, a.PID, old)
	if pid == 0 {
		return fmt.Errorf("auditd (pid %d) does not keep %s running: run `%s check`, see what auditd says (journalctl -t auditd, or /var/log/syslog or messages), or restart auditd: %s",
			a.PID, i.Binary, i.Binary, dispatcherNote)
	}

	i.say("auditd (pid %d) runs the plugin as pid %d", a.PID, pid)
	if !i.poll(ctx, func() bool { return len(i.Machine.relays(a.PID, i.Binary)) == 1 }) {
		return fmt.Errorf("auditd (pid %d) runs %d relays, as pids %v: restart auditd", a.PID, len(i.Machine.relays(a.PID, i.Binary)), i.Machine.relays(a.PID, i.Binary))
	}
	if first && len(running) == 0 && !a.AtLeast(4, 2) {
		return i.awaitRecords(ctx, a)
	}
	return nil
}

// steadyPlugin waits until auditd runs the binary in another process than old, and has not
// lost it again a moment later. It returns its pid, 0 if that does not happen in time.
func (i *Installer) steadyPlugin(ctx context.Context, auditd, old int) int {
	var pid int
	i.poll(ctx, func() bool {
		pid = i.Machine.child(auditd, func(pid int) bool { return pid != old && i.Machine.runs(pid, i.Binary) })
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

// locate finds the auditd that is meant and completes the installer's defaults.
func (i *Installer) locate() (Auditd, error) {
	i.Config = cmp.Or(i.Config, DefaultConfig)
	a, err := i.Machine.FindAuditd()
	// An auditd that runs on another directory than the one asked for is not the one to reload.
	if errors.Is(err, ErrNoAuditd) || (i.ConfDir != "" && i.ConfDir != a.ConfDir) {
		a, err = i.Machine.StoppedAuditd(cmp.Or(i.ConfDir, DefaultConfDir))
	}
	if other, is := errors.AsType[otherHolder](err); is && i.removes {
		i.Say("warning: %q (pid %d) gets the kernel's audit records: an auditd that runs without them keeps the plugin until it ends", other.comm, other.pid)
		a, err = i.Machine.StoppedAuditd(DefaultConfDir)
	}

	// The defaults would lead to the plugins of another auditd.
	if i.ConfDir != "" && !exists(i.Machine.path(i.ConfDir+"/auditd.conf")) {
		return a, fmt.Errorf("there is no auditd.conf in %s: name the directory that auditd is started with (auditd -c) with --conf-dir, or leave that out", i.ConfDir)
	}
	if conf, ok := errors.AsType[*ConfError](err); ok {
		i.Say("warning: auditd skips or rejects part of its configuration: %v", conf)
		err = nil
	}
	return a, err
}

// installDispatcher is for auditd 2.x: its auditd.conf is the administrator's. What is to be
// written there is an error as long as it is not.
// It gives its dispatcher no arguments but the -c DIR it was started with.
func (i *Installer) installDispatcher(ctx context.Context, a Auditd) error {
	config := a.ConfDir + "/" + filepath.Base(DefaultConfig)
	if i.Config != DefaultConfig && i.Config != config {
		return fmt.Errorf("%s passes no arguments of its own to its dispatcher: put the configuration at %s and leave --config out", a.name(), config)
	}
	i.Config = config
	if err := i.checkConfig(a); err != nil {
		return err
	}
	if err := i.installConfig(); err != nil {
		return err
	}

	if !i.Machine.sameProgram(a.Conf.Dispatcher, i.Binary) {
		plugins := ""
		if i.Import == nil {
			plugins = fmt.Sprintf("in %s set `plugin_dir = %q` to keep audispd's plugins, ", config, i.Machine.PluginDir(a))
		}
		return fmt.Errorf("%s runs one dispatcher and no plugins: in %s set `dispatcher = %s` (now %q), %sthen %s",
			a.name(), a.Conf.File, i.Binary, a.Conf.Dispatcher, plugins, a.reload())
	}
	if i.Import == nil {
		i.Say("%s names %s as the dispatcher already; audispd's plugins are in %s: plugin_dir in %s makes the relay run them", a.Conf.File, i.Binary, i.Machine.PluginDir(a), config)
	}
	return i.start(ctx, a, 0)
}

// reload is how messages say that auditd is to read its configuration.
func (a Auditd) reload() string {
	if a.PID == 0 {
		return "start auditd"
	}
	return fmt.Sprintf("kill -HUP %d", a.PID)
}

func (i *Installer) wait() time.Duration {
	return cmp.Or(i.Wait, DefaultWait)
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
