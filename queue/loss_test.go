package queue

import "testing"

// TestTheRangeOfALossHoldsAllItsSerials: first is never after last, and both are reached, in whatever order
// losses are noted.
func TestTheRangeOfALossHoldsAllItsSerials(t *testing.T) {
	for _, c := range []struct {
		serials     []uint32
		first, last uint32
	}{
		{[]uint32{5}, 5, 5},
		{[]uint32{5, 6, 9}, 5, 9},
		{[]uint32{9, 5, 7}, 5, 9},
		{[]uint32{1<<32 - 1, 1, 0}, 1<<32 - 1, 1},
	} {
		var one, merged Loss
		for _, s := range c.serials {
			b := events(int(s), 1, 2)
			one.add(&b.Recs[0])
			one.add(&b.Recs[1])
			merged.merge(&Loss{Records: 2, Events: 1, First: s, Last: s})
		}
		for _, l := range []Loss{one, merged} {
			if l.First != c.first || l.Last != c.last || l.Events != uint64(len(c.serials)) || l.Records != 2*l.Events {
				t.Errorf("%v: %+v", c.serials, l)
			}
		}
	}
	var l Loss
	l.merge(&Loss{Records: 10, Events: 10, First: 100, Last: 109})
	l.merge(&Loss{Records: 3, Events: 3, First: 50, Last: 120})
	if l.First != 50 || l.Last != 120 {
		t.Errorf("%+v", l)
	}
}
