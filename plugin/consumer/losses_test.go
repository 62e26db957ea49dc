package consumer

import (
	"testing"
	"time"
)

// TestGrowthIsDueOnceAMinute: what has grown is due once in warnEvery, and at the end at once.
func TestGrowthIsDueOnceAMinute(t *testing.T) {
	begin := time.Now()
	var g Growth
	for _, step := range []struct {
		total uint64
		after time.Duration
		final bool
		want  uint64
	}{
		{0, 0, false, 0},
		{3, time.Second, false, 3},
		{5, time.Second + warnEvery/2, false, 0},
		{9, time.Second + warnEvery, false, 6},
		{9, 3 * warnEvery, false, 0},
		{10, 3 * warnEvery, false, 1},
		{12, 3 * warnEvery, false, 0},
		{12, 3 * warnEvery, true, 2},
		{12, 9 * warnEvery, true, 0},
	} {
		if got := g.Due(step.total, begin.Add(step.after), step.final); got != step.want {
			t.Errorf("%d after %v: %d due, want %d", step.total, step.after, got, step.want)
		}
	}
}
