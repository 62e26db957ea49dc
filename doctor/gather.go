package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/plugin"
)

// factTime is how long one fact may take. A healthy host gives all of them within a second; what
// hangs (a disk, a kernel that loads rules) is a Gap.
const factTime = 3 * time.Second

// Gatherer finds out what checks judge by. The zero value looks at this machine; tests point
// Machine at a tree of files and put functions of their own in the place of the kernel and the
// relay. One goroutine uses it.
type Gatherer struct {
	Machine host.Machine
	Version string // of this program
	Limits  Limits
	ConfDir string // auditd's, where none runs; "" is /etc/audit
	Config  string // the relay's configuration; "" is that of its drop-in
	RunDir  string // the relay's run_dir; "" is that of the relay that runs

	Kernel  func() (host.KernelStatus, error)                    // nil: host.Status
	Rules   func() ([]string, error)                             // nil: host.Rules
	Query   func(dir string) (*plugin.Report, error)             // nil: plugin.Query
	Find    func() (dir string, err error)                       // the run_dir of the relay that runs; nil: plugin.Find
	Disk    func(path string) (Disk, error)                      // nil: statfs(2)
	Now     func() time.Time                                     // nil: time.Now
	Journal func(ctx context.Context, pid int) ([]string, error) // what that process has logged; nil: journalctl

	hanging sync.Map // names of facts whose earlier question has no answer yet
}

// Gather finds out all facts. It takes as long as the slowest of them, factTime at most three
// times; what has not answered by then stays behind in a goroutine that ends when it does, and
// is not asked for again before. It only reads.
func (g *Gatherer) Gather(ctx context.Context) *Facts {
	g.complete()
	begin := time.Now()
	f := &Facts{Now: g.Now(), Version: g.Version, Limits: g.Limits}
	f.Host, _ = os.Hostname()
	f.Systemd = g.has("/run/systemd/system") // sd_booted(3)
	f.BootOff, f.Container = g.bootedOff(), g.contained()

	f.Kernel = ask(g, "kernel", g.Kernel)
	runTogether(
		func() { f.Rules = ask(g, "rules", g.Rules) },
		func() { g.auditd(f) },
	)
	g.daemon(f)
	runTogether(
		func() { g.relay(f) },
		func() { f.Journald = ask(g, "journald", func() (Journald, error) { return g.journald(f.InUnit) }) },
		func() { f.Messages = ask(g, "messages", func() ([]string, error) { return g.messages(ctx, f) }) },
		func() {
			f.Unit = ask(g, "unit", func() (map[string]string, error) { return g.unit() })
			f.Service = ask(g, "service", g.restartsByService).Value
		},
		func() {
			f.LogDisk = ask(g, "log disk", func() (Disk, error) { return g.disk(filepath.Dir(f.Auditd.Value.Conf.LogFile)) })
		},
	)
	g.own(f)
	f.Took = time.Since(begin)
	return f
}

// complete fills in what the caller left out.
func (g *Gatherer) complete() {
	if g.Kernel == nil {
		g.Kernel = host.Status
	}
	if g.Rules == nil {
		g.Rules = host.Rules
	}
	if g.Query == nil {
		g.Query = plugin.Query
	}
	if g.Find == nil {
		g.Find = plugin.Find
	}
	if g.Disk == nil {
		g.Disk = statDisk
	}
	if g.Now == nil {
		g.Now = time.Now
	}
	if g.Journal == nil {
		g.Journal = journal
	}
	if g.Limits == (Limits{}) {
		g.Limits = DefaultLimits()
	}
}

// runTogether runs the parts at the same time and waits for all.
func runTogether(parts ...func()) {
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(part)
	}
	wg.Wait()
}

// ask finds out one fact within factTime.
func ask[T any](g *Gatherer, name string, what func() (T, error)) Fact[T] {
	if _, hangs := g.hanging.LoadOrStore(name, true); hangs {
		return Fact[T]{Err: fmt.Errorf("%w to an earlier question yet", errNoAnswer)}
	}
	got := make(chan Fact[T], 1)
	go func() {
		defer g.hanging.Delete(name)
		var f Fact[T]
		defer func() {
			if p := recover(); p != nil {
				f.Err = fmt.Errorf("failed: %v", p)
			}
			got <- f
		}()
		f.Value, f.Err = what()
	}()

	timeout := time.NewTimer(factTime)
	defer timeout.Stop()
	select {
	case f := <-got:
		return f
	case <-timeout.C:
		return Fact[T]{Err: fmt.Errorf("%w in %v", errNoAnswer, factTime)}
	}
}

// auditd finds the daemon, its configuration and its plugins' files.
func (g *Gatherer) auditd(f *Facts) {
	m := g.Machine
	status := f.Kernel
	m.KernelPID = func() (int, error) { return status.Value.PID, status.Err }
	if f.Kernel.Known() && f.Kernel.Value.PID != 0 {
		f.Holder = ask(g, "holder", func() (host.Process, error) { return m.FindProcess(f.Kernel.Value.PID) })
	} else {
		f.Holder.Err = errNone
	}

	var conf *host.ConfError
	f.Auditd = ask(g, "auditd", func() (host.Auditd, error) {
		a, err := m.FindAuditd()
		if errors.Is(err, host.ErrNoAuditd) && status.Err != nil && g.hidden() {
			err = fmt.Errorf("processes of other users are hidden (hidepid of /proc): %w", fs.ErrPermission)
		}
		if a.PID == 0 && err != nil {
			dir := g.ConfDir
			if dir == "" {
				dir = host.DefaultConfDir
			}
			stopped, confErr := m.StoppedAuditd(dir)
			errors.As(confErr, &conf)
			return stopped, err
		}
		if errors.As(err, &conf) {
			err = nil
		}
		return a, err
	})
	if f.Auditd.Known() || errors.Is(f.Auditd.Err, host.ErrNoAuditd) {
		f.ConfError = conf // the question has been answered: no goroutine writes it any more
	}

	f.Plugins = ask(g, "plugins", func() ([]host.PluginFile, error) { return pluginFiles(m, f.Auditd.Value) })
	f.Programs = ask(g, "programs", func() (map[string]error, error) { return programs(m, f.Auditd.Value, f.Plugins.Value), nil })
}

// hidden reports whether this process sees none of other users' processes: there is always a first one.
func (g *Gatherer) hidden() bool {
	_, err := g.Machine.FindProcess(1)
	return err != nil
}

// programs says of each program that a plugin's file of ours names why auditd refuses it.
func programs(m host.Machine, a host.Auditd, files []host.PluginFile) map[string]error {
	refused := make(map[string]error)
	for _, p := range files {
		if ours(p) && p.Binary != "" {
			refused[p.Binary] = m.CheckBinary(p.Binary, a)
		}
	}
	return refused
}

// pluginFiles lists what auditd starts. The relay as the one dispatcher of an auditd 2.x counts as such
// a file: its configuration is in the directory that auditd passes on. With a file that may not be read the
// error says so: what starts the relay is not known then.
func pluginFiles(m host.Machine, a host.Auditd) ([]host.PluginFile, error) {
	dispatcher := a.Conf.Dispatcher
	if a.OneDispatcher() && filepath.Base(dispatcher) == filepath.Base(host.DefaultBinary) {
		return []host.PluginFile{{Path: a.Conf.File, Loaded: true, Relay: true, Active: true, Binary: dispatcher, Config: a.ConfDir}}, nil
	}
	files, err := m.PluginFiles(a, host.DefaultBinary)
	if err != nil {
		return files, err
	}
	return readable(files)
}

// readable leaves out the files that may not be read. The error is that of the first.
func readable(files []host.PluginFile) (list []host.PluginFile, err error) {
	for _, p := range files {
		if isUnreadable(p.Err) {
			err = cmp.Or(err, p.Err)
			continue
		}
		list = append(list, p)
	}
	return list, err
}

// ours reports whether a plugin's file is the relay's, by the program that it starts or by its name.
func ours(p host.PluginFile) bool { return p.Relay || filepath.Base(p.Path) == host.DropInName }

// daemon finds out what there is only where auditd runs.
func (g *Gatherer) daemon(f *Facts) {
	if !f.running() {
		f.Daemon.Err, f.Children.Err, f.State.Err = host.ErrNoAuditd, host.ErrNoAuditd, host.ErrNoAuditd
		return
	}
	pid := f.Auditd.Value.PID
	f.Daemon = ask(g, "daemon", func() (host.Process, error) { return g.Machine.FindProcess(pid) })
	f.Children = ask(g, "children", func() ([]host.Process, error) { return g.Machine.Children(pid) })
	f.Relays = ask(g, "relays", func() ([]host.Process, error) { return g.relays(f, f.Children.Value, 0), nil }).Value
	cgroup, _ := g.Machine.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	f.InUnit = strings.Contains(string(cgroup), "/auditd.service")

	f.State = ask(g, "state", func() (host.AuditdState, error) {
		s, err := g.Machine.ReadState()
		if errors.Is(err, fs.ErrNotExist) || (err == nil && s.Written.Before(f.Daemon.Value.Started)) {
			return s, errNone // of an earlier auditd
		}
		return s, err
	})
}

// maxWrapped is how many programs there may be between auditd and the relay; audisp-filter is one.
const maxWrapped = 2

// relays lists the relays among processes and what these have started. What a relay has started
// is not looked at.
func (g *Gatherer) relays(f *Facts, processes []host.Process, depth int) (found []host.Process) {
	for _, p := range processes {
		if g.isRelay(f, p) {
			found = append(found, p)
			continue
		}
		if depth < maxWrapped {
			children, _ := g.Machine.Children(p.PID)
			found = append(found, g.relays(f, children, depth+1)...)
		}
	}
	return found
}

// isRelay reports whether a process is the relay.
func (g *Gatherer) isRelay(f *Facts, p host.Process) bool {
	if filepath.Base(p.Exe) == filepath.Base(host.DefaultBinary) {
		return true
	}
	return slices.ContainsFunc(f.Plugins.Value, func(file host.PluginFile) bool {
		return file.Relay && g.Machine.Runs(p, file.Binary)
	})
}

// relay reads the relay's configuration and asks the one that runs.
func (g *Gatherer) relay(f *Facts) {
	type read struct { // what is read of a disk that may hang
		config *config.Config
		at     time.Time
	}
	file := ask(g, "config", func() (r read, err error) {
		path := g.Machine.Path(g.configPath(f))
		if info, err := os.Stat(path); err == nil {
			r.at = info.ModTime()
		}
		r.config, _, err = config.Load(path, f.Auditd.Value.Conf.LogFile)
		return r, err
	})
	if g.Config == "" {
		f.DropInFile = g.configPath(f)
	}
	f.Config, f.ConfigAt = Fact[*config.Config]{file.Value.config, file.Err}, file.Value.at
	f.Outputs = make(map[string]config.Sink)
	if f.Config.Value != nil {
		for _, s := range f.Config.Value.Sinks {
			f.Outputs[s.Name] = s
		}
	}

	f.Report = ask(g, "report", func() (*plugin.Report, error) {
		if g.RunDir == "" && f.running() && f.seesChildren() && len(f.Relays) == 0 {
			return nil, plugin.ErrNotRunning // whatever relay answers does not get this auditd's records
		}
		dir := cmp.Or(g.RunDir, config.DefaultRunDir)
		if g.RunDir == "" && f.Config.Value != nil {
			dir = f.Config.Value.RunDir
		}
		r, err := g.Query(dir)
		if err == nil || g.RunDir != "" {
			return r, err
		}
		// Another run_dir than that of the configuration as it is now.
		if dir, findErr := g.Find(); findErr == nil {
			return g.Query(dir)
		}
		return r, err
	})
}

// configPath is the configuration of the relay: of the drop-in that auditd loads, else of any.
func (g *Gatherer) configPath(f *Facts) string {
	if g.Config != "" {
		return config.FileOf(g.Config)
	}
	path := ""
	for _, file := range f.Plugins.Value {
		if ours(file) && (path == "" || (file.Active && file.Loaded)) {
			path = config.FileOf(file.Config)
		}
	}
	return config.FileOf(path)
}

// own finds out what depends on the relay's configuration, process or report.
func (g *Gatherer) own(f *Facts) {
	f.Sandbox.Err, f.StateDisk.Err = errNone, errNone
	c := f.Config.Value
	if c == nil {
		c = config.Unread(f.Config.Err) // what it runs on without a configuration that can be read
	}
	runTogether(
		func() { f.Log = ask(g, "log", func() (LogTail, error) { return g.log(f) }) },
		func() {
			if len(f.Relays) > 0 {
				f.Sandbox = ask(g, "sandbox", func() (Sandbox, error) { return g.sandbox(f.Relays[0].PID, c) })
			}
		},
		func() { f.StateDisk = ask(g, "state disk", func() (Disk, error) { return g.disk(c.StateDir) }) },
		func() {
			certs := ask(g, "certificates", func() ([]CertFile, error) { return g.certificates(c), nil })
			f.Certs = certs.Value
		},
	)
}
