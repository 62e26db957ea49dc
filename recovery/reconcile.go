package recovery

import (
	"bytes"
	"time"

	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
)

// settleHeld compares the first n held batches with what the log gave. Unless force
// is set it stops at a record that the log should have soon.
func (f *Merger) settleHeld(now time.Time, n int, force bool) {
	for ; n > 0 && len(f.held) > 0; n-- {
		h := &f.held[0]
		done := f.settleBatch(h, now, force)
		if done < len(h.Recs) {
			h.Recs = h.Recs[done:]
			return
		}
		f.heldSize -= h.size
		f.held[0] = heldBatch{}
		f.held = f.held[1:]
		poke(f.room)
	}
}

// settleBatch returns how many records of h are dealt with.
func (f *Merger) settleBatch(h *heldBatch, now time.Time, force bool) int {
	from := 0 // h.Recs[from:i] are to be forwarded, after the lines that are ready
	flush := func(i int) {
		if from < i {
			f.passAll(&record.Batch{Buf: h.Buf, Recs: h.Recs[from:i]}, now)
		}
		from = i
	}
	defer f.giveReady(now)

	for i := range h.Recs {
		ready := f.pending.ready
		v := f.reconcile(h, i, now, force)
		if r := &h.Recs[i]; v != hold && r.HasID() {
			f.eoe.note(r)
		}
		if v != forward || f.pending.ready != ready {
			flush(i)
		}
		switch v {
		case forward:
			if from == i {
				f.giveReady(now)
			}
			continue
		case replaceEOE:
			f.giveReady(now)
			f.giveEOE(now)
		case hold:
			return i
		}
		from = i + 1
	}
	flush(len(h.Recs))
	return len(h.Recs)
}

type decision uint8

const (
	forward    decision = iota // the log does not have it
	drop                       // the log gave it, or a whole copy of it
	replaceEOE                 // an EOE record that has lost its id
	hold                       // the log should have it soon
)

// reconcile says what is to become of record i of h.
func (f *Merger) reconcile(h *heldBatch, i int, now time.Time, force bool) decision {
	r := &h.Recs[i]
	if !r.HasID() {
		return f.reconcileWithoutID(h, i, now, force)
	}
	if r.Type == record.TypeEOE {
		f.overtakeEvent(r, now)
		if !force && integrity.IsTruncated(&h.Batch, i) { // the next record has run into it
			f.eoe.last, f.eoe.of = *r, *r
			f.noteReplaced(now)
			return replaceEOE
		}
		f.eoe.serial = r.Serial
		return forward
	}

	f.eoe.last = *r
	id := h.ID(i)
	if n, ok := f.awaited.find(id); ok {
		f.misses = 0
		return f.dropIf(f.meet(&h.Batch, i, n, now, force))
	}
	if n, ok := f.originalOf(&h.Batch, i, id); ok {
		if !f.meet(&h.Batch, i, n, now, force) {
			return hold
		}
		f.noteReplaced(now)
		return drop
	}

	if f.mode == closing && !force && integrity.IsTruncated(&h.Batch, i) {
		f.letLogLead(now, f.writtenAt(r.Millis), quietTime)
		return hold
	}
	if f.paused && !force {
		return hold
	}
	// auditd 2.8 dispatches first. Where nothing is logged at all (logging is
	// suspended, say) waiting for each record would stop the stream.
	if f.mode == led && !force && !f.o.Static && f.misses < 8 {
		if now.Sub(h.at) < lagTime {
			return hold
		}
		f.misses++
	}

	f.witness.settle(&h.Batch, i).done()
	return forward
}

// reconcileWithoutID is reconcile for a record that has no id, or has lost it.
func (f *Merger) reconcileWithoutID(h *heldBatch, i int, now time.Time, force bool) decision {
	if n, ok := f.awaited.find(h.ID(i)); ok {
		return f.dropIf(f.meet(&h.Batch, i, n, now, force))
	}
	switch {
	case isTruncatedEOE(&h.Batch, i):
		f.overtakeEvent(f.eoe.take(), now)
		f.noteReplaced(now)
		return replaceEOE
	case force || !isFragment(&h.Batch, i):
		return forward
	case f.mode == closing:
		f.letLogLead(now, f.latest.At(), quietTime)
		return hold
	}
	f.noteReplaced(now)
	return drop
}

func (f *Merger) dropIf(ok bool) decision {
	if ok {
		return drop
	}
	return hold
}

func (f *Merger) noteReplaced(now time.Time) {
	f.count.Mended++
	f.doubt = now
	f.quiet = max(f.quiet, quietTime)
}

// isFragment reports whether a record without a header is the rest of one that was cut within its header, perhaps with
// the next record run into it. A record that only lacks a known type is not a fragment.
func isFragment(b *record.Batch, i int) bool {
	r := &b.Recs[i]
	if r.Flags&(record.Open|record.Cont) != 0 {
		return false
	}
	text := bytes.TrimRight(b.AfterNode(i), "\n")
	whole := len(text)
	for _, next := range []string{"type=", "node="} {
		if k := bytes.Index(text[min(1, len(text)):], []byte(next)); k >= 0 {
			text = text[:k+1] // the next record has run into it
		}
	}
	like := false
	for _, head := range []string{"type=", "node=", "audit("} {
		n := min(len(head), len(text))
		like = like || string(text[:n]) == head[:n]
	}
	if !like || r.Millis == 0 || len(text) < whole {
		return like
	}
	name, _, _ := bytes.Cut(bytes.TrimPrefix(text, []byte("type=")), []byte{' '})
	return bytes.ContainsFunc(name, func(c rune) bool {
		return c != '_' && c != '[' && c != ']' && (c < '0' || c > '9') && (c < 'A' || c > 'Z')
	})
}

// originalOf returns the line that record i of h is a damaged copy of.
func (f *Merger) originalOf(h *record.Batch, i int, id record.ID) (n uint64, ok bool) {
	text := h.Text(i)
	truncated, looked := false, false
	for n = f.awaited.kinds[kindOf(id)].first; n != 0; n = f.awaited.line(n).next {
		run, k := f.pending.at(n)
		if run == nil { // given
			if l := f.awaited.line(n); h.Recs[i].Len <= l.len || (l.len < 8900 && l.lineState&isBroken == 0) {
				return n, true
			}
		} else if line := run.Text(k); len(line) >= len(text) && common(text, line) == len(text) {
			return n, true
		} else if common(text, line) == len(line) && belongsToRecord(text[len(line)]) {
			continue // it is the line that is not whole
		}
		if !looked {
			truncated, looked = integrity.IsTruncated(h, i) || bytes.Count(text, []byte("audit(")) > 1, true
		}
		if truncated {
			return n, true
		}
	}
	return 0, false
}

// belongsToRecord reports whether the byte after a record's line may begin more of that record:
// auditd writes a blank, a newline, a NUL or the separator of names there. With any other byte the
// next record has run into this one, or the line ends within a word; whether the record is
// damaged says which.
func belongsToRecord(next byte) bool {
	return bytes.IndexByte([]byte{' ', '\n', 0, record.Separator}, next) >= 0
}

// common returns how many bytes a and b have in common at their beginning.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	if bytes.Equal(a[:n], b[:n]) {
		return n
	}
	k := 0
	for a[k] == b[k] {
		k++
	}
	return k
}
