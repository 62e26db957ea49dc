package queue

import (
	"audisp-relay/audit/record"
)

// Position says how far a consumer has got: what is to be known of it for the
// next run to go on there.
type Position struct {
	// Number: every record with a lower one is delivered, was discarded or is
	// lost and told of. Records that Shutdown counted as lost are not among them.
	Number uint64
	// ID is the identity of the last record before Number that stands in audit.log,
	// where HasID is set. It may be that of an earlier one, never of a later one.
	ID    record.ID
	HasID bool
	// First is set while there is none such before Number: then ID is that of the
	// first record there is.
	First bool
}

// loggable reports whether auditd writes such a record to audit.log, in one piece,
// and it is given in the order of that: the EOE that ends an event it does not (auditd-event.c, handle_event).
func loggable(r *record.Record) bool {
	return r.Type != record.TypeEOE && r.Flags&(record.NoID|record.Open|record.Cont|record.Late|record.Marker) == 0
}

// lastID returns the identity of the last loggable record of b.
func lastID(b *record.Batch) (id record.ID, ok bool) {
	for i := len(b.Recs) - 1; i >= 0; i-- {
		if loggable(&b.Recs[i]) {
			return b.ID(i), true
		}
	}
	return id, false
}

// remember keeps the identity of the last loggable record of blk before number pos.
func (q *Queue) remember(blk *block, pos uint64) {
	switch {
	case blk.recs != nil:
		part := record.Batch{Buf: blk.data, Recs: blk.recs[:pos-blk.first]}
		if id, ok := lastID(&part); ok {
			q.behind, q.hasBehind = id, true
		}
	case blk.hasID && pos == blk.end:
		q.behind, q.hasBehind = blk.id, true
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
	if q.filtered.ok && q.filtered.at == q.head {
		return Position{Number: q.head, ID: q.filtered.id, HasID: true}
	}
	if !q.hasBehind && q.hasFirst {
		return Position{Number: q.head, ID: q.first, HasID: true, First: true}
	}
	return Position{Number: q.head, ID: q.behind, HasID: q.hasBehind}
}

// noteFirst keeps the identity of the first record that a queue without a
// position is given.
func (q *Queue) noteFirst(b *record.Batch) {
	for i := range b.Recs {
		if loggable(&b.Recs[i]) {
			q.first, q.hasFirst = b.ID(i), true
			return
		}
	}
}

// Stored returns the identity of the last loggable record that was in the spool
// when the queue was made: what stands in audit.log behind it is not there.
func (q *Queue) Stored() (record.ID, bool) { return q.storedID, q.hasStoredID }

// Begin returns the number that the first record put in got: all before it was
// delivered or stored when the queue was made.
func (q *Queue) Begin() uint64 { return q.begin }

// Passed says that what was delivered elsewhere comes at this place in the stream, up
// to the record of that identity: a position behind what is held now is that.
func (q *Queue) Passed(id record.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.filtered.at, q.filtered.id, q.filtered.ok = q.tail, id, true
	}
}
