package sinks

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/queue"
)

// TestPlaceThatHasRefusedWorksAgain: where nothing follows, it has answered nevertheless. One that fails
// after that does not.
func TestPlaceThatHasRefusedWorksAgain(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := &choosy{say: []error{&Refused{Records: 1, Err: errors.New("no")}}}
			b := record.Batch{Buf: []byte("x\n"), Recs: []record.Record{{Len: 2, Serial: 1}}}
			if fails {
				w.say = append(w.say, later{errors.New("busy")})
			}
			q := queue.New(queue.Options{Config: queue.Config{Depth: 100, Bytes: 1 << 20, Hold: true}})
			p := NewPump("x", w, zap.NewNop())
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); p.Run(ctx, q) }()
			q.Put(&b)
			synctest.Wait()
			if fails {
				q.Put(&b) // after which the place is left alone for a minute
			}
			time.Sleep(settleTime / 2)
			if s := p.Status(); !s.Degraded {
				t.Errorf("at once: %+v", s)
			}
			time.Sleep(settleTime)
			if s := p.Status(); s.Degraded != fails {
				t.Errorf("fails %v, after a while: %+v", fails, s)
			}
			cancel()
			<-done
		})
	}
}

// choosy is a Writer whose place says what each attempt comes to.
type choosy struct {
	say   []error
	at    []time.Time
	recs  []int
	pause time.Duration
}

func (w *choosy) Write(_ context.Context, b record.Batch) (int, error) {
	w.at, w.recs = append(w.at, time.Now()), append(w.recs, len(b.Recs))
	if len(w.say) == 0 {
		return len(b.Recs), nil
	}
	err := w.say[0]
	w.say = w.say[1:]
	return 0, err
}

func (w *choosy) Tick(context.Context) error { return nil }
func (w *choosy) Reopen() error              { return nil }
func (w *choosy) Close() error               { return nil }
func (w *choosy) Pause() time.Duration       { return w.pause }

type later struct{ error }

func (later) RetryAfter() time.Duration { return time.Minute }

// TestPumpHeedsTheWriter: refused records are not written again, a place is left alone as long as it asks
// for, and records gather.
func TestPumpHeedsTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &choosy{say: []error{&Refused{Records: 2, Loss: queue.Loss{Records: 1, Events: 1}, Err: errors.New("no")}, later{errors.New("busy")}}, pause: time.Second}
		q := queue.New(queue.Options{Config: queue.Config{Depth: 100, Bytes: 1 << 20, Hold: true}})
		p := NewPump("x", w, zap.NewNop())
		done := make(chan struct{})
		go func() { defer close(done); p.Run(t.Context(), q) }()
		b := record.Batch{Buf: []byte("x\ny\nz\n"), Recs: []record.Record{{Len: 2, Serial: 1}, {Off: 2, Len: 2, Serial: 2}, {Off: 4, Len: 2, Serial: 3}}}
		q.Put(&b)
		q.Put(&b)
		q.Close()
		<-done

		if n := q.Counts(); n.Delivered != 5 || n.Lost[queue.Refused].Records != 1 || n.Queued != 0 {
			t.Errorf("%+v", n)
		}
		if len(w.recs) != 3 || w.recs[0] != 6 || w.recs[1] != 4 || w.recs[2] != 4 {
			t.Fatalf("attempts with %v records", w.recs)
		}
		if first, least := w.at[0].Add(time.Minute+time.Second), w.at[1].Add(time.Minute+time.Second); w.at[2].Before(least) || w.at[1].After(first) {
			t.Errorf("attempts at %v", w.at)
		}
		if s := p.Status(); s.Failures != 2 || s.Degraded {
			t.Errorf("%+v", s)
		}
	})
}
