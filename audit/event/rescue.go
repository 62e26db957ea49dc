package event

import (
	"cmp"
	"slices"

	"audisp-relay/audit/record"
)

// rescue gives all that was added and not given, after a panic over record i of the batch
// that is being added, i itself included, and begins again with nothing held. The records are
// marked as parts of events, and as late: a restart gives them again rather than not at all.
func (a *Assembler) rescue(i int, fault any) {
	b := a.in
	given := a.salvage(i)
	a.restart()
	if b != nil {
		i = min(i, len(b.Recs)-1)
	}
	if a.o.Panicked != nil {
		a.o.Panicked(b, i, fault)
	}
	for k := range given {
		a.giveParts(&given[k])
	}
}

// rescueHeld is to be deferred where no records are being added.
func (a *Assembler) rescueHeld() {
	if fault := recover(); fault != nil {
		a.rescue(0, fault)
	}
}

// restart forgets everything but what was counted.
func (a *Assembler) restart() {
	next := NewAssembler(a.o)
	next.start, next.now, next.counts, next.in, next.turn = a.start, a.now, a.counts, a.in, a.turn
	next.counts.Poison++
	*a = *next
}

// salvage returns what is held of earlier batches, and of the one that is being added record i
// and those before it that were not given, in their order. Nothing is relied on that may have been
// half done: a record that is found twice is one.
func (a *Assembler) salvage(i int) (given []record.Batch) {
	var now []record.Record
	left := a.open + 1 // the list may run in a circle
	for e := a.all.head; e != nil && left > 0; e, left = e.links[inFirst].next, left-1 {
		if len(e.batch.Recs) > 0 {
			given = append(given, e.batch)
		}
		now = append(now, e.here...)
	}

	now = append(now, a.run...)
	if a.in == nil {
		return given
	}
	recs := a.in.Recs
	if a.from < a.to {
		now = append(now, recs[a.from:a.to]...)
	}
	if a.live && a.begin < i {
		now = append(now, recs[a.begin:i]...)
	}
	if i < len(recs) {
		now = append(now, recs[i])
	}

	slices.SortFunc(now, func(x, y record.Record) int { return cmp.Compare(x.Off, y.Off) })
	now = slices.CompactFunc(now, func(x, y record.Record) bool { return x.Off == y.Off })
	if len(now) > 0 {
		given = append(given, record.Batch{Buf: a.in.Buf, Recs: now})
	}
	return given
}

// giveParts gives records as parts of events.
func (a *Assembler) giveParts(b *record.Batch) {
	for i := range b.Recs {
		r := &b.Recs[i]
		r.Flags |= record.Late
		if i+1 == len(b.Recs) || (b.Recs[i+1].Flags&record.Cont == 0 && !b.SameEvent(i, i+1)) {
			r.Flags |= record.End | record.Partial
			a.counts.Events++
		}
	}
	a.o.Out(b)
}
