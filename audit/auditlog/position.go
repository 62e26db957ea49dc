package auditlog

import (
	"audisp-relay/audit/record"
)

// Position is the beginning of a line in audit.log or one of its rotations. It
// holds over rotations, and only for the Log that gave it. The zero Place lies
// before every line.
type Position struct {
	gen uint64 // of the file; newer files have higher ones, see files.go
	Off int64  // bytes from the file's beginning
}

// Less reports whether p lies before o.
func (p Position) Less(o Position) bool {
	if p.gen != o.gen {
		return p.gen < o.gen
	}
	return p.Off < o.Off
}

// At returns where record i of b begins, p being the place of the first as
// Next gave it. For i = len(b.Recs) it is the place behind the last one.
func (p Position) At(b *record.Batch, i int) Position {
	if len(b.Recs) == 0 {
		return p
	}
	if i < len(b.Recs) {
		p.Off += int64(b.Recs[i].Off - b.Recs[0].Off)
		return p
	}
	last := b.Recs[len(b.Recs)-1]
	p.Off += int64(last.Off + last.Len - b.Recs[0].Off)
	return p
}
