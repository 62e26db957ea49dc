package plugin

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"audisp-relay/host"
)

// TestFullBacklogGivesPatience: for as long as looks find the kernel's queue full, and some seconds more. An empty one, one without
// a limit and one that cannot be looked at give none.
func TestFullBacklogGivesPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiting, limit, asked atomic.Uint32
		var rate, records atomic.Uint64
		waiting.Store(5)
		limit.Store(64)
		rate.Store(manyRecords)
		b := new(backlog)
		k := &kernelLoss{
			ask: func() (host.KernelCounts, error) {
				asked.Add(1)
				return host.KernelCounts{Limit: limit.Load(), Backlog: waiting.Load()}, nil
			},
			log: zap.NewNop(), report: func(uint32) {}, backlog: b, records: func() uint64 { return records.Add(rate.Load()) },
		}
		k.seen.Store(-1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := inBackground(func() { k.run(ctx) })
		defer func() { cancel(); <-ended }()

		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		pass(3 * backlogEvery)
		if b.patience() != 0 {
			t.Error("patience with an empty queue")
		}
		waiting.Store(60)
		pass(backlogEvery)
		if b.patience() != fullPatience {
			t.Error("no patience with a full queue")
		}
		waiting.Store(0)
		pass(fullFor - backlogEvery)
		if b.patience() != fullPatience {
			t.Error("no patience shortly after the queue was full")
		}
		pass(2 * backlogEvery)
		if b.patience() != 0 {
			t.Error("patience long after the queue was full")
		}
		waiting.Store(1000)
		limit.Store(0)
		pass(backlogEvery)
		if b.patience() != 0 {
			t.Error("patience with a queue that has no limit")
		}

		rate.Store(manyRecords / 2)
		pass(2 * fullFor)
		asked.Store(0)
		pass(3 * kernelEvery)
		if n := asked.Load(); n < 2 || n > 4 {
			t.Errorf("asked %d times in %v with few records", n, 3*kernelEvery)
		}
	})
}
