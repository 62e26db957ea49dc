package sinks

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/fleet/wire"
	"audisp-relay/queue"
)

// Waits between attempts at a place that fails: doubling, with jitter.
const (
	DefaultMinBackoff = 100 * time.Millisecond
	DefaultMaxBackoff = 15 * time.Second
	tickInterval      = time.Second
)

// Pump is the Sink made of a Writer: one goroutine that takes batches from the
// queue, writes them and only then lets the queue forget them.
type Pump struct {
	*Health
	MinBackoff, MaxBackoff time.Duration

	w       Writer
	reopen  chan struct{}
	refused time.Time // when the place has refused records last, if nothing has failed or worked since
}

var _ Sink = (*Pump)(nil)

// NewPump returns a Sink that delivers to w. name stands in log lines.
func NewPump(name string, w Writer, log *zap.Logger) *Pump {
	return &Pump{
		Health:     NewHealth(name, log),
		MinBackoff: DefaultMinBackoff,
		MaxBackoff: DefaultMaxBackoff,
		w:          w,
		reopen:     make(chan struct{}, 1),
	}
}

// Reopen implements Sink.
func (p *Pump) Reopen() { Poke(p.reopen) }

// Poke puts an element into a channel that has room for one.
func Poke(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// IsClosed reports whether a channel that nothing is put into was closed.
func IsClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// Status implements Sink.
func (p *Pump) Status() Status {
	s := p.Health.Status()
	if x, ok := p.w.(Extra); ok {
		x.Extra(&s)
	}
	return s
}

// Run implements Sink.
func (p *Pump) Run(ctx context.Context, q *queue.Queue) {
	cur := q.Cursor()
	defer cur.Close()
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for p.deliver(ctx, cur, tick.C) == nil {
		select {
		case <-cur.Ready():
		case <-tick.C:
			p.tick(ctx)
		case <-p.reopen:
			p.note(Guard(p.w.Reopen))
		case <-ctx.Done():
		}
	}
	if w, ok := p.w.(Patient); ok && EndsAlone(ctx) {
		w.TakeTime()
	}
	if err := Guard(p.w.Close); err != nil {
		p.Fail(err)
	}
}

func (p *Pump) note(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		p.fail(err)
	}
}

// fail notes that the place fails.
func (p *Pump) fail(err error) {
	p.refused = time.Time{}
	p.Fail(err)
}

// deliver writes what there is. It returns an error when there is nothing more
// to come or ctx has ended.
func (p *Pump) deliver(ctx context.Context, cur *queue.Cursor, tick <-chan time.Time) error {
	backoff := p.MinBackoff
	for {
		select { // records may come faster than they can be written, for ever
		case <-ctx.Done():
			return ctx.Err()
		case <-p.reopen:
			p.note(Guard(p.w.Reopen))
		case <-tick:
			p.tick(ctx)
		default:
		}
		p.gather(ctx)
		b, err := cur.Take()
		if err != nil {
			return err
		}
		if len(b.Recs) == 0 {
			return nil
		}
		n, err := p.write(ctx, b)
		if refused, ok := errors.AsType[*Refused](err); ok && refused.Records > 0 {
			cur.Refuse(n+refused.Records, refused.Loss)
			p.Fail(err)
			p.refused = time.Now()
			backoff = p.MinBackoff
			continue
		}
		cur.Advance(n)
		if n > 0 {
			backoff = p.MinBackoff
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err == nil {
			p.ok()
			continue
		}

		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.fail(err)
		if !p.wait(ctx, pauseAfter(err, backoff)) {
			return ctx.Err()
		}
		backoff = min(2*backoff, p.MaxBackoff)
	}
}

// tick gives the writer its turn. A place that has become steady meanwhile works again,
// though there is nothing to write, and so does one that has refused records a while ago: it
// has answered.
func (p *Pump) tick(ctx context.Context) {
	err := Guard(func() error { return p.w.Tick(ctx) })
	p.note(err)
	_, steady := p.w.(Steady)
	answered := !p.refused.IsZero() && time.Since(p.refused) >= settleTime
	if (steady || answered) && err == nil {
		p.ok()
	}
}

// ok notes that an attempt succeeded.
func (p *Pump) ok() {
	if s, ok := p.w.(Steady); !ok || s.Steady() {
		p.refused = time.Time{}
		p.OK()
	}
}

// write has the Writer deliver. After a panic it has to begin again: what it had open may be in
// any state.
func (p *Pump) write(ctx context.Context, b record.Batch) (n int, err error) {
	defer func() {
		if errors.As(err, new(*PanicError)) {
			n = 0
			p.note(Guard(p.w.Reopen))
		}
	}()
	defer Recovered(&err)
	return p.w.Write(ctx, b)
}

// pauseAfter returns how long a place that has failed is left alone: up to half more or less than backoff, and never
// less than the place has asked for.
func pauseAfter(err error, backoff time.Duration) time.Duration {
	pause := backoff/2 + rand.N(backoff)
	if delayed, ok := errors.AsType[Delayed](err); ok {
		least := delayed.RetryAfter()
		pause = max(pause, least+rand.N(least/8+1))
	}
	return pause
}

// gather lets records gather where the writer asks for it.
func (p *Pump) gather(ctx context.Context) {
	paced, ok := p.w.(Paced)
	if !ok {
		return
	}
	if d := paced.Pause(); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
}

// wait pauses before the next attempt. A reopen ends the pause: what failed may have been repaired.
func (p *Pump) wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-p.reopen:
		p.note(Guard(p.w.Reopen))
	case <-ctx.Done():
		return false
	}
	return true
}

// Checkpoint implements Checkpointer for a Writer that does; others lose nothing by it.
func (p *Pump) Checkpoint(c wire.Checkpoint) {
	if w, ok := p.w.(Checkpointer); ok {
		w.Checkpoint(c)
	}
}

// CarriesCheckpoints reports whether a sink takes checkpoints beside its records.
func CarriesCheckpoints(s Sink) bool {
	if p, ok := s.(*Pump); ok {
		_, carries := p.w.(Checkpointer)
		return carries
	}
	_, carries := s.(Checkpointer)
	return carries
}
