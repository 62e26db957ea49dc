package queue

import "time"

// settle lets go of what every cursor has passed; what none has delivered is lost,
// for that cause.
func (q *Queue) settle(cause Cause) {
	if slow := q.slowest(); slow != nil {
		q.trim(slow.pos, cause)
	}
	if len(q.cached) > 0 {
		q.shed()
	}

	// A waiting Put is woken only when a good part of the queue is free again, so that a
	// slow consumer does not cost a switch for each record.
	if q.fresh.recs <= q.cfg.Depth*3/4 && q.fresh.bytes <= q.cfg.Bytes*3/4 {
		q.resumePut()
	}
}

// deferredTrim is a trim that ended within a block that is not in memory: which of
// its records were delivered shows only when it is.
type deferredTrim struct {
	pos   uint64
	cause Cause
}

// trim lets go of the records before pos: those that no cursor has had
// are lost, for that cause.
func (q *Queue) trim(pos uint64, cause Cause) {
	q.count.now = time.Time{}
	for q.head < pos {
		if len(q.blocks) == 0 {
			q.head = pos
			return
		}
		blk := q.blocks[0]
		end := min(pos, blk.end)
		switch {
		case blk.first > q.head: // numbers that no record has
			q.head = min(pos, blk.first)
			continue
		case blk.lost:
			q.head = end
		case blk.recs != nil:
			q.trimBlock(blk, end, cause)
		case end == blk.end:
			q.account(blk, cause)
			q.head = end
		default:
			q.later = deferredTrim{pos, cause}
			return
		}

		if q.head == blk.end {
			q.release()
		}
	}
}

// trimBlock lets go of the records of the first block, which is in memory, up to end.
func (q *Queue) trimBlock(blk *block, end uint64, cause Cause) {
	for q.head < end {
		had, to := q.delivered.run(q.head)
		to = min(to, end)
		recs := blk.recs[q.head-blk.first : to-blk.first]

		n, size := uint64(0), int64(0)
		for i := range recs {
			size += int64(recs[i].Len)
			if !counts(&recs[i]) {
				continue
			}
			n++
			if !had {
				q.count.lose(cause, &recs[i])
			}
		}
		if had {
			q.count.Delivered += n
			q.count.Delays.note(recs, q.count.time().UnixMilli())
		}

		q.forget(blk, n, size)
		if blk.stored {
			q.cache.add(-len(recs), -size)
		} else {
			q.fresh.add(-len(recs), -size)
		}
		q.head = to
	}
}

// account counts what is held of a block that is not in memory as delivered or,
// for that cause, as lost. Which of its records are pieces of a line is not
// known: where some were passed and some not, as few as possible count as delivered.
func (q *Queue) account(blk *block, cause Cause) {
	from := max(blk.first, q.head)
	had, uncounted := q.delivered.among(from, blk.end), blk.end-from-min(blk.whole, blk.end-from)
	delivered := min(had-min(had, uncounted), blk.whole)
	q.count.Delivered += delivered
	l := blk.summary(blk.whole - delivered)
	q.count.loseAll(cause, &l)
	q.forget(blk, blk.whole, blk.bytes)
}

// forget takes n records and their bytes from what is held.
func (q *Queue) forget(blk *block, n uint64, size int64) {
	blk.whole -= n
	blk.bytes -= size
	q.held -= n
	q.bytes -= size
}

// summary is the loss of n records of a stored block, as its frame says.
func (blk *block) summary(n uint64) Loss {
	if n == 0 {
		return Loss{}
	}
	f := &blk.frame
	return Loss{Records: n, Events: min(n, uint64(f.Events)), First: f.FirstSerial, Last: f.LastSerial}
}

// tally returns what the records from up to to are as a loss.
func (q *Queue) tally(from, to uint64) (l Loss) {
	for i := q.index(from); i < len(q.blocks) && q.blocks[i].first < to; i++ {
		blk := q.blocks[i]
		lo, hi := max(from, blk.first), min(to, blk.end)
		switch {
		case blk.lost:
			l.merge(&blk.loss)
		case blk.recs == nil:
			part := blk.summary(min(blk.whole, hi-lo))
			l.merge(&part)
		default:
			for k := lo - blk.first; k < hi-blk.first; k++ {
				if counts(&blk.recs[k]) {
					l.add(&blk.recs[k])
				}
			}
		}
	}
	return l
}
