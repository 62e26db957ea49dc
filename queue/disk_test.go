package queue

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/queue/spool"
)

// memDisk is a disk in memory that fails when it is asked to. Its faults are set
// while the spiller is at rest.
type memDisk struct {
	frames  []*memFrame
	lost    []spool.Frame
	next    uint64
	size    int64
	max     int64
	mu      sync.Mutex    // guards the next three
	err     error         // of Append and Read
	tick    error         // of Tick
	hang    chan struct{} // Append does not return before it is closed
	busy    atomic.Bool
	closed  bool
	appends int
	misuse  string
}

type memFrame struct {
	f       spool.Frame
	b       record.Batch
	damaged bool
}

var errDisk = errors.New("input/output error")

func newMemDisk(max int64) *memDisk { return &memDisk{max: max} }

// reopened is what a new process finds, whether the old one ended in order or not.
func (d *memDisk) reopened() *memDisk {
	n := &memDisk{frames: slices.Clone(d.frames), lost: slices.Clone(d.lost), next: d.next, max: d.max}
	for _, f := range n.frames {
		n.size += int64(f.f.Bytes)
	}
	return n
}

// lose makes the frame at i one that the next Open cannot read.
func (d *memDisk) lose(i int) {
	d.lost = append(d.lost, spool.Frame{First: d.frames[i].f.First, Records: d.frames[i].f.Records, Whole: d.frames[i].f.Whole})
	slices.SortFunc(d.lost, func(a, b spool.Frame) int { return int(a.First) - int(b.First) })
	d.frames = slices.Delete(d.frames, i, i+1)
}

func (d *memDisk) faults() (chan struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hang, d.err
}

// fail makes calls fail from now on, or not, when err is nil.
func (d *memDisk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// hangUp makes Append hang, or continue.
func (d *memDisk) hangUp(yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hang != nil {
		close(d.hang)
	}
	if d.hang = nil; yes {
		d.hang = make(chan struct{})
	}
}

// enter notes when more than one goroutine is in, or the disk is closed.
func (d *memDisk) enter() func() {
	if !d.busy.CompareAndSwap(false, true) {
		d.misuse = "called by two goroutines at a time"
	}
	if d.closed {
		d.misuse = "called after Close"
	}
	return func() { d.busy.Store(false) }
}

func (d *memDisk) Frames() (list []spool.Frame) {
	for _, f := range d.frames {
		list = append(list, f.f)
	}
	return list
}

func (d *memDisk) Damage() spool.Damage { return spool.Damage{Lost: slices.Clone(d.lost)} }
func (d *memDisk) Next() uint64         { return d.next }
func (d *memDisk) Size() int64          { return 0 }

func (d *memDisk) Append(first uint64, b *record.Batch) (spool.Frame, error) {
	defer d.enter()()
	if hang, _ := d.faults(); hang != nil {
		<-hang
	}
	if _, err := d.faults(); err != nil {
		return spool.Frame{}, err
	}
	var size int64
	f := &memFrame{f: spool.Frame{First: first, Records: uint32(len(b.Recs))}}
	var l Loss
	for i := range b.Recs {
		r := b.Recs[i]
		r.Off = uint32(len(f.b.Buf))
		f.b.Buf = append(f.b.Buf, b.Bytes(i)...)
		f.b.Recs = append(f.b.Recs, r)
		if counts(&r) {
			l.add(&r)
		}
	}
	size = int64(len(f.b.Buf))
	if d.size+size > d.max {
		return spool.Frame{}, spool.ErrFull
	}
	f.f.Bytes, f.f.Whole, f.f.Events, f.f.FirstSerial, f.f.LastSerial = uint32(size), uint32(l.Records), uint32(l.Events), l.First, l.Last
	if first < d.next {
		d.misuse = "a number below one that was stored"
	}
	d.size += size
	d.appends++
	d.next = first + uint64(len(b.Recs))
	d.frames = append(d.frames, f)
	return f.f, nil
}

func (d *memDisk) Read(f spool.Frame, buf []byte, recs []record.Record) (record.Batch, error) {
	defer d.enter()()
	if _, err := d.faults(); err != nil {
		return record.Batch{}, err
	}
	for _, m := range d.frames {
		if m.f != f {
			continue
		}
		if m.damaged {
			return record.Batch{}, spool.ErrDamaged
		}
		return record.Batch{Buf: append(buf[:0], m.b.Buf...), Recs: append(recs[:0], m.b.Recs...)}, nil
	}
	return record.Batch{}, spool.ErrDamaged
}

func (d *memDisk) Release(f spool.Frame) {
	defer d.enter()()
	i := slices.IndexFunc(d.frames, func(m *memFrame) bool { return m.f == f })
	if i >= 0 {
		d.size -= int64(f.Bytes)
		d.frames = slices.Delete(d.frames, i, i+1)
	}
}

func (d *memDisk) Tick(time.Time) error {
	defer d.enter()()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tick
}

func (d *memDisk) Close() error { defer d.enter()(); d.closed = true; return nil }

// sound holds the queue's own sums against what it holds, when the spiller is at rest.
func sound(t interface {
	Helper()
	Fatalf(string, ...any)
}, q *Queue) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	var fresh, cache usage
	var held uint64
	var size int64
	at := q.head
	for i, blk := range q.blocks {
		if blk.stored != (i < q.stored) {
			t.Fatalf("block %d of %d: stored %v, but %d are", i, len(q.blocks), blk.stored, q.stored)
		}
		if blk.end <= q.head || blk.end <= blk.first || (i > 0 && blk.first < at) {
			t.Fatalf("block %d has %d to %d, after %d, head %d", i, blk.first, blk.end, at, q.head)
		}
		at = blk.end
		held += blk.whole
		size += blk.bytes
		if blk.lost && (blk.whole != 0 || blk.bytes != 0) {
			t.Fatalf("%d records are held of a lost block", blk.whole)
		}
		if slices.Contains(q.cached, blk) != (blk.stored && blk.recs != nil) {
			t.Fatalf("block %d: stored %v, in memory %v, but cached is otherwise", i, blk.stored, blk.recs != nil)
		}
		if blk.recs == nil {
			continue
		}
		if uint64(len(blk.recs)) != blk.end-blk.first {
			t.Fatalf("block %d has %d records, numbers %d to %d", i, len(blk.recs), blk.first, blk.end)
		}
		var u usage
		var whole uint64
		for k := max(blk.first, q.head) - blk.first; k < uint64(len(blk.recs)); k++ {
			u.recs++
			u.bytes += int64(blk.recs[k].Len)
			if counts(&blk.recs[k]) {
				whole++
			}
		}
		if whole != blk.whole || u.bytes != blk.bytes {
			t.Fatalf("block %d: %d records of %d bytes, counted %d and %d", i, whole, u.bytes, blk.whole, blk.bytes)
		}
		if blk.stored {
			cache.recs, cache.bytes = cache.recs+u.recs, cache.bytes+u.bytes
		} else {
			fresh.recs, fresh.bytes = fresh.recs+u.recs, fresh.bytes+u.bytes
		}
	}
	if at > q.tail || held != q.held || size != q.bytes || fresh != q.fresh || cache != q.cache {
		t.Fatalf("end %d, tail %d; held %d, counted %d; bytes %d, counted %d; fresh %v, counted %v; cache %v, counted %v",
			at, q.tail, held, q.held, size, q.bytes, fresh, q.fresh, cache, q.cache)
	}
	c := q.count
	if sum := c.Delivered + c.Filtered + c.Discarded + q.held + c.LostRecords(); sum != c.Received {
		t.Fatalf("received %d, accounted for %d: %+v, held %d", c.Received, sum, c, q.held)
	}
}

// damage makes the frame at i one that cannot be read.
func (d *memDisk) damage(i int) { d.frames[i] = &memFrame{f: d.frames[i].f, damaged: true} }

// texts splits what a consumer got into markers and the rest.
func texts(got string) (records, markers []string) {
	for line := range bytes.Lines([]byte(got)) {
		if bytes.Contains(line, []byte("op=relay-loss")) {
			markers = append(markers, string(line))
		} else {
			records = append(records, string(line))
		}
	}
	return records, markers
}

// all takes everything, also what has to be loaded first.
func all(t *testing.T, q *Queue, c *Cursor) string {
	t.Helper()
	var s bytes.Buffer
	for {
		b, err := c.Take()
		if err != nil {
			return s.String()
		}
		if len(b.Recs) == 0 {
			q.mu.Lock()
			end := c.pos == q.tail
			q.mu.Unlock()
			if end {
				return s.String()
			}
			<-c.Ready()
			continue
		}
		s.WriteString(text(b))
		c.Advance(len(b.Recs))
	}
}
