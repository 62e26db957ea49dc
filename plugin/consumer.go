package plugin

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/format"
	_ "audisp-relay/format/all" // every format of events
	"audisp-relay/host"
	"audisp-relay/queue"
	"audisp-relay/queue/spool"
	"audisp-relay/sinks"
	_ "audisp-relay/sinks/all" // every type of sink
	"audisp-relay/state"
)

// consumer is one [sinks.NAME]: its queue and whatever delivers from it. The
// queue outlives the sink: a reload may put another sink at its end.
type consumer struct {
	name   string
	intake *intake     // in front of it
	log    *zap.Logger // with a rate limit of its own
	poison *poison     // panics over its events
	said   said        // what the log was told of its losses; main goroutine only
	local  string      // node= of this host as its filter knows it; main goroutine only

	mu    sync.Mutex        // guards what follows, which reload changes
	base  map[string]uint64 // its balance when its queue was made, from earlier ones
	now   *queue.Queue      // that records are put in
	later *queue.Queue      // of a state_dir that came late: that the sink reads already
	// moving says that what now holds is put into later; handed is how many records of
	// it were delivered before.
	moving bool
	handed uint64
	cfg    config.Sink
	sink   sinks.Sink
	// panicked is why there is no sink for the moment: another one will be made.
	panicked error

	// Main goroutine only.
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when the sink, and any it had before, has ended
	// settled is of a consumer that was removed: closed when it has its last records and
	// its balance is known.
	settled chan struct{}
}

// newConsumer makes a consumer without starting it. It goes on where the one of
// its name in an earlier run, or before a reload, has ended.
func (p *Plugin) newConsumer(cfg config.Sink) *consumer {
	c := &consumer{name: cfg.Name, cfg: cfg, log: p.log.limited()}
	c.poison = &poison{log: c.log.With(zap.String("sink", c.name))}
	before, dir := p.keep.of(cfg.Name)
	c.base = before.Totals
	c.now = p.newQueue(c, p.openSpool(dir, cfg, c.log), before)
	c.local = p.nodes.localName()
	c.intake = newIntake(c.now, c.wish(cfg, p.users, c.local))
	c.intake.late = dir == nil
	c.intake.maxOpen = p.maxOpen()
	c.intake.poison = c.poison
	return c
}

// newQueue makes the queue of a consumer, which goes on from before.
func (p *Plugin) newQueue(c *consumer, s *spool.Spool, before state.Consumer) *queue.Queue {
	cfg := c.config()
	return queue.New(queue.Options{
		Config: p.queueConfig(cfg), Name: cfg.Name, Key: p.keep.markerKey(), Stop: p.stop,
		Trigger:  func(a queue.Overflow) { p.overflow(cfg.Name, a) },
		Spool:    s,
		Position: queue.Position{Number: before.Number, ID: before.ID, HasID: before.HasID, First: before.First},
		Floor:    (*queue.Position)(before.Floor),
		Log:      func(err error) { c.log.Warn("spool fails", zap.String("sink", c.name), zap.Error(err)) },
	})
}

// queue returns the queue that records are put in.
func (c *consumer) queue() *queue.Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// queues returns the queue that the sink reads, and the one that records are put in
// where that is another.
func (c *consumer) queues() []*queue.Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.later != nil {
		return []*queue.Queue{c.later, c.now}
	}
	return []*queue.Queue{c.now}
}

// close says that nothing more will be put in.
func (c *consumer) close() {
	for _, q := range c.queues() {
		q.Close()
	}
}

// abandon ends the queues.
func (c *consumer) abandon() {
	for _, q := range c.queues() {
		q.Shutdown()
	}
}

// wish returns what a checked configuration asks for.
func (c *consumer) wish(cfg config.Sink, users *users.Users, local string) *wish {
	w, err := wishOf(cfg, users, local)
	if err != nil { // it was checked
		c.log.Error("filter", zap.String("sink", cfg.Name), zap.Error(err))
		return new(wish)
	}
	return w
}

// start puts a sink of the present configuration at the queue's end. It runs
// when the one before and the consumers that leave have ended: it may want the
// same path. Nothing here waits for that.
func (c *consumer) start(leaving []*consumer, users *users.Users, nodes *nodes) {
	cfg := c.config()
	called := nodes.of(cfg)
	sink := newSink(cfg, users, called, c.log, c.poison)
	ctx, cancel := context.WithCancelCause(context.Background())
	before, ended := c.ended, make(chan struct{})
	c.cancel, c.ended = cancel, ended
	c.mu.Lock()
	c.sink = sink
	c.mu.Unlock()
	go func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		for _, l := range leaving {
			select {
			case <-l.ended:
			case <-ctx.Done():
			}
		}
		for wait := minRevive; ctx.Err() == nil && c.runSink(ctx, sink) != nil; wait = min(2*wait, maxRevive) {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			sink = newSink(c.config(), users, called, c.log, c.poison)
			c.mu.Lock()
			c.sink, c.panicked = sink, nil
			c.mu.Unlock()
		}
	}()
}

// A sink that has panicked is replaced after a pause, which doubles.
const (
	minRevive = time.Second
	maxRevive = time.Minute
)

// runSink runs the sink to its end, which may be a panic.
func (c *consumer) runSink(ctx context.Context, sink sinks.Sink) error {
	err := sinks.Guard(func() error {
		sink.Run(ctx, c.queues()[0])
		return nil
	})
	if err != nil {
		c.log.Error("sink panicked: another one takes its place", zap.String("sink", c.name), zap.Error(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.panicked = err
	return err
}

// hasSettled reports whether a consumer that was removed has come to its end.
func (c *consumer) hasSettled() bool {
	select {
	case <-c.settled:
		return true
	default:
		return false
	}
}

// reopen asks the present sink to open its place again: one that has panicked may just be
// replaced.
func (c *consumer) reopen() {
	c.mu.Lock()
	sink := c.sink
	c.mu.Unlock()
	sink.Reopen()
}

// config returns the present configuration.
func (c *consumer) config() config.Sink {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg
}

// apply gives a consumer a changed configuration. The sink is replaced only
// where it has to be; the queue and its balance stay.
func (p *Plugin) apply(c *consumer, cfg config.Sink) {
	old := c.config()
	c.mu.Lock()
	c.cfg = cfg
	c.mu.Unlock()
	for _, q := range c.queues() {
		q.SetConfig(p.queueConfig(cfg))
	}
	if old.Filter != cfg.Filter || old.Format != cfg.Format {
		c.intake.next.Store(c.wish(cfg, p.users, p.nodes.localName()))
	}
	if sameSink(old, cfg) {
		c.reopen()
		return
	}
	c.cancel(nil)
	c.start(p.leaving, p.users, p.nodes)
}

// sameSink reports whether a and b differ in nothing that the sink itself knows.
func sameSink(a, b config.Sink) bool {
	a.Origin, b.Origin = "", ""
	a.Filter = b.Filter
	a.QDepth, a.QBytes, a.QOS, a.OverflowAction, a.Spool = b.QDepth, b.QBytes, b.QOS, b.OverflowAction, b.Spool
	return reflect.DeepEqual(a, b)
}

func (p *Plugin) queueConfig(cfg config.Sink) queue.Config {
	kind, _ := format.Parse(cfg.Format) // it was checked
	q := queue.Config{
		Depth:    cfg.QDepth,
		Bytes:    int64(cfg.QBytes),
		Lossless: cfg.QOS == "lossless",
		Action:   queue.Overflow(cfg.OverflowAction),
		Hold:     cfg.WhenIdle != "discard",
		Slow:     queue.Slow(cfg.SlowClient),
		Markers:  p.markers.Load(),
		Whole:    cfg.Filter != "" || kind.Format.Events(),
	}
	if m := p.memory.Load(); m != nil {
		m.fit(&q)
	}
	return q
}

// newSink makes the sink of a checked configuration. users, which may be nil, knows the
// names that auditd has not given; called holds those of this host, faults counts panics.
func newSink(cfg config.Sink, users *users.Users, called *atomic.Pointer[format.HostNames], log *zap.Logger, faults *poison) sinks.Sink {
	kind, err := format.Parse(cfg.Format)
	if err != nil {
		log.Error("format", zap.String("sink", cfg.Name), zap.Error(err))
	}
	enc := encoderOf(kind, users, called, faults)
	enc.NodeVer0Only, enc.DropEOE = cfg.NodeRawOnly, cfg.DropEOE
	enc.Panicked = func(b *record.Batch, i, j int, fault any) { faults.note("format", b, i, j, fault) }
	enc.Padded = padded(cfg, log)
	return sinks.New(cfg, enc, log)
}

// padded returns what says whether the binary frames of a sink are padded, nil where they are not.
func padded(cfg config.Sink, log *zap.Logger) func() bool {
	switch {
	case cfg.Format != "binary":
		return nil
	case cfg.Frames == "padded":
		return func() bool { return true }
	case cfg.Frames != "auto":
		return nil
	}
	return func() bool {
		padded, version := host.PaddedFrames(cfg.Program)
		log.Info("length of binary frames", zap.String("sink", cfg.Name), zap.Bool("padded", padded), zap.String("audit", version))
		return padded
	}
}

// encoderOf returns the encoder of a format, whose names of this host come from called.
func encoderOf(kind format.Kind, users *users.Users, called *atomic.Pointer[format.HostNames], faults *poison) format.Encoder {
	enc := format.Encoder{Format: kind.Format, Raw: kind.Raw, Host: called}
	options := format.Options{Panicked: faults.note}
	if users != nil { // else a nil *users.Users would hide in the interface
		options.Users = users
	}
	enc.NewEvents = func() format.EventEncoder {
		o, now := options, called.Load()
		o.Node, o.Local = now.Node, now.Local
		return kind.New(o)
	}
	return enc
}
