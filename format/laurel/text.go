package laurel

import (
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
	i := 0
	for i < len(text) && ways[text[i]] == asIs {
		i++
	}
	dst = append(dst, text[:i]...)

	for i < len(text) { // what has one to be escaped mostly has more, as a socket's address
		c, n := text[i], 1
		switch ways[c] {
		case asIs:
			dst = append(dst, c)
		case backslash:
			dst = append(dst, '\\', c)
		case percent:
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst, n = appendRune(dst, text[i:])
		}
		i += n
	}
	return dst
}

// appendRune appends the character of several bytes that text begins with, or a byte that begins
// none, and returns its length.
func appendRune(dst, text []byte) (out []byte, n int) {
	r, n := utf8.DecodeRune(text)
	switch {
	case n == 1:
		return append(dst, '%', hexDigits[text[0]>>4], hexDigits[text[0]&15]), 1
	case jsontext.Unseen(r):
		return jsontext.AppendUnseen(dst, r), n
	}
	return append(dst, text[:n]...), n
}
