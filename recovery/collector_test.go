package recovery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/go-libaudit/v2/auparse"
	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// collector is an Out that keeps the text of what it is given.
type collector struct {
	mu   sync.Mutex
	got  []string
	late []string // of these, with the flag
	lost []integrity.Gap
}

func (c *collector) Put(b *record.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range b.Recs {
		c.got = append(c.got, lineOf(b, i))
		if b.Recs[i].Flags&record.Late != 0 {
			c.late = append(c.late, lineOf(b, i))
		}
	}
}

func (c *collector) Lost(t integrity.Gap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = append(c.lost, t)
}

// lines returns what came, EOE records left out, as the log has none.
func (c *collector) lines() (lines []string, eoe int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.got {
		if strings.HasPrefix(l, "type=EOE ") {
			eoe++
		} else {
			lines = append(lines, l)
		}
	}
	return lines, eoe
}

func lineOf(b *record.Batch, i int) string {
	text := string(b.Text(i))
	if r := &b.Recs[i]; r.HasID() {
		return "type=" + auparse.AuditMessageType(uint16(r.Type)).String() + " msg=" + text
	}
	return strings.TrimRight(text, "\n ")
}

// play feeds a stream in chunks through a Merger over a log that is whole already.
func play(t testing.TB, input, log []byte, rnd *rand.Rand) *collector {
	t.Helper()
	return playFrom(t, input, log, rnd, false)
}

// playFrom lets the log lead from the start.
func playFrom(t testing.TB, input, log []byte, rnd *rand.Rand, led bool) *collector {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, log, 0o600); err != nil {
		t.Fatal(err)
	}
	out := new(collector)
	f := New(Options{Log: auditlog.New(path), Tracker: integrity.NewTracker(integrity.Options{}), Out: out, Say: zap.NewNop(), Static: true})
	if led {
		f.letLogLead(time.Now(), 0, quietTime)
	}
	end := start(f)
	take(t, f, input, rnd)
	end()
	f.Finish(time.Now().Add(time.Minute))
	return out
}

// start runs f. What it returns ends that.
func start(f *Merger) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func take(t testing.TB, f *Merger, input []byte, rnd *rand.Rand) {
	t.Helper()
	r := stream.NewReader(&chunks{data: input, rnd: rnd})
	var b record.Batch
	for r.Next(&b) == nil {
		f.Take(&b)
	}
}

type chunks struct {
	data []byte
	rnd  *rand.Rand
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, fmt.Errorf("end")
	}
	n := copy(p[:min(len(p), 1+c.rnd.IntN(20000))], c.data)
	c.data = c.data[n:]
	return n, nil
}

func logLines(log []byte) (lines []string) {
	for l := range strings.Lines(string(log)) {
		l = strings.TrimRight(l, "\n ")
		if _, rest, ok := strings.Cut(l, " type="); ok && strings.HasPrefix(l, "node=") {
			l = "type=" + rest
		}
		lines = append(lines, l)
	}
	return lines
}
