package metrics_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"audisp-relay/fleet"
	"audisp-relay/metrics"
	"audisp-relay/test/lab"
)

const mixin = "../packaging/mixin/"

// rule is an alert of alerts.yml.
type rule struct {
	Alert, Expr string
	Annotations map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	readYAML(t, mixin+"alerts.yml", &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 8 {
		t.Fatalf("%d rules", len(all))
	}
	return all
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// queries returns the title and the expressions of each panel of the dashboard.
func queries(t *testing.T) map[string][]string {
	t.Helper()
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, mixin+"dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	all, ids := make(map[string][]string), make(map[int]bool)
	for _, p := range board.Panels {
		if len(p.Targets) == 0 || ids[p.ID] {
			t.Errorf("panel %q has no query, or its id twice", p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], target.Expr)
		}
	}
	if len(all) < 10 {
		t.Fatalf("%d panels", len(all))
	}
	return all
}

// metricName finds the names of metrics in an expression: all other words are short or functions.
var metricName = regexp.MustCompile(`\b(?:audisp_relay|audisp_fleet|process|go)_[a-z0-9_]+`)

// TestQueriesUseMetricsThatExist: an alert or a panel on a name that no relay has is never seen to
// be wrong.
func TestQueriesUseMetricsThatExist(t *testing.T) {
	known := append(metrics.Names(), metrics.NamesOf(fleet.NewMetrics())...)
	for series := range values(t, start(t, sinksText).scrape(t)) {
		name, _, _ := strings.Cut(series, "{")
		known = append(known, name)
	}
	check := func(where, expr string) {
		found := metricName.FindAllString(expr, -1)
		if len(found) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		for _, name := range found {
			if !slices.Contains(known, name) && !slices.Contains(known, strings.TrimSuffix(name, "_bucket")) {
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
	}
	for _, r := range rules(t) {
		check(r.Alert, r.Expr)
	}
	for title, list := range queries(t) {
		for _, expr := range list {
			check(title, expr)
		}
	}
}

// TestStatesOfHostsAreAlerts: each that is a finding is in the expression of one alert, but for lost, of
// which a host never recovers: that goes by the records.
func TestStatesOfHostsAreAlerts(t *testing.T) {
	matcher := regexp.MustCompile(`state=~?"([^"]+)"`)
	in := make(map[string]int)
	for _, r := range rules(t) {
		if !strings.Contains(r.Expr, "audisp_fleet_sinks") {
			continue
		}
		for _, found := range matcher.FindAllStringSubmatch(r.Expr, -1) {
			for state := range strings.SplitSeq(found[1], "|") {
				in[state]++
			}
		}
	}
	for state, name := range fleet.States() {
		want := 0
		if s := fleet.State(state); s.IsFinding() && s != fleet.Lost {
			want = 1
		}
		if in[name] != want {
			t.Errorf("state %q is in %d alerts, want %d", name, in[name], want)
		}
		delete(in, name)
	}
	for state := range in {
		t.Errorf("alerts name the state %q, which there is not", state)
	}
}

// TestMetricsAreDocumented: each has its row in docs/operating.md, and each row is of one.
func TestMetricsAreDocumented(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "../docs/operating.md"), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	known := metrics.Names()
	for _, name := range known {
		short := strings.Replace(name, "audisp_relay_input_buffer_limit", "…_limit", 1)
		if !strings.Contains(section, "`"+name+"`") && !strings.Contains(section, "`"+short+"`") {
			t.Errorf("docs/operating.md lacks %s", name)
		}
	}
	for _, name := range regexp.MustCompile("audisp_relay_[a-z_]*[a-z]").FindAllString(section, -1) {
		if !slices.Contains(known, name) {
			t.Errorf("docs/operating.md: there is no metric %s", name)
		}
	}
}

// TestAlertsHaveRunbooks: each leads to a section of docs/alerts.md that has its name, and each
// section belongs to an alert.
func TestAlertsHaveRunbooks(t *testing.T) {
	doc := read(t, "../docs/alerts.md")
	var names []string
	for _, r := range rules(t) {
		names = append(names, r.Alert)
		if want := "docs/alerts.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want || r.Annotations["summary"] == "" {
			t.Errorf("%s: annotations %q, want runbook %s", r.Alert, r.Annotations, want)
		}
		_, section, found := strings.Cut(doc, "\n## "+r.Alert+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for _, part := range []string{"**Means.**", "**Find.**", "**Do.**"} {
			if !found || !strings.Contains(section, part) {
				t.Errorf("docs/alerts.md has no %s of %s", part, r.Alert)
			}
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^## (\S+)$`).FindAllStringSubmatch(doc, -1) {
		if !slices.Contains(names, heading[1]) {
			t.Errorf("docs/alerts.md: there is no alert %s", heading[1])
		}
	}
}

// TestAlertsFire has promtool run alerts_test.yml, in which each alert fires at a time and is silent
// in the hour in which all is well.
func TestAlertsFire(t *testing.T) {
	var file struct {
		Tests []struct {
			Checks []struct {
				Alert  string `yaml:"alertname"`
				Alerts []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, mixin+"alerts_test.yml", &file)
	fires, silent := make(map[string]bool), make(map[string]bool)
	for i, one := range file.Tests {
		for _, c := range one.Checks {
			fires[c.Alert] = fires[c.Alert] || len(c.Alerts) > 0
			silent[c.Alert] = silent[c.Alert] || (i == 0 && len(c.Alerts) == 0)
		}
	}
	for _, r := range rules(t) {
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s: tested to fire: %v, to be silent when all is well: %v", r.Alert, fires[r.Alert], silent[r.Alert])
		}
	}

	promtool := lab.NeedTool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		run := exec.Command(promtool, args...)
		run.Dir = mixin
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestDashboardInPrometheus runs each query of the dashboard against a Prometheus that scrapes a relay.
// Those of sinks with a server and of a stdin that is a socket have no data here.
func TestDashboardInPrometheus(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a Prometheus for some seconds")
	}
	lab.NeedTool(t, "promtool") // which comes with it
	at := freePort(t)
	r := start(t, sinksText+"[metrics]\nlisten = '"+at+"'\n")
	io.WriteString(r.in, records(1, 100))
	api := "http://" + startPrometheus(t, at)
	sent := 100
	for title, list := range queries(t) {
		for _, expr := range list {
			var answer struct {
				Status, Error string
				Data          struct{ Result []any }
			}
			ask := api + "/api/v1/query?query=" + url.QueryEscape(expand(expr))
			optional := regexp.MustCompile("reconnects|input_buffer|kernel_backlog|log_retention|auditd_queue").MatchString(expr)
			wait(t, title+": "+expr+" has data", func() bool {
				sent += 10
				io.WriteString(r.in, records(sent, 10))
				_, text, err := get("", ask, nil)
				if err != nil {
					return false
				}
				if err := json.Unmarshal([]byte(text), &answer); err != nil {
					t.Fatalf("%v: %.200s", err, text)
				}
				return answer.Status == "error" || optional || len(answer.Data.Result) > 0
			})
			if answer.Status != "success" {
				t.Errorf("%s: %s: %s", title, expr, answer.Error)
			}
		}
	}
}

// expand puts values in the place of Grafana's variables.
func expand(expr string) string {
	return strings.NewReplacer("$__rate_interval", "10s", "$job", ".*", "$instance", ".*", "$sink", ".*").Replace(expr)
}

// startPrometheus runs a Prometheus that scrapes an address, and returns its own.
func startPrometheus(t *testing.T, target string) (address string) {
	t.Helper()
	dir, address := t.TempDir(), freePort(t)
	config := fmt.Sprintf("global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs: [{job_name: audisp-relay, static_configs: [{targets: ['%s']}]}]\n", target)
	if err := os.WriteFile(dir+"/prometheus.yml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("prometheus", "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+address)
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
		log.Close()
		if t.Failed() {
			t.Logf("prometheus:\n%s", read(t, dir+"/log"))
		}
	})
	wait(t, "Prometheus is ready", func() bool {
		status, _, err := get("", "http://"+address+"/-/ready", nil)
		return err == nil && status == http.StatusOK
	})
	return address
}
