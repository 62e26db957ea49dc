package stream

import (
	"bytes"

	"audisp-relay/audit/record"
)

// Framing is what the bytes of a stream have shown of how records are cut: "" while they have not.
type Framing string

// framings are the names of what a Splitter knows.
var framings = [...]Framing{framingUnknown: "", framingLines: "lines", framingFrames: "frames", framingExact: "exact", framingFixed: "fixed"}

// Framing says how records are cut, as far as that has shown.
func (r *Reader) Framing() Framing { return framings[r.sp.framing] }

// Continue is for a stream that another Reader has begun to read, which has ended somewhere within a record or between two, and
// found f. What is left of a record is dropped, and counted as junk: a part of one could be taken for another. It is to be called
// before Next; without a framing it does nothing.
func (r *Reader) Continue(f Framing) {
	for known, name := range framings {
		if name == f && f != "" {
			r.sp.framing = framing(known)
			r.sp.torn, r.sp.astray = true, known != int(framingLines)
		}
	}
}

// dropTorn drops what is left of a line, and reports whether its end has come. A line that is whole stays.
func (s *Splitter) dropTorn() bool {
	have := s.buf[s.r:s.w]
	n := bytes.IndexByte(have, '\n') + 1
	ended := n > 0
	switch {
	case !ended && len(have) < record.MaxRecord:
		return false
	case !ended:
		n = len(have)
	default:
		s.torn = false
		var rec record.Record
		if s.id.Read(&rec, have[:n]); rec.Flags&record.NoID == 0 && rec.Type != 0 {
			return true
		}
	}

	s.counts.Junk += uint64(n)
	s.r += n
	return ended
}
