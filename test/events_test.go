package test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/test/lab"
)

// TestLiveEveryEventArrives: at the highest rate the kernel gives, a file in json
// has every event of audit.log with all its records; beside it a filter lets
// through exactly the events of the load, and a string consumer has everything.
func TestLiveEveryEventArrives(t *testing.T) {
	l := startLive(t, `
[spool]
max_size = "1GiB"
[sinks.json]
type = "file"
path = "DIR/json"
format = "json"
max_size = "0"
[sinks.load]
type = "file"
path = "DIR/load"
format = "json"
filter = 'key == "labload" && syscall == "openat"'
max_size = "0"
[sinks.string]
type = "file"
path = "DIR/out"
max_size = "0"
`, lab.Options{}, "string")
	after := l.Drain(l.path("out"), l.path("json"))
	res := l.Load(lab.Load{Duration: seconds(4)})
	last := l.Drain(l.path("out"), l.path("json"))
	l.exact("string", after, last, l.path("out"))

	want := recordsOf(t, l.Logs(), after, last)
	got, torn := readEvents(t, l.path("json"))
	if missing, broken := want.without(got); torn > 0 || len(missing)+len(broken) > 0 {
		t.Errorf("of %d events %d are missing (%.3q), %d in part (%.3q), %d torn lines", len(want), len(missing), missing, len(broken), broken, torn)
	}
	seen := map[string]bool{}
	for _, e := range got {
		if seen[e.ID] || e.Incomplete {
			t.Errorf("twice %v: %+v", seen[e.ID], e)
		}
		seen[e.ID] = true
	}
	until(t, "the filtered consumer has all", func() bool { return l.relay().consumer("load").Queued == 0 })
	load := 0
	passed, _ := readEvents(t, l.path("load"))
	for _, e := range passed {
		if e.Key != "labload" {
			t.Fatalf("the filter let through %+v", e)
		}
		load++
	}
	if logged := l.logHas(res).Events; load != logged {
		t.Errorf("the filter let through %d of %d events", load, logged)
	}
	c := l.relay().consumer("load")
	if c.Received != c.Delivered+c.Filtered+c.Queued || c.Filtered == 0 || c.LostTotal > 0 {
		t.Errorf("balance of the filtered consumer: %+v", c)
	}
	t.Logf("%d events made at %.0f/s; %d in the log, %d in json", res.Made, res.Rate(), len(want), len(got))
}

type jsonEvent struct {
	ID          string   `json:"id"`
	Key         string   `json:"key"`
	RecordTypes []string `json:"record_types"`
	Incomplete  bool     `json:"incomplete"`

	Args      []string      `json:"args"`
	Parent    *jsonProcess  `json:"parent"` // nil: not known
	Ancestors []jsonProcess `json:"ancestors"`
}

// jsonProcess is what an event says of another process.
type jsonProcess struct {
	PID    int      `json:"pid"`
	Exe    string   `json:"exe"`
	ExecID string   `json:"exec_id"`
	Args   []string `json:"args"`
}

func (e *jsonEvent) records() (n int) {
	for _, typ := range e.RecordTypes {
		if typ != "EOE" { // it is not in the log
			n++
		}
	}
	return n
}

// readEvents reads a file of json events. torn counts lines that are none; a last one without its end is still being written.
func readEvents(t *testing.T, path string) (events []jsonEvent, torn int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return events, torn
		}
		if err != nil {
			t.Fatal(err)
		}
		var e jsonEvent
		if err := json.Unmarshal(line, &e); err != nil {
			torn++
			continue
		}
		events = append(events, e)
	}
}

// logged is how many records each event has in the log.
type logged map[string]int

// recordsOf counts the records of each event between two marks of the log, or to its
// end; after may be "".
func recordsOf(t *testing.T, logs []string, after, until string) logged {
	t.Helper()
	all := logged{}
	inside := after == ""
	for _, path := range logs {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := stream.NewReader(f)
		var b record.Batch
		for r.Next(&b) == nil {
			for i := range b.Recs {
				text := string(b.Bytes(i))
				if until != "" && strings.Contains(text, until) {
					return all
				}
				if inside && b.Recs[i].HasID() {
					_, id, _ := strings.Cut(text, "audit(")
					id, _, _ = strings.Cut(id, ")")
					all[id]++
				}
				inside = inside || strings.Contains(text, after)
			}
		}
	}
	if until != "" {
		t.Fatalf("the log has no mark %q", until)
	}
	return all
}

// without returns the events of the log that are not among these, or only in part.
func (l logged) without(events []jsonEvent) (missing, broken []string) {
	most := map[string]int{}
	for i := range events {
		e := &events[i]
		most[e.ID] = max(most[e.ID], e.records())
	}
	for id, n := range l {
		switch had, ok := most[id]; {
		case !ok:
			missing = append(missing, id)
		case had < n:
			broken = append(broken, id)
		}
	}
	return missing, broken
}
