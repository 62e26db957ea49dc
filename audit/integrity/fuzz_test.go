package integrity

import (
	"bytes"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// FuzzTracker gives a Tracker a stream of anything, with all of its methods
// called between: it must not panic, hang or grow, and what it counts as lost it
// must have reported.
func FuzzTracker(f *testing.F) {
	f.Add([]byte(audittest.User(1)+audittest.User(3)+audittest.User(4_000_000_000)), uint8(1))
	f.Add([]byte("node=a "+audittest.User(1)+"node=b type=EOE msg=audit(1.000:5): \n"), uint8(2))
	f.Add([]byte("type=EXECVE msg=audit(1.000:5): argc=3 a0=\"x\" a1_len=9 a1[0]=4\ntype=SYSCALL msg=audit(1.000:5): arch=c000003e syscall=59 success=yes items=9\n"), uint8(3))
	raw := captures.Read(f, "audit-4.2.1-raw.string.gz")
	f.Add(raw[:bytes.LastIndexByte(raw[:20_000], '\n')], uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, how uint8) {
		b := audittest.ReadAll(t, data)
		tr := NewTracker(Options{})
		now := audittest.Epoch
		var due, lost uint64
		for n := 0; n < len(b.Recs); {
			size := min(int(how%7)+1, len(b.Recs)-n)
			if how&8 != 0 && n%3 == 0 {
				for i := range size {
					b.Recs[n+i].Flags |= record.FromLog
				}
			}
			part := &record.Batch{Buf: b.Buf, Recs: b.Recs[n : n+size]}
			k := tr.Observe(part, now)
			if k < size {
				if !IsTruncated(part, k) {
					t.Fatalf("Observe stops at %q, Cut does not", part.Bytes(k))
				}
				tr.ObserveTruncated(part, k, now)
				k++
			}
			n += k
			now = now.Add(time.Duration(how) * time.Millisecond)
			for _, x := range tr.Due(now) {
				due += x.Events()
				if x.Last-x.First+1 < x.Missing || x.Missing == 0 {
					t.Fatalf("%+v", x)
				}
			}
			if how&16 != 0 {
				for _, x := range tr.Lost() {
					lost += x.Events()
				}
			}
		}
		for _, x := range tr.Due(now.Add(time.Hour)) {
			due += x.Events()
		}
		for _, x := range tr.Lost() {
			lost += x.Events()
		}
		if c := tr.Counts(); lost > due || c.Lost != lost || c.Open != 0 || c.Nodes > MaxNodes {
			t.Fatalf("%d reported, %d lost: %+v", due, lost, c)
		}
		if s := tr.State(); !NewTracker(Options{}).Restore(s) {
			t.Fatalf("its own state is refused: %+v", s)
		}
	})
}

// TestMemoryIsBounded: events that never end, and serials with a hole each.
func TestMemoryIsBounded(t *testing.T) {
	tr := NewTracker(Options{})
	b := audittest.Lines(t, "type=PATH msg=audit(1000.000:1): item=0 name=\"x\" nametype=NORMAL\n")
	for i := range uint32(200_000) {
		b.Recs[0].Serial = 2 * i
		tr.Observe(b, audittest.Epoch)
	}
	if c := tr.Counts(); c.Open > 2*MaxOpen || len(tr.ready) > maxReports {
		t.Errorf("%d troubles, %+v", len(tr.ready), c)
	}
	for _, n := range tr.nodes {
		if len(n.gaps) > maxGaps {
			t.Errorf("%d gaps", len(n.gaps))
		}
	}
	tr.Due(audittest.Epoch.Add(time.Hour))
	tr.Lost()
	if len(tr.handedOut) != 0 || tr.Counts().Open != 0 {
		t.Errorf("%d reported, %+v", len(tr.handedOut), tr.Counts())
	}
}
