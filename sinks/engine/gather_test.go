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
		h := newHost(t)
		h.q = queue.New(queue.Options{Name: "fleet", Config: queue.Config{Depth: 1 << 20, Bytes: 64 << 20, Lossless: true, Hold: true}})
		defer h.q.Shutdown()
		h.s = newTestSink("", format.Encoder{}, h.f)
		h.s.opt.Gather = time.Second
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.s.Run(context.Background(), h.q)
		}()
		synctest.Wait() // it has nothing to do
		n := 0
		put := func(lines int, wait time.Duration, batches int) {
			t.Helper()
			h.put(sinktest.Lines(n, lines))
			n += lines
			time.Sleep(wait)
			synctest.Wait()
			if got := len(h.f.got); got != batches {
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
		h.q.Close()
		<-done
		h.exact(sinktest.Lines(0, n))
		if got := len(h.f.got); got != 6 {
			t.Errorf("%d batches at the end, want 6", got)
		}
	})
}
