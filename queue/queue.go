// Package queue holds the records of one consumer between the reader of the
// dispatcher stream and the sink that delivers them. It is bounded in records
// and in bytes, and it counts every record that it could not take. With a spool,
// what memory does not hold goes to disk, and what is left at the end stays there
// for the next run.
//
// The reader copies records in with Put; sinks take them out through Cursors.
// A sink with one destination has one cursor, a socket has one for each client;
// what the slowest cursor has passed is gone. A copy costs some 15 ns a record
// and makes the bound exact: nothing but the queue's own blocks is ever held.
//
// Records lie in blocks. With a spool, the spiller, a goroutine of the queue's own,
// stores blocks in order from the head as soon as memory is half full, so that what
// is on disk is always one run without holes that begins at the head. A stored
// block is dropped from memory when that is needed and loaded again when a
// cursor comes near.
package queue

import (
	"math/rand/v2"
	"sync"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/queue/spool"
)

// Config is what a queue is made of. It may be changed while it runs.
type Config struct {
	Depth    int   // records in memory
	Bytes    int64 // of records in memory
	Lossless bool  // Put waits for room instead of dropping
	Action   Overflow
	Slow     Slow // only where there can be several cursors
	// Hold keeps records while there is no cursor, for the next one;
	// otherwise they are discarded and counted as such.
	Hold bool
	// Markers puts a marker into the stream where something was lost.
	Markers bool
	// Whole keeps the records of an event in one piece, so that a cursor gets all of
	// it or nothing: what is put in has the records of each event in a row, the last
	// with flag record.End, at most 1 MiB and 4096 records of them.
	Whole bool
}

// Options is what a queue is made with.
type Options struct {
	Config
	// Name of the consumer, for its loss markers.
	Name string
	// Key, where there is one, is what its markers are signed with (see MAC).
	Key []byte
	// Stop, when closed, makes a Put that waits for room give up.
	Stop <-chan struct{}
	// Trigger, when not nil, is called when the queue is full and its action is suspend,
	// single or halt: from the reader's goroutine, once an episode. It must not block.
	Trigger func(Overflow)
	// Spool, when not nil, takes what memory does not hold. From New on it belongs
	// to the queue, which closes it.
	Spool *spool.Spool
	// Position is the saved one: what the spool has from its Number on is taken over, the rest
	// of it was delivered before. Numbers continue from there.
	Position Position
	// Floor is the saved floor, nil where there was none.
	Floor *Position
	// Log, when not nil, is called with what goes wrong with the spool: once for a full or
	// failing disk until it works again, and for every frame that cannot be read. It is
	// called from the spiller's goroutine and must not block.
	Log func(error)
}

// Queue is the bounded queue of one consumer. Put is called by one goroutine at
// a time; every other method may be called from anywhere.
type Queue struct {
	stop    <-chan struct{}
	ended   chan struct{}  // closed when closed is set
	trigger func(Overflow) // see Options
	log     func(error)

	begin  uint64   // see Begin
	resume Position // see ResumeAt

	mu      sync.Mutex // guards all below
	cfg     Config
	spiller *spillWriter // nil: no spool
	blocks  []*block     // oldest first; records head up to tail
	stored  int          // how many blocks from the first on are stored or lost
	cached  []*block     // the stored ones that are in memory, in the order they were stored or loaded
	free    []*block
	head    uint64 // number of the oldest record held
	tail    uint64 // number the next record gets
	bytes   int64  // of what is held
	held    uint64 // records held, pieces of one line counted once
	fresh   usage  // of memory by what is not stored; the bounds are on this
	cache   usage  // of memory by what is stored
	cursors []*Cursor
	closed  bool
	over    bool     // Shutdown has ended
	final   Position // position at the end of Shutdown

	delivered deliveredRanges // what some cursor has delivered
	later     deferredTrim
	ids       resumption
	floors    floors
	markers   lossMarkers
	ckpt      struct { // the last checkpoint that was put in
		there bool
		at    uint64 // number of its record
	}
	count ledger

	suspended bool
	acted     bool          // single or halt was triggered already
	drop      dropEpisode   // the event that is being dropped
	openLine  bool          // the last record taken continues in the next
	room      chan struct{} // has an element when room was made for a waiting Put
	waiting   bool          // Put waits for room
	patience  time.Duration // what is left to this Put to wait for the disk
	evicted   bool          // this Put has evicted a client
}

// New returns a queue that holds what an earlier run has left in the spool. With a
// spool it has a goroutine until Shutdown.
func New(o Options) *Queue {
	if o.Spool == nil {
		return start(o, nil)
	}
	return start(o, o.Spool)
}

func start(o Options, d disk) *Queue {
	p := o.Position
	q := &Queue{
		cfg: o.Config, stop: o.Stop, trigger: o.Trigger, log: o.Log,
		ended: make(chan struct{}), room: make(chan struct{}, 1),
		begin: p.Number, head: p.Number, tail: p.Number,
		ids:     resumption{first: knownID{p.ID, p.HasID && p.First}, last: knownID{p.ID, p.HasID && !p.First}},
		floors:  floors{every: markEvery},
		markers: lossMarkers{name: o.Name, key: o.Key, serial: rand.Uint32N(10000)},
	}
	q.markers.timer = time.AfterFunc(nextMarker, q.emitMarkersWhenIdle)
	q.markers.timer.Stop() // until there is a loss
	q.resume = p

	if d != nil {
		q.spiller = &spillWriter{disk: d, kick: make(chan struct{}, 1), done: make(chan struct{})}
		q.takeOver(p.Number)
		q.begin = q.tail
		if stored := q.findStored(); stored.ok {
			q.resume = stored.before(q.begin)
		}
	}

	q.holdFromStart(o.Floor)
	if d != nil {
		go q.runSpiller()
	}
	return q
}

// Put takes a copy of the records in b, in order, or counts those it could not
// take. A queue without room makes it wait for the disk, for a second at most, and a
// lossless one until there is room; the time is counted.
func (q *Queue) Put(b *record.Batch) {
	if len(b.Recs) == 0 {
		return
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	q.count.now = time.Time{}
	q.noteFirst(b)
	q.patience, q.evicted = patience, false

	for i := 0; i < len(b.Recs); {
		end := i + q.fitting(b, i)
		if end > i {
			q.take(b, i, end)
		} else {
			end = q.refuse(b, i)
		}
		q.count.Received += received(b.Recs[i:end])
		i = end
	}
	q.noteResumed(b)
	q.wake()
	if q.spiller != nil && q.nextToStore() != nil {
		q.spiller.wake()
	}
}

// Skip counts records at this place in the stream that the consumer does not want, and
// moves its position past them.
func (q *Queue) Skip(b *record.Batch) {
	if len(b.Recs) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n := received(b.Recs)
	q.count.Received += n
	q.count.Filtered += n
	q.noteFirst(b)
	q.passOver(lastID(b))
	q.noteResumed(b)
}

// received counts records, the pieces of a long line once.
func received(recs []record.Record) (n uint64) {
	for i := range recs {
		if counts(&recs[i]) {
			n++
		}
	}
	return n
}

// idle reports whether records go nowhere because no client is connected.
func (q *Queue) idle() bool { return len(q.cursors) == 0 && !q.cfg.Hold }

// orphan reports whether record i continues a line that was not taken.
func (q *Queue) orphan(b *record.Batch, i int) bool {
	return b.Recs[i].Flags&record.Cont != 0 && !q.openLine
}

// fitting returns how many of the records from i on can be taken now. Records
// of one event that stand together are taken together or not at all.
func (q *Queue) fitting(b *record.Batch, i int) int {
	if q.closed || q.suspended || q.idle() || q.drop.covers(b, i) || q.orphan(b, i) {
		return 0
	}
	room, bytes := q.cfg.Depth-q.fresh.recs, q.cfg.Bytes-q.fresh.bytes
	n := 0
	for i+n < len(b.Recs) && !q.drop.covers(b, i+n) {
		end, size := run(b, i+n)
		if end-i > room || size > bytes {
			// An event larger than the whole queue would never fit.
			if n == 0 && q.fresh.recs == 0 {
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
func run(b *record.Batch, i int) (end int, size int64) {
	size = int64(b.Recs[i].Len)
	for end = i + 1; end < len(b.Recs); end++ {
		if b.Recs[end-1].Flags&record.End != 0 || (b.Recs[end].Flags&record.Cont == 0 && !b.SameEvent(end-1, end)) {
			break
		}
		size += int64(b.Recs[end].Len)
	}
	return end, size
}

// take takes records i up to j, after the markers of what was lost before.
func (q *Queue) take(b *record.Batch, i, j int) {
	if q.markers.pending && !q.openLine {
		q.emitMarkers()
	}
	q.markers.idle = false
	q.copy(b, i, j)
}

// copy copies records i up to j into the queue's blocks.
func (q *Queue) copy(b *record.Batch, i, j int) {
	for i < j {
		end, size := j, int64(b.Recs[i].Len)
		if q.cfg.Whole {
			end, size = run(b, i)
			end = min(end, j)
		}
		blk := q.block(int(size), end-i)
		whole, bytes := blk.whole, blk.bytes
		n := blk.append(b, i, end)
		q.held += blk.whole - whole
		q.bytes += blk.bytes - bytes
		q.fresh.add(n, blk.bytes-bytes)
		q.tail += uint64(n)
		i += n
	}

	if len(q.cached) > 0 {
		q.shed()
	}
	q.openLine = b.Recs[j-1].Flags&record.Open != 0
	q.count.MaxDepth = max(q.count.MaxDepth, q.fresh.recs+q.cache.recs)
}

// SetConfig changes bounds and policy. What is held beyond new bounds stays.
func (q *Queue) SetConfig(cfg Config) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cfg = cfg
	q.acted = false
	q.suspended = false
	if !cfg.Markers {
		q.markers.losses, q.markers.pending, q.markers.left = [NumCauses]Loss{}, false, nil
	}
	q.discardIdle()
	q.resumePut() // a Put that waits looks again: there may be room, or it has to drop
	if q.spiller != nil {
		q.shed()
		q.spiller.wake()
	}
}

// Config returns the bounds and the policy that hold.
func (q *Queue) Config() Config {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.cfg
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
	q.resumePut()
}

// Shutdown ends the queue. What is still held is stored for the next run, if there
// is a spool and records are to be held; what is not, or not within leaveTime, is
// counted as lost at shutdown. It waits for the queue's goroutine, unless the disk
// hangs. Every queue with a spool has to be shut down in the end; cursors may still
// be there and get io.EOF.
func (q *Queue) Shutdown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		return
	}

	q.end()
	if q.spiller != nil {
		if q.cfg.Hold {
			q.emitLastMarkers()
		} else {
			q.final = q.position()
			q.trim(q.tail, Shutdown)
		}
		q.storeRest()
	}
	if q.over {
		return
	}

	if q.spiller == nil || q.cfg.Hold {
		q.final = q.position()
	}
	q.over = true
	q.dropRest()
	q.leaveDamaged()
	for _, c := range q.cursors {
		c.notify()
	}
	q.resumePut()
}

// dropRest counts what is not stored as lost at shutdown. What is stored is still held.
func (q *Queue) dropRest() {
	head, blocks, n := q.head, q.blocks, q.stored
	if n == 0 {
		q.trim(q.tail, Shutdown)
		return
	}
	end := blocks[n-1].end
	q.head, q.blocks, q.stored = end, blocks[n:], 0
	q.trim(q.tail, Shutdown)
	q.head, q.tail, q.blocks, q.stored = head, end, blocks[:n], n
}

// leaveDamaged takes damaged frames that not every cursor has reached out of the losses:
// they are still there, and the next run counts them when it comes to them.
func (q *Queue) leaveDamaged() {
	for _, blk := range q.blocks[:q.stored] {
		if !blk.lost {
			continue
		}
		l := &q.count.Lost[Spool]
		l.Records -= blk.loss.Records
		l.Events -= min(l.Events, blk.loss.Events)
		blk.lost, blk.whole = false, blk.loss.Records
		q.held += blk.whole
	}
}

func (q *Queue) end() {
	if q.closed {
		return
	}
	if q.markers.pending && !q.openLine && !q.idle() {
		q.emitMarkers()
	}
	q.markers.timer.Stop()
	q.closed = true
	close(q.ended)
}

// Closed is closed when nothing more will be put in: a sink that has no cursor,
// because no client is connected, learns from it that it may end.
func (q *Queue) Closed() <-chan struct{} { return q.ended }
