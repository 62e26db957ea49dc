package plugin

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/plugin/consumer"
	"audisp-relay/sinks"
	"audisp-relay/sinks/file"
	"audisp-relay/sinks/program"
	"audisp-relay/sinks/syslog"
	"audisp-relay/sinks/unix"
)

// TestStatusOfEachSinkType holds what users see of each type of sink, in JSON and in text, which `status` makes
// of the JSON.
func TestStatusOfEachSinkType(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const since = `"since":"2026-01-02T03:04:05Z","failures":0`
	for _, tt := range []struct {
		kind   string
		status sinks.Status
		object string
		lines  []string
	}{
		{"file", sinks.Status{Flaw: "a<b", Details: &file.Details{Truncated: 2, TruncatedBytes: 1 << 60}},
			`{"degraded":false,` + since + `,"flaw":"a\u003cb","truncated":2,"truncated_bytes":1152921504606846976}`,
			[]string{"truncated by others = 2 times (1152921504606846976 bytes)"}},
		{"file", sinks.Status{}, `{"degraded":false,` + since + `}`, []string{"truncated by others = 0 times (0 bytes)"}},
		{"syslog", sinks.Status{Details: &syslog.Details{Repeated: 3, Doubtful: 4}},
			`{"degraded":false,` + since + `,"repeated":3,"doubtful":4}`, []string{"messages sent again = 3", "messages perhaps lost = 4"}},
		{"program", sinks.Status{Degraded: true, Error: "e", Details: &program.Details{Pid: 7, Restarts: 8}},
			`{"degraded":true,"error":"e",` + since + `,"restarts":8,"pid":7}`, []string{"child = pid 7, restarted 8 times"}},
		{"unix", sinks.Status{Details: &unix.Details{Refused: 1, Dropped: 2, Clients: []unix.Client{{Pid: 1, UID: 2, Since: at, Delivered: 3, Lost: 4, Pending: 5}}}},
			`{"degraded":false,` + since + `,"clients":[{"pid":1,"uid":2,"since":"2026-01-02T03:04:05Z","delivered":3,"lost":4,"pending":5}],"refused":1,"dropped":2}`,
			[]string{"client = pid 1 uid 2 since " + at.Local().Format(time.DateTime) + ": delivered 3, pending 5, lost 4", "clients refused = 1", "clients disconnected as too slow = 2"}},
		{"unix", sinks.Status{Details: &unix.Details{Pid: 9, Repeated: 6}}, `{"degraded":false,` + since + `,"pid":9,"repeated":6}`,
			[]string{"clients refused = 0", "clients disconnected as too slow = 0"}},
		{"kafka", sinks.Status{Degraded: true}, `{"degraded":true,` + since + `}`, []string{"lost = 0"}},
	} {
		tt.status.Since = at
		sent := consumer.Report{Name: "s", Type: tt.kind, Sink: tt.status}
		var read consumer.Report
		text, err := json.Marshal(sent)
		if err == nil {
			err = json.Unmarshal(text, &read)
		}
		again, _ := json.Marshal(read)
		if err != nil || !strings.HasSuffix(string(text), `"sink":`+tt.object+"}") || string(again) != string(text) {
			t.Errorf("%s: %v\n%s\n%s, want\n%s", tt.kind, err, text, again, tt.object)
		}

		var lines []string
		read.WriteText(func(key string, value any) {
			lines = append(lines, fmt.Sprintf("%s = %v", strings.TrimPrefix(key, "s "), value))
		},
			func(time.Time) string { return "" })
		if diff := cmp.Diff(tt.lines, lines[len(lines)-len(tt.lines):]); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", tt.kind, diff)
		}
	}
}

// TestReportHasALineForEachFigure, whatever a server has answered: no text of another looks like a figure.
func TestReportHasALineForEachFigure(t *testing.T) {
	r := &Report{ConfigError: "c.toml:1: a\nc.toml:2: b", Consumers: []consumer.Report{{Name: "s", Type: "nats"}}}
	var plain, hostile strings.Builder
	if err := r.WriteText(&plain); err != nil {
		t.Fatal(err)
	}
	r.Consumers[0].Sink.Error = "no\ns lost = 0\r\x1b[2J"
	r.Input.Totals = map[string]uint64{"x\ny": 1}
	if err := r.WriteText(&hostile); err != nil {
		t.Fatal(err)
	}
	text := hostile.String()
	if n := strings.Count(text, "\n"); n != strings.Count(plain.String(), "\n")+1 || strings.ContainsAny(text, "\r\x1b") {
		t.Errorf("%d lines:\n%q", n, text)
	}
	for _, want := range []string{"config error = c.toml:1: a; c.toml:2: b\n", "s last error = no; s lost = 0??[2J\n", "total x; y = 1\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}

// TestStatusAfterARecordOfAnyTime: a time that JSON has no form for, of the record that came last or of one that waits, keeps nobody from
// getting an answer.
func TestStatusAfterARecordOfAnyTime(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, "[sinks.dead]\ntype = \"file\"\npath = \"DIR/no/such/dir/out\"\n", nil)
	defer end()
	fmt.Fprintln(w, "type=USER_CMD msg=audit(999999999999.999:1): pid=1 uid=0 auid=0 ses=1 msg='cmd=6C73 res=success'")
	wait(t, "it has come", func() bool { return p.Report().Consumers[0].Queued == 1 })
	if _, err := json.Marshal(p.Report()); err != nil {
		t.Error(err)
	}
}
