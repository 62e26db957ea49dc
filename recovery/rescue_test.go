package recovery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// collected are the records that a consumer gets.
type collected struct{ text strings.Builder }

func (c *collected) Put(b *record.Batch) {
	for i := range b.Recs {
		c.text.Write(b.Bytes(i))
	}
}

func (c *collected) Lost(integrity.Gap) {}

// TestAPanicCostsNoRecord: what the stream brings is given although the Merger panics over it, what waits for
// the log, too, and nothing is locked after that.
func TestAPanicCostsNoRecord(t *testing.T) {
	out := new(collected)
	reported := 0
	f := New(Options{Log: auditlog.New("/nowhere/audit.log"), Network: true, Tracker: integrity.NewTracker(integrity.Options{}), Out: out, Say: zap.NewNop(),
		Panicked: func(string, *record.Batch, any) { reported++ }})
	line := func(n int) string {
		return fmt.Sprintf("node=n%d type=USER_LOGIN msg=audit(%d.000:%d): pid=1 uid=0 auid=0 ses=1 msg='op=login res=success'\n", n, time.Now().Unix(), n)
	}
	batch := func(text string) *record.Batch {
		var b record.Batch
		if err := stream.NewReader(strings.NewReader(text)).Next(&b); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	want := ""
	take := func(n int) {
		want += line(n)
		f.Take(batch(line(n)))
	}
	take(1)
	f.nodes = nil // the next name of a node cannot be noted
	take(2)
	if reported != 1 || out.text.String() != want {
		t.Fatalf("called %d times, given %q", reported, out.text.String())
	}
	f.nodes = make(map[string]bool)
	take(3)
	f.down = time.Time{}
	f.WithLock(func() { f.letLogLead(time.Now(), time.Now().UnixMilli(), 0) })
	take(4) // waits for the log
	if out.text.String() == want || reported != 1 {
		t.Fatal("record 4 did not wait")
	}
	f.safely(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		panic("over the log")
	})
	take(5)
	if reported != 2 || out.text.String() != want || f.Show().Mode != "stream" {
		t.Errorf("called %d times, %q leads, given %q\nwant %q", reported, f.Show().Mode, out.text.String(), want)
	}
}
