// Package jsontext writes what a record has as a JSON string: valid JSON and UTF-8 whatever the
// bytes, each byte still to be read from it, and nothing in it that drives a terminal.
package jsontext

import (
	"bytes"
	"unicode/utf8"

	"audisp-relay/audit/record"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 are written as %xx; with
// percent every '%' is, too, so that one can be distinguished from the other. escaped is how many bytes
// were written so.
func AppendString(dst, s []byte, percent bool) (out []byte, escaped int) {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if (record.IsPlain(c) || c == ' ') && (c != '%' || !percent) {
			end := record.PlainEnd(s, i+1)
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
