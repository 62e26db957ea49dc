package doctor

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is the most that a text of a finding shows, in bytes.
const maxText = 1000

// Printable returns one line with nothing in it that could do something to a terminal, a log or a
// reader: controls, newlines, bidirectional overrides and bytes that are no UTF-8 become \xNN. What
// is longer than maxText ends in "...". It is for findings, and for what is shown beside them.
func Printable(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if b.Len()+4*n > maxText {
			b.WriteString("...")
			break
		}
		if unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(text[:n])
		} else {
			for i := range n {
				fmt.Fprintf(&b, `\x%02x`, text[i])
			}
		}
		text = text[n:]
	}
	return b.String()
}

// NagiosText returns a printable text for the output of a Nagios plugin: what follows a '|' would be taken
// for performance data, and a server's certificate or error may have one.
func NagiosText(text string) string { return strings.ReplaceAll(text, "|", "/") }

// quote returns text as one word of a shell's command line, to be pasted: as it is where
// that is safe, else quoted. What cannot be shown is written as $'\NNN', which bash, zsh and
// ksh read back as the same bytes.
func quote(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=@%+,-"
	switch {
	case text != "" && strings.Trim(text, plain) == "" && text[0] != '=':
		return text
	case Printable(text) == text:
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}

	var b strings.Builder
	b.WriteString("$'")
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '\'' || c == '\\' {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
