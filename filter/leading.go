package filter

import "audisp-relay/audit/record"

const (
	// maxLeading is how many events that came in parts are remembered, and leadingSize how long their main records are at most:
	// the kernel's have 9 KB.
	maxLeading, leadingSize = 16, 16 << 10
)

// leading has the main records of events that came in parts, those that came last. Rules ask of exe and the like as well as of arguments, and
// whoever executes a program chooses how many arguments come before the one that matters: in a later part, which has no main record.
type leading struct {
	all    [maxLeading]record.Batch // a record each
	next   int
	joined record.Batch
}

// complete returns a part of an event without a main record with that of the first part in front, as long as that is remembered; anything
// else as it is. What it returns lasts until the next call.
func (l *leading) complete(b *record.Batch, i, j int) (of *record.Batch, from, to int) {
	if cap(l.joined.Buf) > maxScratch {
		l.joined = record.Batch{}
	}
	if b.Recs[j-1].Flags&record.Partial == 0 {
		return b, i, j
	}
	if HasMain(b, i, j) {
		l.remember(b, i+max(record.MainOf(b.Recs[i:j]), 0))
		return b, i, j
	}
	for k := range l.all {
		if first := &l.all[k]; len(first.Recs) > 0 && isSameEvent(first, b, i) {
			l.join(first, b, i, j)
			return &l.joined, 0, len(l.joined.Recs)
		}
	}
	return b, i, j
}

// isSameEvent reports whether the one record of first is of the event of record i.
func isSameEvent(first, b *record.Batch, i int) bool {
	x, y := &first.Recs[0], &b.Recs[i]
	return x.Serial == y.Serial && x.Millis == y.Millis && string(first.Node(0)) == string(b.Node(i))
}

// remember keeps a copy of record k.
func (l *leading) remember(b *record.Batch, k int) {
	text := b.Bytes(k)
	if len(text) > leadingSize {
		return
	}
	to := &l.all[l.next%maxLeading]
	l.next++
	to.Buf, to.Recs = to.Buf[:0], to.Recs[:0]
	appendRecord(to, b, k)
	to.Recs[0].Flags &^= record.End | record.Partial
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
