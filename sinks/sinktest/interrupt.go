package sinktest

import (
	"testing"
	"time"

	"audisp-relay/format"
)

func pause() { time.Sleep(3 * time.Millisecond) }

// stallLines are more than the buffers of any socket take: some 4 MiB.
const stallLines = 20_000

// newStalledRig returns a rig whose consumer has stopped to read after ten lines.
func newStalledRig(t *testing.T, tg *Target, f format.Format) *rig {
	t.Helper()
	r := newRig(t, tg, f)
	if r.place.Stall == nil {
		t.Skip("this place cannot be stalled")
	}
	r.start()
	r.putLines(0, 10)
	r.arrived()
	r.place.Stall()
	return r
}

// testStall: a consumer that stops reading costs memory of its queue only, and
// gets everything when it continues.
func testStall(t *testing.T, tg *Target, f format.Format) {
	r := newStalledRig(t, tg, f)
	r.putLines(10, stallLines/r.perLine())
	r.sink.Status() // must not wait for the consumer
	r.place.Resume()
	r.end()
	r.check(tg.StallLoses)
}

// testReopen: a reopen in the middle of a load neither loses nor repeats nor
// tears a record.
func testReopen(t *testing.T, tg *Target, f format.Format) {
	r := newRig(t, tg, f)
	r.start()
	for i := range 100 {
		r.putLines(i*50, 50)
		r.sink.Reopen()
		if i%20 == 0 {
			pause()
		}
	}
	r.end()
	r.check(tg.ReopenLoses)
}

// testCancelIdle: Run ends when its context does, with nothing to do, before
// anything was opened and after.
func testCancelIdle(t *testing.T, tg *Target) {
	r := newRig(t, tg, format.String)
	r.start()
	r.cancel()
	r.wait()
	r.start()
	r.putLines(0, 10)
	r.arrived()
	r.cancel()
	r.wait()
	r.finish()
	r.check(false)
}

// testCancelBroken: nor does a place that fails keep it.
func testCancelBroken(t *testing.T, tg *Target) {
	if tg.BreakUnseen {
		t.Skip("this place cannot be seen to be broken")
	}
	r := newBrokenRig(t, tg)
	r.start()
	r.putLines(0, 100)
	r.degraded()
	r.cancel()
	r.wait()
	if c := r.queue.Counts(); c.Queued != 100 || c.LostRecords() != 0 {
		t.Errorf("after a cancelled Run the queue holds %d records and lost %d, want 100 and 0", c.Queued, c.LostRecords())
	}
	r.place.Repair()
	r.start()
	r.end()
	r.check(false)
}

// testCancelStalled: nor does a consumer that does not read.
func testCancelStalled(t *testing.T, tg *Target) {
	r := newStalledRig(t, tg, format.String)
	r.putLines(10, stallLines)
	r.stuck()
	r.cancel()
	r.wait()
	r.place.Resume()
}

// stuck waits until the queue does not get shorter any more.
func (r *rig) stuck() {
	r.t.Helper()
	last, same := uint64(0), 0
	r.eventually("a stalled sink", func() bool {
		n := r.queue.Counts().Queued
		if n == last {
			same++
		} else {
			last, same = n, 0
		}
		return same >= 10
	})
}

// testRestart: what a reload does. Sinks end and begin on one queue in the
// middle of a load; what one has acknowledged the next does not send again,
// what it has not the next sends whole.
func testRestart(t *testing.T, tg *Target, f format.Format) {
	r := newRig(t, tg, f)
	const rounds, half = 8, 400
	for i := range rounds {
		r.start()
		r.putLines(2*i*half, half)
		for range i % 4 {
			pause()
		}
		r.putLines((2*i+1)*half, half)
		r.cancel()
		r.wait()
	}

	r.start()
	r.end()
	c := r.queue.Counts()
	if want := uint64(rounds * 2 * half * r.perLine()); c.Delivered != want || c.LostRecords() != 0 || c.Discarded != 0 {
		t.Errorf("the queue delivered %d records, lost %d, discarded %d; want %d, 0, 0",
			c.Delivered, c.LostRecords(), c.Discarded, want)
	}
	r.check(tg.RestartLoses)
}
