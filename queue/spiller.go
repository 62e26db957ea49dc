package queue

import (
	"errors"
	"fmt"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/queue/spool"
)

const (
	// maxStored bounds the memory that knowing stored blocks takes: some 16 MiB. Full blocks
	// are some 4 GiB on disk; the configuration says so to who asks for more.
	maxStored = 1 << 16
	// leaveTime is how long Shutdown lets the rest be stored.
	leaveTime = 200 * time.Millisecond
	// tickTime is how often the spool is tended and a full or failing disk tried again.
	tickTime = time.Second
	// maxReads is how often a frame that cannot be read is tried, when it is not
	// known to be damaged.
	maxReads = 3
)

// disk is what the queue wants of a spool.Spool; tests make one that fails.
type disk interface {
	Frames() []spool.Frame
	Damage() spool.Damage
	Next() uint64
	Append(first uint64, b *record.Batch) (spool.Frame, error)
	Read(f spool.Frame, buf []byte, recs []record.Record) (record.Batch, error)
	Release(f spool.Frame)
	Tick(now time.Time) error
	Size() int64
	Close() error
}

// spillWriter is what the spiller works with. Its goroutine alone calls disk, but for
// Size, once it runs, and never with the queue's lock.
type spillWriter struct {
	disk disk
	kick chan struct{} // has an element when there may be something to do
	done chan struct{} // closed when the goroutine has ended

	// The spiller's goroutine's.
	lasting   string    // what went wrong with the disk when that was reported last
	lastingAt time.Time // when it was

	// Guarded by the queue's mu.
	ops     uint64        // calls of the disk that have returned
	down    bool          // the disk is full or fails: Put does not wait for it
	full    time.Time     // since when the disk is full while memory is short; zero: it is not
	fault   string        // why it stores nothing while memory is short, but for a spool that has all of its size; "": it does
	retry   time.Time     // when a disk that is down is tried again
	said    bool          // that it is down was logged, and nothing was stored since
	stuck   bool          // a call hangs: Put does not wait until one has returned
	release []spool.Frame // of records that all cursors have passed
	leaving time.Time     // when not zero: store the rest until then, and end
}

func (p *spillWriter) wake() { poke(p.kick) }

// passed says that a frame is not needed any more. There may be room on the disk then.
func (p *spillWriter) passed(f spool.Frame) {
	p.release = append(p.release, f)
	p.down = false
	p.wake()
}

// storeRest lets the spiller store the rest and waits until it has ended, if that is
// soon. It is called, and returns, with the lock.
func (q *Queue) storeRest() {
	p := q.spiller
	if p.leaving.IsZero() {
		p.leaving = time.Now().Add(leaveTime)
		p.down = false // there may be room again: one try
		p.wake()
	}
	q.mu.Unlock()
	defer q.mu.Lock()
	select {
	case <-p.done:
	case <-time.After(leaveTime + leaveTime/4):
	}
}

// runSpiller is the spiller: it loads what cursors wait for, stores what memory is
// too small for, and releases what all have passed.
func (q *Queue) runSpiller() {
	p := q.spiller
	defer close(p.done)
	tick := time.NewTicker(tickTime)
	defer tick.Stop()

	for {
		worked, end := q.spillOnce()
		if end {
			q.reportSpoolError(p.disk.Close())
			return
		}
		if worked {
			select {
			case now := <-tick.C:
				q.tendDisk(now)
			default:
			}
			continue
		}
		select {
		case <-p.kick:
		case now := <-tick.C:
			q.tendDisk(now)
		}
	}
}

// lastingEvery is how often a fault is said again that lasts, as that of a file system which has become read-only.
const lastingEvery = time.Minute

// tendDisk has the disk do what is due, and says what goes wrong with that.
func (q *Queue) tendDisk(now time.Time) { q.reportLasting(q.spiller.disk.Tick(now), now) }

// reportLasting reports what may go wrong again and again. It is called without the lock.
func (q *Queue) reportLasting(err error, now time.Time) {
	p := q.spiller
	if err == nil || (err.Error() == p.lasting && now.Sub(p.lastingAt) < lastingEvery) {
		return
	}
	p.lasting, p.lastingAt = err.Error(), now
	q.reportSpoolError(err)
}

func (q *Queue) reportSpoolError(err error) {
	if err != nil && q.log != nil {
		q.log(err)
	}
}

// spillOnce does one of each kind of work.
func (q *Queue) spillOnce() (worked, end bool) {
	p := q.spiller
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(p.release) > 0 {
		q.releaseFrames()
		worked = true
	}
	if blk := q.nextToLoad(); blk != nil && p.leaving.IsZero() {
		q.loadBlock(blk)
		worked = true
	}
	if blk := q.nextToStore(); blk != nil {
		q.storeBlock(blk)
		worked = true
	}

	if (!p.full.IsZero() || p.fault != "") && !q.short() {
		p.full, p.fault = time.Time{}, ""
	}
	if !worked && q.stored >= maxStored && !p.down && q.short() {
		q.stopStoring()
	}
	return worked, !worked && !p.leaving.IsZero()
}

// errStored is why a spool that has room on its disk takes nothing more.
var errStored = fmt.Errorf("spool takes no records: it has %d frames, more than can be known of, whatever max_size is: %w", maxStored, spool.ErrFull)

// stopStoring takes note that no more blocks can be known while memory is short. It is called, and returns, with the lock.
func (q *Queue) stopStoring() {
	p, now := q.spiller, time.Now()
	p.down, p.retry = true, now.Add(tickTime)
	q.resumePut()
	p.noteFull(errStored)
	q.mu.Unlock()
	defer q.mu.Lock()
	q.reportLasting(errStored, now)
}

func (q *Queue) releaseFrames() {
	p := q.spiller
	frames := p.release
	p.release = nil
	q.useDisk(func() {
		for _, f := range frames {
			p.disk.Release(f)
		}
	})
}

// useDisk has work use the disk, without the lock.
func (q *Queue) useDisk(work func()) {
	q.mu.Unlock()
	work()
	q.mu.Lock()
	q.spiller.ops++
	q.spiller.stuck = false
}

// nextToLoad returns the next block that a cursor needs and that is not in memory.
func (q *Queue) nextToLoad() *block {
	for _, c := range q.cursors {
		i := q.index(c.pos)
		for _, blk := range q.blocks[min(i, q.stored):min(i+2, q.stored)] {
			if blk.recs == nil && !blk.lost && c.near(blk) {
				return blk
			}
		}
	}
	return nil
}

// nextToStore returns the next block that is to be stored, if memory is short enough. A
// block that may still take records is kept for that unless a Put waits or soon will.
func (q *Queue) nextToStore() *block {
	p := q.spiller
	if q.stored == len(q.blocks) || q.stored >= maxStored || q.over {
		return nil
	}

	blk := q.blocks[q.stored]
	switch {
	case len(blk.recs) == 0:
		return nil
	case !p.leaving.IsZero():
		if !p.down && time.Now().Before(p.leaving) {
			return blk
		}
		return nil
	case p.down && time.Now().Before(p.retry):
		return nil
	case q.short():
		return blk
	}
	return nil
}

// short reports whether memory is so short that what is in it is to be stored.
func (q *Queue) short() bool {
	switch {
	case q.waiting:
		return true
	case q.stored < len(q.blocks)-1:
		return q.fresh.recs > q.cfg.Depth/2 || q.fresh.bytes > q.cfg.Bytes/2
	}
	return q.fresh.recs > q.cfg.Depth*3/4 || q.fresh.bytes > q.cfg.Bytes*3/4
}

// storeBlock writes a block to the disk. It is called, and returns, with the lock.
func (q *Queue) storeBlock(blk *block) {
	p := q.spiller
	blk.sealed = true
	blk.views++
	first := max(blk.first, q.head)
	b := record.Batch{Buf: blk.data, Recs: blk.recs[first-blk.first:]}

	var id knownID
	var f spool.Frame
	var err error
	q.useDisk(func() {
		id = lastID(&b)
		f, err = p.disk.Append(first, &b)
	})
	blk.views--
	if q.over {
		return // it is counted as lost already, though it may be stored
	}

	defer q.resumePut()
	p.noteFull(err)
	if err != nil {
		p.down, p.retry = true, time.Now().Add(tickTime)
		if !p.said {
			p.said = true
			q.mu.Unlock()
			q.reportSpoolError(fmt.Errorf("spool takes no records: %w", err))
			q.mu.Lock()
		}
		return
	}

	p.down, p.said = false, false
	if blk.gone {
		p.release = append(p.release, f)
		return
	}
	q.fresh.add(-q.live(blk), -blk.bytes)
	q.cache.add(q.live(blk), blk.bytes)
	q.count.Spilled += blk.whole
	blk.stored, blk.frame, blk.id = true, f, id
	q.cached = append(q.cached, blk)
	q.stored++
	q.shed()
}

// noteFull takes note of how storing went: since when it fails because there is no room, and why it fails otherwise, or on a full disk.
func (p *spillWriter) noteFull(err error) {
	if p.fault = ""; err != nil && (spool.OutOfSpace(err) || !errors.Is(err, spool.ErrFull)) {
		p.fault = err.Error()
	}
	switch {
	case !errors.Is(err, spool.ErrFull):
		p.full = time.Time{}
	case p.full.IsZero():
		p.full = time.Now()
	}
}

// loadBlock reads a stored block. It is called, and returns, with the lock.
func (q *Queue) loadBlock(blk *block) {
	var into block
	if k := len(q.free); k > 0 {
		into, q.free = *q.free[k-1], q.free[:k-1]
	} else {
		into.data = make([]byte, 0, blockSize)
	}

	f := blk.frame
	var b record.Batch
	var err error
	q.useDisk(func() {
		b, err = q.spiller.disk.Read(f, into.data, into.recs)
		if err == nil && len(b.Recs) != int(f.Records) {
			err = fmt.Errorf("%w: it has %d records, not %d", spool.ErrDamaged, len(b.Recs), f.Records)
		}
		q.reportSpoolError(err)
	})

	defer q.loaded()
	if blk.gone || q.over {
		return
	}
	if err != nil {
		blk.tries++
		if errors.Is(err, spool.ErrDamaged) || blk.tries == maxReads {
			q.loseDamagedBlock(blk)
		}
		return
	}

	blk.data, blk.recs, blk.first = b.Buf, b.Recs, f.First
	q.correctBlock(blk)
	q.cached = append(q.cached, blk)
	q.cache.add(q.live(blk), blk.bytes)
	q.count.MaxDepth = max(q.count.MaxDepth, q.fresh.recs+q.cache.recs)
	if late := q.later; late.pos > q.head {
		q.trim(late.pos, late.cause)
	}
	q.shed()
}

// correctBlock makes the counts of a loaded block exact: of one that an earlier run
// stored it was not known how much of it, cut by the position, or of markers, counts.
func (q *Queue) correctBlock(blk *block) {
	var whole uint64
	var size int64
	for i := max(blk.first, q.head) - blk.first; i < uint64(len(blk.recs)); i++ {
		size += int64(blk.recs[i].Len)
		if counts(&blk.recs[i]) {
			whole++
		}
	}
	q.count.Received += whole - blk.whole // either may be larger: it wraps and comes out right
	q.count.TakenOver += whole - blk.whole
	q.held += whole - blk.whole
	q.bytes += size - blk.bytes
	blk.whole, blk.bytes = whole, size
}

// loseDamagedBlock counts a block that cannot be read as lost. Cursors that come to it
// continue after it and report it.
func (q *Queue) loseDamagedBlock(blk *block) {
	q.count.now = time.Time{}
	before := q.count.Lost[Spool].Records
	blk.loss = blk.summary(blk.whole)
	q.account(blk, Spool)
	if blk.loss.Records = q.count.Lost[Spool].Records - before; blk.loss.Records == 0 {
		blk.loss = Loss{}
	}
	blk.lost = true
}
