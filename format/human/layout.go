package human

import (
	"fmt"
	"unicode/utf8"
)

// Select Graphic Rendition sequences of ECMA-48: all that is written of escapes.
const (
	reset   = "\x1b[0m"
	bold    = "\x1b[1m"
	dim     = "\x1b[2m"
	red     = "\x1b[31m"
	green   = "\x1b[32m"
	yellow  = "\x1b[33m"
	blue    = "\x1b[34m"
	magenta = "\x1b[35m"
	cyan    = "\x1b[36m"
	alarm   = "\x1b[1;31m"
)

const (
	indent    = 4  // columns, of the further lines of an event
	minWidth  = 40 // columns; with less there is no layout
	maxLines  = 16 // of one event, where there is a width
	verbWidth = 8
	// keptText is how much memory of one event's text is kept for the next.
	keptText = 256 << 10
)

// part is a piece of an event that stays on one line. Its text is p.text[from:to]; the bytes
// up to label say what it is.
type part struct {
	from, label, to int
	colour          string
}

// begin begins a part; what is appended to p.text from now on is its text.
func (p *Printer) begin(label string) {
	from := len(p.text)
	p.text = append(p.text, label...)
	p.parts = append(p.parts, part{from: from, label: len(p.text)})
}

// end ends the part that was begun last.
func (p *Printer) end(colour string) {
	last := &p.parts[len(p.parts)-1]
	last.to, last.colour = len(p.text), colour
}

// add adds a part.
func (p *Printer) add(label, text, colour string) {
	p.begin(label)
	p.text = append(p.text, text...)
	p.end(colour)
}

// paint appends text in a colour.
func (p *Printer) paint(dst, text []byte, colour string) []byte {
	if !p.o.Colour || colour == "" || len(text) == 0 {
		return append(dst, text...)
	}
	return append(append(append(dst, colour...), text...), reset...)
}

// layOut appends the parts: on one line where there is no width, else on as many as they
// need, up to maxLines. The first part is the time, the second the verb.
func (p *Printer) layOut(dst []byte) []byte {
	column, lines := 0, 1
	for k := range p.parts {
		x := &p.parts[k]
		if p.o.Width == 0 {
			dst = p.appendPart(p.appendGap(dst, k, &column), x, len(p.text), &column)
			continue
		}

		_, width := cutText(p.text[x.from:x.to], p.o.Width)
		if k > 0 && column+p.gap(k)+width > p.o.Width {
			if lines == maxLines {
				dst = fmt.Appendf(append(dst, '\n'), "%*s", indent, "")
				dst = p.paint(dst, fmt.Appendf(nil, "… %d more, see --raw or --json", len(p.parts)-k), yellow)
				break
			}
			dst, column = fmt.Appendf(append(dst, '\n'), "%*s", indent, ""), indent
			lines++
		} else {
			dst = p.appendGap(dst, k, &column)
		}
		dst = p.appendPart(dst, x, p.o.Width-column, &column)
	}
	return append(dst, '\n')
}

// gap is how many blanks stand in front of part k on a line: the verb has a column.
func (p *Printer) gap(k int) int {
	const afterVerb = 2
	if k == afterVerb && p.o.Width > 0 {
		verb := p.parts[1]
		return max(2, verbWidth+2-(verb.to-verb.from))
	}
	return min(k, 2)
}

func (p *Printer) appendGap(dst []byte, k int, column *int) []byte {
	n := p.gap(k)
	*column += n
	return fmt.Appendf(dst, "%*s", n, "")
}

// appendPart appends a part, cut to so many columns with the rest counted.
func (p *Printer) appendPart(dst []byte, x *part, columns int, column *int) []byte {
	text := p.text[x.from:x.to]
	n, width := len(text), 0
	var mark []byte
	if p.o.Width > 0 {
		n, width = cutText(text, columns)
	}
	if n < len(text) {
		mark = fmt.Appendf(nil, "…+%d", utf8.RuneCount(text))
		n, width = cutText(text, max(columns-len(mark)+2, 0)) // … has three bytes and one column
		mark = fmt.Appendf(nil, "…+%d", utf8.RuneCount(text[n:]))
	}

	*column += width + max(len(mark)-2, 0)
	label := min(x.label-x.from, n)
	dst = p.paint(p.paint(dst, text[:label], dim), text[label:n], x.colour)
	return p.paint(dst, mark, yellow)
}
