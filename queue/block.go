package queue

import (
	"slices"
	"sort"

	"audisp-relay/audit/record"
	"audisp-relay/queue/spool"
)

// blockSize is the memory records are held in: large enough for one write to
// carry some hundred records.
const blockSize = 64 << 10

// maxRecs is the most records a block holds, so that its memory is bounded also
// when records are empty.
const maxRecs = 4096

// maxFree is how many emptied blocks are kept for reuse: 4 MiB, as much as a
// queue of default depth holds of ordinary records.
const maxFree = 64

// block is a run of records. It is filled by Put and read by cursors; what is
// written once is never changed while a cursor may see it. With a spool it may be
// stored, and a stored one need not be in memory.
type block struct {
	data []byte
	recs []record.Record // nil: not in memory

	first, end uint64 // numbers of the first record and of the one after the last
	whole      uint64 // records of it that are held, pieces of one line counted once, markers not
	bytes      int64  // of text that are held
	views      int    // cursors that hold a batch of it, and the spiller while it stores it
	sealed     bool   // takes no more records
	gone       bool   // no longer in the queue

	stored bool // frame is set; a lost one may have none
	frame  spool.Frame
	tries  int     // times it could not be read
	lost   bool    // it was stored and cannot be read
	loss   Loss    // of a lost one: what was in it
	id     knownID // of its last loggable record, where it was known when it was stored
	millis int64   // own time of its first record, where it was in memory before and is not now
}

// usage is how much memory records take.
type usage struct {
	recs  int
	bytes int64
}

func (u *usage) add(recs int, bytes int64) {
	u.recs += recs
	u.bytes += bytes
}

// block returns the block that the next recs records, of n bytes in all when they are
// to stay together and otherwise of the first, go into.
func (q *Queue) block(n, recs int) *block {
	if !q.cfg.Whole {
		recs = 1
	}
	if len(q.blocks) > 0 {
		last := q.blocks[len(q.blocks)-1]
		if !last.sealed && len(last.data)+n <= cap(last.data) && len(last.recs)+recs <= maxRecs {
			return last
		}
	}

	var blk *block
	if k := len(q.free); k > 0 && n <= blockSize {
		blk, q.free = q.free[k-1], q.free[:k-1]
	} else {
		blk = &block{data: make([]byte, 0, max(n, blockSize)), recs: make([]record.Record, 0, 256)}
	}
	blk.first, blk.end = q.tail, q.tail
	q.blocks = append(q.blocks, blk)
	return blk
}

// append copies records of b from i on, up to j, as long as they fit, and
// returns how many. Records that lie together are copied together.
func (blk *block) append(b *record.Batch, i, j int) int {
	n, size, whole := 0, len(blk.data), uint64(0)
	for i+n < j {
		began := n
		from := b.Recs[i+n].Off
		end, base := from, uint32(len(blk.data))
		for i+n < j {
			r := b.Recs[i+n]
			if r.Off != end || len(blk.recs) == maxRecs || int(base+end-from+r.Len) > cap(blk.data) {
				break
			}
			end += r.Len
			r.Off = r.Off - from + base
			if counts(&r) {
				whole++
			}
			blk.recs = append(blk.recs, r)
			n++
		}
		if n == began {
			break // the block is full
		}
		blk.data = append(blk.data, b.Buf[from:end]...)
	}

	blk.end += uint64(n)
	blk.whole += whole
	blk.bytes += int64(len(blk.data) - size)
	return n
}

// counts reports whether r is a record of the balance: not a further piece of
// one, nor a marker.
func counts(r *record.Record) bool { return r.Flags&(record.Cont|record.Marker) == 0 }

// index returns the index of the block that holds record pos, or of the next one; len(q.blocks) when there is none.
func (q *Queue) index(pos uint64) int {
	if len(q.blocks) > 0 && pos < q.blocks[0].end {
		return 0
	}
	return sort.Search(len(q.blocks), func(i int) bool { return q.blocks[i].end > pos })
}

// live returns how many records of blk are held.
func (q *Queue) live(blk *block) int { return int(blk.end - max(blk.first, q.head)) }

// release gives the first block back.
func (q *Queue) release() {
	blk := q.blocks[0]
	q.remember(blk, blk.end)
	q.blocks[0] = nil
	q.blocks = q.blocks[1:]
	blk.gone = true
	if blk.stored {
		q.stored--
		q.uncache(blk)
		q.spiller.passed(blk.frame)
	}
	if blk.views > 0 || cap(blk.data) != blockSize || len(q.free) == maxFree {
		return
	}
	*blk = block{data: blk.data[:0], recs: blk.recs[:0]}
	q.free = append(q.free, blk)
}

// unload drops a stored block from memory.
func (q *Queue) unload(blk *block) {
	if q.head > blk.first {
		q.remember(blk, q.head)
	}
	q.cache.add(-q.live(blk), -blk.bytes)
	q.uncache(blk)
	blk.millis = blk.oldest(q.head)
	if cap(blk.data) == blockSize && len(q.free) < maxFree {
		q.free = append(q.free, &block{data: blk.data[:0], recs: blk.recs[:0]})
	}
	blk.data, blk.recs = nil, nil
	blk.first = blk.frame.First // what was delivered before it was stored is not in the frame
}

func (q *Queue) uncache(blk *block) {
	q.cached = slices.DeleteFunc(q.cached, func(b *block) bool { return b == blk })
}

// shed drops stored blocks from memory, the latest first, while there is more in it
// than the bounds allow. What a cursor reads or is about to read stays.
func (q *Queue) shed() {
	for i := len(q.cached) - 1; i >= 0 && q.crowded(); i-- {
		if blk := q.cached[i]; blk.views == 0 && !q.near(blk) {
			q.unload(blk)
		}
	}
}

// crowded reports whether more is in memory than the bounds allow.
func (q *Queue) crowded() bool {
	return q.fresh.recs+q.cache.recs > q.cfg.Depth || q.fresh.bytes+q.cache.bytes > q.cfg.Bytes
}

// near reports whether a cursor needs blk in memory.
func (q *Queue) near(blk *block) bool {
	return slices.ContainsFunc(q.cursors, func(c *Cursor) bool { return c.near(blk) })
}

// near reports whether the cursor is at blk, or was at the one before when it
// took records last.
func (c *Cursor) near(blk *block) bool {
	return c.pos < blk.end && (c.pos >= blk.first || blk.first < c.ahead)
}
