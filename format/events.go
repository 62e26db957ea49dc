package format

import (
	"runtime"
	"sync"

	"audisp-relay/stream"
)

// splitFrom is how many records of a batch are worth a second goroutine: an event
// takes some microseconds, a goroutine about one.
const splitFrom = 64

// run is a part of a batch, encoded.
type run struct {
	events EventEncoder
	buf    []byte
	ends   []uint32
}

// encode writes the events that records i up to j of b are. The bytes of an event
// belong to its first record, so that it is acknowledged as a whole.
func (r *run) encode(b *stream.Batch, i, j int) {
	r.buf, r.ends = r.buf[:0], r.ends[:0]
	for i < j {
		end := EventEnd(b, i)
		r.buf = r.events.AppendEvent(r.buf, b, i, end)
		for ; i < end; i++ {
			r.ends = append(r.ends, uint32(len(r.buf)))
		}
	}
}

// encodeEvents writes the events of b. Of a large batch a second goroutine writes the
// second half meanwhile: the encoder is what takes longest on the way of an event.
func (e *Encoder) encodeEvents(batch stream.Batch) Encoded {
	b := e.begin(batch)
	first, second := &e.halves[0], &e.halves[1]
	half := len(b.Recs)
	if half >= splitFrom && runtime.GOMAXPROCS(0) > 1 {
		half = EventEnd(b, half/2)
	}
	if half == len(b.Recs) {
		first.encode(b, 0, half)
		return Encoded{Bytes: first.buf, ends: first.ends}
	}
	if second.events == nil {
		second.events = e.NewEvents()
	}
	var done sync.WaitGroup
	done.Go(func() { second.encode(b, half, len(b.Recs)) })
	first.encode(b, 0, half)
	done.Wait()
	base := uint32(len(first.buf))
	first.buf = append(first.buf, second.buf...)
	for _, end := range second.ends {
		first.ends = append(first.ends, base+end)
	}
	return Encoded{Bytes: first.buf, ends: first.ends}
}

// appendEvent appends the event that record i begins, nothing when it begins none.
func (e *Encoder) appendEvent(dst []byte, batch stream.Batch, i int) []byte {
	b := e.begin(batch)
	if i > 0 && !endsEvent(b, i-1) {
		return dst
	}
	return e.halves[0].events.AppendEvent(dst, b, i, EventEnd(b, i))
}

func (e *Encoder) begin(b stream.Batch) *stream.Batch {
	if e.halves[0].events == nil {
		e.halves[0].events = e.NewEvents()
	}
	e.batch = b
	return &e.batch
}

// EventEnd returns where the event that record i begins ends in b: behind the record
// with flag stream.End. Records that were queued before the consumer asked for
// events have none; then it is where the id changes.
func EventEnd(b *stream.Batch, i int) int {
	for ; i < len(b.Recs) && !endsEvent(b, i); i++ {
	}
	return min(i+1, len(b.Recs))
}

// endsEvent reports whether record i is the last one of its event in b.
func endsEvent(b *stream.Batch, i int) bool {
	if i+1 == len(b.Recs) || b.Recs[i].Flags&(stream.End|stream.Marker) != 0 {
		return true
	}
	return b.Recs[i+1].Flags&stream.Cont == 0 && !b.SameEvent(i, i+1)
}
