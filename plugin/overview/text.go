package overview

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"audisp-relay/format/human"
)

// Clean returns text in which nothing can move a terminal's cursor or hide: what is no character
// that one sees, invalid UTF-8 too, becomes \xNN, and \ becomes \\.
func Clean(text string) string { return string(human.AppendText(nil, []byte(text))) }

// Fit returns text in exactly width columns of a terminal, cut with … or filled with blanks, on
// the left if right is set. It must be clean.
func Fit(text string, width int, right bool) string {
	if width <= 0 {
		return ""
	}
	text = ansi.Truncate(text, width, "…")
	blanks := strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
	if right {
		return blanks + text
	}
	return text + blanks
}

// Wrap breaks clean text into at most most lines of width columns; lines after the first begin
// with indent blanks. What does not fit is cut with ….
func Wrap(text string, width, indent, most int) []string {
	width = max(width, indent+10)
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		longer := line + " " + word
		switch {
		case line == "":
			line = ansi.Truncate(word, width, "…")
		case ansi.StringWidth(longer) <= width:
			line = longer
		case len(lines) == most-1:
			return append(lines, ansi.Truncate(longer, width, "…"))
		default:
			lines = append(lines, line)
			line = strings.Repeat(" ", indent) + ansi.Truncate(word, width-indent, "…")
		}
	}

	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
