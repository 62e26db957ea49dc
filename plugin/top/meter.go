// Package top counts what makes the volume of a stream: which keys, programs, users, units and
// types of records. It picks records at random, weights and counts them in bounded memory
// (package topk), and says how far the answer may be off.
package top

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"audisp-relay/audit/record"
)

// countEvery is how often picked records are counted, sooner when there are many.
const countEvery = 500 * time.Millisecond

// Meter picks and counts. The reader calls Observe and one goroutine of its own runs Run, which
// alone touches the counts. The reader never waits for it: what it has no room for is dropped, and
// counted.
type Meter struct {
	// Panicked, which may be nil, is called with a panic that was caught while records were
	// counted. It is set before Run.
	Panicked func(fault any)

	sampler sampler // of the goroutine that calls Observe
	counter *counter
	started time.Time

	mu      sync.Mutex // guards filling. The reader only tries it
	filling *chunk
	spare   *chunk // of Run

	dropped atomic.Uint64 // records, about
	wake    chan struct{}
	asks    chan chan *Report
	ended   chan struct{} // closed when Run has returned
}

// New returns a Meter of a live stream.
func New(self Self) *Meter {
	now := time.Now()
	m := &Meter{counter: newCounter(self, liveNames, true, now), started: now, filling: newChunk(), spare: newChunk(),
		wake: make(chan struct{}, 1), asks: make(chan chan *Report), ended: make(chan struct{})}
	m.sampler.setEvery(1)
	m.sampler.since = now
	return m
}

// Observe picks records of a batch that came now. It keeps nothing of b, allocates nothing, and
// never waits. One goroutine calls it.
func (m *Meter) Observe(b *record.Batch, now time.Time) {
	s, n := &m.sampler, len(b.Recs)
	if n == 0 {
		return
	}
	s.adapt(now, n)
	if s.next < n {
		m.pick(b)
	}
	s.next -= n
	s.keepOpen(b)
}

// pick puts what is picked of b into the chunk that is being filled.
func (m *Meter) pick(b *record.Batch) {
	s := &m.sampler
	free := m.mu.TryLock() // Run holds it for a moment at most, but may be put aside just then
	room := func(records int) *chunk {
		if free && m.filling.hasRoom(records) {
			return m.filling
		}
		return nil
	}

	for s.next < len(b.Recs) {
		next, dropped := s.take(b, s.next, room)
		s.next = next
		if dropped > 0 {
			m.dropped.Add(uint64(dropped))
		}
	}

	if !free {
		return
	}
	half := m.filling.half()
	m.mu.Unlock()
	if half {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// Run counts what is picked until ctx ends.
func (m *Meter) Run(ctx context.Context) {
	defer close(m.ended)
	tick := time.NewTicker(countEvery)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.count()
		case <-m.wake:
			m.count()
		case reply := <-m.asks:
			m.count()
			reply <- m.report()
		}
	}
}

// count counts what the reader has picked. A panic over a record costs what was picked with it.
func (m *Meter) count() {
	m.mu.Lock()
	full := m.filling
	m.filling = m.spare
	m.mu.Unlock()
	m.spare = full
	defer full.reset()
	defer func() {
		if fault := recover(); fault != nil && m.Panicked != nil {
			m.Panicked(fault)
		}
	}()
	m.counter.count(full, time.Now())
}

// report makes a Report. A panic in it leaves it empty.
func (m *Meter) report() (r *Report) {
	defer func() {
		if fault := recover(); fault != nil {
			r = nil
			if m.Panicked != nil {
				m.Panicked(fault)
			}
		}
	}()
	return m.counter.report(time.Now(), m.dropped.Load())
}

// ErrEnded is what Report returns when the Meter counts no more.
var ErrEnded = errors.New("the relay is ending")

// Report returns what was counted so far. It may be called from anywhere, and waits for Run, no
// longer than ctx.
func (m *Meter) Report(ctx context.Context) (*Report, error) {
	reply := make(chan *Report, 1)
	select {
	case m.asks <- reply:
	case <-m.ended:
		return nil, ErrEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	select {
	case r := <-reply:
		if r == nil {
			return nil, errors.New("counts cannot be read: see the relay's log")
		}
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stored counts all records of stored streams. One goroutine uses it.
type Stored struct {
	sampler     sampler
	counter     *counter
	chunk       *chunk
	first, last int64 // times of records, ms; 0: none yet
}

// NewStored returns a Stored. self has no Pid, as one of long ago says nothing.
func NewStored(exe string) *Stored {
	s := &Stored{counter: newCounter(Self{Exe: exe}, storedNames, false, time.Time{}), chunk: newChunk()}
	s.sampler.setEvery(1)
	s.sampler.fixed = true
	return s
}

// Put counts the records of a batch. It keeps nothing of b.
func (s *Stored) Put(b *record.Batch) {
	for i := range b.Recs {
		if r := &b.Recs[i]; r.HasID() && r.Millis > 0 {
			if s.first == 0 || r.Millis < s.first {
				s.first = r.Millis
			}
			s.last = max(s.last, r.Millis)
		}
	}

	room := func(records int) *chunk {
		if !s.chunk.hasRoom(records) {
			s.counter.count(s.chunk, time.Time{})
			s.chunk.reset()
		}
		return s.chunk
	}
	for s.sampler.next < len(b.Recs) {
		s.sampler.next, _ = s.sampler.take(b, s.sampler.next, room)
	}
	s.sampler.next -= len(b.Recs)
	if len(b.Recs) > 0 {
		s.sampler.keepOpen(b)
	}
}

// Report returns what was counted. The rates are those between the oldest and the newest record.
func (s *Stored) Report() *Report {
	s.counter.count(s.chunk, time.Time{})
	s.chunk.reset()
	s.counter.whole.began = record.TimeOf(s.first)
	return s.counter.report(record.TimeOf(s.last), 0)
}
