package queue

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"audisp-relay/stream"
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
	pos     uint64 // number of the next record
	view    *block // of the batch handed out last
	viewPos uint64 // number of that batch's first record
	waits   bool   // in Next, wants to be woken
	lost    uint64 // records it was made to skip
	gone    bool
}

// Cursor returns a new cursor. It begins with what the queue holds for the
// next one, otherwise with the records that come from now on.
func (q *Queue) Cursor() *Cursor {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := &Cursor{q: q, wakeup: make(chan struct{}, 1), evicted: make(chan struct{}), pos: q.tail}
	if len(q.cursors) == 0 {
		c.pos = q.head
	}
	q.cursors = append(q.cursors, c)
	return c
}

// Next waits for records and takes them as Take does; it returns ctx's error
// when that ends first.
func (c *Cursor) Next(ctx context.Context) (stream.Batch, error) {
	for {
		b, err := c.Take()
		if err != nil || len(b.Recs) > 0 {
			return b, err
		}
		select {
		case <-c.wakeup:
		case <-c.evicted:
		case <-ctx.Done():
			return stream.Batch{}, ctx.Err()
		}
	}
}

// Ready has an element when Take, having returned nothing, should be called again.
func (c *Cursor) Ready() <-chan struct{} { return c.wakeup }

// Take returns the records that lie together from the cursor's position on,
// none when there are none yet. The batch is valid until the next call of Take,
// Advance or Close and must not be changed. Take returns io.EOF when the queue
// is closed and everything taken, ErrEvicted when the client was too slow.
func (c *Cursor) Take() (stream.Batch, error) {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	c.unview()
	switch {
	case c.gone:
		return stream.Batch{}, ErrEvicted
	case c.pos < q.tail:
	case q.closed:
		return stream.Batch{}, io.EOF
	default:
		c.waits = true
		return stream.Batch{}, nil
	}
	c.waits = false
	c.pos = max(c.pos, q.head) // what was abandoned is gone
	if c.pos == q.tail {
		return stream.Batch{}, io.EOF
	}
	blk := q.at(c.pos)
	c.view, c.viewPos = blk, c.pos
	blk.views++
	return stream.Batch{Buf: blk.data, Recs: blk.recs[c.pos-blk.first:]}, nil
}

// Advance says that the first n records of the batch handed out last are
// delivered.
func (c *Cursor) Advance(n int) {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	pos := c.viewPos + uint64(n)
	c.unview()
	if pos > c.pos { // otherwise it was made to skip these meanwhile
		c.pos = pos
	}
	q.passed.add(max(c.viewPos, q.head), pos)
	q.settle(SlowClient)
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
	return int(c.q.tail - c.pos)
}

// Close ends the cursor. With Hold the queue keeps what the last cursor had
// not taken. What this one leaves to others that came too late to have it is gone.
func (c *Cursor) Close() {
	q := c.q
	q.mu.Lock()
	defer q.mu.Unlock()
	c.unview()
	q.remove(c)
	q.discardIdle()
	switch {
	case q.closed:
		q.settle(Shutdown)
	case q.cfg.Hold:
		q.settle(SlowClient)
	default:
		q.settle(discarded)
	}
}

// discardIdle drops what is held for nobody.
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
}

func (c *Cursor) notify() {
	select {
	case c.wakeup <- struct{}{}:
	default:
	}
}

func (q *Queue) remove(c *Cursor) {
	c.gone = true
	if i := slices.Index(q.cursors, c); i >= 0 {
		q.cursors = slices.Delete(q.cursors, i, i+1)
	}
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

// at returns the block that holds record pos.
func (q *Queue) at(pos uint64) *block {
	i, _ := slices.BinarySearchFunc(q.blocks, pos, func(b *block, pos uint64) int {
		if b.first+uint64(len(b.recs)) <= pos {
			return -1
		}
		return 1
	})
	return q.blocks[i]
}

// settle lets go of what every cursor is behind; what none has passed is lost,
// for that cause.
func (q *Queue) settle(cause Cause) {
	if len(q.cursors) > 0 {
		low := q.cursors[0].pos
		for _, c := range q.cursors[1:] {
			low = min(low, c.pos)
		}
		q.trim(low, cause)
	}
	q.freed()
}

// trim lets go of the records before pos: those that no cursor has had
// are lost, for that cause.
func (q *Queue) trim(pos uint64, cause Cause) {
	q.now = time.Time{}
	for q.head < pos {
		blk := q.blocks[0]
		blkEnd := blk.first + uint64(len(blk.recs))
		for end := min(pos, blkEnd); q.head < end; q.head++ {
			rec := &blk.recs[q.head-blk.first]
			q.bytes -= int64(rec.Len)
			had := q.passed.take(q.head)
			if rec.Flags&stream.Cont != 0 {
				continue
			}
			q.held--
			if had {
				q.count.Delivered++
			} else {
				q.lose(cause, rec)
			}
		}
		if q.head == blkEnd {
			q.release()
		}
	}
}
