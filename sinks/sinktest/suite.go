package sinktest

import (
	"bytes"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
)

// Run holds a sink against the contract of package sinks. The tests run at the same time:
// they wait most of it.
func Run(t *testing.T, tg Target) {
	checkFDs(t)
	if tg.Formats == nil {
		tg.Formats = []format.Format{format.String}
	}
	run := func(t *testing.T, name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
	for _, f := range tg.Formats {
		name := [...]string{format.String: "string", format.Binary: "binary"}[f]
		t.Run(name, func(t *testing.T) {
			run(t, "lines in batches of all sizes", func(t *testing.T) { testBatches(t, &tg, f) })
			run(t, "odd lines", func(t *testing.T) { testData(t, &tg, f, OddLines()) })
			run(t, "odd frames", func(t *testing.T) { testData(t, &tg, f, OddFrames()) })
			run(t, "long line in pieces", func(t *testing.T) { testLong(t, &tg, f) })
			run(t, "backlog before start", func(t *testing.T) { testBacklog(t, &tg, f) })
		})
	}
	for name, f := range map[string]format.Format{"": format.String, "events, ": format.Events} {
		run(t, name+"broken midway", func(t *testing.T) { testBrokenMidway(t, &tg, f) })
		run(t, name+"consumer stalls", func(t *testing.T) { testStall(t, &tg, f) })
		run(t, name+"reopen under load", func(t *testing.T) { testReopen(t, &tg, f) })
		run(t, name+"restarted under load", func(t *testing.T) { testRestart(t, &tg, f) })
	}
	run(t, "events of all sizes", func(t *testing.T) { testEvents(t, &tg) })
	run(t, "broken at start", func(t *testing.T) { testBrokenAtStart(t, &tg) })
	run(t, "cancelled while idle", func(t *testing.T) { testCancelIdle(t, &tg) })
	run(t, "cancelled while broken", func(t *testing.T) { testCancelBroken(t, &tg) })
	run(t, "cancelled while stalled", func(t *testing.T) { testCancelStalled(t, &tg) })
}

// testBatches: every record arrives exactly and in order however the stream
// was cut, with and without pauses in between.
func testBatches(t *testing.T, tg *Target, f format.Format) {
	r := newRig(t, tg, f)
	r.start()
	for i, chunk := range []int{1, 7, 333, 4096, 65536, stream.BufferSize} {
		r.put(Batches(Lines(i*500, 20+min(chunk/8, 480)), chunk))
		if i%2 == 0 {
			r.arrived()
		}
	}
	r.end()
	r.exact()
}

// testEvents: whole events arrive as one line each, whatever their size.
func testEvents(t *testing.T, tg *Target) {
	r := newRig(t, tg, format.Events)
	r.start()
	r.putLines(0, 2000)
	r.arrived()
	if !tg.CutsLong {
		for i, size := range []int{60 << 10, 64 << 10, 100 << 10, 500 << 10} {
			r.put([]record.Batch{Event(3000+i, 5, size)})
		}
	}
	r.putLines(4000, 10)
	r.end()
	r.exact()
}

func testData(t *testing.T, tg *Target, f format.Format, data []byte) {
	r := newRig(t, tg, f)
	r.start()
	r.put(Batches(data, 4096))
	r.end()
	r.exact()
}

func testLong(t *testing.T, tg *Target, f format.Format) {
	if tg.CutsLong {
		t.Skip("the sink cuts long lines: its own tests say how")
	}
	testData(t, tg, f, LongLine(200<<10))
}

// testBacklog: what a queue holds when the sink starts is delivered, also when
// nothing more will come.
func testBacklog(t *testing.T, tg *Target, f format.Format) {
	r := newRig(t, tg, f)
	r.putLines(0, 5000)
	r.queue.Close()
	r.start()
	r.end()
	r.exact()
}

// newBrokenRig returns a rig whose place is broken.
func newBrokenRig(t *testing.T, tg *Target) *rig {
	t.Helper()
	r := newRig(t, tg, format.String)
	if r.place.Break == nil {
		t.Skip("this place cannot be broken")
	}
	r.place.Break()
	return r
}

// testBrokenAtStart: a place that is not there makes the sink degraded, and
// when it is repaired everything arrives.
func testBrokenAtStart(t *testing.T, tg *Target) {
	r := newBrokenRig(t, tg)
	r.start()
	r.putLines(0, 100)
	if !tg.BreakUnseen {
		r.degraded()
	}
	r.place.Repair()
	r.sink.Reopen() // ends the pause between attempts
	if !tg.BreakUnseen {
		r.arrived()
		if s := r.sink.Status(); s.Degraded {
			r.eventually("recovery", func() bool { return !r.sink.Status().Degraded })
		}
	}
	r.end()
	r.check(tg.BreakUnseen)
}

func (r *rig) degraded() {
	r.t.Helper()
	r.eventually("a degraded sink", func() bool { return r.sink.Status().Degraded })
	if s := r.sink.Status(); s.Error == "" || s.Failures == 0 {
		r.t.Errorf("degraded without a reason: %+v", s)
	}
}

// testBrokenMidway: what arrived before a break stays, what comes during it
// waits, and after it all continues.
func testBrokenMidway(t *testing.T, tg *Target, f format.Format) {
	r := newRig(t, tg, f)
	if r.place.Break == nil {
		t.Skip("this place cannot be broken")
	}
	r.start()
	r.putLines(0, 300)
	r.arrived()
	before := len(r.want)

	r.place.Break()
	next := 300
	r.eventually("a degraded sink", func() bool {
		r.putLines(next, 10) // a broken connection shows only when it is used
		next += 10
		return r.sink.Status().Degraded || tg.BreakUnseen
	})
	r.place.Repair()
	r.sink.Reopen()

	after := len(r.want)
	if tg.BreakLoses {
		r.probe(&next)
	}
	tail := len(r.want)
	r.putLines(next, 300)
	r.end()
	r.check(tg.BreakLoses)
	got := r.place.Read()
	if !bytes.HasPrefix(got, r.want[:before]) {
		t.Error("what had arrived before the break is not there any more")
	}
	if !bytes.Contains(got, r.want[tail:]) {
		t.Errorf("what was sent after the break is not all there (sent during the break: %d bytes)", after-before)
	}
}

// probe sends lines until one of them arrives: then the place is in use again.
func (r *rig) probe(next *int) {
	r.t.Helper()
	r.eventually("a record after the break", func() bool {
		start := len(r.want)
		r.putLines(*next, 1)
		line := r.want[start:]
		*next++
		for range 20 {
			if bytes.Contains(r.place.Read(), line) {
				return true
			}
			pause()
		}
		return false
	})
}
