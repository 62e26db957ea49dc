package queue

import "audisp-relay/audit/record"

// maxCheckpoint is how much room in memory a checkpoint wants; one has some 600 bytes.
const maxCheckpoint = 4 << 10

// PutCheckpoint puts a record of type DAEMON_CONFIG (AUDIT_DAEMON_CONFIG of audit-records.h) into
// the stream after all that has been taken so far, signed as markers are. text appends what it
// says, without newline; number is how many records, markers and checkpoints are in the stream
// before it, over restarts. Like a marker it counts in no sum.
//
// It never takes room from records: without room, and as long as the checkpoint before was not
// delivered, it does nothing and returns false; with last, which ends a run, it does not look at
// that one. It may be called from anywhere; text must not call the queue.
func (q *Queue) PutCheckpoint(last bool, text func(dst []byte, number uint64) []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	waits := q.ckpt.there && q.ckpt.at >= q.head && !last
	full := q.fresh.recs >= q.cfg.Depth || q.fresh.bytes+maxCheckpoint > q.cfg.Bytes
	if q.closed || q.openLine || q.suspended || q.idle() || waits || full {
		return false
	}

	if q.markers.pending {
		q.emitMarkers()
	}
	b := &q.markers.batch
	b.Buf, b.Recs = b.Buf[:0], b.Recs[:0]
	q.ckpt.there, q.ckpt.at = true, q.tail
	q.markers.addOwn(b, record.TypeDaemonConfig, "DAEMON_CONFIG", func(dst []byte) []byte { return text(dst, q.tail) })

	q.copy(b, 0, 1)
	q.wake()
	if q.spiller != nil && q.nextToStore() != nil {
		q.spiller.wake()
	}
	return true
}
