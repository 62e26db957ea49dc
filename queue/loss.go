package queue

import (
	"time"

	"audisp-relay/audit/record"
)

// Cause says why a record did not reach its consumer.
type Cause int

const (
	Full       Cause = iota // the queue had no room
	SlowClient              // its client was disconnected or made to skip it
	Suspended               // the queue was suspended
	Shutdown                // not delivered in time when the plugin ended, nor stored
	Spool                   // stored, but damaged or not readable
	Refused                 // its place has refused it for good
	Upstream                // lost between kernel and relay: never received, as all from here on
	Kernel                  // lost in the kernel
	Engine                  // delivered, and then lost by the engine that had acknowledged it
	NumCauses
	discarded = NumCauses // no client was connected: not a loss
)

// String is the name used in the log, in the state report and in loss markers.
func (c Cause) String() string {
	return [...]string{
		"queue-full", "slow-client", "suspended", "shutdown", "spool", "refused", "upstream", "kernel", "engine",
	}[c]
}

// BeforeRelay reports whether what was lost by the cause of this name never came to the relay, so that it
// is the same loss for every consumer.
func BeforeRelay(cause string) bool { return cause == Upstream.String() || cause == Kernel.String() }

// Loss is what one cause has cost.
type Loss struct {
	Records, Events uint64
	First, Last     uint32    // the lowest and the highest serial
	At              time.Time // of the last one

	prev       uint32 // serial of the last event
	prevMillis int64
}

func (l *Loss) add(rec *record.Record) {
	l.Records++
	if rec.HasID() && (l.Events == 0 || l.prev != rec.Serial || l.prevMillis != rec.Millis) {
		l.span(rec.Serial, rec.Serial)
		l.Events++
		l.prev, l.prevMillis = rec.Serial, rec.Millis
	}
}

// merge adds a later loss.
func (l *Loss) merge(m *Loss) {
	if m.Events > 0 {
		l.span(m.First, m.Last)
		l.prev, l.prevMillis = m.prev, m.prevMillis
	}
	l.Records += m.Records
	l.Events += m.Events
}

// Add adds what another queue of the same consumer has lost.
func (l *Loss) Add(m *Loss) {
	l.merge(m)
	if m.At.After(l.At) {
		l.At = m.At
	}
}

// span makes First to Last reach over these serials, too. Losses do not come in the
// order of serials, and these may run over the end of 32 bits.
func (l *Loss) span(first, last uint32) {
	if l.Events == 0 {
		l.First, l.Last = first, last
		return
	}
	if int32(first-l.First) < 0 {
		l.First = first
	}
	if int32(last-l.Last) > 0 {
		l.Last = last
	}
}

func (l *Loss) none() bool { return l.Records == 0 && l.Events == 0 }

// Counts is the balance of a queue: Received = Delivered + Filtered + Discarded +
// Queued + LostRecords. Pieces of an overlong line count as one record, markers as none.
type Counts struct {
	Received, Delivered uint64
	TakenOver           uint64 // of Received: what an earlier run had stored
	Filtered            uint64 // the consumer does not want them: see Skip
	Discarded           uint64 // no client was connected, and nothing was to be kept
	Queued              uint64 // after Shutdown: what stays stored
	QueuedBytes         int64
	Spooled             uint64 // of Queued, about: what is stored
	SpoolBytes          int64  // size of the spool's files
	Cut                 uint64 // overlong lines taken in part
	MaxDepth            int    // most records in memory at one time
	// Lost by cause; Upstream, Kernel and Engine are no part of the balance.
	Lost    [NumCauses]Loss
	Markers uint64        // loss markers put into the stream
	Stalls  uint64        // times the reader had to wait for room
	Stalled time.Duration // how long in all
	// StallSince is set while the reader waits.
	StallSince time.Time
	// Spilled is how many records were stored, SpillWaited how long the reader waited
	// for that: neither costs a record.
	Spilled     uint64
	SpillWaited time.Duration
	Suspended   bool
	Cursors     int
	// FullSince is since when memory is short and the spool, or its disk, takes nothing because it is
	// full; zero where that is not so.
	FullSince time.Time
	// SpoolFault is why nothing can be stored at present although memory is short, but for a spool that has all of its size.
	SpoolFault string
	// Delays is how long what is Delivered took.
	Delays Delays
	// Oldest is the own time of the oldest record held, zero where nothing is held or its
	// time is not known.
	Oldest time.Time
}

// LostRecords returns the records that were received and lost, for whatever cause.
func (c *Counts) LostRecords() (n uint64) {
	for cause := range Upstream {
		n += c.Lost[cause].Records
	}
	return n
}

// StalledNow is Stalled and the wait at this moment.
func (c *Counts) StalledNow() time.Duration {
	if c.StallSince.IsZero() {
		return c.Stalled
	}
	return c.Stalled + time.Since(c.StallSince)
}

// Counts returns the balance of this moment.
func (q *Queue) Counts() Counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.count.Counts
	c.Queued = q.held
	c.QueuedBytes = q.bytes
	c.Suspended = q.suspended
	c.Cursors = len(q.cursors)
	if q.spiller != nil {
		c.SpoolBytes = q.spiller.disk.Size()
		c.FullSince, c.SpoolFault = q.spiller.full, q.spiller.fault
	}
	if millis := q.oldest(); millis > 0 {
		c.Oldest = record.TimeOf(millis)
	}
	if q.stored > 0 {
		c.Spooled = min(q.held, q.blocks[q.stored-1].end-max(q.head, q.blocks[0].first))
	}
	return c
}

// ledger is the balance of a queue.
type ledger struct {
	Counts
	now time.Time // read once for all records that one call loses; zero: not yet
}

// lose counts a record that was held or put.
func (b *ledger) lose(cause Cause, rec *record.Record) {
	if cause == discarded {
		b.Discarded++
		return
	}
	l := &b.Lost[cause]
	l.add(rec)
	l.At = b.time()
}

// loseAll counts a number of records at once.
func (b *ledger) loseAll(cause Cause, m *Loss) {
	switch {
	case cause == discarded:
		b.Discarded += m.Records
	case !m.none():
		l := &b.Lost[cause]
		l.merge(m)
		l.At = b.time()
	}
}

func (b *ledger) time() time.Time {
	if b.now.IsZero() {
		b.now = time.Now()
	}
	return b.now
}

// RecordUpstreamLoss counts a loss outside the queue, at this place in the stream, and has a
// marker report it to the consumer. The cause is Upstream or Kernel, whose records were
// never received, or Engine, whose records count as delivered. It may be called from anywhere.
func (q *Queue) RecordUpstreamLoss(cause Cause, l Loss) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count.now = time.Time{}
	q.count.loseAll(cause, &l)
	if !q.closed && !q.idle() {
		q.reportLoss(cause, &l)
		if q.markers.pending {
			q.markers.timer.Reset(firstMarker) // losses outside are few: no need to wait longer
		}
	}
}
