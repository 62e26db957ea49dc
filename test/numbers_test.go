package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/test/lab"
)

const numberSinks = `
loss_markers = true
[sinks.file]
type = "file"
path = "DIR/out"
[sinks.few]
type = "file"
path = "DIR/few"
filter = "type == \"USER_LOGIN\""
[sinks.dead]
type = "file"
path = "DIR/no/such/dir/out"
q_depth = 60
[sinks.slow]
type = "unix"
path = "DIR/sock"
group = "root"
q_depth = 100
slow_client = "drop"
`

// TestNumbersAgreeUnderLoad: at every moment the balance of each sink adds up, and what metrics say
// lies between what status says before and after; at rest status, metrics, state file, markers and
// log say the same.
func TestNumbersAgreeUnderLoad(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, numberSinks, nil)
	conn := stopped(t, r, "slow", filepath.Join(dir, "sock"))
	const events = 100_000
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := 1; i <= events; i += 50 {
			r.write(commands(i, 50))
		}
	}()
	looks := 0
	for !t.Failed() && r.report().Input.Records < events {
		r.bracketMetrics()
		looks++
	}
	<-written
	t.Logf("%d looks under load", looks)

	got := new(bytes.Buffer)
	var reading sync.WaitGroup
	reading.Go(func() { io.Copy(got, conn) })
	until(t, "all has come to its end", func() bool {
		return r.consumer("file").Delivered == events && r.consumer("few").Filtered == events && r.consumer("slow").Queued == 0 && r.consumer("slow").LostTotal > 0
	})
	until(t, "the events are counted", func() bool { return r.report().Input.Classes["other"] == events })
	rest := r.report()
	r.sameInMetrics(rest)
	r.signal(syscall.SIGUSR1)
	until(t, "the state report", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "run", "state"))
		return err == nil && bytes.Contains(text, []byte("slow delivered"))
	})
	sameInState(t, dir, rest)
	if rest.State != plugin.StateLosing || len(rest.Why) < 3 {
		t.Errorf("state %s, %q", rest.State, rest.Why)
	}

	r.end()
	reading.Wait()
	sameInMarkers(t, got.Bytes(), consumerOf(rest, "slow"))
	sameInLog(t, dir, rest)
}

// TestPromtoolReadsTheMetrics: what the program serves is as Prometheus wants it.
func TestPromtoolReadsTheMetrics(t *testing.T) {
	t.Parallel()
	lab.RequireTools(t, "promtool")
	r := start(t, tempDir(t), numberSinks, nil)
	r.write(commands(1, 100))
	until(t, "records are delivered", func() bool { return r.consumer("file").Delivered == 100 })
	check := exec.Command(tool(t, "promtool"), "check", "metrics")
	check.Stdin = bytes.NewReader(r.metricsText())
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// commands returns events of one whole record each.
func commands(first, n int) []byte {
	var b bytes.Buffer
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "type=USER_CMD msg=audit(1795296167.053:%d): pid=1 uid=0 auid=0 ses=1 msg='cmd=6C73 res=success'\n", i)
	}
	return b.Bytes()
}

// bracketMetrics reads metrics between two reports, which each have to add up.
func (r *relay) bracketMetrics() {
	r.t.Helper()
	before, read, after := r.report(), r.metrics(), r.report()
	low, high := counters(before), counters(after)
	for series := range low {
		if v, there := read[series]; !there || v < low[series] || v > high[series] {
			r.t.Errorf("%s = %v (there: %v), status had %v and then %v", series, v, there, low[series], high[series])
		}
	}
	for _, c := range after.Consumers {
		balanced(r.t, c)
		if c.Delivery.Count != c.Delivered {
			r.t.Errorf("%s: %d delays of %d delivered records", c.Name, c.Delivery.Count, c.Delivered)
		}
	}
}

// sameInMetrics holds the metrics of a relay at rest against its report.
func (r *relay) sameInMetrics(rest *plugin.Report) {
	r.t.Helper()
	read := r.metrics()
	want := counters(rest)
	want["audisp_relay_input_buffer_limit_bytes"] = float64(rest.Input.Buffer)
	want["audisp_relay_input_buffer_bytes"] = 0
	for i := range rest.Consumers {
		c := &rest.Consumers[i]
		want[fmt.Sprintf(`audisp_relay_queue_records{sink=%q}`, c.Name)] = float64(c.Queued)
		for cause, loss := range c.Lost {
			want[fmt.Sprintf(`audisp_relay_records_lost_total{cause=%q,sink=%q}`, cause, c.Name)] = float64(loss.Records)
		}
	}
	for series, v := range want {
		if read[series] != v {
			r.t.Errorf("%s = %v, status has %v", series, read[series], v)
		}
	}
}

// counters returns what a report says, by the series that has it.
func counters(rep *plugin.Report) map[string]float64 {
	all := map[string]float64{"audisp_relay_records_received_total": float64(rep.Input.Records)}
	for class, n := range rep.Input.Classes {
		all[fmt.Sprintf(`audisp_relay_events_received_total{type_class=%q}`, class)] = float64(n)
	}
	for i := range rep.Consumers {
		c := &rep.Consumers[i]
		for outcome, n := range map[string]uint64{"delivered": c.Delivered, "filtered": c.Filtered, "discarded": c.Discarded, "lost": c.LostTotal} {
			all[fmt.Sprintf(`audisp_relay_sink_records_total{outcome=%q,sink=%q}`, outcome, c.Name)] = float64(n)
		}
		all[fmt.Sprintf(`audisp_relay_delivery_seconds_count{sink=%q}`, c.Name)] = float64(c.Delivery.Count)
	}
	return all
}

// metricsText reads the relay's metrics as they are served.
func (r *relay) metricsText() (text []byte) {
	r.t.Helper()
	eventually(r.t, "metrics", func() error {
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.dir, "run", "metrics.sock"))
		}}
		answer, err := (&http.Client{Transport: transport}).Get("http://relay/metrics")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err = io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", answer.Status, text)
		}
		return err
	})
	return text
}

// metrics reads the relay's metrics, by series.
func (r *relay) metrics() map[string]float64 {
	r.t.Helper()
	all := make(map[string]float64)
	for line := range strings.Lines(string(r.metricsText())) {
		line = strings.TrimSpace(line)
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			v, err := strconv.ParseFloat(line[i+1:], 64)
			if err != nil {
				r.t.Fatalf("%q: %v", line, err)
			}
			all[line[:i]] = v
		}
	}
	return all
}

func consumerOf(rep *plugin.Report, name string) consumer.Report {
	for _, c := range rep.Consumers {
		if c.Name == name {
			return c
		}
	}
	return consumer.Report{}
}

// sameInState holds the state report that was written at rest against that of status.
func sameInState(t *testing.T, dir string, rest *plugin.Report) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "run", "state"))
	if err != nil {
		t.Fatal(err)
	}
	state := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		state[key] = value
	}
	want := map[string]uint64{"records received": rest.Input.Records}
	for _, c := range rest.Consumers {
		for key, n := range map[string]uint64{"received": c.Received, "delivered": c.Delivered, "filtered": c.Filtered, "discarded": c.Discarded, "lost": c.LostTotal} {
			want[c.Name+" "+key] = n
		}
	}
	for key, n := range want {
		if state[key] != strconv.FormatUint(n, 10) {
			t.Errorf("state file: %s = %q, status has %d", key, state[key], n)
		}
	}
}

// sameInMarkers holds the markers in what a client got against the losses of its sink.
func sameInMarkers(t *testing.T, got []byte, c consumer.Report) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client")
	if err := os.WriteFile(path, got, 0o600); err != nil {
		t.Fatal(err)
	}
	reported, err := lab.Markers(path)
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]uint64)
	for _, m := range reported {
		sums[m.Cause] += m.Records
	}
	for cause, loss := range c.Lost {
		if sums[cause] != loss.Records {
			t.Errorf("%s: the markers report %d records, status %d", cause, sums[cause], loss.Records)
		}
	}
	if records := uint64(bytes.Count(got, []byte{'\n'}) - len(reported)); records != c.Delivered {
		t.Errorf("the client has %d records, status says %d are delivered", records, c.Delivered)
	}
}

// sameInLog holds the last totals that the log names against the report before the end: what was
// queued then is lost at the end, where its place is dead.
func sameInLog(t *testing.T, dir string, rest *plugin.Report) {
	t.Helper()
	totals, delivered := make(map[string]uint64), make(map[string]uint64)
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var entry struct {
			Msg, Sink        string
			Total, Delivered uint64
		}
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "records lost" {
			totals[entry.Sink], delivered[entry.Sink] = entry.Total, entry.Delivered
		}
	}
	for _, c := range rest.Consumers {
		if want := c.LostTotal + c.Queued; totals[c.Name] != want {
			t.Errorf("log: %s has lost %d, status says %d and %d queued", c.Name, totals[c.Name], c.LostTotal, c.Queued)
		}
		if c.LostTotal > 0 && delivered[c.Name] != c.Delivered {
			t.Errorf("log: %s has delivered %d, status says %d", c.Name, delivered[c.Name], c.Delivered)
		}
	}
}
