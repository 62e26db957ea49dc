package format

import (
	"bytes"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// maxPadded is how many padded frames are made at a time: 9 KB each.
const maxPadded = 32

var zeros [stream.MaxPayload]byte

// pads reports whether binary frames are filled up.
func (e *Encoder) pads() bool {
	if !e.asked {
		e.asked, e.padded = true, e.Padded != nil && e.Padded()
	}
	return e.padded
}

// appendPadded writes record i as frames of HeaderSize + MaxPayload bytes, filled up with zeros.
//
// audisp-af_unix of audit 4.0.3 to 4.1.0 reads them with a function that is made for lines
// (lib/audit-fgets.c): it ends a frame at a byte 0x0A, wherever that stands, and then never
// finds the beginning of one again. So there is none: newlines of the text become spaces, as in
// format string; a length or type whose number has such a byte is avoided.
func (e *Encoder) appendPadded(dst []byte, b record.Batch, i int, ver, number uint32, payload []byte) []byte {
	if hasNewline(number) {
		if ver == 0 { // the reader makes the type's name of the number: give it the name
			e.line = e.appendString(e.line[:0], b, i)
			payload = bytes.TrimSuffix(e.line, []byte{'\n'})
		}
		ver, number = 1, 0
	}

	const longest = stream.MaxPayload - 1 // 8970 is 0x230A
	for {
		part := payload[:min(len(payload), longest)]
		size := len(part)
		for hasNewline(uint32(size)) {
			size++ // a zero more, at which text ends
		}
		start := len(dst)
		dst = stream.AppendFrame(dst, ver, number, zeros[:size])
		text := dst[start+stream.HeaderSize:]
		copy(text, part)
		BlankNewlines(text)
		dst = append(dst, zeros[:stream.MaxPayload-size]...)
		if payload = payload[len(part):]; len(payload) == 0 {
			return dst
		}
	}
}

// hasNewline reports whether a number has a byte 0x0A in it.
func hasNewline(n uint32) bool {
	return n&0xFF == '\n' || n>>8&0xFF == '\n' || n>>16&0xFF == '\n' || n>>24 == '\n'
}
