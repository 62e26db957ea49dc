package test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"audisp-relay/test/lab"
	"audisp-relay/test/otelcol"
)

// TestLiveOTLP: a real collector is killed while auditd makes events as fast as the kernel
// gives them. It has every event of audit.log with all its records; those that came twice have one
// log.record.uid, and are as many as the sink says at most.
func TestLiveOTLP(t *testing.T) {
	c := otelcol.Start(t)
	l := startLive(t, fmt.Sprintf(`
[spool]
max_size = "1GiB"
[sinks.string]
type = "file"
path = "DIR/out"
max_size = "0"
[sinks.otlp]
type = "otlp"
url = "http://%s"
`, c.Address), lab.Options{}, "string")
	after := l.Drain(l.path("out"), c.Out())

	load := l.StartLoad(lab.Load{Duration: span(3*time.Second, 10*time.Second)})
	for range figure(2, 5) {
		time.Sleep(span(700*time.Millisecond, time.Second))
		c.Kill()
		time.Sleep(500 * time.Millisecond)
		c.Restart()
	}
	res := load.Wait()
	last := l.Drain(l.path("out"), c.Out())
	l.exact("string", after, last, l.path("out"))

	want := recordsOf(t, l.Logs(), after, last)
	var got []jsonEvent
	seen, twice := map[string]bool{}, 0
	for _, r := range c.Records() {
		var e jsonEvent
		if err := json.Unmarshal([]byte(r.Body), &e); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if seen[r.UID] {
			twice++
			continue
		}
		seen[r.UID] = true
		got = append(got, e)
	}
	if missing, broken := want.without(got); len(missing)+len(broken) > 0 {
		t.Errorf("of %d events %d are missing (%.3q), %d in part (%.3q)", len(want), len(missing), missing, len(broken), broken)
	}
	if n := l.relay().consumer("otlp"); n.LostTotal > 0 || n.Received != n.Delivered+n.Queued {
		t.Errorf("balance: %+v", n)
	}
	t.Logf("%d events made at %.0f/s; %d in the log, %d at the collector, %d twice", res.Made, res.Rate(), len(want), len(got), twice)
}
