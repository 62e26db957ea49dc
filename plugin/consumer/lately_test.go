package consumer

import (
	"maps"
	"math"
	"testing"
	"time"

	"audisp-relay/queue"
	"audisp-relay/state"
)

// TestLatelyCountsEachLossOnce: losses of an earlier run are not lost again, a total that falls back
// is not either, and what is saved continues.
func TestLatelyCountsEachLossOnce(t *testing.T) {
	now := time.Now()
	base := map[string]uint64{"lost spool": 7, "received": 1000, "delivered": 900}
	before := state.Consumer{Totals: base, Losses: []state.LossPeriod{{From: now.Add(-2 * time.Hour).Unix(), Records: map[string]uint64{"spool": 7}}}}
	var l lately
	l.init(now, before)

	var n queue.Counts
	n.Lost[queue.Full].Records = 3
	l.note(now, &n, base)
	l.note(now, &n, base)
	n.Lost[queue.Full].Records = 2
	l.note(now, &n, base)
	n.Lost[queue.Full].Records, n.Lost[queue.Kernel].Records = 4, 1
	var r Report
	l.report(&r, &n, base)
	if want := map[string]uint64{"queue-full": 4, "kernel": 1}; !maps.Equal(r.Lost1h, want) {
		t.Errorf("last hour %v, want %v", r.Lost1h, want)
	}
	day := map[string]uint64{"queue-full": 4, "kernel": 1, "spool": 7}
	if !maps.Equal(r.Lost24h, day) {
		t.Errorf("last day %v, want %v", r.Lost24h, day)
	}

	var next lately
	next.init(now, state.Consumer{Totals: totals(base, &n, false), Losses: l.saved()})
	next.report(&r, new(queue.Counts), totals(base, &n, false))
	if !maps.Equal(r.Lost24h, day) {
		t.Errorf("after a restart %v, want %v", r.Lost24h, day)
	}
}

func TestQuantiles(t *testing.T) {
	var d queue.Delays
	if q := quantile(&d, 0.99); q != 0 {
		t.Errorf("of nothing: %v", q)
	}
	d.Counts[3], d.Counts[7] = 99, 1 // 25 to 50 ms, 0.5 to 1 s
	for _, x := range []struct{ share, want float64 }{{0.5, 0.025 + 0.025*50/99}, {0.99, 0.05}, {0.995, 0.75}} {
		if got := quantile(&d, x.share); math.Abs(got-x.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", x.share, got, x.want)
		}
	}
	d.Counts[queue.NumDelays-1] = 10_000
	if got, want := quantile(&d, 0.99), (24 * time.Hour).Seconds(); got != want {
		t.Errorf("over a day: %v, want %v", got, want)
	}
}
