package lab

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// confLineMax is what auditd ≤ 4.1.2 reads of a configuration line; a longer
// one is skipped with a warning in syslog.
const confLineMax = 158

// Plugin is one drop-in of the lab's plugin_dir.
type Plugin struct {
	Name   string // file name without .conf
	Path   string // absolute path of the program, or builtin_af_unix
	Args   string // separated by single spaces; auditd 3.0.9 passes two of them
	Format string // string (default) or binary
	// Becomes is the program that Path turns itself into by exec, with the same
	// arguments, when it is a wrapper.
	Becomes string
}

func (p Plugin) builtin() bool { return strings.HasPrefix(p.Path, "builtin_") }

func (p Plugin) conf() string {
	typ := "always"
	if p.builtin() {
		typ = "builtin"
	}
	s := fmt.Sprintf("active = yes\ndirection = out\npath = %s\ntype = %s\n", p.Path, typ)
	if p.Args != "" {
		s += fmt.Sprintf("args = %s\n", p.Args)
	}
	return s + fmt.Sprintf("format = %s\n", cmp.Or(p.Format, "string"))
}

// argv is the part of the arguments that every auditd passes on.
func (p Plugin) argv() []string {
	args := strings.Fields(p.Args)
	return args[:min(2, len(args))]
}

// Options of an auditd. The zero value is auditd's own default where it has one.
type Options struct {
	LogFormat  string // RAW or ENRICHED (default)
	NameFormat string // none (default), hostname, fqd, numeric, user
	QDepth     int    // records auditd queues for its plugins; 0 is 2000
	Plugins    []Plugin

	// Root is a directory with another system whose auditd is run, chrooted, instead
	// of the machine's. The directories of tests are at the same path in it; a
	// plugin must be there and static. See Root.
	Root string
	// Backlog is the kernel's queue in records; 0 is 8192.
	Backlog int
	// MaxLogFile rotates the log at so many MiB, keeping NumLogs files (5). 0
	// never rotates.
	MaxLogFile int
	NumLogs    int
	// Conf adds keys to auditd.conf or replaces them.
	Conf map[string]string
}

// Auditd is a running audit daemon with its own configuration, log and
// plugins. It is stopped, and everything put back, by the test's cleanup.
type Auditd struct {
	t       TB
	dir     string
	root    string // see Options
	pid     int    // 0 while it is stopped
	plugins []Plugin
	kernel  *restorer
	marks   int
}

// Version of the auditd that runs, as its package says.
func (a *Auditd) Version() string { return Version(a.root) }

// Start runs auditd and returns when the kernel knows it and all plugins run
// as its children. It waits for the lab's lock first, which it holds until the
// test ends: call it after what can be prepared without. A second Start in the
// same test, or in a subtest of it, would wait for ever.
//
// Rules found in the kernel are removed for the time and restored after it.
func Start(t TB, o Options) *Auditd {
	t.Helper()
	lockFile, err := lock(LockFile)
	Check(t, err, "lock")
	t.Cleanup(func() { lockFile.Close() })
	a := &Auditd{t: t, dir: tempDir(t), root: o.Root, plugins: o.Plugins}
	Check(t, a.writeConf(o), "configure auditd")
	if a.kernel, err = saveKernel(a.dir, lockFile); err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(a.tearDown)
	Check(t, a.start(o), "start auditd")
	return a
}

func (a *Auditd) start(o Options) error {
	if _, err := command("auditctl", "-D"); err != nil {
		return err
	}
	a.SetBacklog(cmp.Or(o.Backlog, 8192))
	return a.run()
}

// run starts the daemon and waits for its plugins.
func (a *Auditd) run() error {
	// Returns when the daemon in the background says it is up, or failed.
	if out, err := runAuditd(a.root, a.dir); err != nil {
		return fmt.Errorf("%w (syslog has the reason) %s", err, out)
	}
	st, err := ReadStatus()
	if err != nil {
		return err
	}
	if st.PID == 0 {
		return fmt.Errorf("it runs, but the kernel has no audit pid")
	}
	a.pid = st.PID
	return wait(30*time.Second, "the plugins of auditd", func() (bool, string) {
		for _, p := range a.plugins {
			if !p.builtin() && a.find(p) == 0 {
				return false, fmt.Sprintf("%s (%s) is not running", p.Name, p.Path)
			}
		}
		return true, ""
	})
}

// writeConf makes the directory that auditd -c gets: auditd.conf and plugins.d.
func (a *Auditd) writeConf(o Options) error {
	pluginDir := filepath.Join(a.dir, "plugins.d")
	for _, d := range []string{pluginDir, filepath.Join(a.dir, "log")} {
		if err := os.Mkdir(d, 0o750); err != nil {
			return err
		}
	}
	conf := map[string]string{
		"local_events": "yes", "write_logs": "yes", "log_file": a.Log(),
		"log_format": cmp.Or(o.LogFormat, "ENRICHED"), "name_format": cmp.Or(o.NameFormat, "NONE"),
		"flush": "INCREMENTAL_ASYNC", "freq": "50", "priority_boost": "4",
		"max_log_file": "4096", "max_log_file_action": "IGNORE", "num_logs": strconv.Itoa(cmp.Or(o.NumLogs, 5)),
		// Whatever happens to the disk must not stop the log or the machine.
		"space_left": "2", "admin_space_left": "1", "space_left_action": "IGNORE",
		"admin_space_left_action": "IGNORE", "disk_full_action": "IGNORE", "disk_error_action": "IGNORE",
		"verify_email": "no", "q_depth": strconv.Itoa(cmp.Or(o.QDepth, 2000)), "overflow_action": "SYSLOG",
		"max_restarts": "10", "plugin_dir": pluginDir,
	}

	if o.MaxLogFile > 0 {
		conf["max_log_file"], conf["max_log_file_action"] = strconv.Itoa(o.MaxLogFile), "ROTATE"
	}
	maps.Copy(conf, o.Conf)
	var lines strings.Builder
	for key, value := range conf {
		fmt.Fprintf(&lines, "%s = %s\n", key, value)
	}
	if err := writeConfFile(filepath.Join(a.dir, "auditd.conf"), lines.String()); err != nil {
		return err
	}

	for _, p := range o.Plugins {
		if err := writeConfFile(a.pluginConf(p.Name), p.conf()); err != nil {
			return err
		}
	}
	return nil
}

func writeConfFile(path, text string) error {
	for line := range strings.Lines(text) {
		if len(line) > confLineMax {
			return fmt.Errorf("%s: auditd would skip the line %q: longer than %d", path, line, confLineMax)
		}
	}
	return os.WriteFile(path, []byte(text), 0o640)
}

func (a *Auditd) pluginConf(name string) string {
	return filepath.Join(a.dir, "plugins.d", name+".conf")
}

// PID of auditd.
func (a *Auditd) PID() int { return a.pid }

// Dir is auditd's configuration directory: auditd.conf and plugins.d. The
// test may change the files in it and Reload.
func (a *Auditd) Dir() string { return a.dir }

// Log is the path of audit.log.
func (a *Auditd) Log() string { return filepath.Join(a.dir, "log", "audit.log") }

// Logs are audit.log and its rotations, oldest first.
func (a *Auditd) Logs() []string {
	logs := []string{a.Log()}
	for i := 1; ; i++ {
		rotated := fmt.Sprintf("%s.%d", a.Log(), i)
		if _, err := os.Stat(rotated); err != nil {
			slices.Reverse(logs)
			return logs
		}
		logs = append(logs, rotated)
	}
}

// PluginPID returns the process that runs the named plugin now; it fails the
// test when there is none. A plugin that auditd restarted has a new one.
func (a *Auditd) PluginPID(name string) int {
	a.t.Helper()
	pid := a.FindPlugin(name)
	if pid == 0 {
		a.t.Fatalf("plugin %s is not running", name)
	}
	return pid
}

// FindPlugin is PluginPID where there may be none, which is 0.
func (a *Auditd) FindPlugin(name string) int {
	for _, p := range a.plugins {
		if p.Name == name {
			return a.find(p)
		}
	}
	return 0
}

// PluginRunning reports whether a process runs the named plugin now.
func (a *Auditd) PluginRunning(name string) bool { return a.FindPlugin(name) != 0 }

func (a *Auditd) find(p Plugin) int {
	pids, err := Children(a.pid)
	Check(a.t, err, "children of auditd")
	for _, pid := range pids {
		if runs(pid, cmp.Or(p.Becomes, p.Path), p.argv()) {
			return pid
		}
	}
	return 0
}

// Plugins that plugins.d holds now.
func (a *Auditd) Plugins() []Plugin { return slices.Clone(a.plugins) }

// SetPlugins rewrites plugins.d to hold exactly these; Reload makes auditd see it.
func (a *Auditd) SetPlugins(plugins ...Plugin) {
	a.t.Helper()
	for _, p := range a.plugins {
		Check(a.t, os.Remove(a.pluginConf(p.Name)), "remove plugin")
	}
	for _, p := range plugins {
		Check(a.t, writeConfFile(a.pluginConf(p.Name), p.conf()), "configure plugin")
	}
	a.plugins = plugins
}

// Reload sends HUP to auditd and returns when it says in its log that it has
// read its configuration again. Under load auditd may fail to ask the kernel who
// sent the signal (ENOBUFS), says so and leaves it at that: then it is sent again,
// and after some seconds anyway, as auditd 4.2 does not always say so.
func (a *Auditd) Reload() {
	a.t.Helper()
	const done, failed = "op=reconfigure state=changed", "op=reconfigure state=no-change"
	count := func(text string) int {
		n, err := CountString(a.Log(), text)
		Check(a.t, err, "reload")
		return n
	}
	before, failures := count(done), -1
	var sent time.Time
	Wait(a.t, 30*time.Second, "auditd to reload", func() (bool, string) {
		if n := count(failed); n != failures || time.Since(sent) > 7*time.Second {
			failures, sent = n, time.Now()
			Check(a.t, syscall.Kill(a.pid, syscall.SIGHUP), "reload auditd")
		}
		return count(done) > before, fmt.Sprintf("%d failures in %s", failures, a.Log())
	})
}

// Stop ends auditd as a service manager does (TERM) and returns when it and
// its plugins are gone. Its log and the kernel's rules stay until the test
// ends, and StartAgain continues with them.
func (a *Auditd) Stop() {
	a.t.Helper()
	if err := a.stop(); err != nil {
		a.t.Errorf("stop auditd: %v", err)
	}
}

func (a *Auditd) stop() error {
	if a.pid == 0 {
		return nil
	}
	pid := a.pid
	plugins, err := Children(a.pid)
	if err != nil {
		return err
	}

	a.pid = 0
	if err := awaitEnd(pid, "auditd", 10*time.Second, unix.SIGTERM); err != nil {
		return err
	}
	// Without its pipe a plugin has nothing left to do.
	for _, pid := range plugins {
		started, _ := Children(pid) // a test may have stopped the process that reads
		for _, child := range started {
			_ = unix.Kill(child, unix.SIGCONT)
		}
		if err := awaitEnd(pid, fmt.Sprintf("plugin %v", cmdline(pid)), 5*time.Second); err != nil {
			return err
		}
	}

	nudge := time.Now().Add(2 * time.Second)
	return wait(5*time.Second, "the kernel to forget auditd", func() (bool, string) {
		st, err := ReadStatus()
		if err == nil && st.PID != 0 && time.Now().After(nudge) {
			// It went without a word (seen with 4.1.2): the kernel notices when it has a
			// record for it.
			_, err = command("auditctl", "-m", "lab: auditd has gone")
			nudge = time.Now().Add(time.Second)
		}
		return err == nil && st.PID == 0, fmt.Sprintf("pid %d, %v", st.PID, err)
	})
}

// awaitEnd waits until a process has ended, continued in case a test has stopped it. If it does
// not end in time it is killed, and that is an error.
func awaitEnd(pid int, what string, limit time.Duration, signals ...unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // gone
	}
	defer unix.Close(fd)
	for _, sig := range append([]unix.Signal{unix.SIGCONT}, signals...) {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // an error means that it is gone
	}
	if waitExit(fd, limit) {
		return nil
	}

	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	waitExit(fd, 5*time.Second)
	return fmt.Errorf("%s (pid %d) did not end within %v and was killed", what, pid, limit)
}

// tearDown is the cleanup: it must do all its steps whatever went wrong.
func (a *Auditd) tearDown() {
	a.adopt()
	if err := a.stop(); err != nil {
		a.t.Errorf("stop auditd: %v", err)
	}
	if err := a.kernel.restore(); err != nil {
		a.t.Errorf("restore the kernel's audit state: %v", err)
	}
	if err := a.kernel.releaseGuard(); err != nil {
		a.t.Errorf("%v", err)
	}
}

// adopt finds the pid of an auditd whose start we did not see through.
func (a *Auditd) adopt() {
	if a.pid != 0 {
		return
	}
	if st, err := ReadStatus(); err == nil && slices.Contains(cmdline(st.PID), a.dir) {
		a.pid = st.PID
	}
}
