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
	from := 0 // what is before is written
	for i := 0; i < len(text); {
		c := text[i]
		if ways[c] == asIs {
			i++
			continue
		}

		dst = append(dst, text[from:i]...)
		r, n := rune(c), 1
		if ways[c] == multi {
			r, n = utf8.DecodeRune(text[i:])
		}
		switch {
		case ways[c] == backslash:
			dst = append(dst, '\\', c)
		case n == 1:
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		case jsontext.Unseen(r):
			dst = jsontext.AppendUnseen(dst, r)
		default:
			dst = append(dst, text[i:i+n]...)
		}
		i += n
		from = i
	}
	return append(dst, text[from:]...)
}
