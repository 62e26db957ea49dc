// Package jsontext writes what a record has as a JSON string: valid JSON and UTF-8 whatever the
// bytes, each byte still to be read from it, and nothing in it that drives a terminal.
package jsontext

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plain are the bytes that the kernel leaves in quotes and JSON as they are.
var plain = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// PlainEnd returns where the run of bytes at b[i:] ends that the kernel leaves in quotes and JSON as
// they are. It looks at eight at once: a loop over the bytes of a short value costs more in
// branches guessed wrong than in work. The lowest bit that is set is right; those above it may
// come of a borrow.
func PlainEnd(b []byte, i int) int {
	const each, tops = 0x0101010101010101, 0x8080808080808080
	has := func(x uint64, c byte) uint64 {
		x ^= each * uint64(c)
		return (x - each) &^ x
	}
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		m := (x-each*'!')&^x | has(x, '"') | has(x, '\\') | has(x, 0x7F) | x
		if m &= tops; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(b) && plain[b[i]] {
		i++
	}
	return i
}

// AppendString appends s as a JSON string. Bytes that are not UTF-8 are written as %xx; with
// percent every '%' is, too, so that one can be told from the other. escaped is how many bytes
// were written so.
func AppendString(dst, s []byte, percent bool) (out []byte, escaped int) {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if (plain[c] || c == ' ') && (c != '%' || !percent) {
			end := PlainEnd(s, i+1)
			if percent {
				if k := bytes.IndexByte(s[i+1:end], '%'); k >= 0 {
					end = i + 1 + k
				}
			}
			i = end
			continue
		}

		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRune(s[i:]); r != utf8.RuneError || n > 1 {
				if Unseen(r) {
					dst = append(dst, s[from:i]...)
					dst = AppendUnseen(dst, r)
					from = i + n
				}
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		if c >= utf8.RuneSelf || c == '%' {
			escaped++
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = appendEscaped(dst, c)
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"'), escaped
}

// appendEscaped appends a character of ASCII that may not stand in JSON as it is.
func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\t':
		return append(dst, '\\', 't')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// Unseen reports whether a character does something to what shows it instead of being seen:
// DEL and the controls of C1 drive a terminal, bidirectional controls turn text round, and
// U+2028 and U+2029 end a line for some readers. Formats of JSON write them as \u and four hex
// digits, which means the same. The controls of C0 may not stand in JSON anyway.
func Unseen(r rune) bool {
	switch {
	case r < 0x7F:
		return false
	case r <= 0x9F:
		return true
	case r < 0x200E:
		return r == 0x061C
	}
	return r <= 0x200F || (r >= 0x2028 && r <= 0x202E) || (r >= 0x2066 && r <= 0x2069)
}

// AppendUnseen appends such a character as JSON writes it.
func AppendUnseen(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
