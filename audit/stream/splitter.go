package stream

import (
	"bytes"

	"audisp-relay/audit/record"
)

// Counts is what a Splitter has seen since it was made.
type Counts struct {
	Records  uint64 `json:"records"`          // handed on, pieces of one line counted once
	Bytes    uint64 `json:"bytes"`            // read
	NoID     uint64 `json:"without_id"`       // records without a readable type or id
	Oversize uint64 `json:"oversize_lines"`   // lines longer than MaxRecord, handed on in pieces
	Junk     uint64 `json:"junk_bytes"`       // bytes of a binary stream that were no frame
	Resyncs  uint64 `json:"resyncs"`          // times a frame had to be searched for
	Unended  uint64 `json:"unended_at_close"` // a last line without newline or a last frame cut short
}

// BufferSize is how much a Splitter holds: more than a default socket pair
// does, so one read empties it.
const BufferSize = 256 << 10

type framing uint8

const (
	framingUnknown framing = iota // nothing decided yet
	framingLines
	framingFrames // binary; whether fixed or exact is not known yet
	framingExact  // header + size bytes: auditd 2.8 direct, >= 4.1.1
	framingFixed  // header + 8970 bytes: audispd 2.8, auditd 3.0 to 4.1.0
)

// Splitter cuts a dispatcher stream into records. Which framing the stream has
// is read off its bytes. It is for one goroutine.
type Splitter struct {
	buf     []byte
	r, w    int // buf[r:w] is read but not cut yet
	scanned int // how much of buf[r:w] is known to hold no newline
	framing framing
	skip    int  // padding of a fixed frame still to be thrown away
	pad     int  // padding the last frame has if frames are fixed
	astray  bool // no frame was found where one should have begun
	cont    bool // the next line record continues the one before
	torn    bool // what comes may begin within a record: the rest of that is dropped
	id      record.HeaderReader
	counts  Counts
}

// NewSplitter returns a Splitter for a stream that begins with a record.
func NewSplitter() *Splitter {
	return &Splitter{buf: make([]byte, BufferSize)}
}

// Counts returns what has been seen so far.
func (s *Splitter) Counts() Counts { return s.counts }

// Space returns where the next bytes of the stream are to be put; it is never
// empty when every batch has been taken. The bytes of earlier batches are
// overwritten from here on.
func (s *Splitter) Space() []byte {
	if s.r > 0 {
		copy(s.buf, s.buf[s.r:s.w])
		s.w -= s.r
		s.r = 0
	}
	return s.buf[s.w:]
}

// Cut says that n bytes were put into Space and puts the records that are
// complete with them into b, whose buffer is then the Splitter's own: it is
// valid until the next call of Space.
func (s *Splitter) Cut(b *record.Batch, n int) {
	s.w += n
	s.counts.Bytes += uint64(n)
	b.Buf, b.Recs = s.buf, b.Recs[:0]
	if s.framing == framingUnknown {
		s.detect(false)
	}
	switch s.framing {
	case framingUnknown:
	case framingLines:
		if !s.torn || s.dropTorn() {
			s.cutLines(b, false)
		}
	default:
		s.cutFrames(b, false)
	}
}

// whole reports whether what comes next is a record's beginning. Of the first frame it is not known
// whether padding follows.
func (s *Splitter) whole() bool {
	return s.r == s.w && !s.cont && s.skip == 0 && !s.astray && (s.framing != framingFrames || s.pad == 0)
}

// CutRest cuts what a stream of lines has left when nothing more belongs to it: a last
// line without newline gets one.
func (s *Splitter) CutRest(b *record.Batch) {
	s.Space()
	b.Buf, b.Recs = s.buf, b.Recs[:0]
	s.cutRest(b)
}

// cutRest appends to b. It reports whether a line had no newline.
func (s *Splitter) cutRest(b *record.Batch) (unended bool) {
	s.cutLines(b, false)
	if s.w == s.r && !s.cont {
		return false
	}
	// What is left is shorter than two records at most, so there is room.
	if unended = s.w == s.r || s.buf[s.w-1] != '\n'; unended {
		s.buf[s.w] = '\n'
		s.w++
	}
	s.cutLines(b, true)
	return unended
}

// End says that the stream is over and puts what is left into b.
func (s *Splitter) End(b *record.Batch) {
	s.Space()
	b.Buf, b.Recs = s.buf, b.Recs[:0]
	if s.framing == framingUnknown {
		s.detect(true)
	}
	if s.framing != framingLines {
		s.cutFrames(b, true)
		return
	}
	if s.torn && !s.dropTorn() { // it has no end
		s.counts.Junk += uint64(s.w - s.r)
		s.r = s.w
		return
	}
	if s.cutRest(b) {
		s.counts.Unended++
	}
}

// giveUp puts the bytes that are not cut yet into b, as records without an id, and begins again
// after them.
func (s *Splitter) giveUp(b *record.Batch) {
	from := uint32(min(s.r, s.w))
	for _, r := range b.Recs {
		from = max(from, r.Off+r.Len)
	}
	s.r, s.scanned, s.skip, s.pad, s.astray, s.cont = s.w, 0, 0, 0, true, false
	b.Buf = s.buf
	for rest := s.buf[min(int(from), s.w):s.w]; len(rest) > 0; {
		n, kind := min(len(rest), record.MaxRecord), record.Junk
		if k := bytes.IndexByte(rest[:n], '\n'); s.framing == framingLines && k >= 0 {
			n, kind = k+1, record.Line
		}
		b.Recs = append(b.Recs, record.Record{Off: from, Len: uint32(n), Kind: kind, Flags: record.NoID})
		s.counts.Records++
		s.counts.NoID++
		rest, from = rest[n:], from+uint32(n)
	}
}

// detect distinguishes binary from string by the first eight bytes: a frame begins
// with a version of 0 or 1 and a header length of 16, in host byte order.
func (s *Splitter) detect(end bool) {
	have := s.buf[s.r:s.w]
	for _, ver := range []uint32{0, 1} {
		start := AppendFrame(nil, ver, 0, nil)[:8]
		n := min(len(have), len(start))
		if !bytes.Equal(have[:n], start[:n]) {
			continue
		}
		if n == len(start) {
			s.framing = framingFrames
			return
		}
		if !end {
			return // too few bytes to say
		}
	}
	s.framing = framingLines
}

// cutLines cuts what is there into lines. A line that does not end within
// MaxRecord bytes is handed on in pieces. With last, where all lines are ended, none is
// held for more to come.
func (s *Splitter) cutLines(b *record.Batch, last bool) {
	for {
		have := s.buf[s.r:s.w]
		end := bytes.IndexByte(have[s.scanned:], '\n')
		n := s.scanned + end + 1
		open := n > record.MaxRecord || (end < 0 && len(have) >= record.MaxRecord)

		switch {
		case open:
			n = record.MaxRecord
			s.scanned = 0
		case end < 0:
			s.scanned = len(have)
			return
		default:
			s.scanned = 0
			if s.cont || !mayBreak(have[:n]) {
				break
			}
			switch k := broken(have, n, last); {
			case k < 0:
				return
			case k > 0 && k <= record.MaxRecord:
				n = k
				replaceNewlines(have[:n])
			}
		}
		s.addLine(b, n, open)
	}
}

func (s *Splitter) addLine(b *record.Batch, n int, open bool) {
	rec := record.Record{Off: uint32(s.r), Len: uint32(n), Kind: record.Line}
	if s.cont {
		rec.Flags = record.Cont | record.NoID
	} else {
		s.id.Read(&rec, s.buf[s.r:s.r+n])
		s.count(&rec)
		if open {
			s.counts.Oversize++
		}
	}
	if open {
		rec.Flags |= record.Open
	}
	s.cont = open
	s.r += n
	b.Recs = append(b.Recs, rec)
}

func (s *Splitter) count(rec *record.Record) {
	s.counts.Records++
	if rec.Flags&record.NoID != 0 {
		s.counts.NoID++
	}
}

// Add adds what another stream has brought.
func (c *Counts) Add(o Counts) {
	c.Records += o.Records
	c.Bytes += o.Bytes
	c.NoID += o.NoID
	c.Oversize += o.Oversize
	c.Junk += o.Junk
	c.Resyncs += o.Resyncs
	c.Unended += o.Unended
}
