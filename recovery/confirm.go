package recovery

import (
	"math/bits"
	"slices"
	"time"

	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
)

// The second line of defence against lines that no kernel made. While the log
// leads its lines wait until the stream brings them. What the stream has passed
// without them is given if it can be a loss of the stream's: see overtaken. Where only
// the log speaks (at a start, at the end, and where the stream is silent) a line is
// given that fits those beside it: see unheard. The rest is counted.

const (
	// aheadTime is how long a line that the stream has passed may hold up those after
	// it, while no serial far enough above its own has come.
	aheadTime = time.Second
	// silentTime is how long a stream must have been silent before the log alone
	// is believed.
	silentTime = 2 * time.Second
	// outOfOrder is how many serials later than others an event may come.
	outOfOrder = 64
	// oneEvent is within how many lines of the log the records of an event stand.
	oneEvent = 1024
	// lookAhead is how many lines after one are looked at to judge it.
	lookAhead = 256
)

// fate is what is to become of a line.
type fate uint8

const (
	undecided fate = iota
	toGive
	toLeave
)

// meet takes in that the stream has brought line n. It reports false when a line
// in front of it cannot be judged yet.
func (f *Merger) meet(h *record.Batch, i int, n uint64, now time.Time, force bool) bool {
	var e *witnessed
	if h.Recs[i].HasID() {
		e = f.witness.settle(h, i)
	}
	given := n < f.pending.ready
	if !given && !f.overtake(n, now, force) {
		return false
	}

	e.done()
	f.awaited.meet(n, now)
	if given {
		f.tracker.Confirm(h, i, now)
		return true
	}
	f.pending.ready = n + 1
	if e != nil {
		e.line = n
	}
	return true
}

// decide judges the lines below n, up to the first that cannot be judged yet. It reports
// false when there is one.
func (f *Merger) decide(n uint64, now time.Time, judge func(n uint64) fate) bool {
	for p := &f.pending; p.ready < n; p.ready++ {
		fate := judge(p.ready)
		if fate == undecided {
			return false
		}
		f.judged(p.ready, fate, now)
	}
	return true
}

// passed judges the lines below n, which the stream is past, as far as that is known:
// records of the same event that have arrived and wait may be theirs. At the end nothing more comes.
func (f *Merger) passed(n uint64, now time.Time) {
	f.decide(n, now, func(n uint64) fate {
		run, i := f.pending.at(n)
		if e := f.witness.find(&run.Batch, i); e != nil && e.held > 0 {
			return undecided
		}
		return f.overtaken(n, f.ended)
	})
}

// overtake judges the lines before line n, which the stream has brought. Unless force is
// set, one that the stream may still bring stops it for a while.
func (f *Merger) overtake(n uint64, now time.Time, force bool) bool {
	return f.decide(n, now, func(n uint64) fate {
		fate := f.overtaken(n, false)
		if fate == undecided {
			wait := !force && !f.ended && f.heldSize < f.o.MaxHeld/2 && (f.o.Static || now.Sub(f.awaited.line(n).at) < aheadTime)
			if !wait {
				fate = f.overtaken(n, true)
			}
		}
		return fate
	})
}

// overtakeEvent judges the lines up to the last one of r's event, whose EOE record
// has come.
func (f *Merger) overtakeEvent(r *record.Record, now time.Time) {
	const look = 32
	p := &f.pending
	last := uint64(0)
	for n := p.ready; n < min(f.awaited.end(), p.ready+look); n++ {
		if id := &f.awaited.line(n).id; id.Serial == r.Serial && id.Millis == r.Millis {
			last = n + 1
		}
	}
	f.passed(last, now)
}

// judged notes what is to become of line n.
func (f *Merger) judged(n uint64, fate fate, now time.Time) {
	l := f.awaited.line(n)
	run, i := f.pending.at(n)
	f.lastFate = fate
	if fate == toLeave {
		l.lineState |= isForeign
		f.awaited.forget(n)
		// What stands in front of all positions the run before has judged.
		if auditds(&run.Batch, i) && !run.place.At(&run.Batch, i).Less(f.resumedAt) {
			f.noteForeign(&run.Batch, i, now)
		}
		return
	}

	r := &run.Recs[i]
	switch {
	case !r.HasID():
	case record.OfDaemon(r.Type):
		f.witness.noteDaemon(r.Serial)
	default:
		if e := f.witness.find(&run.Batch, i); e == nil || (e.types&byStream == 0 && e.millis != r.Millis) {
			f.witness.noteLog(&run.Batch, i, l.dist)
		}
	}
}

// byItself judges a line by what it is and by its event, and reports whether that settles
// it. alone: there is no stream that it should have been in.
func (f *Merger) byItself(n uint64, alone bool) (fate fate, final bool) {
	l := f.awaited.line(n)
	run, i := f.pending.at(n)
	r := &run.Recs[i]
	switch {
	case l.lineState&isCont != 0:
		return f.lastFate, true
	case l.lineState&isSuspect != 0, !r.HasID(), r.Type == record.TypeEOE: // auditd logs no EOE
		return toLeave, true
	case record.OfDaemon(r.Type):
		return giveIf(f.witness.daemonLine(r, alone, l.lineState&isResumed != 0)), true
	}
	fate = f.byEvent(n, l, run, i)
	return fate, fate != undecided
}

// overtaken judges a line that the stream has passed without bringing it. Until it is
// late the stream may bring another event of its serial.
func (f *Merger) overtaken(n uint64, late bool) fate {
	fate, final := f.byItself(n, false)
	if final {
		return fate
	}

	l := f.awaited.line(n)
	run, i := f.pending.at(n)
	r := &run.Recs[i]
	w := &f.witness
	switch {
	case w.multi || !w.any:
		return toGive
	case l.lineState&isNewer != 0 && f.dist(n) > nearSerials, l.dist == unknownDist && f.isAhead(n):
		return toLeave // of the time to come
	case int32(r.Serial-w.top) > 0 && late:
		return toLeave // if the stream lacks it the hole shows, and the log is searched for it
	case int32(r.Serial-w.top) > -outOfOrder && !late && !f.wanted(&run.Batch, i):
		return undecided
	case int32(r.Serial-w.low) >= 0 && w.top-r.Serial < witnessSize:
		return toGive
	}
	return giveIf(f.tracker.Missing(&run.Batch, i))
}

// wanted reports whether a line may belong to an event that has been missing for long.
func (f *Merger) wanted(b *record.Batch, i int) bool {
	return slices.ContainsFunc(f.holes, func(t integrity.Gap) bool { return t.Covers(b, i) })
}

func giveIf(ok bool) fate {
	if ok {
		return toGive
	}
	return toLeave
}

// byEvent judges a line by what is known of the event that it says it is of: one that the
// stream has brought can lack a record, but none of a type that comes once and has come;
// no other event has its serial.
func (f *Merger) byEvent(n uint64, l *awaitedLine, run *lineRun, i int) fate {
	r := &run.Recs[i]
	e := f.witness.find(&run.Batch, i)
	switch {
	case e != nil && e.types&byStream != 0:
		if single := singleType(r.Type); e.millis != r.Millis || (e.types&single != 0 && !f.wasTruncated(e, single, &run.Batch, i)) {
			return toLeave
		}
		return giveIf(e.line == 0 || n-e.line < oneEvent || e.line-n < oneEvent)
	case e != nil && e.millis != r.Millis && f.dist(n) > max(e.dist, nearSerials):
		return toLeave
	case f.hasBetter(n, l):
		return toLeave
	}
	return undecided
}

// wasTruncated reports whether the record of that type which consumers were given of an
// event was truncated to something that looks whole, so that line i of b is to be given,
// too: the log does not have it where it has others of the event, or where the line begins
// with it. What the log has of older events is not known.
func (f *Merger) wasTruncated(e *witnessed, single witnessTypes, b *record.Batch, i int) bool {
	sum := e.sums[bits.TrailingZeros8(uint8(single))]
	if sum == 0 || f.had.matched[recentKey{e.serial, sum}] {
		return false
	}
	return f.had.matched[recentKey{serial: e.serial}] || (e.millis >= f.had.from && beginsWith(b, i, sum))
}

// hasBetter reports whether a later line that waits has the same serial, another time
// and a better place.
func (f *Merger) hasBetter(n uint64, l *awaitedLine) bool {
	if l.dist <= 1 {
		return false
	}
	for k := n + 1; k < min(f.awaited.end(), n+lookAhead); k++ {
		if o := f.awaited.line(k); o.id.Serial == l.id.Serial && o.id.Millis != l.id.Millis &&
			!record.OfDaemon(o.id.Type) && o.lineState&isSuspect == 0 && f.dist(k) < f.dist(n) {
			return true
		}
	}
	return false
}

// dist says how far the serial of a line is from those beside it in the log, on
// the side where they are nearer.
func (f *Merger) dist(n uint64) uint32 {
	l := f.awaited.line(n)
	d := l.dist
	if d <= 1 || l.far == loneFar {
		return d
	}
	after, _ := f.distAfter(n)
	return min(d, after)
}

// isAhead reports whether the serial of a line in front of which nothing is known is far above
// those of most that follow it.
func (f *Merger) isAhead(n uint64) bool {
	var buf [8]uint32
	own, after, ahead := f.awaited.line(n).id.Serial, f.serialsAfter(n, &buf), 0
	for _, serial := range after {
		if int32(own-serial) > nearSerials {
			ahead++
		}
	}
	return 2*ahead > len(after)
}

// distAfter is dist for the lines after it, and returns of how many events these are.
func (f *Merger) distAfter(n uint64) (dist uint32, events int) {
	var buf [8]uint32
	own, all := f.awaited.line(n).id.Serial, f.serialsAfter(n, &buf)
	for k, serial := range all {
		all[k] = apart(own, serial)
	}
	if len(all) == 0 {
		return unknownDist, 0
	}
	return middle(all), len(all)
}

// serialsAfter returns in buf the serials of the events after line n in the log, the next ones.
func (f *Merger) serialsAfter(n uint64, buf *[8]uint32) []uint32 {
	all := buf[:0]
	own, last := f.awaited.line(n).id.Serial, uint32(0)
	for k := n + 1; k < min(f.awaited.end(), n+lookAhead) && len(all) < len(buf); k++ {
		o := f.awaited.line(k)
		if o.id.Serial == own || o.id.Serial == last || o.id.Serial == 0 || record.OfDaemon(o.id.Type) || o.lineState&isSuspect != 0 {
			continue
		}
		last = o.id.Serial
		all = append(all, last)
	}
	return all
}

// unheard judges a line that the stream says nothing of. end: no more lines follow it.
func (f *Merger) unheard(n uint64, end bool) fate {
	fate, final := f.byItself(n, true)
	if final {
		return fate
	}

	l := f.awaited.line(n)
	run, i := f.pending.at(n)
	r := &run.Recs[i]
	w := &f.witness
	if l.dist <= nearSerials || (w.any && int32(r.Serial-w.top) <= 0 && w.top-r.Serial < witnessSize) {
		return toGive
	}

	const enough = 4
	after, events := f.distAfter(n)
	if l.far == loneFar {
		after, end = unknownDist, true
	}
	switch {
	case events >= enough || (end && events > 0):
		// An event can be recorded long before it is written.
		return giveIf(after <= nearSerials || (l.dist != unknownDist && f.highest-r.Serial < witnessSize))
	case !end:
		return undecided
	}
	if f.lastFate == toGive && n > f.awaited.base && apart(f.awaited.line(n-1).id.Serial, r.Serial) <= nearSerials {
		return toGive
	}
	return giveIf(l.dist == unknownDist && !w.any) // the only line there is
}

// believe judges the lines below n by the log alone.
func (f *Merger) believe(n uint64, end bool, now time.Time) {
	f.decide(n, now, func(n uint64) fate { return f.unheard(n, end) })
	f.giveReady(now)
}

// giveReady gives the lines that are judged.
func (f *Merger) giveReady(now time.Time) {
	p := &f.pending
	for len(p.runs) > 0 && p.runs[0].first < p.ready {
		run := &p.runs[0]
		n := int(min(p.ready-run.first, uint64(len(run.Recs))))
		for from := 0; from < n; {
			to := from + 1
			state := f.awaited.line(run.first+uint64(from)).lineState & (isMet | isForeign)
			for to < n && f.awaited.line(run.first+uint64(to)).lineState&(isMet|isForeign) == state {
				to++
			}
			if state&isForeign == 0 {
				part := lineRun{Batch: record.Batch{Buf: run.Buf, Recs: run.Recs[from:to]}, place: run.place.At(&run.Batch, from), give: run.give}
				f.giveRun(&part, state&isMet != 0, now)
			}
			from = to
		}
		if n < len(run.Recs) {
			run.place = run.place.At(&run.Batch, n)
			run.first, run.Recs = p.ready, run.Recs[n:]
			break
		}
		p.dropRun()
	}
}

// giveRun gives lines that lie together. confirmed says that the stream has brought them, too.
func (f *Merger) giveRun(run *lineRun, confirmed bool, now time.Time) {
	b := &run.Batch
	f.recent.add(b)
	if confirmed {
		f.tracker.ObserveConfirmed(b, now)
	} else {
		f.tracker.Observe(b, now) // a line of the log never counts as truncated
		for i := range b.Recs {
			switch r := &b.Recs[i]; {
			case !r.HasID():
			case !record.OfDaemon(r.Type):
				f.highest = r.Serial
			case logOnly(r.Type) && run.give == nil:
				f.count.LogOnly++
			}
		}
	}

	if run.give != nil {
		run.give(b, run.place)
	} else {
		f.o.Out.Put(b)
	}
}

// dropPending leaves the lines that wait: the log is read from further back, or
// not any more.
func (f *Merger) dropPending() {
	for n := f.pending.ready; n < f.awaited.end(); n++ {
		f.awaited.forget(n)
	}
	f.pending.ready = f.awaited.end()
	for len(f.pending.runs) > 0 {
		f.pending.dropRun()
	}
	f.suspect = 0
}
