package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"audisp-relay/plugin/top"
)

// topWidth is how wide the text of top is, but for what is to be copied.
const topWidth = 80

// topKinds are the headings of the columns of names.
var topKinds = map[string]string{"key": "KEY", "exe": "PROGRAM", "user": "USER", "unit": "UNIT OR DOMAIN", "type": "TYPE OF RECORD"}

// topText writes a report as tables of 80 columns. Names are escaped: programs choose them.
func topText(r *top.Report) string {
	var b strings.Builder
	if m := r.Minute; m != nil {
		writeTotal(&b, fmt.Sprintf("last %.0f s", m.Seconds), *m)
		writeTotal(&b, "since "+r.Start.Since.Local().Format(time.DateTime), r.Start)
	} else {
		writeTotal(&b, fmt.Sprintf("%s to %s", r.Start.Since.Local().Format(time.DateTime), r.Now.Local().Format(time.DateTime)), r.Start)
	}
	if r.Dropped > 0 {
		fmt.Fprintf(&b, "%d records were not looked at because there was no room for samples\n", r.Dropped)
	}

	for _, kind := range top.By {
		if rows, asked := r.By[kind]; asked {
			writeRows(&b, r, kind, rows)
		}
	}
	writeRemedies(&b, r)
	return b.String()
}

func writeTotal(b *strings.Builder, when string, t top.Total) {
	fmt.Fprintf(b, "%s: %s records, %s events, %s bytes\n", when, short(t.Records), short(t.Events), short(t.Bytes))
	fmt.Fprintf(b, "  a second: %s records, %s events, %s bytes\n", short(t.PerSecond.Records), short(t.PerSecond.Events), short(t.PerSecond.Bytes))
	if t.Own > 0 {
		fmt.Fprintf(b, "  %s of the records are of the relay itself and its children: a feedback loop\n", percentText(t.Own))
	}
}

// writeRows writes a table: the share of the records and how far it may be off, what it is a
// second, and, of a running plugin, the share since the start.
func writeRows(b *strings.Builder, r *top.Report, kind string, rows []top.Row) {
	const format = "%6s %5s %7s %7s %7s %s "
	start := func(text string) string {
		if r.Minute == nil {
			return ""
		}
		return fmt.Sprintf("%6s ", text)
	}

	fmt.Fprintf(b, "\n"+format+"%s\n", "SHARE", "+/-", "EV/S", "REC/S", "B/S", start("START"), topKinds[kind])
	if len(rows) == 0 {
		b.WriteString("  none\n")
	}
	for _, row := range rows {
		p := r.Latest(row)
		line := fmt.Sprintf(format, percentText(p.Share), percentText(p.Margin+p.Over), short(p.PerSecond.Events), short(p.PerSecond.Records), short(p.PerSecond.Bytes), start(percentText(row.Start.Share)))
		b.WriteString(line + rowName(row, topWidth-len(line)) + "\n")
	}
	if kind == "unit" {
		b.WriteString("  (records of system calls name no unit: domain of SELinux or AppArmor, if any)\n")
	}
}

// rowName returns a name in so many columns. Of a long one the end says most.
func rowName(row top.Row, width int) string {
	name := "(none)"
	if !row.None {
		name = string(escape(nil, []byte(row.Name)))
		if name == "" {
			name = `""`
		}
	}
	if row.Cut {
		name += "..."
	}

	mark := ""
	if p := row.Start; p.Own > 0.5 {
		mark = " (the relay's)"
	}
	whole, room := name, width-len(mark)
	for over := ansi.StringWidth(name) - room; ansi.StringWidth(name) > room; over++ { // a wide letter is not cut in two
		name = ansi.TruncateLeft(whole, over+len("..."), "...")
	}
	return name + mark
}

// writeRemedies writes what there is against the worst. Rules and filters stand on lines of their
// own, whole, to be copied.
func writeRemedies(b *strings.Builder, r *top.Report) {
	for _, m := range r.Remedies {
		fmt.Fprintf(b, "\n%s of the records: %s %s\n", percentText(m.Share), m.By, escape(nil, []byte(m.Name)))
		for _, line := range []struct{ label, text string }{{"now:    ", m.Load}, {"rules.d:", m.RulesD}, {"filter: ", m.Filter}} {
			if line.text != "" {
				fmt.Fprintf(b, "  %s %s\n", line.label, escapeText(nil, []byte(line.text)))
			}
		}
		if m.Hides != "" {
			writeWrapped(b, "  hides:   ", m.Hides)
		}
		if m.Note != "" {
			writeWrapped(b, "  note:    ", m.Note)
		}
	}
	if len(r.Remedies) == 0 {
		return
	}

	b.WriteString("\n")
	writeWrapped(b, "", "now: loads a rule until the next boot or the next load of the rules. rules.d: a line for a file there that sorts before all others, such as 01-less.rules, then augenrules --load. filter: for one sink only; auditd still logs it.")
	if r.RulesLocked != nil && *r.RulesLocked {
		writeWrapped(b, "", "The rules are locked (-e 2): a rule works after a reboot, a filter at once.")
	} else if r.RulesLocked == nil {
		writeWrapped(b, "", "Where the rules are locked (auditctl -s: enabled 2), a rule works after a reboot.")
	}
}

// writeWrapped writes text in lines that fit, the first with a label in front, the others with
// as many blanks.
func writeWrapped(b *strings.Builder, label, text string) {
	line := label
	for word := range strings.FieldsSeq(text) {
		if len(line) > len(label) && ansi.StringWidth(line)+1+ansi.StringWidth(word) > topWidth {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(label))
		}
		if len(line) > len(label) {
			line += " "
		}
		line += string(escape(nil, []byte(word)))
	}
	b.WriteString(line + "\n")
}

// percentText writes a share in at most six columns.
func percentText(share float64) string {
	switch p := 100 * share; {
	case p == 0:
		return "0%"
	case p < 0.1:
		return "<0.1%"
	case p < 99.95:
		return fmt.Sprintf("%.1f%%", p)
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}

// short writes a number in at most seven columns.
func short(n float64) string {
	for _, unit := range []string{"", "k", "M", "G", "T"} {
		switch {
		case n < 100 && (unit != "" || n != float64(int64(n))):
			return fmt.Sprintf("%.1f%s", n, unit)
		case n < 10_000 && unit == "", n < 1000:
			return fmt.Sprintf("%.0f%s", n, unit)
		}
		n /= 1000
	}
	return "huge"
}
