// Package queue holds the records of one consumer between the reader of the
// dispatcher stream and the sink that delivers them. It is bounded in records
// and in bytes, and it counts every record that it could not take.
//
// The reader copies records in with Put; sinks take them out through Cursors.
// A sink with one destination has one cursor, a socket has one for each client;
// what the slowest cursor has passed is gone. A copy costs some 15 ns a record
// and makes the bound exact: nothing but the queue's own blocks is ever held.
package queue

import (
	"sync"
	"time"

	"audisp-relay/stream"
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
	// Disconnect ends the client that is furthest behind.
	Disconnect Slow = "disconnect"
	// Drop lets it skip towards the client that is ahead of it; when none is, the
	// newest records are dropped for all.
	Drop Slow = "drop"
)

// Config is what a queue is made of. It may be changed while it runs.
type Config struct {
	Depth    int   // records
	Bytes    int64 // of records
	Lossless bool  // Put waits for room instead of dropping
	Action   Overflow
	Slow     Slow // only where there can be several cursors
	// Hold keeps records while there is no cursor, for the next one;
	// otherwise they are discarded and counted as such.
	Hold bool
}

// Queue is the bounded queue of one consumer. Put belongs to one goroutine, the
// reader; every other method may be called from anywhere.
type Queue struct {
	stop    <-chan struct{}
	ended   chan struct{}  // closed when closed is set
	trigger func(Overflow) // told of suspend, single and halt; must not block

	mu      sync.Mutex // guards all below
	cfg     Config
	blocks  []*block // oldest first; records head up to tail
	free    []*block
	head    uint64 // number of the oldest record held; records count from 0
	tail    uint64 // number the next record gets
	bytes   int64
	held    uint64 // records held, pieces of one line counted once
	passed  passed // by some cursor
	cursors []*Cursor
	closed  bool

	suspended bool
	acted     bool     // single or halt was triggered already
	drop      dropping // the event that is being dropped
	openLine  bool     // the last record taken goes on in the next
	count     Counts
	now       time.Time     // of this Put, read when first needed
	room      chan struct{} // has an element when room was made for a waiting Put
	waiting   bool          // Put waits for room
}

// New returns an empty queue. When stop is closed a Put that waits for room
// gives up. trigger is called with suspend, single or halt when the queue is
// full and that is its action: from the reader's goroutine, once an episode.
func New(cfg Config, stop <-chan struct{}, trigger func(Overflow)) *Queue {
	return &Queue{cfg: cfg, stop: stop, ended: make(chan struct{}), trigger: trigger, room: make(chan struct{}, 1)}
}

// Put takes a copy of the records in b, in order, or counts those it could not
// take. Only a lossless queue without room makes it wait; the time is counted.
func (q *Queue) Put(b *stream.Batch) {
	if len(b.Recs) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count.Received += received(b.Recs)
	q.now = time.Time{}
	for i := 0; i < len(b.Recs); {
		n := q.fitting(b, i)
		if n > 0 {
			q.take(b, i, i+n)
			i += n
			continue
		}
		i = q.refuse(b, i)
	}
	q.wake()
}

// received counts records, the pieces of a long line once.
func received(recs []stream.Record) (n uint64) {
	for i := range recs {
		if recs[i].Flags&stream.Cont == 0 {
			n++
		}
	}
	return n
}

// refuse deals with the records of b from i on when the next of them does not
// fit, and returns the index of the first it has not dealt with.
func (q *Queue) refuse(b *stream.Batch, i int) int {
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
		return len(b.Recs)
	case q.drop.is(b, i):
		return q.dropEvent(b, i, Full)
	case q.cfg.Lossless:
		if !q.waitRoom() {
			return q.dropEvent(b, i, Shutdown)
		}
		return i
	case q.makeRoom():
		return i
	}
	q.act()
	return q.dropEvent(b, i, Full)
}

// idle reports whether records go nowhere because nobody listens.
func (q *Queue) idle() bool { return len(q.cursors) == 0 && !q.cfg.Hold }

// orphan reports whether record i continues a line that was not taken.
func (q *Queue) orphan(b *stream.Batch, i int) bool {
	return b.Recs[i].Flags&stream.Cont != 0 && !q.openLine
}

// fitting returns how many of the records from i on can be taken now. Records
// of one event that stand together are taken together or not at all.
func (q *Queue) fitting(b *stream.Batch, i int) int {
	if q.closed || q.suspended || q.idle() || q.drop.is(b, i) || q.orphan(b, i) {
		return 0
	}
	room, bytes := q.cfg.Depth-int(q.tail-q.head), q.cfg.Bytes-q.bytes
	n := 0
	for i+n < len(b.Recs) && !q.drop.is(b, i+n) {
		end, size := run(b, i+n)
		if end-i > room || size > bytes {
			// An event larger than the whole queue would never fit.
			if n == 0 && q.tail == q.head {
				return end - i
			}
			break
		}
		bytes -= size
		n = end - i
	}
	return n
}

// run returns the end of the event that record i begins, as far as it stands in
// one piece in b, and its size in bytes.
func run(b *stream.Batch, i int) (end int, size int64) {
	size = int64(b.Recs[i].Len)
	for end = i + 1; end < len(b.Recs); end++ {
		if b.Recs[end].Flags&stream.Cont == 0 && !b.SameEvent(end-1, end) {
			break
		}
		size += int64(b.Recs[end].Len)
	}
	return end, size
}

// take copies records i up to j into the queue's blocks.
func (q *Queue) take(b *stream.Batch, i, j int) {
	q.held += received(b.Recs[i:j])
	for i < j {
		blk := q.block(int(b.Recs[i].Len))
		n := blk.append(b, i, j)
		for _, r := range blk.recs[len(blk.recs)-n:] {
			q.bytes += int64(r.Len)
		}
		i += n
		q.tail += uint64(n)
	}
	q.openLine = b.Recs[j-1].Flags&stream.Open != 0
	q.count.MaxDepth = max(q.count.MaxDepth, int(q.tail-q.head))
}

// waitRoom waits, without the lock, until a cursor has made room. It reports
// false when the queue is to end.
func (q *Queue) waitRoom() bool {
	q.wake()
	select { // a token of an earlier wait that ended otherwise
	case <-q.room:
	default:
	}
	q.waiting = true
	began := time.Now()
	q.count.StallSince = began
	q.mu.Unlock()
	ok := true
	select {
	case <-q.room:
	case <-q.stop:
		ok = false
	}
	q.mu.Lock()
	q.waiting = false
	q.count.Stalls++
	q.count.Stalled += time.Since(began)
	q.count.StallSince = time.Time{}
	return ok
}

// freed tells a waiting Put that there is room. It wakes it only when a good
// part of the queue is free again, so that a slow consumer does not cost a
// switch for each record.
func (q *Queue) freed() {
	if int(q.tail-q.head) <= q.cfg.Depth*3/4 && q.bytes <= q.cfg.Bytes*3/4 {
		q.goOn()
	}
}

// goOn wakes a waiting Put, which then looks anew.
func (q *Queue) goOn() {
	if q.waiting {
		q.waiting = false
		q.room <- struct{}{} // waitRoom has emptied it
	}
}

// SetConfig changes bounds and policy. What is held beyond new bounds stays.
func (q *Queue) SetConfig(cfg Config) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cfg = cfg
	q.acted = false
	q.suspended = false
	q.discardIdle()
	q.goOn() // a Put that waits looks anew: there may be room, or it has to drop
}

// Resume ends a suspension (SIGUSR2).
func (q *Queue) Resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.suspended = false
}

// Close says that nothing more will be put in. Cursors deliver what is left
// and then get io.EOF.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end()
	for _, c := range q.cursors {
		c.notify()
	}
	q.goOn()
}

// Abandon counts what is still held as lost at shutdown and drops it.
func (q *Queue) Abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end()
	q.trim(q.tail, Shutdown)
}

func (q *Queue) end() {
	if !q.closed {
		q.closed = true
		close(q.ended)
	}
}

// Closed is closed when nothing more will be put in: a sink that has no cursor,
// because nobody is connected, learns from it that it may end.
func (q *Queue) Closed() <-chan struct{} { return q.ended }
