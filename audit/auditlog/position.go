package auditlog

import (
	"audisp-relay/audit/record"
)

// Position is the beginning of a line in audit.log or one of its rotations. It
// holds over rotations, and only for the Reader that gave it. The zero Position lies
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

// in returns how far into a file p is: 0 where it is in another one.
func (p Position) in(f *logFile) int64 {
	if f.gen != p.gen {
		return 0
	}
	return p.Off
}

// At returns where record i of b begins, p being the position of the first as
// Next gave it. For i = len(b.Recs) it is the position after the last one.
func (p Position) At(b *record.Batch, i int) Position {
	switch n := len(b.Recs); {
	case n == 0:
	case i < n:
		p.Off += int64(b.Recs[i].Off - b.Recs[0].Off)
	default:
		p.Off += int64(b.Recs[n-1].Off + b.Recs[n-1].Len - b.Recs[0].Off)
	}
	return p
}
