package metrics_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"audisp-relay/metrics"
	"audisp-relay/plugin"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("os/signal.loop"), goleak.IgnoreTopFunction("os/signal.signal_recv"))
}

// relay is a plugin that runs in this process.
type relay struct {
	*plugin.Plugin
	dir   string
	in    io.Writer
	close func() // ends it
}

// start runs a plugin with what is configured besides, in which DIR is replaced by a directory of its own.
func start(t *testing.T, text string) *relay {
	t.Helper()
	dir, err := os.MkdirTemp("", "me") // short: the paths of sockets are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &relay{dir: dir}
	r.configure(t, text)
	r.run(t)
	return r
}

// run starts the plugin, again after it was closed.
func (r *relay) run(t *testing.T) {
	t.Helper()
	in, out := io.Pipe()
	r.in, r.Plugin = out, plugin.New(plugin.Options{Config: r.config(), Version: "test", In: in, Metrics: metrics.New})
	ended := make(chan error, 1)
	go func() { ended <- r.Run() }()
	closed := false
	r.close = func() {
		if closed {
			return
		}
		closed = true
		out.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			log, _ := os.ReadFile(r.dir + "/log")
			t.Logf("log:\n%s", log)
		}
	}
	t.Cleanup(r.close)
}

func (r *relay) config() string { return r.dir + "/relay.toml" }
func (r *relay) socket() string { return filepath.Join(r.dir, "run", "metrics.sock") }

// configure writes the configuration.
func (r *relay) configure(t *testing.T, text string) {
	t.Helper()
	head := "run_dir = 'DIR/run'\nstate_dir = 'DIR/state'\npriority_boost = 0\noom_score_adj = 0\nlog.output = 'DIR/log'\n"
	text = strings.ReplaceAll(head+text, "DIR", r.dir)
	if err := os.WriteFile(r.config(), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

// get reads URL, over a unix socket if one is named.
func get(socket, url string, trust *tls.Config) (status int, text string, err error) {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust}
	if socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	client := http.Client{Transport: transport, Timeout: 20 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

// scrape reads the metrics as they are served on the unix socket.
func (r *relay) scrape(t *testing.T) string {
	t.Helper()
	var text string
	wait(t, "metrics are served", func() bool {
		status, body, err := get(r.socket(), "http://relay/metrics", nil)
		text = body
		return err == nil && status == http.StatusOK
	})
	return text
}

// values reads an exposition: each series as "name{label="value",...}" with its value; of a histogram
// its count and sum.
func values(t *testing.T, text string) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("not in the text format: %v\n%s", err, text)
	}
	all := make(map[string]float64)
	for name, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			tail := ""
			if len(labels) > 0 {
				tail = "{" + strings.Join(labels, ",") + "}"
			}
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				all[name+tail] = m.Counter.GetValue()
			case dto.MetricType_GAUGE:
				all[name+tail] = m.Gauge.GetValue()
			case dto.MetricType_HISTOGRAM:
				all[name+"_count"+tail] = float64(m.Histogram.GetSampleCount())
				all[name+"_sum"+tail] = m.Histogram.GetSampleSum()
			}
		}
	}
	return all
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so", what)
		}
	}
}

// records returns n events of one record each, of a second ago.
func records(first, n int) string {
	var b strings.Builder
	at := time.Now().Add(-time.Second)
	for i := range n {
		fmt.Fprintf(&b, "type=USER_CMD msg=audit(%d.%03d:%d): pid=1 uid=0 auid=0 ses=1 msg='cmd=6C73 res=success'\n",
			at.Unix(), at.Nanosecond()/1e6, first+i)
	}
	return b.String()
}
