package stream

import (
	"encoding/binary"

	"audisp-relay/audit/record"
)

// The binary protocol of the dispatcher (libaudit.h, struct
// audit_dispatcher_header): four uint32 in host byte order, then the payload.
const (
	// HeaderSize is the length of a frame header and the value of its hlen.
	HeaderSize = 16
	// MaxPayload is MAX_AUDIT_MESSAGE_LENGTH: no payload is longer, and a fixed
	// frame is always this long.
	MaxPayload = 8970
)

// frameHeader is the header of a binary frame.
type frameHeader struct {
	Ver  uint32 // 0: bare payload, 1: ready-made line
	Type uint32
	Size uint32 // bytes of payload that are meaningful
}

// AppendFrame appends a frame with exactly payload after its header.
func AppendFrame(dst []byte, ver, typ uint32, payload []byte) []byte {
	dst = binary.NativeEndian.AppendUint32(dst, ver)
	dst = binary.NativeEndian.AppendUint32(dst, HeaderSize)
	dst = binary.NativeEndian.AppendUint32(dst, typ)
	dst = binary.NativeEndian.AppendUint32(dst, uint32(len(payload)))
	return append(dst, payload...)
}

// readHeader reads a header from the first 16 bytes of b.
func readHeader(b []byte) (h frameHeader, ok bool) {
	h.Ver = binary.NativeEndian.Uint32(b)
	h.Type = binary.NativeEndian.Uint32(b[8:])
	h.Size = binary.NativeEndian.Uint32(b[12:])
	ok = h.Ver <= 1 && binary.NativeEndian.Uint32(b[4:]) == HeaderSize && h.Size <= MaxPayload
	return h, ok
}

// looksLikeFrame reports whether b begins with a header and a payload as
// auditd writes them. It wants all the bytes it could look at: lookAhead of them.
func looksLikeFrame(b []byte) bool {
	h, ok := readHeader(b)
	if !ok {
		return false
	}
	text := b[HeaderSize:min(len(b), HeaderSize+int(h.Size))]
	if h.Ver == 0 {
		return begins(text, "audit(")
	}
	return begins(text, "type=") || begins(text, "node=") || begins(text, "audit(")
}

// begins reports whether text begins with as much of prefix as it has room for.
func begins(text []byte, prefix string) bool {
	n := min(len(text), len(prefix))
	return string(text[:n]) == prefix[:n]
}

const lookAhead = HeaderSize + len("audit(")

// cutFrames cuts what is there into frames. end says that no more will come.
func (s *Splitter) cutFrames(b *record.Batch, end bool) {
	for {
		s.skipPadding()
		if s.pad > 0 && !s.decide(end) {
			return
		}
		have := s.buf[s.r:s.w]
		if len(have) == 0 {
			return
		}
		size, isFrame := HeaderSize, true
		var h frameHeader
		if len(have) >= HeaderSize {
			h, isFrame = readHeader(have)
			isFrame = isFrame && (!s.torn || looksLikeFrame(have))
			size += int(h.Size)
		}

		switch {
		case !isFrame:
			if !s.resync(b, end) {
				return
			}
		case len(have) >= size:
			s.addFrame(b, h)
		default: // it is not all there
			if end {
				s.counts.Unended++
				s.addJunk(b, len(have))
			}
			return
		}
	}
}

// skipPadding throws away what is there of a fixed frame's padding.
func (s *Splitter) skipPadding() {
	n := min(s.skip, s.w-s.r)
	s.r += n
	s.skip -= n
}

// decide distinguishes exact from fixed frames by what follows a frame: the next
// frame, or the padding that fills a fixed one up. Of a fixed frame the
// padding is left-over memory of auditd, so its content says nothing. It
// reports false while too little is there to say. A frame that fills the
// whole of a fixed one (pad 0) says nothing either.
func (s *Splitter) decide(end bool) bool {
	have := s.buf[s.r:s.w]
	if len(have) < lookAhead && !end {
		// A header with a payload too short to look ahead at waits for the
		// frame after it: auditd sends none that short.
		return false
	}
	if len(have) >= HeaderSize && looksLikeFrame(have) {
		s.framing, s.pad = framingExact, 0
		return true
	}

	if len(have) < s.pad && !end {
		return false
	}
	if len(have) > 0 && len(have) < s.pad {
		s.pad = 0 // padding or a frame, and cut: the search hands it on
		return true
	}
	rest := have[min(s.pad, len(have)):]
	if len(rest) >= HeaderSize && !looksLikeFrame(rest) {
		s.pad = 0 // neither: let the search for a frame begin right here
		return true
	}

	s.framing = framingFixed
	s.skip, s.pad = s.pad, 0
	s.skipPadding()
	return true
}

func (s *Splitter) addFrame(b *record.Batch, h frameHeader) {
	rec := record.Record{Off: uint32(s.r + HeaderSize), Len: h.Size, Type: h.Type}
	payload := s.buf[rec.Off : rec.Off+rec.Len]
	if h.Ver == 0 {
		rec.Kind = record.Ver0
		if !s.id.ReadID(&rec, payload) {
			rec.Flags = record.NoID
		}
	} else {
		rec.Kind = record.Ver1
		s.id.Read(&rec, payload)
		if rec.Type == 0 || (rec.Type >= record.NamedType && h.Type > 0 && h.Type < record.NamedType && !record.HasTypeName(h.Type)) {
			rec.Type = h.Type // the number of the type, if the tables lack its name
		}
	}

	s.count(&rec)
	b.Recs = append(b.Recs, rec)
	s.astray, s.torn = false, false
	s.r += HeaderSize + int(h.Size)
	switch s.framing {
	case framingFixed:
		s.skip = MaxPayload - int(h.Size)
	case framingFrames:
		s.pad = MaxPayload - int(h.Size)
	}
}

// resync hands on as Junk what is no frame, up to the next thing that looks
// like one. It reports whether there is anything left to cut.
func (s *Splitter) resync(b *record.Batch, end bool) bool {
	if !s.astray {
		s.counts.Resyncs++
		s.astray = true
		s.framing = framingFrames
	}
	have := s.buf[s.r:s.w]
	for i := 1; i+lookAhead <= len(have); i++ {
		if looksLikeFrame(have[i:]) {
			s.addJunk(b, i)
			return true
		}
	}

	if end {
		s.addJunk(b, len(have))
	} else if keep := lookAhead - 1; len(have) > keep { // a frame may begin in the last bytes
		s.addJunk(b, len(have)-keep)
	}
	return false
}

// addJunk hands on the next n bytes as they are, in records of MaxRecord.
func (s *Splitter) addJunk(b *record.Batch, n int) {
	s.counts.Junk += uint64(n)
	if s.torn {
		s.r += n
		return
	}
	for n > 0 {
		k := min(n, record.MaxRecord)
		rec := record.Record{Off: uint32(s.r), Len: uint32(k), Kind: record.Junk, Flags: record.NoID}
		s.count(&rec)
		b.Recs = append(b.Recs, rec)
		s.r += k
		n -= k
	}
}
