// Package program is the sink that runs a child with the stream on its stdin:
// any stock plugin of auditd, or whatever reads lines or frames.
package program

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// Pauses before a child that ended is started again: doubling from one to the
// next, from the shortest again after it has lived for as long as the longest.
const (
	minPause = 100 * time.Millisecond
	maxPause = time.Minute
)

// settleTime is how long a child has to live until the sink counts as one that works again.
const settleTime = 10 * time.Second

// After so long without reading the sink looks whether a child has closed its stdin, and
// reports that it reads nothing.
const (
	closedAfter = time.Second
	silentAfter = 30 * time.Second
)

// sink is a Pump that passes SIGHUP on without waiting for the child to read.
type sink struct {
	*sinks.Pump
	w *writer
}

// New returns the sink that cfg, whose Settings are a *Config, describes. The child is
// started when Run has something for it, or within a second.
func New(cfg config.Sink, enc format.Encoder, log *zap.Logger) sinks.Sink {
	return newSink(cfg, enc, log)
}

func newSink(cfg config.Sink, enc format.Encoder, log *zap.Logger) *sink {
	w := newWriter(cfg, enc, log)
	s := &sink{sinks.NewPump(cfg.Name, w, log), w}
	w.fail = s.Pump.Fail
	return s
}

// Run implements sinks.Sink.
func (s *sink) Run(ctx context.Context, q *queue.Queue) {
	hurry := make(chan struct{})
	s.w.hurry = hurry
	defer context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), sinks.ErrTimeUp) {
			close(hurry)
		}
	})()
	s.Pump.Run(ctx, q)
}

// Reopen implements sinks.Sink: the child gets a SIGHUP as auditd gives it, and
// one that had used up its restarts is started again.
func (s *sink) Reopen() {
	s.w.hangup()
	s.Pump.Reopen()
}

// writer is the sinks.Writer of one child after the other.
type writer struct {
	item string // for the monitor
	cfg  Config
	enc  format.Encoder
	log  *zap.Logger

	minPause, maxPause time.Duration
	closedAfter        time.Duration
	eofGrace, settle   time.Duration
	fail               func(error)     // says what is wrong with a child that lives
	wake               chan struct{}   // has an element when a pause is to end
	hurry              <-chan struct{} // closed when the plugin's time is up; set by Run

	// The Pump's goroutine's.
	pause time.Duration // before the next start, if the child ends now
	due   time.Time     // not to be started before
	tries int           // starts since the last time all was well

	lastEnd string // how the child before ended
	open    bool   // the last record that the child has read continues in the next

	left   int       // bytes that the child had not read at the last look
	still  time.Time // since when left has not changed
	silent bool      // it was reported that the child reads nothing

	mu     sync.Mutex // guards all below; only the Pump's goroutine writes
	child  *child     // nil: none runs
	starts uint64
}

var (
	_ sinks.Extra  = (*writer)(nil)
	_ sinks.Steady = (*writer)(nil)
)

func newWriter(cfg config.Sink, enc format.Encoder, log *zap.Logger) *writer {
	return &writer{
		item:     sinks.Item(&cfg),
		cfg:      *cfg.Settings.(*Config),
		enc:      enc,
		log:      log.With(zap.String("sink", cfg.Name)),
		minPause: minPause,
		maxPause: maxPause,
		eofGrace: eofGrace,
		settle:   settleTime,

		closedAfter: closedAfter,
		fail:        func(error) {},
		wake:        make(chan struct{}, 1),
	}
}

// Write implements sinks.Writer. Records count as delivered when the child has read them
// from its socket. Of a child that ends what it had not read is read back, and the next
// one begins with the first record that was not read to its end.
func (w *writer) Write(ctx context.Context, b record.Batch) (int, error) {
	if err := w.ensure(ctx); err != nil {
		return 0, err
	}
	if n := sinks.Orphans(&b, w.open); n > 0 {
		w.log.Warn(sinks.RestLeftOut, zap.Int("pieces", n))
		return n, nil
	}
	out := w.enc.Encode(b)
	if len(out.Bytes) == 0 {
		return out.Len(), nil
	}

	c := w.child
	w.still, w.silent = time.Time{}, false
	c.stdin.Idle = w.idle
	taken, err := c.stdin.Write(ctx, out.Bytes)
	if err == nil {
		err = c.stdin.Wait(ctx)
	}
	if err == nil && !c.dying.Load() { // otherwise the sink itself may have read the rest
		w.open = sinks.EndsOpen(&b, out.Len())
		return out.Len(), nil
	}

	why := ""
	if errors.Is(err, errClosedStdin) {
		why = " has closed its stdin and is"
	}
	unread, err := w.bury(why)
	n, _ := out.Records(taken - min(unread, taken))
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return n, err
}

var errClosedStdin = errors.New("stdin is closed")

// idle is called while the child does not read.
func (w *writer) idle() error {
	now, left := time.Now(), w.child.waiting()
	if w.still.IsZero() || left != w.left {
		w.left, w.still = left, now
		return nil
	}
	quiet := now.Sub(w.still)
	if quiet >= w.closedAfter && w.child.closedStdin() {
		return errClosedStdin
	}
	if quiet >= silentAfter && !w.silent {
		w.silent = true
		w.fail(fmt.Errorf("program %s (pid %d) has read nothing for %v, %d bytes wait in its stdin: it hangs, waits for something or has closed it; see what it does, or end it",
			w.cfg.Path, w.child.pid(), quiet.Round(time.Second), left))
	}
	return nil
}

// Steady implements sinks.Steady: a child that has just been started may end as the one before.
func (w *writer) Steady() bool {
	return w.child != nil && !w.child.ended() && w.child.age() >= w.settle
}

// ensure makes sure that a child runs, after the pause that is due.
func (w *writer) ensure(ctx context.Context) error {
	if w.child != nil {
		if !w.child.ended() {
			return nil
		}
		_, err := w.bury("")
		return err
	}

	if w.tries > w.cfg.MaxRestarts {
		return w.usedUp()
	}
	if d := time.Until(w.due); d > 0 {
		select {
		case <-time.After(d):
		case <-w.wake:
			w.rearm()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return w.start()
}

func (w *writer) usedUp() error {
	return fmt.Errorf("program %s ended %d times in a row, now by %s: find out why, then send audisp-relay a SIGHUP to start it again",
		w.cfg.Path, w.tries, w.lastEnd)
}

// start starts a child. What keeps it from being started (a missing file) does
// not count as a restart: it is tried until it works.
func (w *writer) start() error {
	c, err := startChild(w.item, w.cfg)
	if err != nil {
		w.delay()
		return err
	}
	w.tries++
	w.mu.Lock()
	defer w.mu.Unlock()
	w.starts++
	w.child = c
	w.log.Info("program started", zap.String("path", w.cfg.Path), zap.Int("pid", c.pid()))
	return nil
}

// delay puts off the next start.
func (w *writer) delay() {
	w.pause = min(max(w.minPause, 2*w.pause), w.maxPause)
	w.due = time.Now().Add(w.pause)
}

// rearm lets the next start happen at once.
func (w *writer) rearm() { w.pause, w.due, w.tries = 0, time.Time{}, 0 }

// finish ends the child and its group, as far as they are still there.
func (w *writer) finish() (c *child, unread int, err error) {
	c, w.open = w.child, false
	w.mu.Lock()
	w.child = nil
	w.mu.Unlock()
	unread, err = c.finish(w.eofGrace, w.hurry)
	return c, unread, err
}

// bury finishes a child and returns how it has ended, and how many bytes it has not read.
func (w *writer) bury(why string) (unread int, err error) {
	c, unread, err := w.finish()
	if err != nil {
		w.delay()
		return unread, fmt.Errorf("program %s: %w", w.cfg.Path, err)
	}
	if c.age() >= w.maxPause {
		w.rearm()
	}
	w.delay()
	w.lastEnd = fmt.Sprintf("%s after %v", c.how(), c.age().Round(time.Millisecond))
	if w.tries > w.cfg.MaxRestarts {
		return unread, w.usedUp()
	}
	return unread, fmt.Errorf("program %s (pid %d)%s ended: %s: it is started again in %v", w.cfg.Path, c.pid(), why, w.lastEnd, w.pause)
}

// Tick implements sinks.Writer: a child that has ended is started again even
// if there is nothing to write.
func (w *writer) Tick(context.Context) error {
	switch {
	case w.child != nil && w.child.ended():
		_, err := w.bury("")
		return err
	case w.child == nil && w.tries <= w.cfg.MaxRestarts && !time.Now().Before(w.due):
		return w.start()
	}
	return nil
}

// Reopen implements sinks.Writer; the signal was sent by hangup.
func (w *writer) Reopen() error {
	select {
	case <-w.wake: // done with here
	default:
	}
	if w.child == nil {
		w.rearm()
	}
	return nil
}

// Close implements sinks.Writer: the child gets the end of its input, and a
// quarter of a second to read what it has not read yet.
func (w *writer) Close() error {
	if w.child == nil {
		return nil
	}
	_, _, err := w.finish()
	return err
}

// hangup passes SIGHUP on and ends a pause. It may be called from anywhere.
func (w *writer) hangup() {
	w.mu.Lock()
	if w.child != nil {
		w.child.hangup()
	}
	w.mu.Unlock()
	sinks.Poke(w.wake)
}

// Details say which child runs, 0 for none, and how many there were before.
type Details struct {
	Restarts uint64 `json:"restarts,omitempty"`
	Pid      int    `json:"pid,omitempty"`
}

// WriteText implements sinks.Details.
func (d *Details) WriteText(line func(key string, value any)) {
	line("child", fmt.Sprintf("pid %d, restarted %d times", d.Pid, d.Restarts))
}

func (w *writer) Extra(s *sinks.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := &Details{Restarts: max(w.starts, 1) - 1}
	if w.child != nil && !w.child.ended() {
		d.Pid = w.child.pid()
	}
	s.Details = d
}
