package event

import (
	"time"

	"audisp-relay/audit/record"
)

// giveCur gives cur, which ends in front of in.Recs[end]. All that is held began
// before it.
func (a *Assembler) giveCur(end int, why cause) {
	recs := a.in.Recs[a.begin:end]
	a.mark(&a.cur, recs, a.open > 0, why)
	a.live, a.fast = false, false
	if len(a.run) > 0 || (a.from < a.to && a.to != a.begin) {
		a.copyRun(recs)
		return
	}
	if a.from == a.to {
		a.from = a.begin
	}
	a.to = end
}

// give gives an event that is held.
func (a *Assembler) give(e *pendingEvent, why cause) {
	other := a.all.head
	if other == e {
		other = e.links[inFirst].next
	}
	late := other != nil && other.first < e.last
	if len(e.batch.Recs) == 0 {
		a.mark(&e.eventState, e.here, late, why)
		a.copyRun(e.here)
	} else {
		e.copyFrom(a.in)
		a.mark(&e.eventState, e.batch.Recs, late, why)
		a.send()
		a.o.Out(&e.batch)
	}
	a.drop(e)
}

// mark counts an event that is given and sets the flags of its records.
func (a *Assembler) mark(d *eventState, recs []record.Record, late bool, why cause) {
	recs[len(recs)-1].Flags |= a.counts.count(d.partialCause(why))
	if late {
		for i := range recs {
			recs[i].Flags |= record.Late
		}
	}
	if !d.standalone {
		a.recent.add(d.key, d.isSolo())
	}
}

// copyRun adds an event to those that are to be given.
func (a *Assembler) copyRun(recs []record.Record) {
	if a.from < a.to {
		a.run = append(a.run, a.in.Recs[a.from:a.to]...)
		a.from, a.to = 0, 0
	}
	a.run = append(a.run, recs...)
}

// send hands the events on that lie in the batch that is being added.
func (a *Assembler) send() {
	recs := a.run
	if a.from < a.to {
		recs = a.in.Recs[a.from:a.to:a.to]
	}
	a.run = a.run[:0]
	a.from, a.to = 0, 0
	if len(recs) > 0 {
		a.out = record.Batch{Buf: a.in.Buf, Recs: recs}
		a.o.Out(&a.out)
		a.out = record.Batch{}
	}
}

// copyFrom copies what e has in b, which may be nil if that is nothing.
func (e *pendingEvent) copyFrom(b *record.Batch) {
	if len(e.here) == 0 {
		return
	}
	appendCopy(&e.batch, b.Buf, e.here)
	e.here = e.here[:0]
}

// appendCopy appends records whose bytes lie in buf to b, with their bytes.
func appendCopy(b *record.Batch, buf []byte, recs []record.Record) {
	for _, r := range recs {
		text := buf[r.Off : r.Off+r.Len]
		r.Off = uint32(len(b.Buf))
		b.Buf = append(b.Buf, text...)
		b.Recs = append(b.Recs, r)
	}
}

// drop ends the holding of an event that was given.
func (a *Assembler) drop(e *pendingEvent) {
	if a.at == e {
		a.at, a.line = nil, false
	}
	a.open--
	a.bytes -= e.cost()
	a.all.remove(e, inFirst)
	a.removePending(e)
	if !e.standalone {
		at := &a.byKey[e.hash%heldBuckets]
		for *at != e {
			at = &(*at).chain
		}
		*at = e.chain
	}

	e.batch.Buf, e.batch.Recs, e.here = e.batch.Buf[:0], e.batch.Recs[:0], e.here[:0]
	if size := e.size(); a.spares+size <= maxSpare {
		*e = pendingEvent{batch: e.batch, here: e.here, chain: a.spare}
		a.spare = e
		a.spares += size
	}
}

// makeRoom gives the oldest events while too much is held. One that may be whole
// as it is and has waited for a while counts as such: thousands of records a second
// that come alone, a flood of AVC say, are not partial events.
func (a *Assembler) makeRoom() {
	for a.open > a.o.MaxEvents || a.bytes > a.o.MaxBytes {
		e, why := a.all.head, byLimit
		if e.isSolo() || (!e.call && !e.standalone && a.now-e.heard >= titleWait) {
			why = complete
		}
		a.give(e, why)
	}
}

// nextDue returns the event that has waited long enough first, and until when it
// waits. Of two the one goes first whose last record came first.
func (a *Assembler) nextDue(timeout time.Duration) (e *pendingEvent, due time.Duration) {
	if e = a.quiet.head; e != nil {
		due = e.heard + timeout
	}
	for _, l := range [2]*eventList{&a.titled, &a.soon} {
		if x := l.head; x != nil {
			if at := x.heard + min(titleWait, timeout); e == nil || at < due || (at == due && x.last < e.last) {
				e, due = x, at
			}
		}
	}
	return e, due
}

// nextLast returns the event whose last record came before those of all others.
func (a *Assembler) nextLast() (e *pendingEvent) {
	for _, l := range [3]*eventList{&a.quiet, &a.titled, &a.soon} {
		if x := l.head; x != nil && (e == nil || x.last < e.last) {
			e = x
		}
	}
	return e
}
