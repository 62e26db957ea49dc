package auditlog

import (
	"io"
	"os"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// lineReader cuts a file into its lines.
type lineReader struct {
	sp   *stream.Splitter
	f    *os.File
	read int64 // bytes read so far
	cut  int64 // bytes of these that were handed on as lines
	open bool  // the line handed on last continues: its newline has not come yet
	rest record.Batch
}

// start goes to off, where a line begins.
func (r *lineReader) start(f *os.File, off int64) {
	if r.sp == nil {
		r.sp = stream.NewSplitter()
		// An empty line first, so that a damaged log is never taken for frames.
		r.sp.Space()[0] = '\n'
		r.sp.Cut(&r.rest, 1)
	}
	r.sp.CutRest(&r.rest)
	r.f, r.read, r.cut, r.open = f, off, off, false
}

// next puts the lines that are complete with one more read into b, valid until
// the next call; at is where the first begins. n is what was read.
func (r *lineReader) next(b *record.Batch) (at int64, n int, err error) {
	at = r.cut
	n, err = r.f.ReadAt(r.sp.Space(), r.read)
	if n > 0 {
		r.read += int64(n)
		r.sp.Cut(b, n)
		r.handOn(b)
		return at, n, nil
	}
	b.Recs = b.Recs[:0]
	if err == nil {
		err = io.EOF
	}
	return at, 0, err
}

// end hands on a last line that has no newline and will get none; it
// ends in one in b.
func (r *lineReader) end(b *record.Batch) (at int64) {
	at = r.cut
	if r.read == r.cut && !r.open {
		b.Recs = b.Recs[:0]
		return at
	}
	r.sp.CutRest(b)
	r.handOn(b)
	r.cut = r.read
	return at
}

func (r *lineReader) handOn(b *record.Batch) {
	for i := range b.Recs {
		b.Recs[i].Flags |= record.FromLog
		r.cut += int64(b.Recs[i].Len)
		r.open = b.Recs[i].Flags&record.Open != 0
	}
}
