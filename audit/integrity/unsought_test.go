package integrity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// eleven is ten whole events and one without its SYSCALL record, of serials from 1 on.
func eleven(t *testing.T) *record.Batch {
	var text strings.Builder
	for s := 1; s <= 11; s++ {
		id := fmt.Sprintf("msg=audit(1000.000:%d):", s)
		if s < 11 {
			fmt.Fprintf(&text, "type=SYSCALL %s arch=c000003e syscall=2 success=no exit=-2 a0=1 a1=2 a2=3 a3=4 items=0 ppid=1 pid=2 auid=1 uid=0 comm=\"x\" exe=\"/x\" key=(null)\n", id)
		}
		fmt.Fprintf(&text, "type=PROCTITLE %s proctitle=\"x\"\ntype=EOE %s \n", id, id)
	}
	return audittest.Lines(t, text.String())
}

// TestMoreIncompleteEventsThanCanBeReported: while nobody asks what was found of them each counts as lost in the end, and
// none keeps in doubt what came after it.
func TestMoreIncompleteEventsThanCanBeReported(t *testing.T) {
	const rounds = maxReports + 500
	tr, b, now := NewTracker(Options{}), eleven(t), audittest.Epoch
	for range rounds {
		if n := tr.Observe(b, now); n != len(b.Recs) {
			t.Fatalf("looks cut: %q", b.Bytes(n))
		}
		for i := range b.Recs {
			b.Recs[i].Serial += 11
		}
		now = now.Add(2 * DefaultWindow)
		tr.Due(now)
	}
	tr.Observe(audittest.Lines(t, audittest.User(b.Recs[0].Serial)), now)
	tr.Due(now.Add(2 * DefaultWindow))

	lost, last := uint64(0), uint32(0)
	for _, x := range tr.Lost() {
		lost += x.Events()
		last = max(last, x.Last)
	}
	if lost != rounds || last != 11*rounds {
		t.Errorf("%d events up to %d are lost, want %d up to %d", lost, last, rounds, 11*rounds)
	}
	since, doubt := tr.Doubt()
	if c := tr.Counts(); c.Lost != rounds || c.Open != 0 || doubt {
		t.Errorf("%+v, in doubt %v since %v", c, doubt, since)
	}
}

// TestMoreHolesThanCanBeReported: they are counted, whatever else is reported.
func TestMoreHolesThanCanBeReported(t *testing.T) {
	for _, node := range []string{"", "node=a "} {
		tr := NewTracker(Options{})
		tr.Observe(audittest.Lines(t, "node=b "+audittest.User(1)), audittest.Epoch)
		b := audittest.Lines(t, node+audittest.User(1))
		for range maxReports {
			tr.ready = append(tr.ready, reported{Gap: Gap{Kind: IncompleteEvent, First: 7}, node: tr.nodes["b"]})
		}
		const holes = 100
		for range holes + 1 {
			tr.Observe(b, audittest.Epoch)
			b.Recs[0].Serial += 3
		}
		tr.Due(audittest.Epoch.Add(time.Minute))
		lost := uint64(0)
		for _, x := range tr.Lost() {
			lost += x.Events()
		}
		if lost != 2*holes || tr.Counts().Lost != 2*holes {
			t.Errorf("%q: %d lost, want %d: %+v", node, lost, 2*holes, tr.Counts())
		}
	}
}
