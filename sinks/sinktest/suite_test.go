package sinktest_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is the simplest writer there can be: it holds the suite against the
// contract, as the suite holds the sinks.
type memory struct {
	enc format.Encoder
	*store
}

type store struct {
	mu      sync.Mutex // guards all below
	data    []byte
	broken  bool
	stalled chan struct{}
}

var errBroken = errors.New("memory: broken by the test: repair it")

func (m memory) Write(ctx context.Context, b record.Batch) (int, error) {
	m.mu.Lock()
	stalled := m.stalled
	m.mu.Unlock()
	if stalled != nil {
		select {
		case <-stalled:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return 0, errBroken
	}
	out := m.enc.Encode(b)
	// Half of what is there, as a full pipe would take it.
	n := (out.Len() + 1) / 2
	n += out.Span(n-1) - 1
	m.data = append(m.data, out.Bytes[:out.End(n-1)]...)
	return n, nil
}

func (m memory) Tick(context.Context) error { return nil }
func (m memory) Reopen() error              { return nil }
func (m memory) Close() error               { return nil }

func (s *store) read() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.data)
}

func (s *store) set(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	sinktest.Run(t, sinktest.Target{
		Formats: []format.Format{format.String, format.Binary},
		Place: func(t *testing.T) sinktest.Place {
			s := &store{}
			return sinktest.Place{
				New: func(enc format.Encoder) sinks.Sink {
					p := sinks.NewPump("memory", memory{enc, s}, zap.NewNop())
					p.MinBackoff, p.MaxBackoff = time.Millisecond, 10*time.Millisecond
					return p
				},
				Read:   s.read,
				Break:  func() { s.set(true) },
				Repair: func() { s.set(false) },
				Stall: func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.stalled = make(chan struct{})
				},
				Resume: func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					close(s.stalled)
					s.stalled = nil
				},
			}
		},
	})
}
