package integrity

import (
	"cmp"
	"slices"
	"time"

	"audisp-relay/audit/record"
)

// ahead marks serials in front of the window that only lines of the log have
// shown: a forged line of the log must not move the window. When the stream has
// passed them they count as seen.
type ahead struct {
	marks window // by its bits alone
	n     int
	top   uint32 // the highest one
}

// mark marks serial and reports whether it was not.
func (a *ahead) mark(serial uint32) bool {
	if a.marks.seen(serial) {
		return false
	}
	a.marks.mark(serial)
	if a.n == 0 || int32(serial-a.top) > 0 {
		a.top = serial
	}
	a.n++
	return true
}

// clear forgets all serials.
func (a *ahead) clear() {
	if a.n > 0 {
		a.marks.clear()
		a.n = 0
	}
}

// has reports whether serial is marked.
func (a *ahead) has(serial uint32) bool { return a.n > 0 && a.marks.seen(serial) }

// move copies the marks of first to last to w, which has come that far.
func (a *ahead) move(w *window, first, last uint32) {
	for left := last - first + 1; left > 0 && a.n > 0; {
		k, marked := a.marks.run(first, left)
		if marked {
			for s := first; s != first+k; s++ {
				w.mark(s)
			}
			a.marks.unmarkRun(first, first+k-1)
			a.n -= int(k)
		}
		first += k
		left -= k
	}
}

// runs returns the marked serials after high.
func (a *ahead) runs(high uint32) (list []Run) {
	for s := high + 1; a.n > 0 && int32(a.top-s) >= 0 && len(list) < maxRuns; {
		k, marked := a.marks.run(s, a.top-s+1)
		if marked {
			list = append(list, Run{First: s, Last: s + k - 1})
		}
		s += k
	}
	return list
}

// restore marks the runs that a State has.
func (a *ahead) restore(high uint32, list []Run) {
	for _, r := range list[:min(len(list), maxRuns)] {
		if r.First-high-1 >= windowSize || r.Last-high-1 >= windowSize {
			continue
		}
		for s := r.First; int32(r.Last-s) >= 0; s++ {
			a.mark(s)
		}
	}
}

// logged takes in the serial of a line that the stream has not brought.
func (n *node) logged(t *Tracker, r *record.Record, at time.Duration) arrival {
	if !n.started {
		return n.gather(t, r, at)
	}

	w := &n.window
	d := int32(r.Serial - w.high)
	switch {
	case d <= -windowSize && r.Millis < n.newest:
		t.fillFar(n, r.Serial)
		return ignored
	case d > windowSize || d <= -windowSize:
		return n.resync(t, r, at, &n.logOutliers)
	case d > 0:
		n.logOutliers.n = 0
		if n.stopping != runs {
			n.logStop(r, at)
		}
		if !n.ahead.mark(r.Serial) {
			return known
		}
		n.follow(t, r, at)
		return fresh
	case w.seen(r.Serial):
		n.logOutliers.n = 0
		return known
	case d < -record.RebootSerials && r.Millis > n.newest+record.RebootMillis:
		return n.resync(t, r, at, &n.logOutliers)
	}
	n.logOutliers.n = 0
	w.mark(r.Serial)
	n.countLate(t, r)
	return fresh
}

// follow moves the window after a log that is far ahead of the stream, as after a long time in which only the log had
// records. No forger writes that many serials.
func (n *node) follow(t *Tracker, r *record.Record, at time.Duration) {
	const step = windowSize / 4
	if n.ahead.n > step && r.Serial-n.window.high > 2*step {
		n.moveTo(t, n.window.high+step, at, n.before(r))
		n.newest = n.latest.Add(r.Millis, 1)
	}
}

// moveTo moves the window on to serial. What was not seen of the serials on the
// way, serial among them, is a gap.
func (n *node) moveTo(t *Tracker, serial uint32, at time.Duration, millis int64) {
	w := &n.window
	if serial < w.high {
		t.counts.Wraps++
	}
	first := w.high + 1
	n.closeBefore(t, serial-windowSize+1)
	w.advance(serial)
	n.ahead.move(w, first, serial)
	n.addGaps(t, gap{first, serial, at, millis, false})
}

// gather collects serials of a node that the stream has not shown yet. Enough of them
// begin its window.
func (n *node) gather(t *Tracker, r *record.Record, at time.Duration) arrival {
	s := &n.logOutliers
	if slices.Contains(s.serials[:s.n], r.Serial) {
		return known
	}
	s.serials[s.n] = r.Serial
	if s.n++; s.n < outliersEnough {
		return fresh
	}
	s.n = 0
	near := cluster(s.serials[:])
	if len(near) < outliersEnough/2 {
		return fresh
	}
	low, high := near[0], near[len(near)-1]
	n.begin(r)
	n.first = low
	n.restart(t, low, high, at, r.Millis, near)
	return fresh
}

// adopt makes what was gathered from the log part of the window that the stream's
// first record r has begun.
func (n *node) adopt(t *Tracker, r *record.Record, at time.Duration, gathered []uint32) {
	const few, far = 4, 4096
	near := cluster(gathered)
	if len(near) < few {
		return
	}
	low := near[0]
	for _, s := range near {
		switch d := int32(s - r.Serial); {
		case d > far || d < -far:
			return
		case d > 0:
			n.ahead.mark(s)
		default:
			n.window.mark(s)
		}
	}

	if d := int32(r.Serial - low); d > 0 {
		n.first = low
		n.addGap(t, gap{low, r.Serial - 1, at, r.Millis, false})
	}
}

// cluster sorts serials and returns those about the middle one that lie near
// each other.
func cluster(serials []uint32) []uint32 {
	const near = 64
	if len(serials) == 0 {
		return nil
	}
	origin := serials[0]
	slices.SortFunc(serials, func(a, b uint32) int { return cmp.Compare(int32(a-origin), int32(b-origin)) })
	low, high := len(serials)/2, len(serials)/2
	for low > 0 && serials[low]-serials[low-1] <= near {
		low--
	}
	for high < len(serials)-1 && serials[high+1]-serials[high] <= near {
		high++
	}
	return serials[low : high+1]
}

// Confirm takes in record i of the stream, whose line of the log the consumers were
// given before: the window moves with the stream.
func (t *Tracker) Confirm(b *record.Batch, i int, now time.Time) {
	r := &b.Recs[i]
	if !counts(r) {
		return
	}
	t.turn++
	at := t.since(now)
	n := t.nodeFor(b, i, at)
	if n == nil {
		return
	}
	n.used = t.turn
	if e := n.last; e != nil && e.serial == r.Serial && r.Serial == n.window.high {
		return
	}
	n.observeSerial(t, r, at)
}

// ObserveConfirmed takes in lines of the log that the stream has brought as
// well: their serials count as the stream's.
func (t *Tracker) ObserveConfirmed(b *record.Batch, now time.Time) {
	t.confirmed = true
	t.Observe(b, now)
	t.confirmed = false
}

// Missing reports whether the serial of line i of the log is one that the stream
// has not shown so far.
func (t *Tracker) Missing(b *record.Batch, i int) bool {
	n := t.nodes[string(b.Node(i))]
	if n == nil || !n.started {
		return true
	}
	serial := b.Recs[i].Serial
	switch {
	case n.window.holds(serial):
		return !n.window.seen(serial)
	case serial-n.window.high <= windowSize:
		return true
	}
	for k := range t.handedOut {
		if x := &t.handedOut[k]; x.node == n && x.Kind == MissingSerials && serial-x.First <= x.Last-x.First {
			return true
		}
	}
	return false
}
