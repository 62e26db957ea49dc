package sinks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/queue"
)

// panicky panics wherever it is asked to, as often as it is asked to.
type panicky struct {
	write, tick, reopen, closing atomic.Int32
	reopened                     atomic.Int32
	got                          strings.Builder
}

func due(n *atomic.Int32, what string) {
	if n.Add(-1) >= 0 {
		panic("in " + what)
	}
}

func (p *panicky) Write(_ context.Context, b record.Batch) (int, error) {
	due(&p.write, "Write")
	p.got.Write(b.Bytes(0))
	return 1, nil
}

func (p *panicky) Tick(context.Context) error { due(&p.tick, "Tick"); return nil }
func (p *panicky) Reopen() error              { p.reopened.Add(1); due(&p.reopen, "Reopen"); return nil }
func (p *panicky) Close() error               { due(&p.closing, "Close"); return nil }

// TestPanicsOfAWriter: they make the sink degraded, end nothing, and no record is lost or out of order.
func TestPanicsOfAWriter(t *testing.T) {
	q := queue.New(queue.Options{Config: queue.Config{Depth: 100, Bytes: 1 << 20, Hold: true}, Name: "p"})
	var text strings.Builder
	for i := range 20 {
		fmt.Fprintf(&text, "type=CWD msg=audit(1.000:%d): x\n", i)
	}
	var b record.Batch
	if err := stream.NewReader(strings.NewReader(text.String())).Next(&b); err != nil {
		t.Fatal(err)
	}
	w := new(panicky)
	w.write.Store(3)
	w.tick.Store(1)
	w.reopen.Store(2)
	w.closing.Store(1)
	p := NewPump("p", w, zap.NewNop())
	p.MinBackoff, p.MaxBackoff = time.Millisecond, time.Millisecond
	p.Reopen()
	q.Put(&b)
	q.Close()
	p.Run(context.Background(), q)
	if w.got.String() != text.String() || q.Counts().Queued != 0 {
		t.Errorf("%d queued, got %q", q.Counts().Queued, w.got.String())
	}
	s := p.Status()
	if s.Failures < 5 || !strings.Contains(s.Error, "panic at panic_test.go:") || !strings.Contains(s.Error, "in Close") || w.reopened.Load() != 4 {
		t.Errorf("%+v, opened again %d times", s, w.reopened.Load())
	}
}

// TestGuardMakesPanicsErrors: a panic of any kind becomes an error that says where.
func TestGuardMakesPanicsErrors(t *testing.T) {
	var m map[int]int
	for _, f := range []func(){func() { panic("x") }, func() { panic(errors.New("y")) }, func() { m[1]++ }, func() { _ = *(*int)(nil) }} {
		err := Guard(func() error { f(); return nil })
		var p *PanicError
		if !errors.As(err, &p) || !strings.HasPrefix(p.At, "panic_test.go:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
	}
	if err := Guard(func() error { return nil }); err != nil {
		t.Error(err)
	}
}
