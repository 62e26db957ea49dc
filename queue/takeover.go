package queue

import "audisp-relay/queue/spool"

// takeOver takes what an earlier run has left from number next on.
func (q *Queue) takeOver(next uint64) {
	d := q.spiller.disk
	lost := d.Damage().Lost
	end := next // of what is taken
	for _, f := range d.Frames() {
		for len(lost) > 0 && lost[0].First < f.First {
			end = q.takeFrame(lost[0], end, f.First, true)
			lost = lost[1:]
		}
		end = q.takeFrame(f, end, f.First+uint64(f.Records), false)
	}
	for _, f := range lost {
		end = q.takeFrame(f, end, f.First+uint64(f.Records), true)
	}

	q.stored = len(q.blocks)
	q.tail = max(end, d.Next())
	q.head = q.tail
	if q.stored > 0 {
		q.head = max(next, q.blocks[0].first)
	}
	q.findOldest()
	q.discardIdle()
}

// findOldest finds the time of the first record of the spool.
func (q *Queue) findOldest() {
	if len(q.blocks) == 0 || q.blocks[0].lost {
		return
	}
	blk := q.blocks[0]
	b, err := q.spiller.disk.Read(blk.frame, nil, nil)
	if err == nil && len(b.Recs) > 0 {
		loaded := block{recs: b.Recs, first: blk.frame.First}
		blk.millis = loaded.oldest(q.head)
	}
}

// takeFrame takes the records of a frame from number from on, and up to to, over
// and returns the number after what is taken.
func (q *Queue) takeFrame(f spool.Frame, from, to uint64, lost bool) uint64 {
	begin, end := max(f.First, from), min(f.First+uint64(f.Records), to)
	if begin >= end {
		if !lost {
			q.spiller.disk.Release(f)
		}
		return from
	}

	blk := &block{first: f.First, end: end, sealed: true, stored: true, frame: f, lost: lost}
	n := min(uint64(f.Whole), end-begin)
	q.count.Received += n
	q.count.TakenOver += n
	if lost {
		blk.first = begin
		blk.loss = Loss{Records: n}
		q.count.loseAll(Spool, &blk.loss)
	} else {
		blk.whole, blk.bytes = n, int64(f.Bytes)
		q.held += n
		q.bytes += blk.bytes
	}

	q.blocks = append(q.blocks, blk)
	return end
}

// findStored finds the last loggable record of the spool: later ones of audit.log are not
// there. Frames that are damaged or have none are skipped, up to eight of them.
func (q *Queue) findStored() (last knownID) {
	tries := 8
	for i := len(q.blocks) - 1; i >= 0 && tries > 0; i-- {
		blk := q.blocks[i]
		if blk.lost {
			continue
		}
		tries--
		b, err := q.spiller.disk.Read(blk.frame, nil, nil)
		if err != nil {
			continue
		}
		if id := lastID(&b); id.ok {
			blk.id = id
			return id
		}
	}
	return last
}
