package human

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// maxMarks is how many combining marks one character keeps. Scripts need two or three; a
// pile of them covers the lines above and below.
const maxMarks = 3

// Seen reports whether a terminal shows r as something that one sees. Controls, bidirectional
// overrides and blanks other than the ASCII one are not printable; the others that are refused
// count as letters or marks and still take no place or look like a blank (Unicode,
// Default_Ignorable_Code_Point; U+2800 is a Braille pattern without a dot).
func Seen(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r < 0x7f
	}
	return unicode.IsPrint(r) && r != '\u2800' &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// marks counts the combining marks on the character before: a text begins with none to
// carry them. A blank carries none either: where a line is wrapped it is left out.
type marks int

const noBase marks = maxMarks

// allow reports whether r may be shown where it stands.
func (m *marks) allow(r rune, size int) bool {
	if !Seen(r) || (r == utf8.RuneError && size <= 1) {
		*m = noBase
		return false
	}
	switch {
	case r == ' ':
		*m = noBase
		return true
	case !unicode.Is(unicode.M, r):
		*m = 0
		return true
	}
	*m++
	return *m <= maxMarks
}

// AppendText appends text with every byte that is not part of a character one sees as
// \xNN, and \ as \\, so that the bytes can be restored. Combining marks stay, a few on
// each character.
func AppendText(dst, text []byte) []byte {
	m := noBase
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case !m.allow(r, n):
			dst = AppendBytes(dst, text[:n])
		case r == '\\':
			dst = append(dst, `\\`...)
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return dst
}

// AppendBytes appends each byte of text as \xNN.
func AppendBytes(dst, text []byte) []byte {
	for _, b := range text {
		dst = fmt.Appendf(dst, `\x%02x`, b)
	}
	return dst
}

// appendWord appends text as one word of a shell: as it is, in '...', or, where it has a
// quote or bytes that are not shown, as $'...' with \xNN, which bash, ksh and zsh read.
func appendWord(dst, text []byte) []byte {
	bare, quotable := len(text) > 0, true
	m := noBase
	for rest := text; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		bare = bare && isBare(r)
		quotable = quotable && m.allow(r, n) && r != '\''
		rest = rest[n:]
	}
	switch {
	case bare:
		return append(dst, text...)
	case quotable:
		return append(append(append(dst, '\''), text...), '\'')
	}
	return appendEscaped(append(dst, "$'"...), text)
}

// appendEscaped appends the inside of $'...' and its end.
func appendEscaped(dst, text []byte) []byte {
	m := noBase
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\n':
			m, dst = noBase, append(dst, `\n`...)
		case r == '\t':
			m, dst = noBase, append(dst, `\t`...)
		case !m.allow(r, n):
			dst = AppendBytes(dst, text[:n])
		case r == '\\' || r == '\'':
			dst = append(dst, '\\', byte(r))
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return append(dst, '\'')
}

// isBare reports whether a shell takes r for itself wherever it stands in a word.
func isBare(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	}
	switch r {
	case '_', '@', '%', '+', '=', ':', ',', '.', '/', '-':
		return true
	}
	return false
}

// cutText returns how many bytes of text, which has nothing but what is seen, fit into so
// many columns, and how many columns these take. No character is cut in two. Terminals
// differ in how wide what is put together of several is, Hangul say: it counts as all of them.
func cutText(text []byte, columns int) (n, width int) {
	state := -1
	for rest := text; len(rest) > 0; {
		var cluster []byte
		var w int
		cluster, rest, w, state = uniseg.FirstGraphemeCluster(rest, state)
		if utf8.RuneCount(cluster) > 1 {
			w = 0
			for _, r := range string(cluster) {
				w += uniseg.StringWidth(string(r))
			}
		}
		if width+w > columns {
			break
		}
		n, width = n+len(cluster), width+w
	}
	return n, width
}
