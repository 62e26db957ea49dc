package integrity

import "time"

// Doubt returns when the oldest record arrived that something may be missing
// beside: the first record of an event that is not complete, the one that passed over
// a serial that has not come yet, or the one that showed a Gap that is not settled. It
// reports false when there is none. What arrived before that time is whole, as far
// as the stream shows. It costs next to nothing and is meant for each batch.
func (t *Tracker) Doubt() (since time.Time, ok bool) {
	oldest := time.Duration(-1)
	older := func(at time.Duration) {
		if oldest < 0 || at < oldest {
			oldest = at
		}
	}

	if e := t.root.next; e != &t.root {
		older(e.first) // the list begins with the oldest, but for those that are reported
	}
	for n := range t.gapped {
		n.dropFilled()
		if len(n.gaps) == 0 {
			delete(t.gapped, n)
			continue
		}
		older(n.gaps[0].since)
	}
	for x := range t.reports {
		older(x.since)
	}

	if oldest < 0 {
		return time.Time{}, false
	}
	return t.start.Add(oldest), true
}

// DoubtMillis returns the event time from which on the log is to be read for
// all that Doubt covers, and false when there is nothing.
func (t *Tracker) DoubtMillis() (millis int64, ok bool) {
	earlier := func(at int64) {
		if !ok || at < millis {
			millis, ok = at, true
		}
	}
	for e := t.root.next; e != &t.root; e = e.next {
		earlier(e.from)
	}
	for n := range t.gapped {
		for _, g := range n.gaps {
			earlier(g.millis)
		}
	}
	for x := range t.reports {
		earlier(x.From)
	}
	return millis, ok
}

// dropFilled forgets the oldest gaps whose serials have all come meanwhile.
func (n *node) dropFilled() {
	k := 0
	for k < len(n.gaps) && n.filled(n.gaps[k]) {
		k++
	}
	n.dropGaps(k)
}

// filled reports whether every serial of a gap has come.
func (n *node) filled(g gap) bool {
	whole := true
	n.missing(g.first, g.last, func(first, last uint32) { whole = false })
	return whole
}
