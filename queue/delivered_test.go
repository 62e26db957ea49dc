package queue

import (
	"testing"

	"pgregory.net/rapid"
)

func TestDeliveredRangesAreAsAPlainSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p deliveredRanges
		set := make(map[uint64]bool)
		for range rapid.IntRange(1, 12).Draw(t, "ranges") {
			from := uint64(rapid.IntRange(0, 40).Draw(t, "from"))
			to := from + uint64(rapid.IntRange(0, 8).Draw(t, "length"))
			p.add(from, to)
			for i := from; i < to; i++ {
				set[i] = true
			}
			for i := 1; i < len(p); i++ {
				if p[i-1].to >= p[i].from {
					t.Fatalf("%v is not in order and apart", p)
				}
			}
		}
		for i := range uint64(50) {
			if got, end := p.run(i); got != set[i] || end <= i {
				t.Fatalf("%d: %v, want %v", i, got, set[i])
			}
		}
	})
}

// TestWhatOnlyASlowClientCouldHaveIsNotDelivered: one that connected later and
// is ahead never had what was before it came.
func TestWhatOnlyASlowClientCouldHaveIsNotDelivered(t *testing.T) {
	for _, slow := range []Slow{Disconnect, Drop} {
		q := New(Options{Config: Config{Depth: 10, Bytes: 1 << 20, Slow: slow}})
		early := q.Cursor()
		q.Put(events(1, 8, 1))
		late := q.Cursor()
		q.Put(events(9, 2, 1))
		drain(t, late)
		q.Put(events(11, 1, 1)) // does not fit: early has to go, or to skip
		drain(t, late)
		if n := balance(t, q); n.Lost[SlowClient].Records != 8 || n.Delivered < 2 {
			t.Errorf("%s: %+v", slow, n)
		}
		early.Close()
		if n := balance(t, q); n.Lost[SlowClient].Records != 8 || n.Delivered != 3 {
			t.Errorf("%s, at the end: %+v", slow, n)
		}
		late.Close()
	}
}

// TestWhatAClientThatLeavesHadNotTaken: a client that came later does not get it.
func TestWhatAClientThatLeavesHadNotTaken(t *testing.T) {
	for _, c := range []struct {
		hold, closed bool
		want         Counts
	}{
		{false, false, Counts{Discarded: 3}},
		{true, false, Counts{Lost: [NumCauses]Loss{SlowClient: {Records: 3}}}},
		{false, true, Counts{Lost: [NumCauses]Loss{Shutdown: {Records: 3}}}},
	} {
		q := New(Options{Config: Config{Depth: 10, Bytes: 1 << 20, Hold: c.hold}})
		early := q.Cursor()
		q.Put(events(1, 3, 1))
		late := q.Cursor()
		q.Put(events(4, 1, 1))
		drain(t, late)
		if c.closed {
			q.Close()
		}
		early.Close()
		n := balance(t, q)
		if n.Delivered != 1 || n.Discarded != c.want.Discarded || n.Lost[SlowClient].Records != c.want.Lost[SlowClient].Records ||
			n.Lost[Shutdown].Records != c.want.Lost[Shutdown].Records {
			t.Errorf("hold %v, closed %v: %+v", c.hold, c.closed, n)
		}
		late.Close()
	}
}
