package main

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Size of a cell of the terminal, and of what is around all of them, in pixels.
const (
	cellWidth  = 8.4
	cellHeight = 18
	margin     = 12
	fontSize   = 14
)

// palette are the colours 0 to 15 of a terminal; text and ground are the default ones.
var palette = [16]string{
	"#1c1e26", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf",
	"#5c6370", "#ff7a85", "#b5e890", "#ffd68a", "#8cc8ff", "#e29bff", "#7fdbe6", "#ffffff",
}

const (
	text   = "#d7dae0"
	ground = "#1c1e26"
)

// look is how cells are drawn.
type look struct {
	fore, back           string
	bold, faint, reverse bool
}

// part is consecutive cells of one line with the same look.
type part struct {
	look
	column int
	text   string
}

// sequence is an escape sequence: of a kind that sets the look, or any other.
var sequence = regexp.MustCompile(`\x1b(?:\[([0-9;:]*)([@-~])|[()].|[^\[])`)

// apply changes the look as the parameters of a sequence say (SGR, ECMA-48).
func (l *look) apply(parameters string) {
	var codes []int
	for word := range strings.FieldsFuncSeq(parameters, func(r rune) bool { return r == ';' || r == ':' }) {
		code, _ := strconv.Atoi(word)
		codes = append(codes, code)
	}
	if len(codes) == 0 {
		*l = look{}
	}
	for i := 0; i < len(codes); i++ {
		switch code := codes[i]; {
		case code == 0:
			*l = look{}
		case code == 1:
			l.bold = true
		case code == 2:
			l.faint = true
		case code == 7:
			l.reverse = true
		case code == 22:
			l.bold, l.faint = false, false
		case code == 27:
			l.reverse = false
		case code >= 30 && code <= 37:
			l.fore = palette[code-30]
		case code >= 90 && code <= 97:
			l.fore = palette[code-90+8]
		case code == 39:
			l.fore = ""
		case code >= 40 && code <= 47:
			l.back = palette[code-40]
		case code == 49:
			l.back = ""
		case code == 38 || code == 48:
			i += 2 // 38;5;N: the views here use the first sixteen only
		}
	}
}

// split cuts a line into parts. The look goes on from line to line.
func split(line string, l *look) (parts []part) {
	column := 0
	add := func(text string) {
		if text != "" {
			parts = append(parts, part{*l, column, text})
			column += ansi.StringWidth(text)
		}
	}
	for line != "" {
		at := sequence.FindStringSubmatchIndex(line)
		if at == nil {
			add(line)
			break
		}
		add(line[:at[0]])
		if at[4] >= 0 && line[at[4]:at[5]] == "m" {
			l.apply(line[at[2]:at[3]])
		}
		line = line[at[1]:]
	}
	return parts
}

// writeSVG draws lines with SGR sequences.
func writeSVG(w *bufio.Writer, captured string) {
	lines := strings.Split(strings.TrimRight(captured, "\n"), "\n")
	var drawn [][]part
	var l look
	width := 80
	for _, line := range lines {
		parts := split(line, &l)
		drawn = append(drawn, parts)
		if n := len(parts); n > 0 {
			width = max(width, parts[n-1].column+ansi.StringWidth(parts[n-1].text))
		}
	}

	wide, high := float64(width)*cellWidth+2*margin, len(lines)*cellHeight+2*margin
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" viewBox="0 0 %.0f %d">`+"\n", wide, high, wide, high)
	fmt.Fprintf(w, `<rect width="100%%" height="100%%" rx="6" fill="%s"/>`+"\n", ground)
	fmt.Fprintf(w, `<g font-family="ui-monospace,DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="%d" xml:space="preserve">`+"\n", fontSize)
	for n, parts := range drawn {
		for _, p := range parts {
			p.write(w, n)
		}
	}
	fmt.Fprintln(w, "</g>\n</svg>")
}

// write draws a part of the line with number n. Its width is given, so that columns stand in line
// whatever the font is.
func (p part) write(w *bufio.Writer, n int) {
	fore, back := p.fore, p.back
	if fore == "" {
		fore = text
	}
	if p.reverse {
		fore, back = ground, fore
	}
	cells := ansi.StringWidth(p.text)
	x, y := margin+float64(p.column)*cellWidth, margin+n*cellHeight
	if back != "" {
		fmt.Fprintf(w, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", x, y, float64(cells)*cellWidth, cellHeight, back)
	}
	shown := strings.TrimLeft(p.text, " ") // not every program that draws SVG keeps blanks
	x += float64(cells-ansi.StringWidth(shown)) * cellWidth
	if shown = strings.TrimRight(shown, " "); shown == "" {
		return
	}
	fmt.Fprintf(w, `<text x="%.1f" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs" fill="%s"`,
		x, y+cellHeight-5, float64(ansi.StringWidth(shown))*cellWidth, fore)
	if p.bold {
		fmt.Fprint(w, ` font-weight="bold"`)
	}
	if p.faint {
		fmt.Fprint(w, ` opacity="0.6"`)
	}
	fmt.Fprint(w, ">")
	xml.EscapeText(w, []byte(shown)) // a Writer of bufio keeps its error
	fmt.Fprintln(w, "</text>")
}
