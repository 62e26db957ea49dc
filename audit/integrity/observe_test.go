package integrity

import (
	"bytes"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// readAll returns all records of a stream in one batch of its own memory.

func TestCapturesAreWithoutFault(t *testing.T) {
	for _, name := range captures.Names(t, "*.gz") {
		if bytes.HasPrefix([]byte(name), []byte("audit-4.2.1-raw")) && !audittest.IsLog(name) {
			continue
		}
		b := audittest.Capture(t, name)
		tr := NewTracker(Options{})
		if n := tr.Observe(b, audittest.Epoch); n != len(b.Recs) {
			t.Errorf("%s: record %d looks cut: %q", name, n, b.Bytes(n))
			continue
		}
		if got := tr.Due(audittest.Epoch.Add(time.Hour)); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
		c := tr.Counts()
		c.Nodes = 0
		if c != (Counts{}) {
			t.Errorf("%s: %+v", name, c)
		}
		for i := range b.Recs {
			b.Recs[i].Flags &^= record.FromLog
			if IsTruncated(b, i) {
				t.Errorf("%s: Cut(%q)", name, b.Bytes(i))
			}
		}
	}
}

func TestEveryKernelRecordOf421RawIsCut(t *testing.T) {
	for _, name := range captures.Names(t, "audit-4.2.1-raw.[sb]*.gz") {
		b := audittest.Capture(t, name)
		seen := 0
		for i := range b.Recs {
			kernel := b.Recs[i].Type/100 != 12
			if got := IsTruncated(b, i); got != kernel {
				t.Errorf("%s: Cut is %v of %q", name, got, b.Bytes(i))
			}
			if kernel {
				seen++
			}
		}
		if seen < 500 {
			t.Errorf("%s: %d kernel records", name, seen)
		}
	}
}
