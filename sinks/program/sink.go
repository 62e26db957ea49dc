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

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/stream"
)

// Pauses before a child that ended is started again: doubling from one to the
// next, from the shortest again after it has lived for as long as the longest.
const (
	minPause = 100 * time.Millisecond
	maxPause = time.Minute
)

// sink is a Pump that passes SIGHUP on without waiting for the child to read.
type sink struct {
	*sinks.Pump
	w *writer
}

// New returns the sink that cfg, whose Program is set, describes. The child is
// started when Run has something for it, or within a second.
func New(cfg config.Sink, enc format.Encoder, log *zap.Logger) sinks.Sink {
	return newSink(cfg, enc, log)
}

func newSink(cfg config.Sink, enc format.Encoder, log *zap.Logger) *sink {
	w := newWriter(cfg, enc, log)
	return &sink{sinks.NewPump(cfg.Name, w, log), w}
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
	cfg config.Program
	enc format.Encoder
	log *zap.Logger

	minPause, maxPause time.Duration
	eofGrace           time.Duration
	wake               chan struct{}   // has an element when a pause is to end
	hurry              <-chan struct{} // closed when the plugin's time is up; set by Run

	// The Pump's goroutine's.
	pause time.Duration // before the next start, if the child ends now
	due   time.Time     // not to be started before
	tries int           // starts since the last time all was well

	lastEnd string // how the child before ended

	mu     sync.Mutex // guards all below; only the Pump's goroutine writes
	child  *child     // nil: none runs
	starts uint64
}

var (
	_ sinks.Writer = (*writer)(nil)
	_ sinks.Extra  = (*writer)(nil)
)

func newWriter(cfg config.Sink, enc format.Encoder, log *zap.Logger) *writer {
	return &writer{
		cfg:      *cfg.Program,
		enc:      enc,
		log:      log.With(zap.String("sink", cfg.Name)),
		minPause: minPause,
		maxPause: maxPause,
		eofGrace: eofGrace,
		wake:     make(chan struct{}, 1),
	}
}

// Write implements sinks.Writer. Records count as delivered when the child's
// socket has taken them. A record that a child got in part before it ended is
// sent whole to the next one.
func (w *writer) Write(ctx context.Context, b stream.Batch) (int, error) {
	if err := w.ensure(ctx); err != nil {
		return 0, err
	}
	out := w.enc.Encode(b)
	if len(out.Bytes) == 0 {
		return out.Len(), nil
	}
	in := w.child.stdin
	stop := context.AfterFunc(ctx, func() { in.SetWriteDeadline(time.Unix(1, 0)) })
	k, err := in.Write(out.Bytes)
	stop()
	if err == nil {
		return out.Len(), nil
	}
	n, _ := out.Records(k)
	if ctx.Err() != nil {
		return n, ctx.Err()
	}
	// It has ended or closed its stdin: either way it is of no use any more.
	if err := w.child.finish(w.eofGrace, w.hurry); err != nil {
		return n, err
	}
	return n, w.bury()
}

// ensure sees to it that a child runs, after the pause that is due.
func (w *writer) ensure(ctx context.Context) error {
	if w.child != nil {
		if !w.child.ended() {
			return nil
		}
		return w.bury()
	}
	if w.tries > w.cfg.MaxRestarts {
		return w.usedUp()
	}
	if d := time.Until(w.due); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
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
	c, err := startChild(w.cfg.Path, w.cfg.Args)
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

// bury takes note of a child that has ended and says how.
func (w *writer) bury() error {
	c := w.child
	w.mu.Lock()
	w.child = nil
	w.mu.Unlock()
	if c.age() >= w.maxPause {
		w.rearm()
	}
	w.delay()
	w.lastEnd = fmt.Sprintf("%s after %v", c.how(), c.age().Round(time.Millisecond))
	if w.tries > w.cfg.MaxRestarts {
		return w.usedUp()
	}
	return fmt.Errorf("program %s (pid %d) ended: %s: it is started again in %v", w.cfg.Path, c.pid(), w.lastEnd, w.pause)
}

// Tick implements sinks.Writer: a child that has ended is started again even
// if there is nothing to write.
func (w *writer) Tick(context.Context) error {
	switch {
	case w.child != nil && w.child.ended():
		return w.bury()
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
	err := w.child.finish(w.eofGrace, w.hurry)
	w.mu.Lock()
	w.child = nil
	w.mu.Unlock()
	return err
}

// hangup passes SIGHUP on and ends a pause. It may be called from anywhere.
func (w *writer) hangup() {
	w.mu.Lock()
	if w.child != nil {
		w.child.hangup()
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Extra implements sinks.Extra.
func (w *writer) Extra(s *sinks.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Restarts = max(w.starts, 1) - 1
	if w.child != nil && !w.child.ended() {
		s.Pid = w.child.pid()
	}
}
