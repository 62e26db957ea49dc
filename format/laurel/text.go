package laurel

import (
	"slices"
	"unicode/utf8"

	"audisp-relay/format/jsontext"
)

const hexDigits = "0123456789abcdef"

// How a byte of a text is written. laurel writes bytes that are not printable ASCII, and
// '%' and '+', as %xx, and what is left by the rules of JSON. UTF-8 stays as it is, but for
// characters that drive a terminal: these are written as \u and four hex digits, which means the same.
const (
	asIs uint8 = iota
	percent
	backslash
	multi // may begin a character of several bytes
)

var ways = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= utf8.RuneSelf:
			t[c] = multi
		case c < ' ' || c == 0x7F || c == '%' || c == '+':
			t[c] = percent
		case c == '"' || c == '\\':
			t[c] = backslash
		}
	}
	return t
}()

// appendString appends text as a JSON string.
func appendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	return append(appendText(dst, text), '"')
}

// appendText appends the inside of a JSON string.
func appendText(dst, text []byte) []byte {
	for i, c := range text {
		if ways[c] != asIs {
			return appendEscaped(append(dst, text[:i]...), text[i:])
		}
	}
	return append(dst, text...)
}

// appendEscaped does it for a text that has something to escape.
func appendEscaped(dst, text []byte) []byte {
	at := len(dst)
	dst = slices.Grow(dst, 3*len(text))[:at+3*len(text)] // room for the longest there may be
	for i := 0; i < len(text); {
		c := text[i]
		i++
		switch ways[c] {
		case asIs:
			dst[at] = c
			at++
			continue
		case backslash:
			dst[at], dst[at+1] = '\\', c
			at += 2
			continue
		case multi:
			if r, n := utf8.DecodeRune(text[i-1:]); n > 1 {
				at += putRune(dst[at:], text[i-1:i-1+n], r)
				i += n - 1
				continue
			}
		}
		dst[at], dst[at+1], dst[at+2] = '%', hexDigits[c>>4], hexDigits[c&15]
		at += 3
	}
	return dst[:at]
}

// appendHexText appends what pairs of hex digits stand for as the inside of a JSON string.
func appendHexText(dst, digits []byte) []byte {
	at := len(dst)
	dst = slices.Grow(dst, 3*len(digits)/2)[:at+3*len(digits)/2]
	for i := 1; i < len(digits); i += 2 {
		c := digitOf[digits[i-1]]<<4 | digitOf[digits[i]]
		switch ways[c] {
		case asIs:
			dst[at] = c
			at++
			continue
		case backslash:
			dst[at], dst[at+1] = '\\', c
			at += 2
			continue
		case multi:
			if k, n := putChar(dst[at:], digits[i-1:]); n > 0 {
				at += k
				i += 2 * (n - 1)
				continue
			}
		}
		dst[at], dst[at+1], dst[at+2] = '%', hexDigits[c>>4], hexDigits[c&15]
		at += 3
	}
	return dst[:at]
}

// putChar puts the character of several bytes that the digits begin with into dst, and
// returns what that took and its length in bytes, 0 when it is none.
func putChar(dst, digits []byte) (took, n int) {
	var char [utf8.UTFMax]byte
	for ; n < len(char) && 2*n+1 < len(digits); n++ {
		char[n] = digitOf[digits[2*n]]<<4 | digitOf[digits[2*n+1]]
	}
	r, n := utf8.DecodeRune(char[:n])
	if n < 2 {
		return 0, 0
	}
	return putRune(dst, char[:n], r), n
}

// putRune puts a character, r, into dst and returns what that took, three bytes for each of
// its own at most.
func putRune(dst, char []byte, r rune) int {
	if jsontext.Unseen(r) {
		return len(jsontext.AppendUnseen(dst[:0], r))
	}
	return copy(dst, char)
}

// digitOf is what a hex digit stands for.
var digitOf = func() (t [256]uint8) {
	for i := range uint8(10) {
		t['0'+i] = i
	}
	for i := range uint8(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()
