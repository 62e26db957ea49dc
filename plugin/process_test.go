package plugin

import (
	"testing"
	"time"
)

// TestProcsFollowTheLoad: one thread runs Go code while there is little to do, several while there is much, and
// between the two nothing changes.
func TestProcsFollowTheLoad(t *testing.T) {
	t.Parallel()
	var used time.Duration
	now := time.Now()
	p := &procs{most: 4, now: 4, at: now, cpu: func() time.Duration { return used }}
	set := 0
	p.set = func(n int) int { set++; return 0 }
	for i, c := range []struct {
		share float64
		want  int
		sets  int
	}{
		{0.3, 4, 0}, {0.05, 1, 1}, {0, 1, 1}, {0.3, 1, 1}, {0.5, 4, 2}, {2, 4, 2}, {0.25, 4, 2}, {0.1, 1, 3},
	} {
		now = now.Add(time.Second)
		used += time.Duration(c.share * float64(time.Second))
		p.adjust(now)
		if p.now != c.want || set != c.sets {
			t.Errorf("%d, share %v: %d threads after %d changes, want %d after %d", i, c.share, p.now, set, c.want, c.sets)
		}
	}
}
