// Package stream turns the bytes auditd writes to a plugin's stdin into
// records: it distinguishes string from binary framing and splits them without copying
// or allocating.
package stream

import (
	"io"
	"time"

	"audisp-relay/audit/record"
)

// Reader reads a dispatcher stream and cuts it into batches. One goroutine
// calls Next; Counts may be read between calls only.
type Reader struct {
	in  io.Reader
	sp  *Splitter
	err error
	// gather, when set, paces the reads of a live stream.
	gather *gather
	// Panicked, which may be nil, is called with a panic over the bytes at hand. They are given as
	// records without an id.
	Panicked func(fault any)
}

// NewReader returns a Reader of a stored stream or a plain pipe.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: in, sp: NewSplitter()}
}

// Waiter is an input that waits at less cost than by Read and time.Sleep do. Only the goroutine that
// reads calls it, and both may return earlier.
type Waiter interface {
	Await()                // until there is something to read
	Sleep(d time.Duration) // though there is
}

// sleeper stands in for an input that is no Waiter: the waiting is done in Read.
type sleeper struct{}

func (sleeper) Await()                {}
func (sleeper) Sleep(d time.Duration) { time.Sleep(d) }

// NewLiveReader returns a Reader for the socket auditd writes to. auditd
// writes record by record; the Reader lets those that come fast gather for a
// moment, because every wake-up costs more than the record it brings.
// buffer is the size of auditd's send buffer, which is what they gather in.
// in may be a Waiter.
func NewLiveReader(in io.Reader, buffer int) *Reader {
	r := NewReader(in)
	r.gather = &gather{room: float64(buffer) / 2, in: sleeper{}}
	if in, ok := in.(Waiter); ok {
		r.gather.in = in
	}
	return r
}

// Counts returns what has been read so far.
func (r *Reader) Counts() Counts { return r.sp.Counts() }

// Whole reports whether all that was read has been given, and was whole records: another Reader
// could go on from here. It may be called between calls of Next only.
func (r *Reader) Whole() bool { return r.err == nil && r.sp.whole() }

// Next waits for bytes and puts the records that are complete with them into
// b; that may be none. The batch is valid until the next call. At the end of
// the stream Next hands over what was left and then returns io.EOF; after a
// read error it does the same and then returns that error.
func (r *Reader) Next(b *record.Batch) error {
	if r.err != nil {
		return r.err
	}
	if r.gather != nil {
		r.gather.wait()
	}

	space := r.sp.Space()
	n, err := r.in.Read(space)
	switch {
	case n > 0:
		r.guard(b, func() { r.sp.Cut(b, n) })
	case err == nil:
		b.Recs = b.Recs[:0]
	default:
		r.err = err
		r.guard(b, func() { r.sp.End(b) })
		if len(b.Recs) == 0 {
			return err
		}
		return nil
	}

	if r.gather != nil {
		r.gather.got(len(b.Recs), n, n == len(space))
	}
	return nil // an error that came with bytes comes again without
}

// guard has work put records into b. After a panic it gives those that were there before,
// and the bytes after them as they are.
func (r *Reader) guard(b *record.Batch, work func()) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		if r.Panicked != nil {
			r.Panicked(fault)
		}
		r.sp.giveUp(b)
	}()
	work()
}

// How a live stream is gathered.
const (
	// gatherMax is the longest a record waits for others, at fastRate and above: a charge a nanosecond, that of
	// 30 records a millisecond. Slower ones wait for less in proportion, as fewer would come.
	gatherMax = 1500 * time.Microsecond
	fastRate  = 30 * (perRecord + 400*perByte) / float64(time.Millisecond)
	// gatherMin is not worth going to sleep for.
	gatherMin = 100 * time.Microsecond
	// gatherIdle without a record ends a busy spell: the next one goes through
	// at once.
	gatherIdle = 4 * time.Millisecond
	// perRecord and perByte estimate what a record takes of the socket's buffer,
	// where the kernel charges whole allocations: 167 records of 200 to 600
	// bytes, or 21 frames of 8986, fill 208 KiB (measured, Linux 6.18).
	perRecord, perByte = 768, 1.4
)

// gather decides how long to let records pile up in the socket before the next
// read: as gatherMax says, but not longer than it takes to fill half of the socket at the rate of the last
// reads, so that auditd never has to wait.
type gather struct {
	in   Waiter
	room float64       // how much may come together, as the kernel charges it
	last time.Time     // end of the last read
	rate float64       // smoothed charge a nanosecond, 0 while idle
	nap  time.Duration // before the next read
}

// wait returns when it is time for the next read. What comes after an idle spell goes through at once.
func (g *gather) wait() {
	if g.nap < gatherMin {
		return
	}
	g.in.Await()
	if time.Since(g.last) <= gatherIdle {
		g.in.Sleep(g.nap)
	}
}

// got says that a read brought so many records and bytes, and whether there is
// more than it could take.
func (g *gather) got(records, bytes int, more bool) {
	now := time.Now()
	took := now.Sub(g.last)
	g.last = now
	if took > gatherIdle || took <= 0 {
		g.rate, g.nap = 0, 0
		return
	}
	rate := (float64(records)*perRecord + float64(bytes)*perByte) / float64(took)
	if g.rate == 0 {
		g.rate = rate
	}
	g.rate = (3*g.rate + rate) / 4
	longest := max(gatherMin, time.Duration(min(1, g.rate/fastRate)*float64(gatherMax)))
	g.nap = min(time.Duration(g.room/g.rate), longest)
	if more {
		g.nap = 0
	}
}
