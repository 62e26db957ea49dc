package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"

	"audisp-relay/suggest"
)

// Error says what is wrong with an expression, and where.
type Error struct {
	Line, Column int    // from 1; Column counts characters
	Message      string // what is wrong
	Hint         string // what to write instead, or empty
	Source       string // the line
}

// Error returns the message with the place and a caret below the source line.
func (e *Error) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d:%d: %s", e.Line, e.Column, e.Message)
	if e.Hint != "" {
		s.WriteString(": " + e.Hint)
	}
	if line, caret := e.window(); line != "" {
		s.WriteString("\n  " + line + "\n  " + caret + "^")
	}
	return s.String()
}

// window returns the part of the source line around the column, and what stands
// before a caret below it.
func (e *Error) window() (line, caret string) {
	const before, width = 60, 100
	text := []rune(e.Source)
	at := min(max(e.Column-1, 0), len(text))
	if at > before {
		text, at = append([]rune("..."), text[at-before:]...), before+len("...")
	}
	if len(text) > width {
		text = append(append([]rune(nil), text[:width]...), []rune("...")...)
	}
	// Control characters would move the caret or the terminal.
	for i, r := range text {
		if r < ' ' || r == 0x7F || r == '�' {
			text[i] = ' '
		}
	}
	return string(text), strings.Repeat(" ", at)
}

// newError returns an Error at character from of src.
func newError(src string, from int, message, hint string) *Error {
	at := 0
	for range from {
		_, size := utf8.DecodeRuneInString(src[at:])
		at += size
	}
	start := strings.LastIndexByte(src[:at], '\n') + 1
	line, _, _ := strings.Cut(src[start:], "\n")
	return &Error{
		Line: 1 + strings.Count(src[:at], "\n"), Column: 1 + utf8.RuneCountInString(src[start:at]),
		Message: message, Hint: hint, Source: line,
	}
}

// fromExpr turns an error of expr's parser into ours.
func fromExpr(src string, err error) *Error {
	e, ok := err.(*file.Error)
	if !ok {
		return newError(src, 0, oneLine(err.Error()), "")
	}

	message, hint := e.Message, ""
	switch {
	case strings.HasPrefix(message, `unexpected token Operator("=")`):
		message, hint = "= does not compare", "write =="
	case strings.HasPrefix(message, `unexpected token Operator("&")`):
		message, hint = "& joins nothing", "write && or and"
	case strings.HasPrefix(message, "unexpected token EOF"), strings.HasPrefix(message, "unexpected end of expression"):
		message = "the expression ends too early"
	case isFoldToken(message):
		word := strings.Trim(tokenText(message), `"`)
		message, hint = word+" does not stand between two texts", "write "+helpers[word]
	case strings.HasPrefix(message, "unexpected token "):
		message = "unexpected " + tokenText(strings.TrimPrefix(message, "unexpected token "))
	case message == "integer literal is too large":
		hint = "on a machine of 32 bits numbers that are written out end with 2147483647; for 4294967295 write unset"
	case strings.Contains(message, "exceeds maximum allowed nodes"):
		message = tooLong
	}
	return newError(src, e.From, oneLine(message), hint)
}

// isFoldToken reports whether a message of expr's parser is that icontains or the like stands like contains.
func isFoldToken(message string) bool {
	word, ok := strings.CutPrefix(message, `unexpected token Identifier("i`)
	_, known := searchModes["i"+strings.TrimSuffix(word, `")`)]
	return ok && known
}

// tokenText shows Operator("&") of a message of expr's parser as "&".
func tokenText(s string) string {
	if open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')'); open > 0 && end > open {
		return s[open+1 : end]
	}
	return s
}

// oneLine returns the first line of s, cut where it is overlong.
func oneLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return brief(s, 200)
}

// brief returns s, or its beginning and "..." when it has more than n characters.
func brief(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "..."
	}
	return s
}

// didYouMean returns the hint for a word that is not among names.
func didYouMean(word string, names []string) string {
	if name := suggest.Nearest(word, names); name != "" {
		return "did you mean " + name + "?"
	}
	return ""
}
