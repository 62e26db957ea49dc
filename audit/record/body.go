package record

import (
	"bytes"
)

// BodyReader knows how long "audit(SEC.MS:SERIAL)" is, and what the records before
// have shown. Finding where a header ends is on the path of every record: with
// the lengths of the id and of the type's name it takes no search. The zero value
// is ready for use.
type BodyReader struct {
	id int // length of an id with a serial and a time in these ranges; 0: not known

	serial, serials uint32 // lowest, and how many
	millis, times   uint64
}

// learn makes it know the length of r's id as the kernel writes it. With leading
// zeros, which it never writes, an id is longer.
func (h *BodyReader) learn(r *Record) {
	h.id = len("audit(.000:)")
	n, low, high := decimals(uint64(r.Serial))
	h.id += n
	h.serial, h.serials = uint32(low), uint32(min(high, 1<<32-1)-low)
	n, low, high = decimals(uint64(r.Millis) / 1000)
	h.id += n
	h.millis, h.times = low*1000, (high-low)*1000
}

// decimals returns how many digits x has. Numbers from low on, and below high,
// have as many.
func decimals(x uint64) (n int, low, high uint64) {
	n, high = 1, 10
	for ; x >= high && n < 15; n++ {
		low, high = high, 10*high
	}
	return n, low, high
}

// nameLengths are the lengths of the types' names.
var nameLengths = func() (n [lastType - firstType + 1]uint8) {
	var name []byte
	for k := range n {
		name = AppendTypeName(name[:0], uint32(firstType+k))
		n[k] = uint8(len(name))
	}
	return n
}()

// BodyOf returns what stands behind "audit(SEC.MS:SERIAL)" in a record that has
// an id, without blanks, newlines and NULs at its end: ": key=value ...".
func (h *BodyReader) BodyOf(b *Batch, r *Record) []byte {
	if r.Flags&NoID != 0 {
		return nil
	}
	text := b.Buf[r.Off : r.Off+r.Len]
	if r.NodeLen > 0 {
		text = text[min(len("node= ")+int(r.NodeLen), len(text)):]
	}
	if r.Serial-h.serial >= h.serials || uint64(r.Millis)-h.millis >= h.times {
		h.learn(r)
	}
	const before = " msg=audit("
	id, end := 0, 0
	if k := r.Type - firstType; k <= lastType-firstType {
		id = len("type=") + int(nameLengths[k])
		end = id + len(" msg=") + h.id
	}
	if end > 0 && end <= len(text) && string(text[id:id+len(before)]) == before && text[end-1] == ')' {
		text = text[end:]
	} else { // no type has a parenthesis in its name
		text = text[bytes.IndexByte(text, ')')+1:]
	}
	n := len(text)
	for n > 0 && (text[n-1] == '\n' || text[n-1] == ' ' || text[n-1] == 0) {
		n--
	}
	return text[:n]
}

// TrimColon returns a body without the colon and the blanks in front.
func TrimColon(body []byte) []byte {
	if len(body) > 2 && string(body[:2]) == ": " {
		body = body[2:]
	}
	for len(body) > 0 && (body[0] == ':' || body[0] == ' ') {
		body = body[1:]
	}
	return body
}
