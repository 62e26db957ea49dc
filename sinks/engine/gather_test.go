package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
)

// TestGather: what finds no batch in flight goes at once, with the rest of its event. After that
// batches begin no faster than one each Gather, but a full one waits for nothing, and neither does
// what is left at the end.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		r.q = queue.New(queue.Options{Name: "fleet", Config: queue.Config{Depth: 1 << 20, Bytes: 64 << 20, Lossless: true, Hold: true}})
		defer r.q.Shutdown()
		r.s = newTestSink("", format.Encoder{}, r.f)
		r.s.opt.Gather = time.Second
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.s.Run(context.Background(), r.q)
		}()
		synctest.Wait() // it has nothing to do
		n := 0
		put := func(lines int, wait time.Duration, batches int) {
			t.Helper()
			r.put(sinktest.Lines(n, lines))
			n += lines
			time.Sleep(wait)
			synctest.Wait()
			if got := len(r.f.got); got != batches {
				t.Fatalf("%d batches after record %d, want %d", got, n, batches)
			}
		}

		put(1, eventTime/2, 0)
		put(1, eventTime/2, 1) // of the same event
		put(1, 500*time.Millisecond, 1)
		put(1, 500*time.Millisecond, 2)
		put(1, 10*time.Second, 3)
		put(1, eventTime, 4) // nothing was in flight
		put(400, gatherStep, 5)
		put(1, 0, 5)
		r.q.Close()
		<-done
		r.exact(sinktest.Lines(0, n))
		if got := len(r.f.got); got != 6 {
			t.Errorf("%d batches at the end, want 6", got)
		}
	})
}
