package plugin

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/process"
	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/host/broker"
	"audisp-relay/host/trusted"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/program"
	"audisp-relay/state"
)

// Items that a worker asks its monitor for, besides those of other packages.
const (
	controlItem = "control.sock"
	metricsItem = "metrics.sock"
	portItem    = "metrics.listen"
	textItem    = "metrics.text_file"
	reportItem  = "state"
	ownLogItem  = "log"
	initItem    = "init"
	renewItem   = "renew"
)

// Ops of these.
const (
	opListen = "listen"
	opThere  = "there"
	opDrop   = "drop"
	opPut    = "put"
	opRemove = "remove"
	opOpen   = "open"
	opRun    = "run"
	opCheck  = "check"
)

// desk serves one worker, in the monitor. It allows what the configuration asks for that it has read and given to the
// worker.
type desk struct {
	p       *Plugin
	items   map[string]broker.Handler
	actions *program.Actions

	writable []string // where the worker may write
	text     string   // where its numbers are, "" for nowhere; of who serves textItem, which is done one by one

	mu      sync.Mutex // guards all below
	cfg     *config.Config
	giving  <-chan struct{}         // closed when directories are given, nil: they never were
	gives   bool                    // it will see another configuration before it closes that
	closed  bool                    // the worker has gone
	first   *config.Config          // of the worker's start: some of it is obeyed until the next one (Plugin.sayFixed)
	loaded  bool                    // the worker has had a configuration
	wardens map[string]sinks.Warden // by sinks.Item; those of a reload before stay
	sockets map[string]*control
	logs    []string  // where audit.log is, and was since the worker began
	looked  time.Time // for the place that auditd.conf names
}

// maxLogs is how many places of audit.log are kept, the latest.
const maxLogs = 8

func newDesk(p *Plugin) *desk {
	d := &desk{p: p, cfg: p.cfg, first: p.cfg, writable: p.writable, wardens: make(map[string]sinks.Warden), sockets: make(map[string]*control)}
	d.actions = program.NewActions(d.isAction)
	d.items = map[string]broker.Handler{
		config.ConfigItem:  broker.OneByOne(d.serveConfig),
		trusted.Item:       broker.AtMost(8, func(c *broker.Call) (broker.Answer, error) { return d.config().ServeRead(c) }),
		host.AuditdItem:    host.ServeAuditd(p.parent, d.isProgram),
		auditlog.LogItem:   broker.AtMost(8, auditlog.Serve(d.auditLogs)),
		users.Item:         broker.Limit(16, 10, broker.OneByOne(users.Serve)), // a worker asks for four names a second
		process.Item:       process.Serve,
		state.Item:         broker.OneByOne(d.serveState),
		program.ActionItem: d.actions.Serve,
		controlItem:        d.serveSocket,
		metricsItem:        d.serveSocket,
		portItem:           d.servePort,
		textItem:           broker.OneByOne(d.servePut),
		reportItem:         broker.OneByOne(d.servePut),
		ownLogItem:         d.serveLog,
		initItem:           broker.Limit(16, 1, d.serveInit), // each sink may ask for it
		renewItem:          d.serveRenew,
	}
	return d
}

// Serve implements monitor.Session.
func (d *desk) Serve(c *broker.Call) (broker.Answer, error) {
	if serve := d.items[c.Item]; serve != nil {
		return serve(c)
	}
	d.mu.Lock()
	w := d.wardens[c.Item]
	d.mu.Unlock()
	if w == nil {
		return broker.Answer{}, c.Unknown()
	}
	return w.Serve(c)
}

// Close implements monitor.Session. A sink whose disk hangs, or whose program has to be killed, does not hold up the others.
func (d *desk) Close() {
	d.mu.Lock()
	d.closed = true
	held := slices.Collect(maps.Values(d.wardens))
	for _, s := range d.sockets {
		s.drop()
	}
	d.mu.Unlock()
	var wg sync.WaitGroup
	for _, w := range held {
		wg.Go(w.Close)
	}
	wg.Go(d.actions.Close)
	wg.Wait()
}

func (d *desk) config() *config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg
}

// started returns the configuration with which the worker has started.
func (d *desk) started() *config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.first
}

// serveConfig reads the configuration, for the worker and for the desk. At a reload a worker does not take a
// configuration with errors; then the desk does not take it either. A disk that hangs holds up nothing else: mu is not
// held.
func (d *desk) serveConfig(c *broker.Call) (a broker.Answer, err error) {
	path := d.p.opt.Config
	if c.Op == config.OpDir {
		a.Result = path != "" && config.IsDir(path)
		return a, nil
	}
	if c.Op != config.OpLoad {
		return a, c.Unknown()
	}
	file, logs := config.FileOf(path), host.AuditLogs(d.p.parent)
	text, err := config.Read(file)
	if err != nil {
		d.take(nil, err, logs)
		return a, err
	}
	cfg, _, err := config.LoadText(file, text, logs...) // the worker says what is wrong
	if !d.take(cfg, err, logs) {
		return a, fmt.Errorf("%s: plugin_dir takes effect when the plugin is started again: restart auditd", file)
	}

	fd, err := config.InMemory(text)
	if err != nil {
		return a, err
	}
	a.FDs = []int{fd}
	return a, nil
}

// take makes a configuration that was read the one that the desk obeys, unless the worker will not take it. It reports
// whether there is one that the worker may have.
func (d *desk) take(cfg *config.Config, wrong error, auditLogs []string) bool {
	d.mu.Lock()
	again := d.loaded
	switch {
	case again && wrong != nil:
		d.reserve(auditLogs)
		not := d.cfg.Log.Reserved
		d.mu.Unlock()
		d.p.log.queue.reserve(not)
		return true
	case again && cfg.PluginDir != "":
		d.mu.Unlock()
		return false
	case cfg == nil:
		cfg = config.Unread(wrong)
	}

	d.obey(cfg)
	giving := d.giving
	d.mu.Unlock()
	d.p.log.queue.reserve(cfg.Log.Reserved)
	if again {
		awaitFor(giveAgainTime, giving)
	} else {
		awaitFor(giveTime, giving)
	}
	return true
}

// obey makes cfg what the worker may ask for. The caller holds mu.
func (d *desk) obey(cfg *config.Config) {
	if !d.loaded {
		d.first = cfg
	}
	d.cfg, d.loaded = cfg, true

	has := make(map[string]bool, len(cfg.Sinks))
	for i := range cfg.Sinks {
		s := &cfg.Sinks[i]
		item := sinks.Item(s)
		w := d.wardens[item]
		if w == nil {
			if w = sinks.NewWarden(s.Type); w == nil {
				continue
			}
			d.wardens[item] = w
		}
		w.Configure(*s)
		has[item] = true
	}
	for item, w := range d.wardens {
		if !has[item] {
			w.Retire()
		}
	}
	d.give()
}

// reserve keeps sinks from writing where auditd's log is now. The caller holds mu.
func (d *desk) reserve(auditLogs []string) {
	d.cfg = d.cfg.Reserving(auditLogs...)
	for i := range d.cfg.Sinks {
		if w := d.wardens[sinks.Item(&d.cfg.Sinks[i])]; w != nil {
			w.Configure(d.cfg.Sinks[i])
		}
	}
}

// isProgram reports whether a sink runs a program.
func (d *desk) isProgram(path string) bool {
	return slices.ContainsFunc(d.config().Sinks, func(s config.Sink) bool { return s.Program == path })
}

// isAction reports whether an action of a sink runs a program.
func (d *desk) isAction(path string) bool {
	return path != "" && slices.ContainsFunc(d.config().Sinks, func(s config.Sink) bool {
		return config.ExecPath(s.NetworkFailureAction) == path || config.ExecPath(s.DiskFullAction) == path
	})
}

// auditLogs lists where audit.log is, and was since the worker began: the worker continues with the log that it found
// at its start, also when auditd has ended and nothing tells any more which log that was.
func (d *desk) auditLogs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, cfg := range []*config.Config{d.first, d.cfg} {
		switch r := cfg.Recovery; {
		case !r.Enabled:
		case r.LogFile != "":
			d.noteLog(r.LogFile)
		case time.Since(d.looked) > time.Second && os.Getppid() == d.p.parent:
			info, _ := host.LogOf(d.p.parent) // without one there is none
			d.looked = time.Now()
			if os.Getppid() == d.p.parent { // else another process, of anybody, may have had its number
				d.noteLog(info.Path)
			}
		}
	}
	return slices.Clone(d.logs)
}

// noteLog notes a place of audit.log. The caller holds mu.
func (d *desk) noteLog(path string) {
	if path == "" || slices.Contains(d.logs, path) {
		return
	}
	if len(d.logs) == maxLogs {
		d.logs = d.logs[1:]
	}
	d.logs = append(d.logs, path)
}

// serveInit changes the run level, if a sink asks for that.
func (d *desk) serveInit(c *broker.Call) (a broker.Answer, err error) {
	var level string
	if err := c.Args(&level); err != nil {
		return a, err
	}
	asked := func(s config.Sink) bool {
		for _, action := range []string{s.OverflowAction, s.NetworkFailureAction, s.DiskFullAction} {
			if a := queue.Overflow(action); (a == queue.Single || a == queue.Halt) && initLevel(a) == level {
				return true
			}
		}
		return false
	}
	if c.Op != opRun || !slices.ContainsFunc(d.config().Sinks, asked) {
		return a, c.Unknown()
	}
	return a, d.p.opt.Init(level)
}

// serveRenew says whether the program that is to be executed may be.
func (d *desk) serveRenew(c *broker.Call) (a broker.Answer, err error) {
	if c.Op != opCheck {
		return a, c.Unknown()
	}
	return a, d.p.renew.possible()
}

// serveSocket serves a socket in run_dir. The monitor has it open, too, so that whoever looks for the relay finds it there.
func (d *desk) serveSocket(c *broker.Call) (a broker.Answer, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sockets[c.Item]
	if s == nil {
		s = &control{path: filepath.Join(d.first.RunDir, c.Item)}
		d.sockets[c.Item] = s
	}

	switch c.Op {
	case opThere:
		a.Result = s.there()
		return a, nil
	case opDrop:
		s.drop()
		return a, nil
	case opListen:
	default:
		return a, c.Unknown()
	}

	s.drop()
	if err := s.listen(); err != nil {
		return a, err
	}
	return broker.Give(s.ln.File())
}

// servePort binds the port of [metrics].
func (d *desk) servePort(c *broker.Call) (a broker.Answer, err error) {
	cfg := d.config().Metrics
	if c.Op != opListen || cfg.Listen == "" {
		return a, c.Unknown()
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return a, err
	}
	defer ln.Close()
	return broker.Give(ln.(*net.TCPListener).File())
}

// serveLog opens the relay's own log.
func (d *desk) serveLog(c *broker.Call) (a broker.Answer, err error) {
	path := d.started().Log.Output
	if !filepath.IsAbs(path) {
		return a, c.Unknown()
	}

	switch c.Op {
	case opThere:
		err = inPlace(path, func(path string) (err error) {
			a.Result, err = placeOf(path)
			return err
		})
		return a, err
	case opOpen:
		var f *os.File
		err = inPlace(path, func(path string) (err error) {
			f, _, err = openLog(path, d.config().Log.Reserved)
			return err
		})
		return broker.Give(f, err)
	}
	return a, c.Unknown()
}

// place identifies a file.
type place struct{ Dev, Ino uint64 }

func placeOf(path string) (place, error) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return place{uint64(st.Dev), st.Ino}, err
}
