package queue

import "audisp-relay/stream"

// blockSize is the memory records are held in: large enough for one write to
// carry some hundred records.
const blockSize = 64 << 10

// maxRecs is the most records a block holds, so that its memory is bounded also
// when records are empty.
const maxRecs = 4096

// maxFree is how many emptied blocks are kept for reuse: 4 MiB, as much as a
// queue of default depth holds of ordinary records.
const maxFree = 64

// block holds records one behind the other. It is filled by Put and read by
// cursors; what is written once is never changed while a cursor may see it.
type block struct {
	data  []byte
	recs  []stream.Record
	first uint64 // number of recs[0]
	views int    // cursors that hold a batch of it
}

// block returns the block the next record of n bytes goes into.
func (q *Queue) block(n int) *block {
	if len(q.blocks) > 0 {
		last := q.blocks[len(q.blocks)-1]
		if len(last.data)+n <= cap(last.data) && len(last.recs) < maxRecs {
			return last
		}
	}
	var blk *block
	if k := len(q.free); k > 0 && n <= blockSize {
		blk, q.free = q.free[k-1], q.free[:k-1]
	} else {
		blk = &block{data: make([]byte, 0, max(n, blockSize)), recs: make([]stream.Record, 0, 256)}
	}
	blk.first = q.tail
	q.blocks = append(q.blocks, blk)
	return blk
}

// append copies records of b from i on, up to j, as long as they fit, and
// returns how many. Records that lie together are copied together.
func (blk *block) append(b *stream.Batch, i, j int) int {
	n := 0
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
			blk.recs = append(blk.recs, r)
			n++
		}
		if n == began {
			break // the block is full
		}
		blk.data = append(blk.data, b.Buf[from:end]...)
	}
	return n
}

// release gives the first block back.
func (q *Queue) release() {
	blk := q.blocks[0]
	q.blocks[0] = nil
	q.blocks = q.blocks[1:]
	if blk.views > 0 || cap(blk.data) != blockSize || len(q.free) == maxFree {
		return
	}
	blk.data, blk.recs = blk.data[:0], blk.recs[:0]
	q.free = append(q.free, blk)
}
