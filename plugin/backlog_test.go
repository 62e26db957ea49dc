package plugin

import (
	"context"
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
		counts, records, rate := host.KernelCounts{Limit: 64, Backlog: 5}, uint64(0), uint64(manyRecords)
		asked := 0
		b := new(backlog)
		k := &kernelLoss{
			ask: func() (host.KernelCounts, error) { asked++; return counts, nil },
			log: zap.NewNop(), report: func(uint32) {}, backlog: b, records: func() uint64 { records += rate; return records },
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
		counts.Backlog = 60
		pass(backlogEvery)
		if b.patience() != fullPatience {
			t.Error("no patience with a full queue")
		}
		counts.Backlog = 0
		pass(fullFor - backlogEvery)
		if b.patience() != fullPatience {
			t.Error("no patience shortly after the queue was full")
		}
		pass(2 * backlogEvery)
		if b.patience() != 0 {
			t.Error("patience long after the queue was full")
		}
		counts = host.KernelCounts{Backlog: 1000}
		pass(backlogEvery)
		if b.patience() != 0 {
			t.Error("patience with a queue that has no limit")
		}

		rate = manyRecords / 2
		pass(2 * fullFor)
		asked = 0
		pass(3 * kernelEvery)
		if asked < 2 || asked > 4 {
			t.Errorf("asked %d times in %v with few records", asked, 3*kernelEvery)
		}
	})
}
