package filter

import "audisp-relay/audit/record"

const (
	// maxLeading is how many events that came in parts are remembered, and leadingSize how long their main records are at most:
	// the kernel's have 9 KB.
	maxLeading, leadingSize = 16, 16 << 10
)

// leading has what is remembered of events that came in parts, those that came last. Rules ask of exe and the like as well as of arguments, and
// of several arguments, and whoever executes a program chooses how many others come before those that matter: in a later part, which has no main
// record, and not all of them.
type leading struct {
	all    [maxLeading]earlier
	next   int
	joined record.Batch
}

// earlier is what is remembered of the parts of an event that have come.
type earlier struct {
	main  record.Batch // the main record alone
	found [][]uint64   // what searches have found so far, by scan; nil: nothing
}

// complete returns a part of an event without a main record with that of the first part in front, as long as that is remembered; anything
// else as it is. parts is what is remembered of the event, nil of one that is whole. What it returns lasts until the next call.
func (l *leading) complete(b *record.Batch, i, j int) (of *record.Batch, from, to int, parts *earlier) {
	if cap(l.joined.Buf) > maxScratch {
		l.joined = record.Batch{}
	}
	if b.Recs[j-1].Flags&record.Partial == 0 {
		return b, i, j, nil
	}
	if HasMain(b, i, j) {
		return b, i, j, l.remember(b, i+max(record.MainOf(b.Recs[i:j]), 0))
	}
	if parts = l.of(b, i); parts != nil {
		l.join(&parts.main, b, i, j)
		return &l.joined, 0, len(l.joined.Recs), parts
	}
	return b, i, j, nil
}

// of returns what is remembered of the event of record i, nil for nothing.
func (l *leading) of(b *record.Batch, i int) *earlier {
	for k := range l.all {
		if e := &l.all[k]; len(e.main.Recs) > 0 && isSameEvent(&e.main, b, i) {
			return e
		}
	}
	return nil
}

// isSameEvent reports whether the one record of first is of the event of record i.
func isSameEvent(first, b *record.Batch, i int) bool {
	x, y := &first.Recs[0], &b.Recs[i]
	return x.Serial == y.Serial && x.Millis == y.Millis && string(first.Node(0)) == string(b.Node(i))
}

// remember keeps a copy of record k, and returns where; nil of one that is too long.
func (l *leading) remember(b *record.Batch, k int) *earlier {
	text := b.Bytes(k)
	if len(text) > leadingSize {
		return nil
	}
	parts := l.of(b, k) // filters may ask twice
	if parts == nil {
		parts = &l.all[l.next%maxLeading]
		l.next++
		parts.found = nil
	}
	to := &parts.main
	to.Buf, to.Recs = to.Buf[:0], to.Recs[:0]
	appendRecord(to, b, k)
	to.Recs[0].Flags &^= record.End | record.Partial
	return parts
}

// keepFound notes what all searches of m have found in the part of an event at hand, and those before.
func (e *earlier) keepFound(m *Matcher) {
	if e.found == nil {
		e.found = make([][]uint64, len(m.scans))
	}
	for n := range m.scans {
		e.found[n] = append(e.found[n][:0], m.found(n)...)
	}
	m.err, m.taken = nil, 0
}

// join puts the record of first in front of records i to j-1.
func (l *leading) join(first, b *record.Batch, i, j int) {
	l.joined.Buf, l.joined.Recs = l.joined.Buf[:0], l.joined.Recs[:0]
	appendRecord(&l.joined, first, 0)
	for ; i < j; i++ {
		appendRecord(&l.joined, b, i)
	}
}

// appendRecord appends a copy of record k of b.
func appendRecord(to, b *record.Batch, k int) {
	r := b.Recs[k]
	text := b.Bytes(k)
	r.Off = uint32(len(to.Buf))
	to.Buf, to.Recs = append(to.Buf, text...), append(to.Recs, r)
}
