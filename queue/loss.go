package queue

import (
	"time"

	"audisp-relay/stream"
)

// Cause says why a record did not reach its consumer.
type Cause int

const (
	Full       Cause = iota // the queue had no room
	SlowClient              // its client was disconnected or made to skip it
	Suspended               // the queue was suspended after an overflow
	Shutdown                // not delivered in time when the plugin ended
	NumCauses
	discarded = NumCauses // nobody was connected: not a loss
)

// String is the name used in the log, in the state report and in loss markers.
func (c Cause) String() string {
	return [...]string{"queue-full", "slow-client", "suspended", "shutdown"}[c]
}

// Loss is what one cause has cost.
type Loss struct {
	Records, Events uint64
	First, Last     uint32    // serials
	At              time.Time // of the last one

	lastMillis int64
}

// Counts is the balance of a queue: Received = Delivered + Discarded + Queued
// + the records of Lost. Pieces of an overlong line count as one record.
type Counts struct {
	Received, Delivered uint64
	Discarded           uint64 // nobody was connected who was to have it, and nothing was to be kept
	Queued              uint64
	QueuedBytes         int64
	Cut                 uint64 // overlong lines taken in part
	MaxDepth            int    // most records held at one time
	Lost                [NumCauses]Loss
	Stalls              uint64        // times the reader had to wait for room
	Stalled             time.Duration // how long in all
	StallSince          time.Time     // set while the reader waits
	Suspended           bool
	Cursors             int
}

// LostRecords returns the records lost for whatever cause.
func (c *Counts) LostRecords() (n uint64) {
	for i := range c.Lost {
		n += c.Lost[i].Records
	}
	return n
}

// StalledNow is Stalled and the wait that goes on at this moment.
func (c *Counts) StalledNow() time.Duration {
	if c.StallSince.IsZero() {
		return c.Stalled
	}
	return c.Stalled + time.Since(c.StallSince)
}

func (q *Queue) lose(cause Cause, rec *stream.Record) {
	if cause == discarded {
		q.count.Discarded++
		return
	}
	l := &q.count.Lost[cause]
	l.Records++
	if rec.HasID() && (l.Events == 0 || l.Last != rec.Serial || l.lastMillis != rec.Millis) {
		if l.Events == 0 {
			l.First = rec.Serial
		}
		l.Events++
		l.Last, l.lastMillis = rec.Serial, rec.Millis
	}
	if q.now.IsZero() {
		q.now = time.Now()
	}
	l.At = q.now
}

// Counts returns the balance of this moment.
func (q *Queue) Counts() Counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.count
	c.Queued = q.held
	c.QueuedBytes = q.bytes
	c.Suspended = q.suspended
	c.Cursors = len(q.cursors)
	return c
}

// dropping remembers the event whose records are being dropped, so that those
// that come in a later batch go the same way: a consumer gets whole events.
type dropping struct {
	active bool
	rec    stream.Record
	node   []byte
}

func (d *dropping) is(b *stream.Batch, i int) bool {
	r := &b.Recs[i]
	return d.active && r.HasID() && d.rec.HasID() && r.Serial == d.rec.Serial && r.Millis == d.rec.Millis &&
		string(b.Node(i)) == string(d.node)
}

func (d *dropping) set(b *stream.Batch, i int) {
	d.active, d.rec = true, b.Recs[i]
	d.node = append(d.node[:0], b.Node(i)...)
}

// dropEvent counts the event at i as lost, as far as it stands in one piece,
// and returns its end.
func (q *Queue) dropEvent(b *stream.Batch, i int, cause Cause) int {
	end, _ := run(b, i)
	for k := i; k < end; k++ {
		if b.Recs[k].Flags&stream.Cont == 0 {
			q.lose(cause, &b.Recs[k])
		}
	}
	q.endLine()
	q.drop.set(b, end-1)
	return end
}

// endLine ends a line whose first pieces were taken and whose next is dropped,
// so that the record behind it does not run into it. The one byte may exceed the
// bounds.
func (q *Queue) endLine() {
	if !q.openLine {
		return
	}
	q.openLine = false
	q.count.Cut++
	nl := stream.Batch{Buf: []byte{'\n'}, Recs: []stream.Record{{Len: 1, Flags: stream.Cont | stream.NoID}}}
	q.take(&nl, 0, 1)
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
	case q.cfg.Slow == Disconnect:
		slow.lost += q.tail - slow.pos
		q.remove(slow)
		close(slow.evicted)
		if q.idle() {
			q.trim(q.tail, SlowClient)
		}
	case q.cfg.Slow == Drop && q.passed.end() > slow.pos:
		to := q.skipTo(slow.pos)
		slow.lost += to - slow.pos
		slow.pos = to
	default:
		return false
	}
	q.settle(SlowClient)
	return q.head > before || q.idle()
}

func (q *Queue) slowest() (slow *Cursor) {
	for _, c := range q.cursors {
		if slow == nil || c.pos < slow.pos {
			slow = c
		}
	}
	return slow
}

// skipTo returns where a cursor at pos goes on when it has to skip: at the
// next block, but not beyond where another cursor is, nor within a line.
func (q *Queue) skipTo(pos uint64) uint64 {
	blk := q.at(pos)
	to := min(blk.first+uint64(len(blk.recs)), q.passed.end())
	for to < q.tail {
		blk = q.at(to)
		if blk.recs[to-blk.first].Flags&stream.Cont == 0 {
			break
		}
		to++
	}
	return to
}

// act does what the overflow action asks for, once until it is resumed or
// configured anew.
func (q *Queue) act() {
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
