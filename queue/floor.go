package queue

import (
	"slices"
	"time"

	"audisp-relay/audit/record"
)

const (
	// markEvery is how far apart the marks are that a consumer can be put back to.
	markEvery = 20 * time.Millisecond
	maxMarks  = 256
	maxHolds  = 64
)

// A floor is a Position that a consumer has passed although records after it may be
// missing: the next run has to resume there, and repeat what lies between, unless
// audit.log has brought what was missing meanwhile.

// mark is a position, and by when all records before it had come.
type mark struct {
	Position
	at time.Time
}

// hold keeps the floor down until what was missing is delivered, or stored: what the spool
// has the next run begins with. A consumer that takes nothing would otherwise get all
// that came since its oldest floor once more with every end of the relay.
type hold struct {
	floor Position
	until uint64 // number after the last record that was missing
	open  bool   // they are not all put in yet
	// fromStart: the floor is one of the run before. Until records that follow it in audit.log
	// are put in, the position is still beyond what that run has lacked.
	fromStart bool
}

// floors is what a queue has to know so that a restart never makes its consumer skip what it lacks.
type floors struct {
	marks     []mark // oldest first
	marked    time.Time
	every     time.Duration
	put       time.Time // when the last records were put in, but for those of a resumption
	late      bool      // the next records that are put in are what was missing
	afterLate bool      // the last ones were
	holds     []hold    // in the order of their floors' numbers
}

// holdFromStart keeps the floor that the run before has left, unless the records that
// follow it are among those that the queue began with.
func (q *Queue) holdFromStart(floor *Position) {
	if floor != nil && floor.Number < q.begin {
		q.resume = *floor
		if floor.First {
			q.ids.first = knownID{floor.ID, floor.HasID}
		}
		q.floors.holds = []hold{{floor: *floor, open: true, fromStart: true}}
	}
}

// noteResumed is called when records are put in or skipped. Once the first of them that is in audit.log has come, the
// position tells as much as the floor of the previous run did.
func (q *Queue) noteResumed(b *record.Batch) {
	if h := q.floors.holds; len(h) > 0 && h[0].fromStart && h[0].open && !q.closed && lastID(b).ok {
		h[0].open, h[0].until = false, q.tail
	}
}

// Mark remembers the present end of the queue as a position to go back to. It is called before records that have come
// by now are put in or skipped, except for those that audit.log gives at the start: up to the last of those nothing is
// missing, even if what comes meanwhile is in doubt.
func (q *Queue) Mark(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := &q.floors
	if !f.late && now.Sub(f.marked) >= f.every {
		f.marked = now
		q.mark()
	}
	f.put, f.afterLate, f.late = now, f.late, false
}

func (q *Queue) mark() {
	f := &q.floors
	m := mark{q.tailID().before(q.tail), f.put}
	k := len(f.marks)
	if k > 0 && m.Position == f.marks[k-1].Position {
		return // the older one says the same
	}
	if k == maxMarks {
		// What is in doubt for long may cost a little more to repeat.
		k = 0
		for i := range f.marks {
			if i%2 == 0 || i > maxMarks/2 {
				f.marks[k] = f.marks[i]
				k++
			}
		}
		f.marks = f.marks[:k]
	}
	f.marks = append(f.marks, m)
}

// tailID returns the identity of the last loggable record that was put in or
// skipped, or of an earlier one: only the latest blocks are looked at.
func (q *Queue) tailID() knownID {
	if h := q.floors.holds; len(h) > 0 && h[0].fromStart && h[0].open {
		return knownID{h[0].floor.ID, h[0].floor.HasID && !h[0].floor.First} // what the run before lacked is not put in yet
	}
	if q.ids.passed.ok && q.ids.passed.at == q.tail {
		return q.ids.passed.knownID
	}

	n := len(q.blocks)
	for i := n - 1; i >= max(0, n-2); i-- {
		blk := q.blocks[i]
		if blk.recs == nil && blk.id.ok {
			return blk.id
		}
		if id := lastID(&record.Batch{Buf: blk.data, Recs: blk.recs}); id.ok {
			return id
		}
	}
	if k := len(q.floors.marks); n > 2 && k > 0 {
		return knownID{q.floors.marks[k-1].ID, q.floors.marks[k-1].HasID}
	}
	return q.ids.last
}

// floorAt returns the latest position such that all records before it had come by the time of the doubt.
func (q *Queue) floorAt(doubt time.Time) Position {
	marks := q.floors.marks
	k, _ := slices.BinarySearchFunc(marks, doubt, func(m mark, t time.Time) int { return m.at.Compare(t) })
	switch {
	case doubt.After(q.floors.put):
		return q.tailID().before(q.tail)
	case len(marks) > 0:
		return marks[max(k-1, 0)].Position
	}
	return q.ids.last.before(q.tail)
}

// Hold keeps the floor where it is for a doubt of that time (see Floor) until Unhold
// was called and everything that was put in before that is delivered or stored. Whoever
// puts in the records that were missing calls it first.
func (q *Queue) Hold(doubt time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := &q.floors
	f.dropPassed(q.safeNumber())
	if !f.afterLate {
		q.mark() // what was put in before is not missing
	}
	f.late = true
	floor := q.floorAt(doubt)
	if k := len(f.holds) - 1; k >= 0 && !f.holds[k].fromStart && (f.holds[k].floor.Number >= floor.Number || k+1 == maxHolds) {
		f.holds[k].open = true // its floor is the lower one, or will do
		if floor.Number < f.holds[k].floor.Number {
			f.holds[k].floor = floor
		}
		return
	}
	f.holds = append(f.holds, hold{floor: floor, open: true})
}

// Unhold says that all that Hold was called for is put in. A queue that is closed may have
// refused it: then the next run has to give it.
func (q *Queue) Unhold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	for i := range q.floors.holds {
		if h := &q.floors.holds[i]; h.open && !h.fromStart {
			h.open, h.until = false, q.tail
		}
	}
}

// Floor returns where to resume after a restart when records that arrived from doubt
// on may be missing (the zero time: none are). It is nil when the consumer lacks
// nothing before its Position. Where both are asked for, Position must be asked for
// first, and before the time of the doubt.
func (q *Queue) Floor(doubt time.Time) *Position {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := &q.floors
	f.dropPassed(q.safeNumber())
	f.dropMarks(doubt)
	var low *Position
	if !doubt.IsZero() {
		at := q.floorAt(doubt)
		low = &at
	}
	if len(f.holds) > 0 && (low == nil || f.holds[0].floor.Number < low.Number) {
		at := f.holds[0].floor
		low = &at
	}
	if first := q.ids.first; low != nil && !low.HasID && first.ok {
		low.ID, low.HasID, low.First = first.id, true, true
	}
	return low
}

// safeNumber returns the number before which all is delivered or stored, so that the end of this run costs nothing
// there.
func (q *Queue) safeNumber() uint64 {
	number := q.head
	if q.over {
		number = q.final.Number
	}
	if q.stored > 0 {
		number = max(number, q.blocks[q.stored-1].end)
	}
	return number
}

// dropPassed forgets the holds whose records all have a smaller number.
func (f *floors) dropPassed(number uint64) {
	f.holds = slices.DeleteFunc(f.holds, func(h hold) bool { return !h.open && h.until <= number })
}

// dropMarks forgets the marks that no doubt will go back to. A doubt that is not
// known yet will not be older than a moment.
func (f *floors) dropMarks(doubt time.Time) {
	const moment = 5 * time.Second
	if recent := time.Now().Add(-moment); doubt.IsZero() || recent.Before(doubt) {
		doubt = recent
	}
	k := 0
	for k+1 < len(f.marks) && !f.marks[k+1].at.After(doubt) {
		k++
	}
	f.marks = slices.Delete(f.marks, 0, k)
}
