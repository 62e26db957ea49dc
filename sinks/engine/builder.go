package engine

import (
	"time"

	"github.com/klauspost/compress/zstd"

	"audisp-relay/audit/record"
	"audisp-relay/fleet/wire"
	"audisp-relay/format"
)

// maxEvents is for how many of the latest events the records are counted, for Audit-Last.
const maxEvents = 64

// builder makes batches of records. What the engine has already it leaves out.
type builder struct {
	enc   format.Encoder
	known known
	zip   *zstd.Encoder // nil: bodies are not compressed
	zbuf  []byte

	raw          []byte
	ids, taken   []uint64
	count        uint64
	first, until int64 // ms since 1970; 0: none
	last         wire.Last
	events       [maxEvents]wire.Last // in a ring
	event        int                  // the latest
	skipped      uint64               // records left out, in all
}

// newZip makes the encoder of bodies. It is used with EncodeAll only, and so has no goroutine.
func newZip() *zstd.Encoder {
	// The window is that of the largest batch; these options are valid.
	z, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(512<<10), zstd.WithLowerEncoderMem(true))
	return z
}

// reset begins a batch.
func (w *builder) reset() {
	w.raw, w.ids = w.raw[:0], w.ids[:0]
	w.count, w.first, w.until, w.last = 0, 0, 0, wire.Last{}
}

// add puts the records of b into the batch. number is that of the first in the queue.
func (w *builder) add(b record.Batch, number uint64) {
	e := w.enc.Encode(b)
	from := 0
	for i := 0; i < e.Len(); {
		span := e.Span(i)
		end := e.End(i)
		if w.knows(&b, i, span, number+uint64(i)) {
			w.skip(&b, i, span)
			w.pass(&b, i, span, number+uint64(i))
		} else if end > from {
			w.raw = append(w.raw, e.Bytes[from:end]...)
			w.include(&b, i, span)
			w.pass(&b, i, span, number+uint64(i))
		}
		from = end
		i += span
	}
}

// knows reports whether the engine has all of the records from i on that are written together,
// and takes them out of those that may come again. Of an event the EOE need not be among them.
func (w *builder) knows(b *record.Batch, i, span int, number uint64) bool {
	if w.known.idle() {
		return false
	}
	all, taken := true, w.taken[:0]
	for k := i; k < i+span; k++ {
		id := idOf(b.ID(k))
		if w.known.take(id, number+uint64(k-i), b.Recs[k].HasID()) {
			taken = append(taken, id)
		} else if b.Recs[k].Type != record.TypeEOE {
			all = false
		}
	}

	if w.taken = taken; all {
		return len(taken) > 0
	}
	for _, id := range taken { // the event is sent again as a whole
		w.known.note(id)
	}
	return false
}

// pass notes that the engine has the records from i on, or gets them with this batch.
func (w *builder) pass(b *record.Batch, i, span int, number uint64) {
	if w.known.idle() {
		return
	}
	for k := i; k < i+span; k++ {
		w.known.passed(idOf(b.ID(k)), number+uint64(k-i))
	}
}

// skip counts records that the engine has: they count for Audit-Last, too.
func (w *builder) skip(b *record.Batch, i, span int) {
	w.skipped += uint64(span)
	for k := i; k < i+span; k++ {
		if r := &b.Recs[k]; r.HasID() && r.Flags&record.Cont == 0 {
			w.place(r)
		}
	}
}

// include notes what the header and the journal say of the records from i on.
func (w *builder) include(b *record.Batch, i, span int) {
	if w.enc.Format.Events() || b.Recs[i].Flags&record.Cont == 0 {
		w.count++
	}
	for k := i; k < i+span; k++ {
		w.ids = append(w.ids, idOf(b.ID(k)))
		r := &b.Recs[k]
		if !r.HasID() || r.Flags&record.Cont != 0 {
			continue
		}
		w.last = w.place(r)
		if ms := r.Millis; ms > 0 && ms <= record.LastMillis {
			w.until = max(w.until, ms)
			if w.first == 0 || ms < w.first {
				w.first = ms
			}
		}
	}
}

// place counts a record for its event, and returns where that is in audit.log.
func (w *builder) place(r *record.Record) wire.Last {
	for back := range maxEvents {
		e := &w.events[(w.event+maxEvents-back)%maxEvents]
		if e.N > 0 && e.Serial == r.Serial && e.Millis == r.Millis {
			e.N++
			return *e
		}
		if e.N == 0 {
			break
		}
	}
	w.event = (w.event + 1) % maxEvents
	w.events[w.event] = wire.Last{Millis: r.Millis, Serial: r.Serial, N: 1}
	return w.events[w.event]
}

// batch returns the batch that was built, whose first record has number seq. It is valid until
// the next reset.
func (w *builder) batch(h wire.Header, seq uint64) *Batch {
	h.Seq, h.Count, h.Last = seq, w.count, w.last
	if w.until > 0 {
		h.First, h.Until = time.UnixMilli(w.first).UTC(), time.UnixMilli(w.until).UTC()
	}
	b := &Batch{Header: h, Body: w.raw, ids: w.ids}
	if w.zip == nil {
		return b
	}
	if w.zbuf = w.zip.EncodeAll(w.raw, w.zbuf[:0]); len(w.zbuf) < len(w.raw) {
		b.Body, b.Header.Encoding = w.zbuf, wire.Zstd
	}
	return b
}
