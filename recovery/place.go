package recovery

import "audisp-relay/stream"

// Place is the beginning of a line in audit.log or one of its rotations. It
// holds over rotations, and only for the Log that gave it. The zero Place lies
// before every line.
type Place struct {
	gen uint64 // of the file; newer files have higher ones, see files.go
	Off int64  // bytes from the file's beginning
}

// Less reports whether p lies before o.
func (p Place) Less(o Place) bool {
	if p.gen != o.gen {
		return p.gen < o.gen
	}
	return p.Off < o.Off
}

// At returns where record i of b begins, p being the place of the first as
// Next gave it. For i = len(b.Recs) it is the place behind the last one.
func (p Place) At(b *stream.Batch, i int) Place {
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
