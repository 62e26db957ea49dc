package probe

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"audisp-relay/doctor"
	"audisp-relay/sinks"
)

// WriteStep prints a step as it ends: its name, verdict, time and text, then what to do and the details.
func WriteStep(w io.Writer, s sinks.Step) {
	fmt.Fprintf(w, "  %-16s %-8s %9.1f ms  %s\n", s.Name, s.Verdict, s.Took, s.Text)
	const indent = "                                        "
	for _, name := range slices.Sorted(maps.Keys(s.Facts)) {
		fmt.Fprintf(w, "%s%s: %s\n", indent, name, s.Facts[name])
	}
	if s.Fix != "" {
		fmt.Fprintf(w, "%sto do: %s\n", indent, s.Fix)
	}
}

// WriteJSON prints the result as one object; docs/operating.md describes it.
func (r *Result) WriteJSON(w io.Writer) error {
	return doctor.WriteJSON(w, r)
}

// worst returns the first step of the worst verdict, nil where there are none.
func (r *Result) worst() (worst *sinks.Step) {
	rank := func(s *sinks.Step) int {
		return slices.Index([]sinks.Verdict{sinks.Passed, sinks.Unknown, sinks.Doubt, sinks.Failed}, s.Verdict)
	}
	for i := range r.Steps {
		if worst == nil || rank(&r.Steps[i]) > rank(worst) {
			worst = &r.Steps[i]
		}
	}
	return worst
}

// WriteNagios prints one line as a plugin of Nagios does, with the times as performance data.
func (r *Result) WriteNagios(w io.Writer) error {
	word := map[int]string{0: "OK", 1: "WARNING", 2: "CRITICAL"}[r.ExitCode(doctor.Nagios)]
	text := "sink " + r.Sink
	if s := r.worst(); s != nil && !r.OK {
		text += ": " + s.Name + ": " + s.Text
	}
	text = doctor.NagiosText(text)
	if _, err := fmt.Fprintf(w, "AUDISP-RELAY %s - %s |", word, text); err != nil {
		return err
	}
	for _, s := range r.Steps {
		fmt.Fprintf(w, " '%s'=%.1fms", s.Name, s.Took)
	}
	_, err := fmt.Fprintln(w)
	return err
}

// ExitCode is what the program ends with, as doctor.Report.ExitCode has it.
func (r *Result) ExitCode(f doctor.Format) int {
	s := r.worst()
	switch {
	case r.OK || s == nil:
		return doctor.ExitClean
	case f == doctor.Nagios && s.Verdict == sinks.Failed:
		return 2
	}
	return doctor.ExitFinding // and a warning of Nagios
}
