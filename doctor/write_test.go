package doctor

import (
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func sampleReport() *Report {
	return &Report{
		Time: time.Unix(1e9, 0).UTC(), Host: "web1", Version: "1.0", Took: 250 * time.Millisecond, Checks: 3,
		Findings: []Finding{
			{Code: "AR-AUDITD-DOWN", Title: "No auditd is running", Severity: Critical, Text: "none | at all", Evidence: "pid 0", Fix: "auditd"},
			{Code: "AR-SINK-LATE", Title: "A sink is late", Severity: Warn, Subject: "siem", Text: "late", DependsOn: []string{"AR-SINK-DOWN"}, After: time.Minute},
		},
		Hidden: []Finding{
			{Code: "AR-SILENT", Severity: Critical, HiddenBy: "AR-AUDITD-DOWN"}, {Code: "AR-CLOCK", Severity: Warn, HiddenBy: "AR-SILENT"},
		},
	}
}

func render(t *testing.T, r *Report, style Style) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b, style); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWriteText(t *testing.T) {
	const want = `CRITICAL AR-AUDITD-DOWN  No auditd is running
  none | at all
  seen:  pid 0
  do:    auditd
  hides: AR-SILENT, AR-CLOCK

WARNING  AR-SINK-LATE  A sink is late: siem
  late

1 critical, 1 warning; 3 checks in 0.25 s
`
	if got := render(t, sampleReport(), Style{Format: Text}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	coloured := render(t, sampleReport(), Style{Format: Text, Colour: true})
	if plain := regexp.MustCompile(`\x1b\[\d*m`).ReplaceAllString(coloured, ""); plain != want || coloured == want {
		t.Errorf("without its colours the report is\n%s", plain)
	}
	if got := render(t, &Report{Checks: 3}, Style{Format: Text}); got != "no findings; 3 checks in 0.00 s\n" {
		t.Errorf("healthy: %q", got)
	}
}

// TestWriteJSON: what is written can be read back, in one line where that is asked for.
func TestWriteJSON(t *testing.T) {
	r := sampleReport()
	line := render(t, r, Style{Format: JSON, Line: true})
	if strings.Count(line, "\n") != 1 {
		t.Errorf("%q is not one line", line)
	}
	for _, text := range []string{line, render(t, r, Style{Format: JSON})} {
		var got reportJSON
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		want := reportJSON{r.Time, r.Host, r.Version, 0.25, 3, Critical, r.Findings, r.Hidden, nil}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// TestWriteNagios: one line with performance data after the only '|', then a line for each finding.
func TestWriteNagios(t *testing.T) {
	const want = `AUDISP-RELAY CRITICAL - 1 critical, 1 warning: AR-AUDITD-DOWN No auditd is running | critical=1;;0 warning=1;0 info=0 time=0.250s
critical AR-AUDITD-DOWN: none / at all -- auditd
warning AR-SINK-LATE: late
`
	if got := render(t, sampleReport(), Style{Format: Nagios}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := render(t, &Report{}, Style{Format: Nagios}); !strings.HasPrefix(got, "AUDISP-RELAY OK - no findings | ") {
		t.Errorf("healthy: %q", got)
	}
}

// TestWritePrometheus: there is one series for each code, found or not, and no text of the machine.
func TestWritePrometheus(t *testing.T) {
	got := render(t, sampleReport(), Style{Format: Prometheus})
	if n := strings.Count(got, "\naudisp_relay_doctor_finding{"); n != len(Codes()) {
		t.Errorf("%d series, want one for each of %d codes", n, len(Codes()))
	}
	for _, line := range []string{
		`audisp_relay_doctor_finding{code="AR-AUDITD-DOWN"} 3`, `audisp_relay_doctor_finding{code="AR-SINK-LATE"} 2`, `audisp_relay_doctor_finding{code="AR-SILENT"} 0`,
		`audisp_relay_doctor_findings{severity="critical"} 1`, `audisp_relay_doctor_last_run_timestamp_seconds 1000000000`, `audisp_relay_doctor_run_seconds 0.250`,
	} {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
	form := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .*|[a-z_]+(\{[a-z]+="[A-Za-z-]+"\})? [0-9.]+)$`)
	for line := range strings.Lines(got) {
		if !form.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("line %q", line)
		}
	}
}

// Codes in the manual: a paragraph each.
var (
	manItem = regexp.MustCompile(`(?m)^\.It Sy (AR-\S+) Pq (ok|info|warning|critical)(?:, after (\S+))?$`)
	manPage = "../packaging/man/audisp-relay-doctor.8"
)

// TestManual holds the codes, severities and times of the checks against the manual.
func TestManual(t *testing.T) {
	page, err := os.ReadFile(manPage)
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range manItem.FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = strings.TrimSpace(m[2] + " " + m[3])
	}
	checks := append(Checks(), Check{Code: CodeUnknown, Severity: Warn})
	for _, c := range checks {
		want := c.Severity.String()
		if c.After > 0 {
			want += " " + shortTime(c.After)
		}
		if got := documented[c.Code]; got != want {
			t.Errorf("%s: %s is %q, the check %q", manPage, c.Code, got, want)
		}
		delete(documented, c.Code)
	}
	for code := range documented {
		t.Errorf("%s describes %s, which no check finds", manPage, code)
	}
}

// TestCodesAreStable: a code is "AR-" and words in capitals.
func TestCodesAreStable(t *testing.T) {
	form := regexp.MustCompile(`^AR(-[A-Z0-9]+)+$`)
	for _, code := range Codes() {
		if !form.MatchString(code) {
			t.Errorf("code %q", code)
		}
	}
	var b strings.Builder
	if err := WriteList(&b); err != nil {
		t.Fatal(err)
	}
	for _, code := range Codes() {
		if !strings.Contains(b.String(), code+" ") {
			t.Errorf("--list lacks %s", code)
		}
	}
}

// TestPromtoolTakesIt: Prometheus' own check finds nothing to say.
func TestPromtoolTakesIt(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed")
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(render(t, sampleReport(), Style{Format: Prometheus}))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
