package json

import (
	"bytes"
	"unicode/utf8"

	"audisp-relay/audit/stream"
)

// verbatim are the bytes that a JSON string has as they are: simple ones and blanks.
var verbatim = func() (t [256]bool) {
	t = simple
	t[' '] = true
	return t
}()

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are not UTF-8 are written as %xx, and
// counted in e.bad; with e.percent every '%', too.
func (e *Encoder) appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	dst = e.appendInside(dst, s)
	return append(dst, '"')
}

// appendInside appends what stands between the quotes.
func (e *Encoder) appendInside(dst, s []byte) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if verbatim[c] && (c != '%' || !e.percent) {
			end := simpleEnd(s, i+1)
			if e.percent {
				if k := bytes.IndexByte(s[i+1:end], '%'); k >= 0 {
					end = i + 1 + k
				}
			}
			i = end
			continue
		}
		n := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, n = utf8.DecodeRune(s[i:]); r != utf8.RuneError || n > 1 {
				if stream.Unseen(r) {
					dst = append(dst, s[from:i]...)
					dst = stream.AppendUnseen(dst, r)
					from = i + n
				}
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		dst = e.appendEscaped(dst, c)
		i++
		from = i
	}
	return append(dst, s[from:]...)
}

// appendEscaped appends a byte that cannot stand as it is.
func (e *Encoder) appendEscaped(dst []byte, c byte) []byte {
	switch {
	case c >= utf8.RuneSelf || c == '%':
		e.bad++
		return append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, '\\', 'n')
	case c == '\t':
		return append(dst, '\\', 't')
	case c == '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
