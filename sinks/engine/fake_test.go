package engine

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"audisp-relay/fleet/wire"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an engine in memory: a Place that can be broken, and whose last batches can be lost.
type fake struct {
	mu      sync.Mutex
	got     []stored
	number  uint64
	down    bool
	unsaid  bool // the next batch is stored and not acknowledged
	stale   bool // Last shows the batch before the last
	moved   bool
	forgets bool // it removes what is old
	expects uint64
}

type stored struct {
	wire.Header
	body   []byte
	number uint64
}

var errDown = errors.New("the engine is down")

func (f *fake) Last(context.Context) (*Tail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved = false
	n := len(f.got)
	if f.stale {
		f.stale, n = false, n-1
	}
	switch {
	case f.down:
		return nil, errDown
	case n <= 0:
		f.expects = 0
		return nil, nil
	}
	f.expects = f.got[n-1].number
	return &Tail{Header: f.got[n-1].Header, Number: f.expects}, nil
}

func (f *fake) Send(_ context.Context, b *Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := uint64(0)
	if n := len(f.got); n > 0 {
		last = f.got[n-1].number
	}
	switch {
	case f.down:
		return errDown
	case last != f.expects:
		return ErrMoved
	}
	f.number++
	f.got = append(f.got, stored{b.Header, bytes.Clone(b.Body), f.number})
	f.expects = f.number
	if f.unsaid {
		f.unsaid = false
		return errDown
	}
	return nil
}

func (f *fake) Moved() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moved
}

func (f *fake) Keeps() (time.Duration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 0, !f.forgets
}

func (f *fake) Tick(context.Context) error { return nil }
func (f *fake) Reopen() error              { return nil }
func (f *fake) Close() error               { return nil }

// set changes the fake.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// read returns the bodies of all batches.
func (f *fake) read() (out []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.got {
		out = append(out, s.body...)
	}
	return out
}

// check holds the numbers of the batches against each other.
func (f *fake) check(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	next := uint64(1)
	for _, s := range f.got {
		if s.Seq != next {
			t.Fatalf("a batch begins with record %d, expected %d", s.Seq, next)
		}
		next = s.Next()
	}
}

var testHost = Host{ID: "0123456789abcdef0123456789abcdef", Name: "web1", Boot: "fedcba9876543210fedcba9876543210"}

func newTestSink(dir string, enc format.Encoder, f *fake) *Sink {
	s := New(Options{Name: "fleet", Format: "string", Encoder: enc, StateDir: dir, Host: testHost,
		Retain: 64 << 20, Age: time.Minute, Gather: time.Millisecond, Log: zap.NewNop()}, f)
	s.MinBackoff, s.MaxBackoff = time.Millisecond, 10*time.Millisecond
	return s
}

// TestConformance: what every sink has to do, none of its records twice.
func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Target{Place: func(t *testing.T) sinktest.Place {
		f, dir := new(fake), t.TempDir()
		t.Cleanup(func() { f.check(t) })
		return sinktest.Place{
			New:    func(enc format.Encoder) sinks.Sink { return newTestSink(dir, enc, f) },
			Read:   f.read,
			Break:  func() { f.set(func() { f.down, f.moved = true, true }) },
			Repair: func() { f.set(func() { f.down = false }) },
		}
	}})
}
