package doctor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Style is how a report is written.
type Style struct {
	Format Format
	Colour bool // of text only
	Line   bool // JSON without line breaks: a report a line
}

// Write writes the report in a format. All of it is printable but for newlines, and the
// colours where those are asked for.
func (r *Report) Write(w io.Writer, style Style) error {
	b := bufio.NewWriter(w)
	switch style.Format {
	case JSON:
		if err := r.writeJSON(b, style.Line); err != nil {
			return err
		}
	case Nagios:
		r.writeNagios(b)
	case Prometheus:
		r.writePrometheus(b)
	default:
		r.writeText(b, style.Colour)
	}
	return b.Flush()
}

// reportJSON is a Report in JSON; docs/operating.md describes it.
type reportJSON struct {
	Time     time.Time `json:"time"`
	Host     string    `json:"host"`
	Version  string    `json:"version"`
	Seconds  float64   `json:"seconds"`
	Checks   int       `json:"checks"`
	Worst    Severity  `json:"worst"`
	Findings []Finding `json:"findings"`
	Hidden   []Finding `json:"hidden"`
	Pending  []Finding `json:"pending,omitempty"`
}

func (r *Report) writeJSON(w io.Writer, line bool) error {
	report := reportJSON{r.Time, r.Host, r.Version, r.Took.Seconds(), r.Checks, r.Worst(), r.Findings, r.Hidden, r.Pending}
	if !line {
		return WriteJSON(w, report)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(report)
}

// WriteJSON writes what doctor has found as JSON that a person can read, too.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Colours of ECMA-48 for the severities.
var colours = [...]string{Info: "\x1b[36m", Warn: "\x1b[33m", Critical: "\x1b[31m"}

const (
	bold    = "\x1b[1m"
	noStyle = "\x1b[0m"
)

func (r *Report) writeText(w *bufio.Writer, colour bool) {
	paint := func(style, text string) string {
		if !colour || text == "" {
			return text
		}
		return style + text + noStyle
	}

	for i := range r.Findings {
		f := &r.Findings[i]
		name := strings.ToUpper(f.Severity.String())
		fmt.Fprintf(w, "%s %s  %s\n", paint(colours[f.Severity], fmt.Sprintf("%-8s", name)), paint(bold, f.Code), f.about())
		fmt.Fprintf(w, "  %s\n", f.Text)
		for _, line := range []struct{ label, text string }{
			{"seen:", f.Evidence}, {"do:", f.Fix}, {"hides:", strings.Join(r.hiddenBy(f.Code), ", ")},
		} {
			if line.text != "" {
				fmt.Fprintf(w, "  %-6s %s\n", line.label, line.text)
			}
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s; %d checks in %.2f s\n", r.summary(), r.Checks, r.Took.Seconds())
}

// about is the title with the subject.
func (f *Finding) about() string {
	if f.Subject == "" {
		return f.Title
	}
	return f.Title + ": " + f.Subject
}

// hiddenBy lists the codes that a finding hides, itself or by others that it hides, each once.
func (r *Report) hiddenBy(code string) (codes []string) {
	from := map[string]bool{code: true}
	for found := true; found; {
		found = false
		for i := range r.Hidden {
			h := &r.Hidden[i]
			if from[h.HiddenBy] && !from[h.Code] {
				from[h.Code], found = true, true
				codes = append(codes, h.Code)
			}
		}
	}
	return codes
}

// summary counts the findings in a phrase.
func (r *Report) summary() string {
	if len(r.Findings) == 0 {
		return "no findings"
	}
	var parts []string
	for s := Critical; s >= Info; s-- {
		if n := r.count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return strings.Join(parts, ", ")
}

// writeNagios writes one line for the list of services, performance data after '|', and a line
// for each finding. In what is not performance data '|' would begin some.
func (r *Report) writeNagios(w *bufio.Writer) {
	status := []string{nagiosOK: "OK", nagiosWarning: "WARNING", nagiosCritical: "CRITICAL", nagiosUnknown: "UNKNOWN"}[r.nagios()]
	text := r.summary()
	if len(r.Findings) > 0 {
		text += ": " + r.Findings[0].Code + " " + r.Findings[0].about()
	}
	// A threshold is the end of the range that is good.
	fmt.Fprintf(w, "AUDISP-RELAY %s - %s | critical=%d;;0 warning=%d;0 info=%d time=%.3fs\n",
		status, NagiosText(text), r.count(Critical), r.count(Warn), r.count(Info), r.Took.Seconds())
	for i := range r.Findings {
		f := &r.Findings[i]
		line := fmt.Sprintf("%s %s: %s", f.Severity, f.Code, f.Text)
		if f.Fix != "" {
			line += " -- " + f.Fix
		}
		fmt.Fprintln(w, NagiosText(line))
	}
}

// WriteNagiosUnknown writes why there is no answer, as a plugin of Nagios does, and returns the exit code that goes with it.
func WriteNagiosUnknown(w io.Writer, why error) (exit int) {
	fmt.Fprintf(w, "AUDISP-RELAY UNKNOWN - %s\n", NagiosText(Printable(why.Error())))
	return nagiosUnknown
}

// writePrometheus writes one series for each check, so that an alert can ask for any of them and
// none comes or goes. Labels hold no text of the machine.
func (r *Report) writePrometheus(w *bufio.Writer) {
	worst := make(map[string]Severity)
	for _, code := range Codes() {
		worst[code] = None
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		worst[f.Code] = max(worst[f.Code], f.Severity)
	}
	fmt.Fprint(w, "# HELP audisp_relay_doctor_finding Worst severity that audisp-relay doctor found: 0 none, 1 info, 2 warning, 3 critical.\n"+
		"# TYPE audisp_relay_doctor_finding gauge\n")
	for _, code := range slices.Sorted(maps.Keys(worst)) {
		fmt.Fprintf(w, "audisp_relay_doctor_finding{code=%q} %d\n", code, worst[code])
	}

	fmt.Fprint(w, "# HELP audisp_relay_doctor_findings Findings of the last run by severity.\n# TYPE audisp_relay_doctor_findings gauge\n")
	for s := Info; s <= Critical; s++ {
		fmt.Fprintf(w, "audisp_relay_doctor_findings{severity=%q} %d\n", s, r.count(s))
	}
	fmt.Fprintf(w, "# HELP audisp_relay_doctor_last_run_timestamp_seconds When the last run looked.\n"+
		"# TYPE audisp_relay_doctor_last_run_timestamp_seconds gauge\naudisp_relay_doctor_last_run_timestamp_seconds %d\n", r.Time.Unix())
	fmt.Fprintf(w, "# HELP audisp_relay_doctor_run_seconds How long the last run took to look.\n"+
		"# TYPE audisp_relay_doctor_run_seconds gauge\naudisp_relay_doctor_run_seconds %.3f\n", r.Took.Seconds())
}

// shortTime is a duration as the flags take it: "1m" and not "1m0s".
func shortTime(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	return text
}

// WriteList writes the codes with their severities and titles, a line each.
func WriteList(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, c := range Checks() {
		after := ""
		if c.After > 0 {
			after = " (after " + shortTime(c.After) + ")"
		}
		fmt.Fprintf(b, "%-26s %-8s %s%s\n", c.Code, c.Severity, c.Title, after)
	}
	fmt.Fprintf(b, "%-26s %-8s %s\n", CodeUnknown, Warn, titleUnknown)
	return b.Flush()
}
