package queue

import (
	"context"
	"errors"
	"io"
	"slices"

	"audisp-relay/audit/record"
)

// ErrEvicted is what a cursor gets whose queue filled up with what it had not
// taken: its client is to be disconnected.
var ErrEvicted = errors.New("too slow: its unread records filled the queue")

// Cursor is one reader of a queue. It belongs to one goroutine.
type Cursor struct {
	q       *Queue
	wakeup  chan struct{}
	evicted chan struct{}

	// Guarded by q.mu.
	pos     uint64   // number of the next record
	ahead   uint64   // end of the block after the one it was at last
	view    *block   // of the batch handed out last
	viewPos uint64   // number of that batch's first record
	more    []*block // of the batches that More has handed out since
	moreEnd uint64   // number after the last record handed out
	waits   bool     // the reader waits for new records
	loading bool     // the reader waits for a block to be loaded
	lost    uint64   // records it was made to skip
	gone    bool

	pendingMarkers []pendingMarker // losses that its client learns of before the next record
	markersOut     int             // how many of pendingMarkers were handed out last
	markersRead    int             // how many of those handed out are delivered
	marks          record.Batch    // of the pending markers, as they were handed out
	putOff         []pendingMarker // that were refused: they follow the next records that are delivered
	skipped        span            // what it was made to skip since it took the batch handed out last
	advanced       uint64          // up to where Advance was called for that batch
	torn           []record.Record // from advanced on: those a client may have had in part, and one more
}

// span is a range of record numbers.
type span struct{ from, to uint64 }

// Cursor returns a new cursor. It begins with what the queue holds for the
// next one, otherwise with the records that come from now on.
func (q *Queue) Cursor() *Cursor {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := &Cursor{q: q, wakeup: make(chan struct{}, 1), evicted: make(chan struct{}), pos: q.tail}
	if len(q.cursors) == 0 {
		c.pos = q.head
	}
	if left := q.markers.left; len(left) > 0 {
		c.pendingMarkers = append(c.pendingMarkers, left[0])
		q.markers.left = left[1:]
	}
	q.cursors = append(q.cursors, c)
	return c
}

// Next waits for records and takes them as Take does; it returns ctx's error
// when that ends first.
func (c *Cursor) Next(ctx context.Context) (record.Batch, error) {
	for {
		b, err := c.Take()
		if err != nil || len(b.Recs) > 0 {
			return b, err
		}
		select {
		case <-c.wakeup:
		case <-c.evicted:
		case <-ctx.Done():
			return record.Batch{}, ctx.Err()
		}
	}
}

// Ready has an element when Take, having returned nothing, should be called again.
func (c *Cursor) Ready() <-chan struct{} { return c.wakeup }

// Take returns the records that lie together from the cursor's position on,
// none when there are none yet or they are being loaded. The batch is valid until
// the next call of Take, Advance or Close and must not be changed. Take returns
// io.EOF when the queue is closed and everything taken, ErrEvicted when the
// client was too slow.
func (c *Cursor) Take() (record.Batch, error) {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	c.unview()
	c.dropMarkersOut()
	c.skipped, c.torn = span{}, c.torn[:0]

	if c.gone {
		return record.Batch{}, ErrEvicted
	}
	if q.over {
		return record.Batch{}, io.EOF
	}

	c.waits, c.loading = false, false
	blk := c.find()
	switch {
	case blk != nil && blk.recs == nil:
		c.loading = true
		q.spiller.wake()
		return record.Batch{}, nil
	case len(c.pendingMarkers) > 0:
		return c.markers(), nil
	case blk == nil && q.closed:
		return record.Batch{}, io.EOF
	case blk == nil:
		c.waits = true
		return record.Batch{}, nil
	}

	c.view, c.viewPos, c.moreEnd = blk, c.pos, blk.end
	blk.views++
	return record.Batch{Buf: blk.data, Recs: blk.recs[c.pos-blk.first:]}, nil
}

// More returns the records that follow those handed out by Take and by earlier calls of
// More, none where there are none in memory yet. All these batches are valid until the next
// call of Take, Advance or Close; Advance then counts from the first record of the first one on.
func (c *Cursor) More() record.Batch {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.view == nil || c.gone || q.over {
		return record.Batch{}
	}

	i := q.index(c.moreEnd)
	if i == len(q.blocks) || q.blocks[i].lost || q.blocks[i].first > c.moreEnd {
		return record.Batch{}
	}
	blk := q.blocks[i]
	if c.ahead < blk.end {
		c.ahead = blk.end
	}
	if blk.recs == nil {
		q.spiller.wake()
		return record.Batch{}
	}

	from := c.moreEnd
	c.moreEnd = blk.end
	blk.views++
	c.more = append(c.more, blk)
	return record.Batch{Buf: blk.data, Recs: blk.recs[from-blk.first:]}
}

// Number returns the number of the first record of the batch that Take has handed out, which
// it has over restarts as long as it is stored. ok is false of markers that the queue does not hold.
func (c *Cursor) Number() (n uint64, ok bool) {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	return c.viewPos, c.view != nil
}

// find moves the cursor over what cannot be read and returns the block it is then
// at, nil when that is the end. It has the next block loaded where that is needed.
func (c *Cursor) find() *block {
	q := c.q
	c.pos = max(c.pos, q.head)
	from := c.pos
	var blk *block
	i := q.index(c.pos)
	for ; i < len(q.blocks); i++ {
		c.pos = max(c.pos, q.blocks[i].first)
		if !q.blocks[i].lost {
			blk = q.blocks[i]
			break
		}
		c.addPendingMarker(Spool, &q.blocks[i].loss)
		c.pos = q.blocks[i].end
	}

	c.ahead = c.pos
	if blk == nil {
		c.pos = q.tail
	} else if c.ahead = blk.end; i+1 < q.stored {
		c.ahead = q.blocks[i+1].end
		if q.blocks[i+1].recs == nil {
			q.spiller.wake()
		}
	}

	if c.pos != from {
		q.settle(SlowClient)
	}
	return blk
}

// Advance says that the first n records of the batch handed out last are
// delivered.
func (c *Cursor) Advance(n int) {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.markersOut > 0 {
		c.markersRead = min(n, c.markersOut)
		return
	}
	c.advance(n)
	if n > 0 && len(c.putOff) > 0 {
		c.pendingMarkers = append(c.pendingMarkers, c.putOff...)
		c.putOff = nil
	}
}

// advance is Advance over records.
func (c *Cursor) advance(n int) {
	q := c.q
	pos := c.viewPos + uint64(n)
	c.unskip(pos)
	c.unview()
	if pos > c.pos { // otherwise it was made to skip these meanwhile
		c.pos = pos
	}
	if q.over {
		return
	}
	q.delivered.add(max(c.viewPos, q.head), pos)
	q.settle(SlowClient)
}

// skip makes the cursor continue at to.
func (c *Cursor) skip(to uint64) {
	missed := c.q.tally(c.pos, to)
	c.addPendingMarker(SlowClient, &missed)
	if c.skipped.from == c.skipped.to {
		c.skipped.from = c.pos
	}
	c.skipped.to = to
	c.lost += to - c.pos
	c.pos = to
}

// unskip takes the records before pos out of the loss that the cursor is to report. It
// was made to skip them while its client was taking them, and has delivered them
// nevertheless.
func (c *Cursor) unskip(pos uint64) {
	from, rest := c.advanced, c.torn // from the first skipped one on, as far as they can be seen
	if c.view != nil {
		from = max(c.viewPos, c.skipped.from)
		rest = c.view.recs[from-c.view.first:]
	}

	if k := len(c.pendingMarkers) - 1; k >= 0 && c.pendingMarkers[k].cause == SlowClient && pos > from && from < c.skipped.to {
		l := &c.pendingMarkers[k].loss
		for i := 0; i < len(rest) && from+uint64(i) < min(pos, c.skipped.to); i++ {
			if !counts(&rest[i]) {
				continue
			}
			l.Records--
			if i+1 < len(rest) && rest[i].HasID() && (rest[i+1].Serial != rest[i].Serial || rest[i+1].Millis != rest[i].Millis) {
				l.Events -= min(l.Events, 1)
				l.First = rest[i+1].Serial
			}
		}
		if l.Records == 0 {
			c.pendingMarkers = c.pendingMarkers[:k]
		}
	}

	c.advanced, c.torn = pos, c.torn[:0]
	if c.view != nil {
		rest := c.view.recs[min(int(pos-c.view.first), len(c.view.recs)):]
		c.torn = append(c.torn, rest[:min(c.q.unit(rest)+1, len(rest))]...)
	}
}

// unit returns how many records a client gets, or gets in part, at once.
func (q *Queue) unit(recs []record.Record) int {
	n := 1
	for q.cfg.Whole && n < len(recs) && recs[n-1].Flags&(record.End|record.Marker) == 0 {
		n++
	}
	return n
}

// Evicted is closed when the cursor was too slow and is out.
func (c *Cursor) Evicted() <-chan struct{} { return c.evicted }

// Lost returns how many records the cursor was made to skip.
func (c *Cursor) Lost() uint64 {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	return c.lost
}

// Pending returns how many records wait for the cursor.
func (c *Cursor) Pending() int {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	return int(c.q.tail - min(c.pos, c.q.tail))
}

// Close ends the cursor. With Hold the queue keeps what the last cursor had not
// taken. Records that only this cursor could still have delivered are discarded.
func (c *Cursor) Close() {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	c.unview()
	q.leaveMarkers(c.takePendingMarkers()...)
	q.remove(c)
	if q.over {
		return
	}
	q.discardIdle()

	switch {
	case q.closed:
		q.settle(Shutdown)
	case q.cfg.Hold:
		before := q.count.Lost[SlowClient]
		q.count.Lost[SlowClient] = Loss{}
		q.settle(SlowClient)
		lost := q.count.Lost[SlowClient]
		q.count.Lost[SlowClient] = before
		q.count.loseAll(SlowClient, &lost)
		q.leaveMarkers(pendingMarker{SlowClient, lost})
	default:
		q.settle(discarded)
	}
}

// discardIdle drops what is held for no client.
func (q *Queue) discardIdle() {
	if q.idle() && !q.closed {
		q.trim(q.tail, discarded)
	}
}

func (c *Cursor) unview() {
	if c.view != nil {
		c.view.views--
		c.view = nil
	}
	for i, blk := range c.more {
		blk.views--
		c.more[i] = nil
	}
	c.more = c.more[:0]
}

func (c *Cursor) notify() { poke(c.wakeup) }

// poke puts an element into a channel that has room for one.
func poke(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (q *Queue) remove(c *Cursor) {
	c.gone = true
	q.cursors = slices.DeleteFunc(q.cursors, func(o *Cursor) bool { return o == c })
}

// wake wakes the cursors that wait and have something to take.
func (q *Queue) wake() {
	for _, c := range q.cursors {
		if c.waits && c.pos < q.tail {
			c.waits = false
			c.notify()
		}
	}
}

// loaded wakes the cursors that wait for a block.
func (q *Queue) loaded() {
	for _, c := range q.cursors {
		if c.loading {
			c.loading = false
			c.notify()
		}
	}
}
