// Package doctor looks at everything between the kernel and the relay's sinks and says what is
// wrong, why it says so, and what to do.
//
// Facts are gathered once, each with an error of its own and within a time limit (Gather). A
// Check is a pure function of Facts. Diagnose runs all checks and hides what follows from
// another finding: an auditd that is dead is one finding, not ten. History leaves out what has
// not held for long enough, for runs that are repeated. Report.Write prints the result.
//
// Nothing here changes anything: no signal is sent, no rule loaded, no record made.
package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Severity says how bad a finding is.
type Severity int

// The severities, in order.
const (
	None     Severity = iota // nothing is wrong; in a Finding: that of its check
	Info                     // worth knowing: no exit code, no alarm
	Warn                     // records are late, may be lost or could not be recovered
	Critical                 // records are lost, or nothing is delivered
)

var severityNames = [...]string{"ok", "info", "warning", "critical"}

// String is "ok", "info", "warning" or "critical".
func (s Severity) String() string {
	if s < None || s > Critical {
		return fmt.Sprintf("severity(%d)", int(s))
	}
	return severityNames[s]
}

// MarshalText implements encoding.TextMarshaler with the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(text []byte) error {
	for n, name := range severityNames {
		if name == string(text) {
			*s = Severity(n)
			return nil
		}
	}
	return fmt.Errorf("%q is no severity, want info, warning or critical", text)
}

// Finding is one thing that is wrong. A check fills in Text and what belongs to it; what
// it leaves zero comes from the Check. In a Report all texts are printable and one line each.
type Finding struct {
	Code      string        // stable, "AR-" and uppercase words: a section of audisp-relay-doctor(8)
	Title     string        // what is wrong, in a few words, the same for every finding of the code
	Severity  Severity      // of this finding; a check may give one that is not its usual one
	Subject   string        // which sink, file or program it is about; "" where there is one only
	Text      string        // what is wrong, with the numbers and names of this machine
	Evidence  string        // where that was seen: a file and its line, a value and its source
	Fix       string        // the command that ends it, or else what to do
	DependsOn []string      // codes: a finding with one of these explains this one and hides it
	After     time.Duration // how long it has to hold before a repeated run reports it; 0: at once

	// HiddenBy is the code of the finding from which this one follows, "" for one of its own.
	HiddenBy string
}

// findingJSON is a Finding in JSON; docs/operating.md describes it.
type findingJSON struct {
	Code      string   `json:"code"`
	Title     string   `json:"title"`
	Severity  Severity `json:"severity"`
	Subject   string   `json:"subject,omitempty"`
	Text      string   `json:"text"`
	Evidence  string   `json:"evidence,omitempty"`
	Fix       string   `json:"fix,omitempty"`
	DependsOn []string `json:"depends_on,omitempty"`
	After     float64  `json:"after_seconds,omitempty"`
	HiddenBy  string   `json:"hidden_by,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (f Finding) MarshalJSON() ([]byte, error) {
	return json.Marshal(findingJSON{
		f.Code, f.Title, f.Severity, f.Subject, f.Text, f.Evidence, f.Fix, f.DependsOn, f.After.Seconds(), f.HiddenBy,
	})
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Finding) UnmarshalJSON(text []byte) error {
	var j findingJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	*f = Finding{
		j.Code, j.Title, j.Severity, j.Subject, j.Text, j.Evidence, j.Fix, j.DependsOn,
		time.Duration(j.After * float64(time.Second)), j.HiddenBy,
	}
	return nil
}

// compare orders findings: the worst first, then by code and subject.
func (f Finding) compare(other Finding) int {
	return cmp.Or(cmp.Compare(other.Severity, f.Severity), strings.Compare(f.Code, other.Code), strings.Compare(f.Subject, other.Subject))
}

// clean makes all texts of a finding printable: names and paths in them are any process' choice.
func (f *Finding) clean() {
	for _, text := range []*string{&f.Subject, &f.Text, &f.Evidence, &f.Fix} {
		*text = Printable(*text)
	}
}
