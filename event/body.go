package event

import (
	"bytes"

	"audisp-relay/stream"
)

// idLength knows how long "audit(SEC.MS:SERIAL)" is in the records of the last
// event. Finding where a header ends is on the path of every record, and so with
// the length of the type's name it takes no search.
type idLength struct {
	serial uint32
	millis int64
	n      int // 0: not known
}

// of returns the length of r's id as the kernel writes it. With leading zeros,
// which it never writes, an id is longer.
func (l *idLength) of(r *stream.Record) int {
	if l.n == 0 || l.serial != r.Serial || l.millis != r.Millis {
		l.serial, l.millis = r.Serial, r.Millis
		l.n = len("audit(.000:)") + decimals(uint64(r.Millis)/1000) + decimals(uint64(r.Serial))
	}
	return l.n
}

func decimals(x uint64) int {
	n := 1
	for ; x >= 100_000; x /= 100_000 {
		n += 5
	}
	for ; x >= 10; x /= 10 {
		n++
	}
	return n
}

// Names are known of the types from firstType on.
const firstType, lastType = 1000, 2999

// nameLengths are the lengths of the types' names.
var nameLengths = func() (n [lastType - firstType + 1]uint8) {
	var name []byte
	for k := range n {
		name = stream.AppendTypeName(name[:0], uint32(firstType+k))
		n[k] = uint8(len(name))
	}
	return n
}()

// bodyOf returns what stands behind "audit(SEC.MS:SERIAL)" in a record that has
// an id, without blanks, newlines and NULs at its end: ": key=value ...".
func (l *idLength) bodyOf(b *stream.Batch, r *stream.Record) []byte {
	if r.Flags&stream.NoID != 0 {
		return nil
	}
	text := b.Buf[r.Off : r.Off+r.Len]
	if r.NodeLen > 0 {
		text = text[min(len("node= ")+int(r.NodeLen), len(text)):]
	}
	text = text[l.headOf(r, text):]
	n := len(text)
	for n > 0 && (text[n-1] == '\n' || text[n-1] == ' ' || text[n-1] == 0) {
		n--
	}
	return text[:n]
}

// headOf returns how long the header is that text begins with, behind node=.
func (l *idLength) headOf(r *stream.Record, text []byte) int {
	const before = " msg=audit("
	if k := r.Type - firstType; k <= lastType-firstType {
		id := len("type=") + int(nameLengths[k])
		end := id + len(" msg=") + l.of(r)
		if end <= len(text) && string(text[id:id+len(before)]) == before && text[end-1] == ')' {
			return end
		}
	}
	// No type has a parenthesis in its name.
	return bytes.IndexByte(text, ')') + 1
}

// trimStart returns a body without the colon and the blanks in front.
func trimStart(body []byte) []byte {
	for len(body) > 0 && (body[0] == ':' || body[0] == ' ') {
		body = body[1:]
	}
	return body
}
