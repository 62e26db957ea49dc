package sinks

import "audisp-relay/audit/record"

// RestLeftOut is what a sink logs that leaves out what Orphans has found.
const RestLeftOut = "the rest of a line of more than 64 KiB is left out: what had its beginning has ended"

// Orphans returns how many records at the head of b continue a line whose beginning the receiver did not get; open says that it
// has the beginning of one. To a receiver they would be the beginning of a record, in words that whoever wrote the line has chosen.
func Orphans(b *record.Batch, open bool) (n int) {
	for !open && n < len(b.Recs) && b.Recs[n].Flags&record.Cont != 0 {
		n++
	}
	return n
}

// EndsOpen reports whether the last of the first n records of b, of which there is one, continues in the next.
func EndsOpen(b *record.Batch, n int) bool { return b.Recs[n-1].Flags&record.Open != 0 }
