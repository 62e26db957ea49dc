package otlp

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/format/json"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/test/otelcol"
	"audisp-relay/test/pki"
)

// jsonFormat is the sink's default format.
func jsonFormat() format.Encoder {
	return format.Encoder{Format: format.Events, NewEvents: func() format.EventEncoder { return json.New(json.Options{}) }, Raw: json.Kind.Raw}
}

// numbered returns events from first up to end, of three records each and with serials that count.
func numbered(first, end int) (b record.Batch) {
	var text strings.Builder
	for i := first; i < end; i++ {
		id := fmt.Sprintf("audit(1700000000.123:%d)", i)
		fmt.Fprintf(&text, "type=SYSCALL msg=%s: arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c items=1 ppid=1 pid=%d auid=1000 uid=0 comm=\"cat\" exe=\"/bin/cat\" key=\"k\"\n", id, i)
		fmt.Fprintf(&text, "type=CWD msg=%s: cwd=\"/tmp/%d\"\n", id, i)
		fmt.Fprintf(&text, "type=PATH msg=%s: item=0 name=\"/tmp/%x\" inode=%d nametype=NORMAL\n", id, i, i)
	}
	b = batchOf(text.String())
	for i := 2; i < len(b.Recs); i += 3 {
		b.Recs[i].Flags |= record.End
	}
	return b
}

// feed puts events from 1 to n into a queue as a reader does, waiting for room.
func feed(q *queue.Queue, n int) {
	for first := 1; first <= n; first += 100 {
		b := numbered(first, min(first+100, n+1))
		q.Put(&b)
	}
}

// collected checks what the collector has of events from 1 to n: none missing, in order but for those
// that were sent again, none of its own. It returns how many came twice.
func collected(t *testing.T, c *otelcol.Collector, n int) (twice int) {
	t.Helper()
	seen, last := make(map[string]bool), 0
	for _, r := range c.Records() {
		if strings.Contains(r.Body, "relay-loss") {
			t.Errorf("a loss: %s", r.Body)
			continue
		}
		var serial int
		if _, err := fmt.Sscanf(r.UID[strings.LastIndexByte(r.UID, ':')+1:], "%d", &serial); err != nil || serial < 1 || serial > n {
			t.Fatalf("%+v: %v", r, err)
		}
		if seen[r.UID] {
			twice++
			last = max(last, serial)
			continue
		}
		if serial != last+1 {
			t.Fatalf("event %d follows %d", serial, last)
		}
		if want := fmt.Sprintf(`"cwd":"/tmp/%d"`, serial); !strings.Contains(r.Body, want) || r.Event != "auditd.syscall" || r.Time != 1700000000123000000 {
			t.Fatalf("event %d is %+v", serial, r)
		}
		seen[r.UID], last = true, serial
	}
	if len(seen) != n {
		t.Errorf("%d of %d events arrived", len(seen), n)
	}
	return twice
}

// lossless is a queue like that of a sink with qos = "lossless".
func lossless() *queue.Queue {
	return queue.New(queue.Options{Name: "test", Config: queue.Config{Depth: 16384, Bytes: 32 << 20, Lossless: true, Hold: true, Markers: true, Whole: true}})
}

// collectorSettings returns the configuration of a sink to a collector.
func collectorSettings(t *testing.T, url string, set ...func(*Config)) config.Sink {
	cfg := settings(t, url, set...)
	cfg.Format = "json"
	return cfg
}

// TestCollector: the collector's own receiver takes all that is sent, whole and in order.
func TestCollector(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a collector")
	}
	const n = 10_000
	ca := pki.New(t)
	cert, key := ca.Save("collector", ca.Issue("127.0.0.1"))
	for name, tt := range map[string]struct {
		args []string
		set  func(*Config)
	}{
		"gzip": {nil, func(c *Config) { c.Compression = "gzip" }},
		"zstd": {nil, func(c *Config) { c.Compression = "zstd" }},
		"tls": {[]string{"-cert", cert, "-key", key}, func(c *Config) {
			c.URL, c.CAFile = strings.Replace(c.URL, "http:", "https:", 1), ca.File
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := otelcol.Start(t, tt.args...)
			s := New(collectorSettings(t, "http://"+c.Address, tt.set), jsonFormat(), zap.NewNop())
			q := lossless()
			done := make(chan struct{})
			go func() { defer close(done); s.Run(t.Context(), q) }()
			feed(q, n)
			q.Close()
			<-done
			if twice := collected(t, c, n); twice != 0 || q.Counts().Delivered != 3*n {
				t.Errorf("%d twice; %+v", twice, q.Counts())
			}
		})
	}
}

// TestCollectorKilled: none is missing, and those that come twice are those that the sink counts at most.
func TestCollectorKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a collector")
	}
	n := 20_000
	if os.Getenv("AUDISP_LIVE_FULL") == "1" {
		n = 200_000
	}
	c := otelcol.Start(t)
	s := New(collectorSettings(t, "http://"+c.Address), jsonFormat(), zap.NewNop())
	q := lossless()
	var wait sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	wait.Go(func() { s.Run(ctx, q) })
	fed := make(chan struct{})
	wait.Go(func() { defer close(fed); feed(q, n) })

	for kill := 1; kill <= 5; kill++ {
		otelcol.Eventually(t, "events", func() bool { return q.Counts().Delivered >= uint64(3*n*kill/6) })
		c.Kill()
		otelcol.Eventually(t, "a degraded sink", func() bool { return s.Status().Degraded })
		c.Restart()
		s.Reopen() // else the pause between attempts is all that takes time here
	}
	<-fed
	q.Close()
	wait.Wait()

	twice, said := collected(t, c, n), s.Status().Details.(*Details).Repeated
	t.Logf("%d events, five kills: none missing, %d twice, at most %d by the sink's count", n, twice, said)
	if n := q.Counts(); uint64(twice) > said || n.LostRecords() != 0 {
		t.Errorf("%d twice, the sink says %d; %+v", twice, said, n)
	}
}

// TestCollectorRefuses: what the collector refuses for good (with 500, at this version) is a loss with a
// marker, which the collector gets.
func TestCollectorRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a collector")
	}
	c := otelcol.Start(t, "-refuse", `"cwd":"/tmp/50"`)
	w := newWriter(collectorSettings(t, "http://"+c.Address, func(c *Config) { c.BatchRecords = 10 }), jsonFormat())
	s := sinks.NewPump("test", w, zap.NewNop())
	q := lossless()
	done := make(chan struct{})
	go func() { defer close(done); s.Run(t.Context(), q) }()
	feed(q, 100)
	q.Close()
	<-done
	if n := q.Counts(); n.Lost[queue.Refused].Events != 10 || n.Delivered != 270 {
		t.Errorf("%+v", n)
	}
	records, markers := c.Records(), 0
	for _, r := range records {
		if r.Event == "auditd.daemon_err" && r.Severity == "ERROR" && strings.Contains(r.Body, "refused") {
			markers++
		}
	}
	if len(records) != 91 || markers != 1 {
		t.Errorf("%d log records, %d markers", len(records), markers)
	}
	if text := s.Status().Error; !strings.Contains(text, "refused events for good") || !strings.Contains(text, "refused by its body") {
		t.Error(text)
	}
}

// TestCollectorGetsCheckpoints: a checkpoint is an event of its own, after those that it counts.
func TestCollectorGetsCheckpoints(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a collector")
	}
	c := otelcol.Start(t)
	s := New(collectorSettings(t, "http://"+c.Address), jsonFormat(), zap.NewNop())
	q := lossless()
	feed(q, 10)
	if !q.PutCheckpoint(true, func(dst []byte, number uint64) []byte {
		return fmt.Appendf(dst, "op=relay-checkpoint sink=test seq=%d res=success", number)
	}) {
		t.Fatal("the queue does not take it")
	}
	q.Close()
	s.Run(t.Context(), q)
	records := c.Records()
	if len(records) != 11 {
		t.Fatalf("%d log records", len(records))
	}
	if r := records[10]; r.Event != "auditd.daemon_config" || !strings.Contains(r.Body, "relay-checkpoint") || !strings.Contains(r.Body, `30`) || r.UID == "" {
		t.Errorf("%+v", r)
	}
}

// TestCollectorTrial: an empty request is no error of the collector's.
func TestCollectorTrial(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a collector")
	}
	c := otelcol.Start(t)
	y := trialOf(t, "http://"+c.Address)
	if last := y.Steps[len(y.Steps)-1]; last.Name != "acknowledgement" || last.Verdict != sinks.Passed || len(c.Records()) != 0 {
		t.Errorf("%+v", last)
	}
}
