package json

import (
	"encoding/binary"
	"slices"
)

// chunkSize is what a chunk holds at most. To copy it all costs less than a call that
// copies what is needed.
const chunkSize = 16

// chunk is a short text that is written often.
type chunk struct {
	text [chunkSize]byte
	n    int
}

func newChunk(s string) (c chunk) {
	if c.n = copy(c.text[:], s); c.n < len(s) {
		panic("chunk is too short for " + s)
	}
	return c
}

// putChunk appends c. Of dst's memory after its end it may write up to chunkSize bytes.
func putChunk(dst []byte, c *chunk) []byte {
	n := len(dst)
	if cap(dst)-n < chunkSize {
		dst = slices.Grow(dst, 256)
	}
	*(*[chunkSize]byte)(dst[n : n+chunkSize]) = c.text
	return dst[:n+c.n]
}

// putPart appends b[from:to].
func putPart(dst, b []byte, from, to int) []byte {
	n := len(dst)
	if to-from > chunkSize || from+chunkSize > len(b) || cap(dst)-n < chunkSize {
		return append(dst, b[from:to]...)
	}
	*(*[chunkSize]byte)(dst[n : n+chunkSize]) = *(*[chunkSize]byte)(b[from : from+chunkSize])
	return dst[:n+to-from]
}

// prefix is a text that others are held against, eight bytes at once.
type prefix struct {
	text       string
	want, mask uint64 // of the first eight bytes
}

func newPrefix(s string) prefix {
	var b, m [8]byte
	for i := range copy(b[:], s) {
		m[i] = 0xFF
	}
	return prefix{s, binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(m[:])}
}

// begins reports whether text begins with p.
func (p *prefix) begins(text []byte) bool {
	if len(text) < 8 || len(p.text) > 8 {
		return len(text) >= len(p.text) && string(text[:len(p.text)]) == p.text
	}
	return binary.LittleEndian.Uint64(text)&p.mask == p.want
}
