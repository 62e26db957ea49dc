// Package plugin is the daemon that auditd starts: it reads the dispatcher
// stream on stdin, hands every record to every consumer's queue, and obeys the
// signals and the end of file by which auditd rules its plugins.
package plugin

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/fleet/wire"
	"audisp-relay/host/athand"
	"audisp-relay/host/broker"
	"audisp-relay/plugin/consumer"
	"audisp-relay/plugin/monitor"
	"audisp-relay/plugin/nodes"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/plugin/top"
	"audisp-relay/queue"
	"audisp-relay/recovery"
	"audisp-relay/state"
)

// Options are what a plugin is started with.
type Options struct {
	// Config is a file, or a directory that holds audisp-relay.toml (what auditd
	// 2.x passes with -c).
	Config  string
	Version string
	// Binary is the path of the relay's program, from which one that has taken its place is
	// executed (see AskRenew); empty: none is.
	Binary string
	// In is the stream; nil means stdin, prepared for auditd: then the whole process is the
	// plugin, and gives up for good what that does not need (package sandbox).
	In io.Reader
	// Window is how long a record may come late before it counts as missing; 0 is
	// integrity.DefaultWindow.
	Window time.Duration
	// Init changes the run level, for the actions single and halt, and waits for that for a moment.
	// nil does it for real.
	Init func(level string) error
	// Program runs the program of an action "exec" to its end. nil does it for real.
	Program func(path string) error
	// Metrics makes what gives the numbers of report in Prometheus' format; nil: nothing does.
	Metrics func(report func() *Report) Exposition
}

// Plugin is a running relay. New makes it, Run runs it to its end.
type Plugin struct {
	opt      Options
	signals  *signals
	log      *logger
	worker   *broker.Client  // the way to the monitor; nil: this process does everything
	facts    monitor.Facts   // what the monitor has told a worker
	atHand   *athand.Page    // where a worker notes the events at hand; nil: in one process
	alone    string          // why there is no worker, where this process is auditd's plugin
	noWorker bool            // alone is set because no worker starts
	learning <-chan struct{} // closed when the version of auditd is known, nil: it is not asked for
	writable []string        // where the present worker may write; the monitor's main goroutine writes it between two workers
	warnings []string        // of the configuration of the start
	parent   int             // auditd, or what it has started the plugin through
	started  time.Time
	stop     chan struct{}        // closed when waiting for consumers is over
	actions  chan action          // overflow actions, from the reader to the main goroutine
	running  programs             // of actions "exec"; main goroutine only
	tasks    chan func()          // what the main goroutine is to do; never waits
	leaving  []*consumer.Consumer // taken out by a reload, not settled yet; main goroutine only
	// returning are those of leaving that the configuration has again: see putOff; main goroutine only
	returning []*consumer.Consumer
	comebacks sync.WaitGroup   // goroutines that wait for these to end, or for the plugin
	faults    *consumer.Panics // panics of the relay itself, and over records before they come to a consumer
	logged    inputLog         // main goroutine only
	markers   atomic.Bool      // loss_markers
	memory    atomic.Pointer[MemoryReport]
	cgroup    struct { // its limit at the last configuration, 0 for none, and where that stands; main goroutine only
		limit int64
		file  string
		root  string // "/" but in tests
	}
	saver     *stateSaver   // positions and balances on disk
	saveEvery time.Duration // how often these are saved; only tests change it
	feed      *recovery.Merger
	users     *users.Users
	nodes     *nodes.Nodes
	kernel    *kernelLoss  // nil: not asked
	auditd    *auditdWatch // nil: a stream that is not auditd's
	lists     lists
	buffer    atomic.Int64 // bytes that the socket from auditd holds
	export    *metrics     // of the main goroutine until the end
	ckpt      *checkpoints
	meter     *top.Meter
	giving    sync.Mutex                           // held while a directory is given
	giveState func(dir string, uid, gid int) error // state.Give; only tests set another one
	renew     *renewal
	procs     *procs
	trimmed   trimmer
	processes processes
	inherited heritage       // of the program in whose place this one is
	sandbox   sandbox.Report // does not change once the plugin reads
	backlog   backlog        // of the kernel
	// metricsCert is when the certificate of metrics expires, in seconds of Unix; 0: there is none, or it was not read yet.
	metricsCert atomic.Int64

	mu      sync.Mutex // guards all below
	cfg     *config.Config
	cfgAt   time.Time
	cfgErr  error
	reloads uint64
	later   []string             // what of cfg takes effect at the next start; replaced, never changed in place
	members []*consumer.Consumer // replaced, never changed in place
	input   Input
	classes classCounter
	serials wire.Serials
	flows   flows
}

type action struct {
	consumer string
	action   queue.Overflow
}

// New reads the configuration and prepares the process. It never fails because
// of the configuration: what is wrong with it is logged and reported, and what
// is right runs (auditd starts a plugin only max_restarts times).
func New(opt Options) *Plugin {
	if opt.In == nil {
		holdCollector()
	}
	if opt.Init == nil {
		opt.Init = runInit
	}
	p := &Plugin{
		// First of all: auditd 3.0 may send a new plugin a HUP that was meant
		// for the one before.
		signals:   listen(),
		opt:       opt,
		parent:    os.Getppid(),
		started:   time.Now(),
		stop:      make(chan struct{}),
		actions:   make(chan action, 64),
		tasks:     make(chan func()),
		lists:     lists{now: make(chan struct{}, 1)},
		saveEvery: saveEvery,
		giveState: state.Give,
		renew:     newRenewal(opt.Binary),
		inherited: takeHeritage(),
		sandbox:   sandbox.Report{Parts: []sandbox.Part{}},
	}
	p.attach()
	p.flows = newFlows(p.started)

	cfg, warnings, err := loadConfig(opt.Config, p.parent)
	p.cfg, p.cfgAt, p.cfgErr = cfg, time.Now(), err
	p.markers.Store(cfg.LossMarkers)
	p.log = newLogger(cfg.Log)
	p.mapAtHand()
	p.faults = consumer.NewPanics(p.log.limited())
	p.meter = p.newMeter()
	if p.warnings = warnings; p.opt.In == nil && p.worker == nil {
		p.alone = p.whyAlone()
	}
	if !p.watches() {
		p.sayConfig(warnings, err)
	}
	p.procs = newProcs()
	p.cgroup.root = "/"
	p.cgroup.limit, p.cgroup.file = cgroupLimit(p.cgroup.root)
	p.setMemory(cfg)
	return p
}

// Run relays until the stream ends. The order of the end: reading stops, what
// auditd had logged but not dispatched is taken from its log, the queues are
// closed, sinks deliver what is left for at most drainTime, are asked to stop and
// waited for; what was not delivered goes to the spools or is counted; positions
// are saved; the last report is logged and written. What only shows numbers ends meanwhile.
// The end for a new program is the same, after a record, and its error is ErrRenew.
func (p *Plugin) Run() error {
	defer p.signals.close()
	p.prepare()
	buffer := sendBuffer()
	if p.opt.In == nil {
		buffer = p.widen(buffer)
		if done, err := p.supervise(buffer); done {
			p.log.close()
			return err
		}
	}

	in, hungUp := p.openInput(buffer)
	p.buffer.Store(int64(buffer))
	p.makeConsumers()
	endFeed := p.startFeed()
	endMeter := p.startMeter()
	ended := make(chan error, 1)
	reader := p.newReader(in, buffer)
	go func() { ended <- p.read(reader) }()

	p.collect()
	if p.worker == nil { // else the monitor makes it with what is in it
		p.sayStart(makeDir(p.cfg.RunDir))
	}
	for _, c := range p.members {
		p.start(c)
		p.warnAction(c.Config())
	}
	endKernel := p.startKernel()
	endAuditdWatch, endLists := p.startAuditdWatch(), p.startLists()
	p.ckpt = p.startCheckpoints()
	stopExpiry, expired := p.startExpiry()
	control := p.startControl()
	p.export = p.startMetrics()
	go p.saveRegularly()
	p.log.Info("started", zap.String("version", p.opt.Version), zap.Int("parent", p.parent), zap.Int("sinks", len(p.members)))

	err := p.obey(ended, hungUp)
	if errors.Is(err, errOrphaned) {
		p.log.Info("auditd has gone without closing the stream")
		p.readRest(ended)
		err = nil
	}
	// A disk that hangs, of a text file of metrics or of auditd's files, must not make the end longer.
	shown := inBackground(func() { p.export.close(); endMeter(); endAuditdWatch(); endLists() })
	endKernel()
	endFeed()
	stopExpiry()
	p.finish(expired)
	p.users.Close()
	p.nodes.Close()
	p.endProcesses()
	control.close()
	awaitFor(leaveTime, shown)
	p.sayEnd(err)
	return err
}

// makeConsumers makes a consumer of each sink, after what they need: saved positions, names of users and of the host.
func (p *Plugin) makeConsumers() {
	p.saver = p.openState()
	p.users = users.Open()
	p.nodes = nodes.New(p.parent, p.log.Logger)
	for _, cfg := range p.cfg.Sinks {
		p.members = append(p.members, p.newConsumer(cfg))
	}
}

// errOrphaned: auditd has gone, but something still holds its end of the stream.
var errOrphaned = errors.New("auditd has gone without closing the stream")

// obey serves signals and the clock until the stream ends or auditd has gone.
func (p *Plugin) obey(ended <-chan error, hungUp <-chan struct{}) error {
	signals := p.signals
	tick := time.NewTicker(time.Second)
	defer tick.Stop()

	for {
		select {
		case err := <-ended:
			if errors.Is(err, ErrRenew) {
				p.renew.granted <- struct{}{}
			}
			return err
		case <-hungUp:
			return p.readLast(ended)
		case <-p.monitorGone():
			os.Exit(exitDetached) // as if it had been killed, too: see there
		case now := <-tick.C:
			p.eachSecond(now)
			if p.orphaned() {
				return errOrphaned
			}
		case f := <-p.tasks:
			p.safely("task", f)
		case a := <-p.actions:
			p.safely("action", func() { p.act(a) })
		case <-signals.hup:
			p.safely("reload", p.reload)
		case <-signals.usr1:
			p.safely("state report", p.writeState)
		case <-signals.usr2:
			p.safely("resume", p.resume)
		case <-signals.term:
			// systemd sends TERM to the whole control group while auditd still
			// dispatches: only the end of the stream, or of auditd, counts.
			p.log.Info("TERM received: continuing until the stream ends")
		}
	}
}

// eachSecond does what is due by the clock.
func (p *Plugin) eachSecond(now time.Time) {
	p.safely("watch", func() { p.sample(now); p.logLosses(now, false); p.actOnFailures(now) })
	p.followNames(now)
	if p.opt.In == nil {
		p.procs.adjust(now)
		p.trimmed.trim(now, p.log)
	}
	if late, lost := p.log.queue.retry(now); late > 0 {
		p.log.Info("own log can be written again: the last line of each message since then is above",
			zap.Int("lines", late), zap.Uint64("total_lines_lost", lost))
	}
}

// Report returns the state of this moment. It may be called from anywhere.
func (p *Plugin) Report() *Report {
	p.mu.Lock()
	r := &Report{
		Version: p.opt.Version, FIPS: FIPSModule(), Pid: broker.Pid(), Parent: p.auditdNow(), Now: time.Now(), Started: p.started,
		Config: p.cfg.File, ConfigAt: p.cfgAt, ConfigSum: p.cfg.Sum, ConfigLater: p.later, Reloads: p.reloads, Input: p.input, LogDropped: p.log.dropped.Load(),
		Sandbox: p.sandbox,
	}
	p.reportFlow(r)
	r.LogFault, r.LogWaiting, r.LogLost = p.log.queue.state()
	if p.feed != nil {
		r.Recovery = p.feed.Show()
	}

	if end := p.metricsCert.Load(); end != 0 {
		r.MetricsCert = time.Unix(end, 0)
	}
	r.Memory = *p.memory.Load()
	r.Input.Totals = p.inputTotals()
	r.Panics, r.PanicLast = p.faults.Shown()
	if p.cfgErr != nil {
		r.ConfigError = p.cfgErr.Error()
	}

	members := p.members
	p.mu.Unlock()
	for _, c := range members {
		cr := c.Report()
		r.Input.Stalls += cr.Stalls
		r.Input.Stalled += cr.Stalled
		r.Consumers = append(r.Consumers, cr)
	}
	r.StateFault = p.saver.shownFault(r.Consumers)
	r.Degraded = r.degraded()
	r.judge()
	return r
}
