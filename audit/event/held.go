package event

import (
	"time"
	"unsafe"

	"audisp-relay/audit/record"
)

// recordSize is what a Record takes beside the bytes it describes.
const recordSize = int(unsafe.Sizeof(record.Record{}))

// pendingEvent is an event that did not come in one piece, or is not complete at the end
// of a batch.
type pendingEvent struct {
	eventState
	last  uint64        // number of its last record
	heard time.Duration // when that came
	batch record.Batch  // its records from earlier batches, copied
	here  []record.Record
	// here are its records in the batch that is being added, whose bytes lie there.

	chain  *pendingEvent // next in its bucket
	titles *pendingEvent // next in its bucket of titled ones
	links  [2]eventLinks
	in     *eventList // quiet, titled or soon: where it waits, in the order of last
}

type eventLinks struct{ prev, next *pendingEvent }

// Which list of those that an event is in.
const (
	inFirst = iota // all of them, in the order of their first records
	inHeard        // those that wait for the same, in the order of their last records
)

type eventList struct{ head, tail *pendingEvent }

// insert puts e after those whose last records came before its own: nearly always at
// the end.
func (l *eventList) insert(e *pendingEvent) {
	before := l.tail
	for before != nil && before.last > e.last {
		before = before.links[inHeard].prev
	}
	l.insertAfter(before, e, inHeard)
}

// insertAfter puts e after another, nil for the beginning.
func (l *eventList) insertAfter(before, e *pendingEvent, in int) {
	prevs, nexts := &l.head, &l.tail
	if before != nil {
		prevs = &before.links[in].next
	}
	next := *prevs
	if next != nil {
		nexts = &next.links[in].prev
	}
	e.links[in] = eventLinks{prev: before, next: next}
	*prevs, *nexts = e, e
}

func (l *eventList) remove(e *pendingEvent, in int) {
	x, prevs, nexts := e.links[in], &l.head, &l.tail
	if x.prev != nil {
		prevs = &x.prev.links[in].next
	}
	if x.next != nil {
		nexts = &x.next.links[in].prev
	}
	*prevs, *nexts = x.next, x.prev
}

const (
	heldBuckets  = 1024
	titleBuckets = 256

	// maxSpare is how many bytes of buffers are kept for events to come.
	maxSpare = 4 << 20
)

// pendingEvents are all events that are held.
type pendingEvents struct {
	open   int
	bytes  int // of their records, and of what describes them
	all    eventList
	quiet  eventList // have no PROCTITLE
	titled eventList // have one, and are complete when anything else comes from their node
	soon   eventList // have one and may get more, or may be whole without: both wait briefly
	byKey  [heldBuckets]*pendingEvent
	byNode [titleBuckets]*pendingEvent // titled ones, of each node one at most

	touched []*pendingEvent // have records in the batch that is being added
	spare   *pendingEvent   // chained, to be used again
	spares  int             // bytes of their buffers
}

// suspend holds cur, which ends in front of in.Recs[end].
func (a *Assembler) suspend(end int) *pendingEvent {
	e := a.spare
	if e != nil {
		a.spare, e.chain = e.chain, nil
		a.spares -= e.size()
	} else {
		e = new(pendingEvent)
	}

	e.eventState = a.cur
	e.last, e.heard = a.turn+uint64(end)-1, a.now
	e.here = append(e.here, a.in.Recs[a.begin:end]...)
	a.touched = append(a.touched, e)
	a.open++
	a.bytes += e.cost()
	a.all.insertAfter(a.all.tail, e, inFirst)
	if !e.standalone {
		bucket := &a.byKey[e.hash%heldBuckets]
		e.chain, *bucket = *bucket, e
	}
	a.addPending(e)
	a.live, a.fast = false, false
	return e
}

// cost is what e counts towards MaxBytes.
func (e *pendingEvent) cost() int { return e.eventState.bytes + e.recs*recordSize }

// size is what e's buffers take.
func (e *pendingEvent) size() int {
	return cap(e.batch.Buf) + (cap(e.batch.Recs)+cap(e.here))*recordSize
}

// addPending puts e among those that wait for the same as it does.
func (a *Assembler) addPending(e *pendingEvent) {
	a.removePending(e)
	e.in = a.listOf(e)
	if e.in == &a.titled {
		bucket := &a.byNode[e.node%titleBuckets]
		e.titles, *bucket = *bucket, e
	}
	e.in.insert(e)
}

// listOf returns the list that e belongs to.
func (a *Assembler) listOf(e *pendingEvent) *eventList {
	switch {
	case e.hasProctitle && !e.lasts && !e.user:
		return &a.titled
	case e.hasProctitle, e.user && !e.call && !e.standalone:
		return &a.soon
	}
	return &a.quiet
}

// removePending takes e out of those that wait.
func (a *Assembler) removePending(e *pendingEvent) {
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

// pendingWithTitle returns the event of that node that has its PROCTITLE.
func (a *Assembler) pendingWithTitle(node uint64) *pendingEvent {
	if a.titled.head == nil {
		return nil
	}
	e := a.byNode[node%titleBuckets]
	for e != nil && e.node != node {
		e = e.titles
	}
	return e
}

// findPending returns the event with that key.
func (a *Assembler) findPending(k key) *pendingEvent {
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
func (a *Assembler) holdRecord(e *pendingEvent, i int) {
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
