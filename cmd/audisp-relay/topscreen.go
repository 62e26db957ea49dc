package main

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"audisp-relay/plugin/top"
)

// topScreen is topText for a terminal of so many columns and lines, of which the last one is the cursor's: what is
// above the first line cannot be seen while it is printed again and again. Where there is no room, rules go first,
// then empty lines and the ends of tables, at last what is below. It changes r.
func topScreen(r *top.Report, columns, lines int) string {
	room := lines - 1
	text := topText(r)
	if screenLines(text, columns) <= room {
		return text
	}
	hint := ""
	if n := len(r.Remedies); n > 0 {
		hint = fmt.Sprintf("rules against the worst, %d: audisp-relay top, without --watch\n", n)
		r.Remedies = nil
	}

	most := 0
	for _, rows := range r.By {
		most = max(most, len(rows))
	}
	for ; ; most-- {
		for kind, rows := range r.By {
			r.By[kind] = rows[:min(len(rows), most)]
		}
		text = strings.ReplaceAll(topText(r), "\n\n", "\n") + hint
		if most <= 1 || screenLines(text, columns) <= room {
			return cutLines(text, columns, room)
		}
	}
}

// screenLines is how many lines a terminal with so many columns shows text in.
func screenLines(text string, columns int) (n int) {
	for line := range strings.Lines(text) {
		n += lineHeight(line, columns)
	}
	return n
}

// lineHeight is how many lines of a terminal one line takes.
func lineHeight(line string, columns int) int {
	width := ansi.StringWidth(strings.TrimSuffix(line, "\n"))
	return max(1, (width+columns-1)/columns)
}

// cutLines leaves out the end of a text that has no room, and says so.
func cutLines(text string, columns, room int) string {
	if screenLines(text, columns) <= room {
		return text
	}
	const more = "... more on a larger terminal, or with --by\n"
	var b strings.Builder
	left := room - lineHeight(more, columns)
	for line := range strings.Lines(text) {
		if left -= lineHeight(line, columns); left < 0 {
			break
		}
		b.WriteString(line)
	}
	return b.String() + more
}
