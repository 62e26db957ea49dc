package event

import (
	"time"
	"unsafe"

	"audisp-relay/audit/record"
)

// recordSize is what a Record takes beside the bytes it describes.
const recordSize = int(unsafe.Sizeof(record.Record{}))

// held is an event that did not come in one piece, or is not complete at the end
// of a batch.
type held struct {
	draft
	last  uint64        // number of its last record
	heard time.Duration // when that came
	batch record.Batch  // its records from earlier batches, copied
	here  []record.Record
	// here are its records in the batch that is being added, whose bytes lie there.

	chain  *held // next in its bucket
	titles *held // next in its bucket of titled ones
	links  [2]links
	in     *list // the one of those that wait in which it is, in the order of last
}

type links struct{ prev, next *held }

// Which list of those that an event is in.
const (
	inFirst = iota // all of them, in the order of their first records
	inHeard        // those that wait for the same, in the order of their last records
)

type list struct{ head, tail *held }

func (l *list) push(e *held, in int) {
	e.links[in] = links{prev: l.tail}
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.links[in].next = e
	}
	l.tail = e
}

// insert puts e behind those whose last records came before its own: nearly always at
// the end.
func (l *list) insert(e *held) {
	before := l.tail
	for before != nil && before.last > e.last {
		before = before.links[inHeard].prev
	}
	next := l.head
	if before != nil {
		next = before.links[inHeard].next
		before.links[inHeard].next = e
	} else {
		l.head = e
	}
	if next != nil {
		next.links[inHeard].prev = e
	} else {
		l.tail = e
	}
	e.links[inHeard] = links{prev: before, next: next}
}

func (l *list) remove(e *held, in int) {
	x := e.links[in]
	if x.prev == nil {
		l.head = x.next
	} else {
		x.prev.links[in].next = x.next
	}
	if x.next == nil {
		l.tail = x.prev
	} else {
		x.next.links[in].prev = x.prev
	}
}

const (
	heldBuckets  = 1024
	titleBuckets = 256

	// maxSpare is how many bytes of buffers are kept for events to come.
	maxSpare = 4 << 20
)

// heldEvents are all events that are held.
type heldEvents struct {
	open   int
	bytes  int // of their records, and of what describes them
	all    list
	quiet  list // have no PROCTITLE
	titled list // have one, and are complete when anything else comes from their node
	soon   list // have one, and are not; or have only what may be all, and waits briefly
	byKey  [heldBuckets]*held
	byNode [titleBuckets]*held // titled ones, of each node one at most

	touched []*held // have records in the batch that is being added
	spare   *held   // chained, to be used again
	spares  int     // bytes of their buffers
}

// park holds cur, which ends in front of in.Recs[end].
func (a *Assembler) park(end int) *held {
	e := a.spare
	if e != nil {
		a.spare, e.chain = e.chain, nil
		a.spares -= e.size()
	} else {
		e = new(held)
	}
	e.draft = a.cur
	e.last, e.heard = a.turn+uint64(end)-1, a.now
	e.here = append(e.here, a.in.Recs[a.begin:end]...)
	a.touched = append(a.touched, e)
	a.open++
	a.bytes += e.cost()
	a.all.push(e, inFirst)
	if !e.own {
		bucket := &a.byKey[e.hash%heldBuckets]
		e.chain, *bucket = *bucket, e
	}
	a.place(e)
	a.live, a.fast = false, false
	return e
}

// cost is what e counts towards MaxBytes.
func (e *held) cost() int { return e.draft.bytes + e.recs*recordSize }

// size is what e's buffers take.
func (e *held) size() int {
	return cap(e.batch.Buf) + (cap(e.batch.Recs)+cap(e.here))*recordSize
}

// place puts e among those that wait for the same as it does.
func (a *Assembler) place(e *held) {
	a.unplace(e)
	e.in = a.listOf(e)
	if e.in == &a.titled {
		bucket := &a.byNode[e.node%titleBuckets]
		e.titles, *bucket = *bucket, e
	}
	e.in.insert(e)
}

// listOf returns the list that e belongs to.
func (a *Assembler) listOf(e *held) *list {
	switch {
	case e.titled && !e.lasts && !e.user:
		return &a.titled
	case e.titled, e.user && !e.call && !e.own:
		return &a.soon
	}
	return &a.quiet
}

// unplace takes e out of those that wait.
func (a *Assembler) unplace(e *held) {
	switch e.in {
	case nil:
		return
	case &a.titled:
		at := &a.byNode[e.node%titleBuckets]
		for *at != e {
			at = &(*at).titles
		}
		*at = e.titles
	}
	e.in.remove(e, inHeard)
	e.in = nil
}

// titledOf returns the event of that node that has its PROCTITLE.
func (a *Assembler) titledOf(node uint64) *held {
	if a.titled.head == nil {
		return nil
	}
	e := a.byNode[node%titleBuckets]
	for e != nil && e.node != node {
		e = e.titles
	}
	return e
}

// find returns the event with that key.
func (a *Assembler) find(k key) *held {
	if a.open == 0 {
		return nil
	}
	e := a.byKey[k.hash%heldBuckets]
	for e != nil && e.key != k {
		e = e.chain
	}
	return e
}

// holdRecord holds record i with the others of e, which has counted it.
func (a *Assembler) holdRecord(e *held, i int) {
	r := &a.in.Recs[i]
	if len(e.here) == 0 {
		a.touched = append(a.touched, e)
	}
	e.here = append(e.here, *r)
	a.bytes += int(r.Len) + recordSize
	e.last, e.heard = a.turn+uint64(i), a.now
	if e.in.tail != e {
		e.in.remove(e, inHeard)
		e.in.insert(e)
	}
}
