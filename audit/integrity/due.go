package integrity

import (
	"cmp"
	"slices"
	"time"
)

// report makes a Gap ready for Due. since is when it began to show.
func (t *Tracker) report(n *node, since time.Duration, x Gap) {
	switch {
	case x.Stopped:
	case x.Kind == MissingSerials:
		t.counts.Holes++
		t.counts.Missing += uint64(x.Missing)
	default:
		t.counts.Damaged++
	}
	n.reported = true
	t.ready = t.addReport(t.ready, reported{Gap: x, node: n, epoch: n.epoch, since: since})
}

// Due returns the holes and the damaged events that have waited for the window,
// each once, in the order of their serials. The log is to be searched for them
// then; Lost says what was not found.
func (t *Tracker) Due(now time.Time) []Gap {
	before := t.since(now) - t.window
	for _, n := range t.nodes {
		n.closeOld(t, before)
	}

	patience := t.patience()
	before -= patience
	quiet := t.since(now) - quietFactor*t.window - patience
	e := t.root.next
	for range t.counts.Open {
		next := e.next
		superseded := e.turn < e.node.used && e.last <= before
		if !e.reported && (superseded || e.last <= quiet) {
			t.judgeEvent(e)
		}
		e = next
	}

	if len(t.ready) == 0 {
		return nil
	}
	list := make([]Gap, len(t.ready))
	for i, x := range t.ready {
		list[i] = x.Gap
		t.handedOut = t.addReport(t.handedOut, x)
	}
	t.ready = t.ready[:0]
	slices.SortStableFunc(list, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), bySerial(a.First, b.First))
	})
	return list
}

// Lost returns what is still missing of the Gaps that Due has returned, now that the
// log was searched, or that there is none to search. It is counted as lost and
// forgotten: each is returned once.
func (t *Tracker) Lost() []Gap { return t.LostOf(len(t.handedOut)) }

// HandedOut returns how many Gaps Due has returned of which Lost has not said what was found.
func (t *Tracker) HandedOut() int { return len(t.handedOut) }

// LostOf is Lost of the first n of these: the log was searched for them, and not yet for the others. What there was no
// room for is among what it returns.
func (t *Tracker) LostOf(n int) (lost []Gap) {
	n = min(n, len(t.handedOut))
	for i := range n {
		x := &t.handedOut[i]
		if x.Kind == MissingSerials {
			lost = t.lostHole(lost, x)
		} else if t.lostEvent(x) {
			lost = append(lost, x.Gap)
		}
	}
	t.handedOut = slices.Delete(t.handedOut, 0, n)
	lost, t.unsought = append(lost, t.unsought...), nil

	for _, x := range lost {
		if x.Stopped {
			t.counts.Stopped += x.Events()
		} else {
			t.counts.Lost += x.Events()
		}
	}
	return lost
}

func (t *Tracker) lostHole(lost []Gap, x *reported) []Gap {
	n := x.node
	if x.epoch != n.epoch { // its serials are no longer known
		if x.filled < x.Missing {
			x.Missing -= x.filled
			lost = append(lost, x.Gap)
		}
		return lost
	}
	inside := uint32(0)
	n.missing(x.First, x.Last, func(first, last uint32) {
		if n.window.holds(first) {
			inside += last - first + 1
		}
	})
	n.missing(x.First, x.Last, func(first, last uint32) {
		l := x.Gap
		l.First, l.Last, l.Missing = first, last, last-first+1
		if !n.window.holds(first) { // what lies outside of the window was only counted; between holes that were joined others have come
			l.Missing = min(l.Missing-min(x.filled, l.Missing), x.Missing-min(x.filled+inside, x.Missing))
		}
		if l.Missing > 0 {
			lost = append(lost, l)
		}
	})
	n.window.markRun(x.First, x.Last)
	return lost
}

// lostEvent reports whether a damaged event is damaged still, and forgets it.
func (t *Tracker) lostEvent(x *reported) bool {
	e := x.node.findOpen(x.First, x.Millis)
	if e == nil || !e.reported {
		return false
	}
	n := e.node
	missed, lost := e.lacks()&n.usual.expected, e.isLost()
	t.closeEvent(e)
	if missed&certain == 0 {
		// What was only expected by the rule and is not in the log was excluded.
		n.usual.forget(missed)
	}
	return lost
}

// fillFar counts a serial that was given from the log and lies outside of the
// window: it fills a hole longer than that.
func (t *Tracker) fillFar(n *node, serial uint32) {
	for i := range t.handedOut {
		x := &t.handedOut[i]
		if x.node != n || x.Kind != MissingSerials || serial-x.First > x.Last-x.First || slices.Contains(x.recent[:], serial) {
			continue
		}
		x.recent[x.filled%uint32(len(x.recent))] = serial
		x.filled++
		t.counts.Filled++
		return
	}
}
