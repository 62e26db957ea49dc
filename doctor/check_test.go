package doctor

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// always is a check that finds something about each subject.
func always(code string, severity Severity, dependsOn []string, subjects ...string) Check {
	return Check{Code: code, Title: "title", Severity: severity, DependsOn: dependsOn, Find: func(*Facts) (found []Finding) {
		for _, s := range subjects {
			found = append(found, Finding{Subject: s, Text: "text"})
		}
		return found
	}}
}

func labels(findings []Finding) (list []string) {
	for _, f := range findings {
		list = append(list, strings.TrimSpace(f.Code+" "+f.Subject))
	}
	return list
}

// has reports whether there is a finding of that code, hidden ones left out.
func has(r *Report, code string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == code })
}

// TestDiagnoseHidesWhatFollows: a finding that another one explains is hidden, over several steps,
// and one about another subject is not.
func TestDiagnoseHidesWhatFollows(t *testing.T) {
	r := Diagnose(&Facts{}, []Check{
		always("AR-C", Info, []string{"AR-B"}, ""),
		always("AR-B", Warn, []string{"AR-A"}, ""),
		always("AR-A", Warn, nil, ""),
		always("AR-DOWN", Critical, nil, "one"),
		always("AR-LATE", Critical, []string{"AR-DOWN"}, "one", "two"),
		always("AR-OTHER", Critical, []string{"AR-ABSENT"}, "one"),
	})
	if got, want := labels(r.Findings), []string{"AR-DOWN one", "AR-LATE two", "AR-OTHER one", "AR-A"}; !reflect.DeepEqual(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
	if got, want := labels(r.Hidden), []string{"AR-LATE one", "AR-B", "AR-C"}; !reflect.DeepEqual(got, want) {
		t.Errorf("hidden %q, want %q", got, want)
	}
	for _, f := range r.Hidden {
		if want := map[string]string{"AR-B": "AR-A", "AR-C": "AR-B", "AR-LATE": "AR-DOWN"}[f.Code]; f.HiddenBy != want {
			t.Errorf("%s is hidden by %q, want %q", f.Code, f.HiddenBy, want)
		}
	}
}

// TestWorseIsNotHidden: a finding that is worse than what explains it decides on the exit code.
func TestWorseIsNotHidden(t *testing.T) {
	r := Diagnose(&Facts{}, []Check{always("AR-LATER", Critical, []string{"AR-FIRST"}, ""), always("AR-FIRST", Warn, nil, "")})
	if got, want := labels(r.Findings), []string{"AR-LATER", "AR-FIRST"}; !reflect.DeepEqual(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
	if code := r.ExitCode(Nagios); code != nagiosCritical {
		t.Errorf("exit code %d of nagios", code)
	}
}

// TestDiagnoseSurvivesPanics: a check that panics is a finding, and the others are run.
func TestDiagnoseSurvivesPanics(t *testing.T) {
	broken := Check{Code: "AR-BROKEN", Severity: Warn, Find: func(*Facts) []Finding { panic("no such\x1b[31m thing") }}
	r := Diagnose(&Facts{}, []Check{broken, always("AR-A", Critical, nil, "")})
	if got, want := labels(r.Findings), []string{"AR-A", CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Fatalf("findings %q, want %q", got, want)
	}
	if e := r.Findings[1].Evidence; !strings.Contains(e, `AR-BROKEN failed: no such\x1b[31m thing`) {
		t.Errorf("evidence %q", e)
	}
}

// TestFindingsArePrintable: what a path does to a terminal is shown and not done.
func TestFindingsArePrintable(t *testing.T) {
	hostile := "a\x1b]0;x\a\nb\u202e\xff" + strings.Repeat("long", 1000)
	c := Check{Code: "AR-A", Find: func(*Facts) []Finding {
		return []Finding{{Subject: hostile, Text: hostile, Evidence: hostile, Fix: hostile}}
	}}
	f := Diagnose(&Facts{}, []Check{c}).Findings[0]
	for _, text := range []string{f.Subject, f.Text, f.Evidence, f.Fix} {
		if !strings.HasPrefix(text, `a\x1b]0;x\x07\x0ab\xe2\x80\xae\xfflong`) || !strings.HasSuffix(text, "...") || len(text) > maxText+3 {
			t.Errorf("text %q", text)
		}
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"/etc/audit/plugins.d/x.conf": "/etc/audit/plugins.d/x.conf",
		"":                            "''",
		"-b":                          "-b",
		"a b":                         "'a b'",
		"it's $(id)":                  `'it'\''s $(id)'`,
		"a\nb'\\é":                    `$'a\012b\047\134\303\251'`,
	} {
		if got := quote(text); got != want {
			t.Errorf("quote(%q) = %s, want %s", text, got, want)
		}
	}
}

// TestHistory: a finding is pending until it has held long enough, and begins again after a
// report without it, and after a step of the clock.
func TestHistory(t *testing.T) {
	check := always("AR-A", Warn, nil, "one")
	check.After = time.Minute
	quick := always("AR-B", Warn, nil, "")
	var h History
	start := time.Unix(1e9, 0)
	for _, tt := range []struct {
		at    time.Duration
		found bool
		want  []string
	}{
		{0, true, []string{"AR-B"}},
		{59 * time.Second, true, []string{"AR-B"}},
		{60 * time.Second, true, []string{"AR-A one", "AR-B"}},
		{70 * time.Second, false, []string{"AR-B"}},
		{80 * time.Second, true, []string{"AR-B"}},
		{-time.Hour, true, []string{"AR-B"}},
		{-time.Hour + time.Minute, true, []string{"AR-A one", "AR-B"}},
	} {
		checks := []Check{quick}
		if tt.found {
			checks = append(checks, check)
		}
		r := Diagnose(&Facts{Now: start.Add(tt.at)}, checks)
		h.Settle(r)
		if got := labels(r.Findings); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("at %v: findings %q, want %q", tt.at, got, tt.want)
		}
		if len(r.Findings)+len(r.Pending) != len(checks) {
			t.Errorf("at %v: %d findings and %d pending of %d", tt.at, len(r.Findings), len(r.Pending), len(checks))
		}
	}
}

// TestExitCodes holds the codes that docs and manual name.
func TestExitCodes(t *testing.T) {
	finding := func(code string, s Severity) Finding { return Finding{Code: code, Severity: s} }
	unsure := new(Facts).unknown([]Gap{{"x", errors.New("y")}})[0]
	for _, tt := range []struct {
		name         string
		findings     []Finding
		text, nagios int
	}{
		{"healthy", nil, 0, 0},
		{"info", []Finding{finding("AR-A", Info)}, 0, 0},
		{"warning", []Finding{finding("AR-A", Warn)}, 1, 1},
		{"critical", []Finding{finding("AR-A", Warn), finding("AR-B", Critical)}, 1, 2},
		{"unknown", []Finding{unsure}, 1, 3},
		{"unknown and warning", []Finding{unsure, finding("AR-A", Warn)}, 1, 1},
		{"warning and unknown", []Finding{finding("AR-A", Warn), unsure}, 1, 1},
	} {
		r := &Report{Findings: tt.findings}
		for format, want := range map[Format]int{Text: tt.text, JSON: tt.text, Prometheus: tt.text, Nagios: tt.nagios} {
			if got := r.ExitCode(format); got != want {
				t.Errorf("%s, %s: exit code %d, want %d", tt.name, format, got, want)
			}
		}
	}
}
