package queue

import (
	"audisp-relay/audit/record"
	"audisp-relay/state"
)

// Position says how far a consumer has got. Records that Shutdown counted as lost are not
// before it.
type Position = state.Position

// knownID is the identity of a record in audit.log, where one is known.
type knownID struct {
	id record.ID
	ok bool
}

// before returns the position at a number, k being the last record before it.
func (k knownID) before(number uint64) Position {
	return Position{Number: number, ID: k.id, HasID: k.ok}
}

// resumption is what the next run needs to find its place in audit.log.
type resumption struct {
	first  knownID  // the first loggable record put in; not needed once there is a last one
	last   knownID  // the last loggable record before the first block, or in what was unloaded of it
	passed struct { // the last loggable record that was skipped
		knownID
		at uint64 // tail then
	}
}

// passOver notes that records were skipped, up to id.
func (q *Queue) passOver(id knownID) {
	if id.ok && !q.closed {
		q.ids.passed.knownID, q.ids.passed.at = id, q.tail
	}
}

// lastID returns the identity of the last loggable record of b.
func lastID(b *record.Batch) knownID {
	for i := len(b.Recs) - 1; i >= 0; i-- {
		if b.Recs[i].Loggable() {
			return knownID{b.ID(i), true}
		}
	}
	return knownID{}
}

// remember keeps the identity of the last loggable record of blk before number pos.
func (q *Queue) remember(blk *block, pos uint64) {
	var id knownID
	if blk.recs != nil {
		id = lastID(&record.Batch{Buf: blk.data, Recs: blk.recs[:pos-blk.first]})
	} else if pos == blk.end {
		id = blk.id
	}
	if id.ok {
		q.ids.last = id
	}
}

// Position returns how far all cursors have got.
func (q *Queue) Position() Position {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		return q.final
	}
	return q.position()
}

func (q *Queue) position() Position {
	if len(q.blocks) > 0 && q.blocks[0].recs != nil && q.blocks[0].first < q.head {
		q.remember(q.blocks[0], q.head)
	}
	switch ids := &q.ids; {
	case ids.passed.ok && ids.passed.at == q.head:
		return ids.passed.before(q.head)
	case !ids.last.ok && ids.first.ok:
		p := ids.first.before(q.head)
		p.First = true
		return p
	}
	return q.ids.last.before(q.head)
}

// noteFirst keeps the identity of the first record that a queue without a
// position is given.
func (q *Queue) noteFirst(b *record.Batch) {
	if q.ids.last.ok || q.ids.first.ok {
		return
	}
	for i := range b.Recs {
		if b.Recs[i].Loggable() {
			q.ids.first = knownID{b.ID(i), true}
			return
		}
	}
}

// ResumeAt returns the position in audit.log from which on the queue is to be given records
// before it is given new ones: after what the spool has, otherwise the saved one, and the
// floor where the consumer may lack records after that.
func (q *Queue) ResumeAt() Position { return q.resume }

// Begin returns the number of the first record that was put in. All before it were delivered or stored when the queue
// was made.
func (q *Queue) Begin() uint64 { return q.begin }

// Passed says that records delivered elsewhere belong at this place in the stream, up to the record of that identity.
// That is the position once all that is held now is delivered.
func (q *Queue) Passed(id record.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.passOver(knownID{id, true})
}
