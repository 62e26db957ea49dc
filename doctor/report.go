package doctor

import (
	"fmt"
	"time"
)

// Report is what one run has found. The caller owns it.
type Report struct {
	Time     time.Time
	Host     string
	Version  string        // of the program that looked
	Took     time.Duration // gathering the facts
	Checks   int           // how many were run
	Findings []Finding     // the worst first
	Hidden   []Finding     // what follows from these
	Pending  []Finding     // what has not held for long enough; of a repeated run only
}

// Worst is the severity of the worst finding, None where there is none.
func (r *Report) Worst() Severity {
	worst := None
	for i := range r.Findings {
		worst = max(worst, r.Findings[i].Severity)
	}
	return worst
}

// count is the number of findings of a severity.
func (r *Report) count(s Severity) (n int) {
	for i := range r.Findings {
		if r.Findings[i].Severity == s {
			n++
		}
	}
	return n
}

// Exit codes. Those of Nagios are in its plugin guidelines.
const (
	ExitClean   = 0 // nothing above info
	ExitFinding = 1 // of every format but nagios

	nagiosOK       = 0
	nagiosWarning  = 1
	nagiosCritical = 2
	nagiosUnknown  = 3
)

// ExitCode is what the program ends with after r in that format. For nagios that is 0 ok,
// 1 warning, 2 critical, and 3 where the one thing above info is that something could not be
// found out. For the other formats it is 0 where nothing is above info, else 1.
func (r *Report) ExitCode(format Format) int {
	if format == Nagios {
		return r.nagios()
	}
	if r.Worst() > Info {
		return ExitFinding
	}
	return ExitClean
}

func (r *Report) nagios() int {
	code := nagiosOK
	for i := range r.Findings {
		switch f := &r.Findings[i]; {
		case f.Severity == Critical:
			return nagiosCritical
		case f.Severity == Warn && f.Code != CodeUnknown:
			code = nagiosWarning
		case f.Severity == Warn && code == nagiosOK:
			code = nagiosUnknown
		}
	}
	return code
}

// Format is how a report is written.
type Format string

// The formats.
const (
	Text       Format = "text"       // for a person
	JSON       Format = "json"       // one object, see docs/operating.md
	Nagios     Format = "nagios"     // a Nagios plugin's output, with its exit codes
	Prometheus Format = "prometheus" // text exposition, for node_exporter's textfile collector
)

// ParseFormat returns the format of that name.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case Text, JSON, Nagios, Prometheus:
		return f, nil
	}
	return "", fmt.Errorf("%q is no format, want text, json, nagios or prometheus", name)
}
