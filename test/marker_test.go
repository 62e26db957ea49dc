package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/test/lab"
)

// TestLiveMarkersStandWhereTheLossIs: a client that hangs with a small queue
// and no spool. Each gap in what it got has its markers in front of the next record,
// with the number of records that are missing there; ausearch and auparse read
// them; and markers, status and log agree on the totals.
func TestLiveMarkersStandWhereTheLossIs(t *testing.T) {
	lab.Require(t, "socat", "ausearch")
	l := startLive(t, `
loss_markers = true
spool.max_size = "0"
[sinks.file]
type = "file"
path = "DIR/out"
max_size = "0"
[sinks.slow]
type = "unix"
path = "DIR/slow"
group = "root"
q_depth = 2000
slow_client = "drop"
`, lab.Options{}, "string")
	slow := l.follow("slow", "slow", "client")
	after := l.Drain(l.path("out"), l.path("client"))
	run := l.StartLoad(lab.Load{Rate: 4000, Duration: span(3*time.Second, 30*time.Second)})
	for range 2 {
		lost := l.relay().consumer("slow").LostTotal
		slow.Signal(syscall.SIGSTOP)
		until(t, "it loses", func() bool { return l.relay().consumer("slow").LostTotal > lost })
		slow.Signal(syscall.SIGCONT)
		until(t, "it has caught up", func() bool { return l.relay().consumer("slow").Queued < 500 })
	}
	run.Wait()
	end := l.Drain(l.path("out"), l.path("client"))
	l.exact("file", after, end, l.path("out"))
	inPlace(t, between(t, l.path("out"), after, end), between(t, l.path("client"), after, end))

	reported := markers(t, l.path("client"))
	if len(reported) < 2 {
		t.Errorf("two pauses, but markers %+v", reported)
	}
	l.totalsAgree("slow", reported)
	readByAusearch(t, l.path("client"), reported)
	readByAuparse(t, l.path("client"), reported)
}

// TestLiveKernelLossIsTold: what the kernel drops for want of room while
// auditd stands still is in no log. Markers report the kernel's own number.
func TestLiveKernelLossIsTold(t *testing.T) {
	l := startLive(t, "loss_markers = true\n"+fileOnly, lab.Options{}, "string")
	l.Ctl("--backlog_wait_time", "0")
	l.SetBacklog(64)
	l.Drain(l.path("out"))
	before, err := lab.ReadStatus()
	if err != nil {
		t.Fatal(err)
	}
	run := l.StartLoad(lab.Load{Rate: 2000, Duration: time.Second})
	time.Sleep(300 * time.Millisecond)
	lab.Freeze(t, l.PID(), 300*time.Millisecond)
	run.Wait()
	l.Drain(l.path("out"))
	now, err := lab.ReadStatus()
	if err != nil {
		t.Fatal(err)
	}
	lost := uint64(now.Lost - before.Lost)
	if lost == 0 {
		t.Fatal("the kernel lost nothing: this proves nothing")
	}
	var reported uint64
	eventually(t, "the markers", func() error {
		reported = 0
		for _, m := range markers(t, l.path("out")) {
			if m.Cause == "kernel" {
				reported += m.Records
			}
		}
		if reported < lost {
			return fmt.Errorf("the kernel lost %d records, the markers report %d", lost, reported)
		}
		return nil
	})
	if reported != lost {
		t.Errorf("the kernel lost %d records, the markers report %d", lost, reported)
	}
	l.totalsAgree("file", markers(t, l.path("out")))
}

// totalsAgree holds the markers of a consumer against its state and the log.
func (l *live) totalsAgree(sink string, reported []lab.Marker) {
	l.t.Helper()
	sums := map[string]uint64{}
	for _, m := range reported {
		if m.Sink != sink {
			l.t.Errorf("marker of another sink: %s", m.Line)
		}
		sums[m.Cause] += m.Records
	}
	c := l.relay().consumer(sink)
	balanced(l.t, c)
	status := map[string]uint64{}
	for cause, loss := range c.Lost {
		status[cause] = loss.Records
	}
	if diff := cmp.Diff(status, sums); diff != "" {
		l.t.Errorf("%s (-status +markers):\n%s", sink, diff)
	}
	// Said at most once a minute: the rest comes when the plugin ends.
	l.Stop()
	logged := map[string]uint64{}
	for _, line := range l.logged("warn") {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line.Text), &fields); err != nil {
			l.t.Fatal(err)
		}
		for cause := range status {
			var loss struct{ Records uint64 }
			switch {
			case line.Msg == queueLoss && string(fields["sink"]) == fmt.Sprintf("%q", sink):
				_ = json.Unmarshal(fields[cause], &loss) // not of this cause
			case line.Msg == upstreamLoss:
				name := map[string]string{"upstream": "total_events", "kernel": "total_kernel"}[cause]
				_ = json.Unmarshal(fields[name], &loss.Records)
			}
			if loss.Records > 0 {
				logged[cause] = loss.Records
			}
		}
	}
	if diff := cmp.Diff(status, logged); diff != "" {
		l.t.Errorf("%s (-status +log):\n%s", sink, diff)
	}
}

// between reads the lines of a stream from after the first mark to the last one.
func between(t *testing.T, path, after, until string) (lines []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(data)) {
		if inside {
			lines = append(lines, line)
		}
		if strings.Contains(line, after) {
			inside = true
		}
		if strings.Contains(line, until) {
			return lines
		}
	}
	t.Fatalf("%s: no %s", path, until)
	return nil
}

// inPlace fails unless got is all with some runs left out, and in place of
// each run stand markers that report its length.
func inPlace(t *testing.T, all, got []string) {
	t.Helper()
	// What a busy host's kernel or auditd dropped is known a second later, at another place.
	ofOthers := func(line string) bool {
		return strings.Contains(line, " cause=upstream ") || strings.Contains(line, " cause=kernel ")
	}
	all, got = slices.DeleteFunc(all, ofOthers), slices.DeleteFunc(got, ofOthers)
	at := map[string]int{}
	for i, line := range all {
		at[line] = i
	}
	next, reported, gaps := 0, 0, 0
	for _, line := range got {
		if strings.Contains(line, "op=relay-loss") {
			var n int
			_, text, _ := strings.Cut(line, " records=")
			fmt.Sscan(text, &n)
			reported += n
			continue
		}
		i, ok := at[line]
		if !ok || i < next {
			t.Fatalf("not a part of the stream at this place: %q", line)
		}
		if i-next != reported {
			t.Errorf("%d records are missing before %.60q, the markers there report %d", i-next, line, reported)
		}
		if i > next {
			gaps++
		}
		next, reported = i+1, 0
	}
	if next != len(all) || reported != 0 || gaps == 0 {
		t.Errorf("%d of %d records gone through, %d gaps, %d reported at the end", next, len(all), gaps, reported)
	}
}

// readByAusearch fails unless ausearch finds the markers by their type.
func readByAusearch(t *testing.T, path string, want []lab.Marker) {
	t.Helper()
	out, err := exec.Command(tool(t, "ausearch"), "-if", path, "-m", "DAEMON_ERR", "--raw").Output()
	if err != nil {
		t.Fatalf("ausearch: %v\n%s", err, out)
	}
	var got, lines []string
	for line := range strings.Lines(string(out)) {
		got = append(got, strings.TrimSpace(line))
	}
	for _, m := range want {
		lines = append(lines, m.Line)
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Errorf("ausearch (-want +got):\n%s", diff)
	}
	// Interpreted too: it knows the fields and has nothing to complain about.
	cmd := exec.Command(tool(t, "ausearch"), "-if", path, "-m", "DAEMON_ERR", "-i")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err = cmd.Output()
	if n := bytes.Count(out, []byte("op=relay-loss")); err != nil || n != len(want) || complaints.Len() > 0 {
		t.Errorf("ausearch -i: %v, %d markers of %d, %s", err, n, len(want), complaints.Bytes())
	}
}

// auparseScript prints the fields of all markers as auparse gives them.
const auparseScript = `
import auparse, json, sys
au = auparse.AuParser(auparse.AUSOURCE_FILE, sys.argv[1])
found = []
while au.parse_next_event():
    au.first_record()
    while True:
        if au.get_type_name() == "DAEMON_ERR":
            m = {}
            au.first_field()
            while True:
                m[au.get_field_name()] = au.interpret_field()
                if not au.next_field(): break
            if m.get("op") == "relay-loss":
                stamp = au.get_timestamp()
                m["id"] = "%d.%03d:%d" % (stamp.sec, stamp.milli, stamp.serial)
                found.append(m)
        if not au.next_record(): break
print(json.dumps(found))
`

// readByAuparse fails unless auparse gives every field of every marker.
func readByAuparse(t *testing.T, path string, want []lab.Marker) {
	t.Helper()
	// The distribution's python: python3-audit is built for that one.
	out, err := exec.Command("/usr/bin/python3", "-c", auparseScript, path).CombinedOutput()
	if err != nil {
		t.Fatalf("auparse: %v\n%s", err, out)
	}
	var got, fields []map[string]string
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("auparse: %v: %s", err, out)
	}
	for _, m := range want {
		fields = append(fields, map[string]string{"type": "DAEMON_ERR", "id": m.ID, "op": "relay-loss", "sink": m.Sink, "cause": m.Cause,
			"records": fmt.Sprint(m.Records), "events": fmt.Sprint(m.Events), "first": fmt.Sprint(m.First), "last": fmt.Sprint(m.Last), "res": "failed", "mac": m.MAC})
	}
	if diff := cmp.Diff(fields, got); diff != "" {
		t.Errorf("auparse (-want +got):\n%s", diff)
	}
}
