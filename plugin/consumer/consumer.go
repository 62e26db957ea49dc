// Package consumer is one [sinks.NAME] while the relay runs: which events it gets, its queue, the
// sink that delivers from there, its balance and its part of the report.
package consumer

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/host/athand"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/state"
)

// Consumer is one [sinks.NAME]: its queue and whatever delivers from it. The
// queue outlives the sink: a reload may put another sink at its end.
type Consumer struct {
	Name   string
	Log    *zap.Logger
	Intake *Intake // in front of the queue
	known  Known
	panics *Panics // over its events
	rules  Rules
	logged lossLog // main goroutine only
	local  string  // node= of this host as its filter knows it; main goroutine only
	lately lately

	mu    sync.Mutex        // guards what follows, which reload changes
	base  map[string]uint64 // its balance when its queue was made, from earlier ones
	now   *queue.Queue      // that records are put in
	later *queue.Queue      // of a state_dir that came late: that the sink reads already
	// moving says that what now holds is put into later; handed is what of it was
	// delivered before.
	moving bool
	handed queue.Counts
	// replaced has the delays and stalls of a queue that was replaced. Its records are in base.
	replaced queue.Counts
	cfg      config.Sink
	sink     sinks.Sink
	// panicked is why there is no sink for the moment: another one will be made, or the one before has not ended.
	panicked error
	stopped  bool // the sink has ended and is to be started again: see Stop
	filled   bool // the spool is beyond warn_at
	// checkpoint is the time of the last one that was put among its records.
	checkpoint time.Time

	// What follows belongs to the main goroutine.

	network, disk episode   // that the server is not reached, that a disk is full
	waits         time.Time // see failing

	Cancel context.CancelCauseFunc // ends the sink
	Ended  chan struct{}           // closed when the sink, and any it had before, has ended
	// Settled is of a consumer that was removed: closed when it has its last records and
	// its balance is known.
	Settled chan struct{}
}

// Options are what a Consumer is made of.
type Options struct {
	Config config.Sink
	Log    *zap.Logger    // with a rate limit of its own
	Queue  *queue.Queue   // which continues from an earlier run, or from before a reload
	Before state.Consumer // what an earlier run has left: the balance until then, and losses
	Known  Known
	Local  string // node= of this host's own records
	// MaxOpen bounds the open events, in bytes; 0 is the Assembler's own default.
	MaxOpen int
	// Patience is how much longer than usual the next record of an event may take; nil: no longer.
	Patience func() time.Duration
	// Late says that the run before may still have state_dir, so that the identity of the
	// first record will be asked for.
	Late bool
	// AtHand is where the events are noted that a filter or an encoder works on; nil: nowhere.
	AtHand *athand.Page
}

// New makes a consumer without starting it.
func New(o Options) *Consumer {
	c := &Consumer{Name: o.Config.Name, Log: o.Log, known: o.Known, local: o.Local, base: o.Before.Totals, now: o.Queue, cfg: o.Config}
	c.lately.init(time.Now(), o.Before)
	c.panics = NewPanics(o.Log.With(zap.String("sink", c.Name)))
	c.panics.atHand = o.AtHand
	c.rules.Store(o.Config.Rules)
	c.Intake = NewIntake(o.Queue, c.selection(o.Config, o.Local))
	c.Intake.maxOpen, c.Intake.patience, c.Intake.panics, c.Intake.late = o.MaxOpen, o.Patience, c.panics, o.Late
	c.Sample(time.Now()) // so that what comes before the first tick is in the rates
	return c
}

// Queue returns the queue that records are put in.
func (c *Consumer) Queue() *queue.Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Queues returns the queue that the sink reads, and the one that records are put in
// where that is another.
func (c *Consumer) Queues() []*queue.Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.later != nil {
		return []*queue.Queue{c.later, c.now}
	}
	return []*queue.Queue{c.now}
}

// Close says that nothing more will be put in.
func (c *Consumer) Close() {
	for _, q := range c.Queues() {
		q.Close()
	}
}

// Shutdown ends the queues.
func (c *Consumer) Shutdown() {
	for _, q := range c.Queues() {
		q.Shutdown()
	}
}

// selection returns what a checked configuration asks for.
func (c *Consumer) selection(cfg config.Sink, local string) *Selection {
	s, err := NewSelection(cfg, c.known, local)
	if err != nil { // it was checked
		c.Log.Error("filter", zap.String("sink", cfg.Name), zap.Error(err))
		return new(Selection)
	}
	return s
}

// Give gives records to the consumer. missed says that they precede some that the consumer already has, and doubt
// since when they were missing. A panic costs no other consumer. Whoever holds the Merger calls it.
func (c *Consumer) Give(b *record.Batch, missed bool, doubt time.Time) {
	defer func() {
		if fault := recover(); fault != nil {
			c.panics.Note("queue", b, 0, len(b.Recs), fault)
		}
	}()
	if missed {
		c.Intake.putMissed(b, doubt)
	} else {
		c.Intake.Put(b)
	}
}

// First returns the identity of the first record that this run has given, nil while there is none.
func (c *Consumer) First() *record.ID { return c.Intake.first.Load() }

// Start puts a sink of the present configuration at the end of the queue; names are those of this host. The sink runs
// when the previous one and the consumers that leave have ended, as it may want the same path. Start does not wait for
// that.
func (c *Consumer) Start(leaving []*Consumer, names *atomic.Pointer[format.HostNames]) {
	sink := NewSink(c.Config(), c.known, names, &c.rules, c.Log, c.panics)
	ctx, cancel := context.WithCancelCause(context.Background())
	before, ended := c.Ended, make(chan struct{})
	c.Cancel, c.Ended = cancel, ended
	var others []<-chan struct{}
	for _, l := range leaving {
		others = append(others, l.Ended)
	}
	c.mu.Lock()
	c.sink, c.stopped = sink, false
	c.mu.Unlock()

	go func() {
		defer close(ended)
		c.await(ctx, before, others)
		for wait := minRevive; ctx.Err() == nil && c.runSink(ctx, sink) != nil; wait = min(2*wait, maxRevive) {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			sink = NewSink(c.Config(), c.known, names, &c.rules, c.Log, c.panics)
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
func (c *Consumer) runSink(ctx context.Context, sink sinks.Sink) error {
	err := sinks.Guard(func() error {
		sink.Run(ctx, c.Queues()[0])
		return nil
	})
	if err != nil {
		c.Log.Error("sink panicked: a new one replaces it", zap.String("sink", c.Name), zap.Error(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.panicked = err
	return err
}

// HasSettled reports whether a consumer that was removed has come to its end.
func (c *Consumer) HasSettled() bool {
	return sinks.IsClosed(c.Settled)
}

// Reopen asks the present sink to open its place again: one that has panicked may just be
// replaced.
func (c *Consumer) Reopen() {
	c.mu.Lock()
	sink := c.sink
	c.mu.Unlock()
	sink.Reopen()
}

// Config returns the present configuration.
func (c *Consumer) Config() config.Sink {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg
}

// Apply gives a consumer a changed configuration, and its queue bounds. It reports whether the
// sink has to be replaced; the queue and its balance stay.
func (c *Consumer) Apply(cfg config.Sink, bounds queue.Config) (replace bool) {
	old := c.Config()
	c.mu.Lock()
	c.cfg = cfg
	c.mu.Unlock()
	for _, q := range c.Queues() {
		q.SetConfig(bounds)
	}

	rulesChanged := !old.Rules.Equal(cfg.Rules)
	if rulesChanged {
		c.rules.Store(cfg.Rules)
	}
	if old.Filter != cfg.Filter || (rulesChanged && cfg.Filter != "") || old.Format != cfg.Format || old.Events != cfg.Events || old.Serial != cfg.Serial {
		c.Intake.next.Store(c.selection(cfg, c.local))
	}
	return !sameSink(old, cfg)
}

// sameSink reports whether a and b differ in nothing that the sink itself knows.
func sameSink(a, b config.Sink) bool {
	a.Origin, b.Origin = "", ""
	a.Filter, a.Rules, a.Serial = b.Filter, b.Rules, b.Serial
	a.QDepth, a.QBytes, a.QOS, a.OverflowAction, a.Spool = b.QDepth, b.QBytes, b.QOS, b.OverflowAction, b.Spool
	a.NetworkFailureAction, a.DiskFullAction, a.After = b.NetworkFailureAction, b.DiskFullAction, b.After
	return reflect.DeepEqual(a, b)
}

// RefreshLists reads those files again from which the consumer's filter and rules take values and that have changed,
// and logs the outcome. It reads them in the caller's goroutine, and their disk may hang.
func (c *Consumer) RefreshLists() {
	lists := c.rules.Load().Lists()
	if match := c.Intake.next.Load().match; match != nil {
		lists = slices.Concat(lists, match.Filter().Lists())
	}
	for _, l := range lists {
		switch changed, err := l.Refresh(); {
		case err != nil:
			c.Log.Warn("list of a filter not read: its previous values stay in use", zap.String("sink", c.Name), zap.Error(err))
		case changed:
			c.Log.Info("list of a filter read again", zap.String("sink", c.Name), zap.String("file", l.Path()), zap.Int("values", l.Len()))
		}
	}
}

// SetLocal tells the filter the name of this host in its own records.
func (c *Consumer) SetLocal(local string) {
	if cfg := c.Config(); cfg.Filter != "" && c.local != local {
		c.Intake.next.Store(c.selection(cfg, local))
	}
	c.local = local
}

// Resume ends a suspension.
func (c *Consumer) Resume() {
	if c.Queue().Counts().Suspended {
		c.Queue().Resume()
		c.Log.Info("consumer resumed", zap.String("sink", c.Name))
	}
}
