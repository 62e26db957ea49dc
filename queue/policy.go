package queue

import (
	"cmp"
	"slices"
	"time"

	"audisp-relay/audit/record"
)

// Overflow says what happens besides counting when a lossy queue is full.
// The names are those of auditd.conf's overflow_action.
type Overflow string

const (
	Ignore  Overflow = "ignore"
	Syslog  Overflow = "syslog"
	Suspend Overflow = "suspend"
	Single  Overflow = "single"
	Halt    Overflow = "halt"
)

// Slow says what happens to a client whose unread records fill the queue.
type Slow string

const (
	// Disconnect ends the client that has the most to read.
	Disconnect Slow = "disconnect"
	// Drop lets it skip towards the client that is ahead of it; when none is, the
	// newest records are dropped for all.
	Drop Slow = "drop"
)

// patience is how long one Put waits for the disk in all. It is longer than a CPU
// quota of a cgroup keeps the spiller from running, and shorter than a wide pipe
// from auditd takes to fill.
const patience = time.Second

// refuse deals with the records of b from i on when the next of them does not
// fit, and returns the index of the first it has not dealt with.
func (q *Queue) refuse(b *record.Batch, i int) int {
	switch {
	case q.orphan(b, i): // the line it belongs to was dropped or discarded
		return i + 1
	case q.closed:
		return q.dropEvent(b, i, Shutdown)
	case q.suspended:
		return q.dropEvent(b, i, Suspended)
	case q.idle():
		q.openLine = false
		q.count.Discarded += received(b.Recs[i:])
		if id := lastID(&record.Batch{Buf: b.Buf, Recs: b.Recs[i:]}); id.ok {
			q.ids.last = id // the next run is not to discard it again
		}
		return len(b.Recs)
	case q.drop.covers(b, i):
		return q.dropEvent(b, i, Full)
	case q.awaitSpill():
		return i
	case q.cfg.Lossless:
		if !q.waitForLosslessRoom() {
			return q.dropEvent(b, i, Shutdown)
		}
		return i
	case q.makeRoom():
		return i
	}

	q.runOverflowAction()
	return q.dropEvent(b, i, Full)
}

// awaitSpill waits until something was stored, so that there may be room. It reports false where waiting is of no use:
// there is no spool, it is full or fails, or its disk takes too long or hangs.
func (q *Queue) awaitSpill() bool {
	p := q.spiller
	if p == nil || p.down || p.stuck || q.patience <= 0 {
		return false
	}
	ops := p.ops
	began := time.Now()
	woken := q.waitForRoom(time.After(q.patience), nil)
	took := time.Since(began)
	q.patience -= took
	q.count.SpillWaited += took
	p.stuck = !woken && p.ops == ops
	return woken
}

// waitForLosslessRoom waits, without the lock, until a cursor or the spiller has made room.
// It reports false when the queue is to end.
func (q *Queue) waitForLosslessRoom() bool {
	began := time.Now()
	q.count.StallSince = began
	woken := q.waitForRoom(nil, q.stop)
	q.count.Stalls++
	q.count.Stalled += time.Since(began)
	q.count.StallSince = time.Time{}
	return woken
}

// waitForRoom lets go of the lock until Put is to look again. It reports false when over has
// a time or stop was closed before.
func (q *Queue) waitForRoom(over <-chan time.Time, stop <-chan struct{}) (woken bool) {
	q.wake()
	select { // a token of an earlier wait that ended otherwise
	case <-q.room:
	default:
	}
	q.waiting = true
	if q.spiller != nil {
		q.spiller.wake()
	}
	q.mu.Unlock()
	defer q.mu.Lock()

	select {
	case <-q.room:
		return true
	case <-over:
	case <-stop:
	}
	return false
}

// resumePut wakes a waiting Put, which then looks again.
func (q *Queue) resumePut() {
	if q.waiting {
		q.waiting = false
		q.room <- struct{}{} // waitForRoom has emptied it
	}
}

// dropEpisode remembers the event whose records are being dropped, so that those
// that come in a later batch go the same way: a consumer gets whole events.
type dropEpisode struct {
	active bool
	rec    record.Record
	node   []byte
}

func (d *dropEpisode) covers(b *record.Batch, i int) bool {
	r := &b.Recs[i]
	return d.active && r.HasID() && d.rec.HasID() && r.Serial == d.rec.Serial && r.Millis == d.rec.Millis &&
		string(b.Node(i)) == string(d.node)
}

func (d *dropEpisode) begin(b *record.Batch, i int) {
	d.active, d.rec = true, b.Recs[i]
	d.node = append(d.node[:0], b.Node(i)...)
}

// dropEvent counts the event at i as lost, as far as it stands in one piece,
// and returns its end.
func (q *Queue) dropEvent(b *record.Batch, i int, cause Cause) int {
	end, _ := run(b, i)
	var pending *Loss
	if !q.closed {
		pending = q.pendingLoss(cause)
	}
	for k := i; k < end; k++ {
		if !counts(&b.Recs[k]) {
			continue
		}
		q.count.lose(cause, &b.Recs[k])
		if pending != nil {
			pending.add(&b.Recs[k])
		}
	}
	q.endLine()
	q.drop.begin(b, end-1)
	return end
}

// endLine ends a line whose first pieces were taken and whose next is dropped,
// so that the record after it does not run into it. The one byte may exceed the
// bounds.
func (q *Queue) endLine() {
	if !q.openLine {
		return
	}
	q.openLine = false
	q.count.Cut++
	nl := record.Batch{Buf: []byte{'\n'}, Recs: []record.Record{{Len: 1, Flags: record.Cont | record.NoID}}}
	q.copy(&nl, 0, 1)
}

// makeRoom disconnects or hurries the client that holds the queue full. It
// reports whether it gained any room.
func (q *Queue) makeRoom() bool {
	slow := q.slowest()
	if slow == nil {
		return false
	}

	before := q.head
	switch {
	case q.cfg.Slow == Disconnect && q.spiller != nil && q.evicted:
		return false // evicting one has freed no file: one at a time
	case q.cfg.Slow == Disconnect:
		q.evicted = true
		missed := q.tally(slow.pos, q.tail)
		slow.lost += q.tail - slow.pos
		q.remove(slow)
		close(slow.evicted)
		if len(q.cursors) > 0 || !q.cfg.Hold { // otherwise the next one gets it all
			q.leaveMarkers(pendingMarker{SlowClient, missed})
		}
		if q.idle() {
			q.trim(q.tail, SlowClient)
		}
	case q.cfg.Slow == Drop && q.delivered.end() > slow.pos:
		slow.skip(q.skipTo(slow.pos))
	default:
		return false
	}

	q.settle(SlowClient)
	return q.head > before || q.idle()
}

// slowest returns the cursor that has the most to read, nil when there is none.
func (q *Queue) slowest() *Cursor {
	if len(q.cursors) == 0 {
		return nil
	}
	return slices.MinFunc(q.cursors, func(a, b *Cursor) int { return cmp.Compare(a.pos, b.pos) })
}

// skipTo returns where a cursor at pos continues when it has to skip: at the
// next block, but not beyond where another cursor is, nor within a line as far as
// that can be seen.
func (q *Queue) skipTo(pos uint64) uint64 {
	to := min(q.blocks[q.index(pos)].end, q.delivered.end())
	for to < q.tail {
		i := q.index(to)
		if i == len(q.blocks) || q.blocks[i].recs == nil || to < q.blocks[i].first ||
			q.blocks[i].recs[to-q.blocks[i].first].Flags&record.Cont == 0 {
			break
		}
		to++
	}
	return to
}

// runOverflowAction does what the overflow action asks for, once until it is resumed or
// configured again.
func (q *Queue) runOverflowAction() {
	switch q.cfg.Action {
	case Suspend:
		q.suspended = true
	case Single, Halt:
		if q.acted {
			return
		}
		q.acted = true
	default:
		return
	}
	if q.trigger != nil {
		q.trigger(q.cfg.Action)
	}
}

// Suspend makes the queue take nothing more until Resume or SetConfig: records are counted as lost.
func (q *Queue) Suspend() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.suspended = true
	q.resumePut() // a Put that waits drops its records
}
