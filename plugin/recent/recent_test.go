package recent

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"audisp-relay/state"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// TestRateOfTheLastSpan: a counter that grows by 100 a second, noted at any moments, has that rate,
// also after it grew otherwise before.
func TestRateOfTheLastSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := NewWindow[uint64](10*time.Second, time.Second)
		now, counter := start, uint64(0)
		for range rapid.IntRange(0, 30).Draw(t, "busy notes") {
			now, counter = now.Add(time.Second), counter+1_000_000
			w.Note(now, counter)
		}
		calm, before := now, counter
		for now.Sub(calm) < 25*time.Second {
			now = now.Add(time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * time.Millisecond)
			counter = before + uint64(now.Sub(calm)/(10*time.Millisecond))
			w.Note(now, counter)
		}
		was, took, known := w.Ago(now)
		if !known || took > 13*time.Second {
			t.Fatalf("the value of %v ago, known %v", took, known)
		}
		if rate := Rate(counter, was, took); took > time.Second && (rate < 95 || rate > 105) {
			t.Errorf("rate %v over %v, want 100", rate, took)
		}
	})
}

func TestWindowIsBoundedAndStartsEmpty(t *testing.T) {
	w := NewWindow[int](10*time.Second, time.Second)
	if _, _, known := w.Ago(start); known {
		t.Error("an empty window knows a value")
	}
	w.Note(start, 7)
	if v, took, known := w.Ago(start.Add(3 * time.Second)); !known || v != 7 || took != 3*time.Second {
		t.Errorf("got %d of %v ago (%v), want the one value there is", v, took, known)
	}
	size := cap(w.values)
	for i := range 10_000 { // a clock that jumps, too
		w.Note(start.Add(time.Duration(i*i%977)*time.Second), i)
	}
	if cap(w.values) != size {
		t.Errorf("it holds %d values, began with room for %d", cap(w.values), size)
	}
}

func TestRateOfACounterSetBack(t *testing.T) {
	if r := Rate(3, 5, time.Second); r != 0 {
		t.Errorf("rate %v, want 0", r)
	}
	if r := Rate(5, 3, 0); r != 0 {
		t.Errorf("rate %v in no time, want 0", r)
	}
}

// TestLossesOfSpan: what is asked for is what was lost then, but for five minutes, and a day is kept.
func TestLossesOfSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type loss struct {
			at time.Time
			n  uint64
		}
		var l Losses
		var all []loss
		now := start
		for range rapid.IntRange(0, 200).Draw(t, "losses") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "s")) * time.Second)
			n := rapid.Uint64Range(1, 100).Draw(t, "n")
			l.Add(now, "queue-full", n)
			all = append(all, loss{now, n})
		}
		sum := func(d time.Duration) (n uint64) {
			for _, x := range all {
				if now.Sub(x.at) <= d {
					n += x.n
				}
			}
			return n
		}
		for _, d := range []time.Duration{time.Hour, 24 * time.Hour} {
			if got := l.Since(now, d)["queue-full"]; got < sum(d) || got > sum(d+2*period) {
				t.Errorf("%d within %v, want %d to %d", got, d, sum(d), sum(d+2*period))
			}
		}
		if len(l.list) > maxPeriods {
			t.Errorf("%d periods are kept", len(l.list))
		}
	})
}

// TestLossesOverRestart: they are what they were, but for what is too old, and what is not believable
// does not stay for ever.
func TestLossesOverRestart(t *testing.T) {
	var l Losses
	l.Add(start, "spool", 5)
	l.Add(start.Add(2*time.Hour), "kernel", 3)
	saved := l.Saved()
	l.Add(start.Add(2*time.Hour), "kernel", 100) // the copy must not have it

	var next Losses
	next.Restore(start.Add(3*time.Hour), saved)
	want := map[string]uint64{"spool": 5, "kernel": 3}
	if got := next.Since(start.Add(3*time.Hour), 24*time.Hour); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}

	var many Losses // a file that no relay has written holds up no start
	junk := make([]state.LossPeriod, 400_000)
	for i := range junk {
		junk[i] = state.LossPeriod{From: int64(-i), Records: map[string]uint64{"spool": 1}}
	}
	many.Restore(start.Add(3*time.Hour), append(junk, saved...))
	if got := many.Since(start.Add(3*time.Hour), 24*time.Hour); !maps.Equal(got, want) {
		t.Errorf("after others %v, want %v", got, want)
	}

	var old Losses
	far := append(saved, state.LossPeriod{From: start.AddDate(50, 0, 0).Unix(), Records: map[string]uint64{"spool": 9}},
		state.LossPeriod{From: -1 << 62, Records: map[string]uint64{"spool": 9}})
	old.Restore(start.Add(26*time.Hour), far)
	if got := old.Since(start.Add(26*time.Hour), 24*time.Hour); !maps.Equal(got, map[string]uint64{"kernel": 3}) {
		t.Errorf("got %v, want the kernel's 3 alone", got)
	}
}
