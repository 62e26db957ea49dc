// Package overview shows a plugin.Report on one screen: first whether all is well, then what
// comes in, a row for each sink, what was lost and what to do about it, and the clients.
//
// Whatever a report holds, the text has only printable characters, and lines fit the width
// asked for. Nothing here keeps a state: all functions may be called from any goroutine.
package overview

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"audisp-relay/plugin"
)

// Width is that of the screen where nothing else is known.
const Width = 80

// Down is the state of a plugin that does not run; the others are those of plugin.Report.
const Down = "down"

// Most lines that parts of the screen take: what is left out is in `status --all`.
const (
	mostReasons = 6
	mostLosses  = 8
	mostClients = 8
)

// State returns that of a report, also of a plugin from before reports had one.
func State(r *plugin.Report) string {
	switch {
	case r.State != "":
		return Clean(r.State)
	case len(r.Degraded) > 0:
		return plugin.StateDegraded
	}
	return plugin.StateOK
}

// Headline returns the state and the first reason for it, as one line of any length.
func Headline(r *plugin.Report) string {
	state := State(r)
	switch {
	case len(r.Why) == 1:
		return state + ": " + Clean(r.Why[0])
	case len(r.Why) > 1:
		return fmt.Sprintf("%s: %s (and %s)", state, Clean(r.Why[0]), plural(len(r.Why)-1, "more reason"))
	case len(r.Degraded) > 0:
		return state + ": " + Clean(strings.Join(r.Degraded, ", "))
	}

	lost := uint64(0)
	for _, l := range lossesOf(r) {
		lost += l.Day
	}
	text := fmt.Sprintf("%s: %s, ", state, plural(len(r.Consumers), "sink"))
	if lost > 0 {
		return text + Count(lost) + " records lost within a day"
	}
	return text + "nothing lost within a day"
}

// Facts returns what the plugin is and what comes in, a line each.
func Facts(r *plugin.Report) []string {
	ago := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return Age(r.Now.Sub(t)) + " ago"
	}
	source := "auditd's stream"
	if r.Recovery.Mode == "log" {
		source = "audit.log, since the stream looks incomplete"
	}
	return []string{
		fmt.Sprintf("relay  pid %d of auditd (pid %d), version %s, up %s", r.Pid, r.Parent, Clean(cmp.Or(r.Version, "?")), Age(r.Now.Sub(r.Started))),
		fmt.Sprintf("config %s, loaded %s", Clean(cmp.Or(r.Config, "built-in defaults")), ago(r.ConfigAt)),
		fmt.Sprintf("input  %s records/s, %s events/s, last record %s, from %s", Rate(r.Input.Rate), Rate(r.Input.Events), ago(r.Input.Last), source),
	}
}

// Write writes the whole screen, lines of width columns.
func Write(w io.Writer, r *plugin.Report, width int) error {
	width = max(width, 40)
	lines := Wrap(Headline(r), width, 4, 3)
	if len(r.Why) > 1 {
		lines = append(lines, Reasons(r, width)...)
	}
	lines = append(lines, "")
	for _, fact := range Facts(r) {
		lines = append(lines, Fit(fact, width, false))
	}

	lines = append(lines, "", Header(width))
	for i := range r.Consumers {
		lines = append(lines, RowOf(&r.Consumers[i], r.Now).Line(width))
	}
	if len(r.Consumers) == 0 {
		lines = append(lines, "no sink: all of the configuration's have errors, or it has none")
	}
	for _, part := range [][]string{Flaws(r, width), LossLines(r, width, mostLosses), ClientLines(r, width, mostClients)} {
		if len(part) > 0 {
			lines = append(append(lines, ""), part...)
		}
	}

	var text strings.Builder
	for _, line := range lines {
		text.WriteString(strings.TrimRight(ansi.Truncate(line, width, "…"), " ") + "\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// Reasons returns the reasons for the state after the first, which the Headline has.
func Reasons(r *plugin.Report, width int) (lines []string) {
	for n, why := range r.Why[min(1, len(r.Why)):] {
		if n == mostReasons {
			return append(lines, fmt.Sprintf("  and %d more: status --json", len(r.Why)-1-mostReasons))
		}
		for _, line := range Wrap("- "+Clean(why), width-2, 2, 3) {
			lines = append(lines, "  "+line)
		}
	}
	return lines
}

// Flaws returns what is not as configured of sinks that deliver.
func Flaws(r *plugin.Report, width int) (lines []string) {
	for i := range r.Consumers {
		if c := &r.Consumers[i]; c.Sink.Flaw != "" && len(lines) < mostReasons {
			lines = append(lines, Wrap(Clean(c.Name)+": "+Clean(c.Sink.Flaw), width, 4, 2)...)
		}
	}
	return lines
}
