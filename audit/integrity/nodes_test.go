package integrity

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// observeNode gives tr one record of a node.
func observeNode(t *testing.T, tr *Tracker, name string, serial uint32, now time.Time) {
	t.Helper()
	b := audittest.Lines(t, "node="+name+" "+audittest.User(serial))
	if n := tr.Observe(b, now); n != len(b.Recs) {
		t.Fatalf("looks cut: %q", b.Bytes(n))
	}
}

// TestManyNodesAreWatched: as many as there is room for, each with its own holes; of new
// ones so many a second take the place of those that were silent the longest.
func TestManyNodesAreWatched(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	tr := NewTracker(Options{})
	for _, serial := range []uint32{1, 3, 5} {
		for i := range MaxNodes {
			observeNode(t, tr, fmt.Sprintf("n%d", i), serial, audittest.Epoch)
		}
	}
	if c := tr.Counts(); c.Nodes != MaxNodes || c.Forgot != 0 || c.Unwatched != 0 {
		t.Fatalf("%+v", c)
	}
	for i, x := range tr.Due(audittest.Epoch.Add(time.Minute)) {
		if x.Missing != 1 || (x.First != 2 && x.First != 4) {
			t.Fatalf("hole %d: %+v", i, x)
		}
	}
	tr.Lost()

	const seconds = 5
	began := audittest.Epoch.Add(time.Minute)
	for i := range 2_000 {
		observeNode(t, tr, "n0", uint32(7+i), began)
		observeNode(t, tr, fmt.Sprintf("new%d", i), 1, began.Add(time.Duration(i)*seconds*time.Second/2_000))
	}
	c := tr.Counts()
	if c.Nodes != MaxNodes || c.Forgot != seconds*newPerSecond || c.Unwatched != 2_000-seconds*newPerSecond {
		t.Errorf("%+v", c)
	}
	if tr.nodes["n0"] == nil || tr.nodes["n1"] != nil || tr.nodes["new0"] == nil {
		t.Error("not the node that was silent the longest made room")
	}
}

// TestNodesTakeBoundedMemory: thousands of nodes whose serials have holes everywhere.
func TestNodesTakeBoundedMemory(t *testing.T) {
	tr := NewTracker(Options{})
	b := audittest.Lines(t, "node=n0000 "+audittest.User(1))
	now := audittest.Epoch
	for i := range 3000 {
		copy(b.Buf[bytes.IndexByte(b.Buf, '=')+1:], fmt.Sprintf("n%04d", i))
		b.Recs[0].Serial = 1
		for range 2 * pagesInAll {
			b.Recs[0].Serial += pageSize / 2
			tr.Observe(b, now)
		}
		if o := tr.order; o.pages.used > maxPages+pagesInAll || o.gaps > maxAllGaps+MaxNodes {
			t.Fatalf("node %d: %d pages used, %d gaps", i, o.pages.used, o.gaps)
		}
	}
	if c := tr.Counts(); c.Forgot == 0 || int(c.Forgot)+c.Nodes != 3000 {
		t.Errorf("%+v", c)
	}
	tr.Due(now.Add(time.Hour))
	if tr.order.gaps != 0 {
		t.Errorf("%d gaps are left", tr.order.gaps)
	}
}

// TestTheHoleOfAForgottenNodeIsKept: a hole that the log has filled in part before its
// node was forgotten.
func TestTheHoleOfAForgottenNodeIsKept(t *testing.T) {
	tr := NewTracker(Options{})
	observeNode(t, tr, "old", 1, audittest.Epoch)
	observeNode(t, tr, "old", 12, audittest.Epoch)
	now := audittest.Epoch.Add(time.Minute)
	if due := tr.Due(now); len(due) != 1 || due[0].Missing != 10 {
		t.Fatalf("%+v", due)
	}
	for _, serial := range []uint32{3, 4, 9} {
		observeNode(t, tr, "old", serial, now)
	}
	for i := range MaxNodes {
		observeNode(t, tr, fmt.Sprint(i), 1, now)
	}
	if tr.nodes["old"] != nil {
		t.Fatal("not forgotten")
	}
	want := []Gap{{Kind: MissingSerials, Node: "old", First: 2, Last: 11, Missing: 7, Millis: 1000_000, From: 1000_000}}
	if d := cmp.Diff(want, tr.Lost()); d != "" {
		t.Error(d)
	}
}

// TestRestoreOfManyNodes: what one Tracker says, another takes; a name that a damaged
// state has twice counts once.
func TestRestoreOfManyNodes(t *testing.T) {
	tr := NewTracker(Options{})
	for i := range 2000 {
		observeNode(t, tr, fmt.Sprintf("n%d", i), uint32(i), audittest.Epoch)
		observeNode(t, tr, fmt.Sprintf("n%d", i), uint32(i+3), audittest.Epoch)
	}
	s := tr.State()
	again := NewTracker(Options{})
	if !again.Restore(State{Nodes: append(s.Nodes, s.Nodes[0])}) {
		t.Fatal("not restored")
	}
	if d := cmp.Diff(s, again.State()); d != "" {
		t.Error(d)
	}
	if c := again.Counts(); c.Nodes != 2000 || again.order.pages.used > 3*2000 {
		t.Errorf("%+v, %d pages", c, again.order.pages.used)
	}
}

func TestWindowIsAsOneThatMarksEachSerial(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for round := range 8 {
		shared := new(pages)
		w := &window{high: uint32(rnd.Uint64()), shared: shared}
		model := make(map[uint32]bool)
		w.mark(w.high)
		model[w.high] = true
		for range 200 {
			near := w.high - uint32(rnd.IntN(windowSize))
			switch size := uint32(rnd.IntN(3 * pageSize)); rnd.IntN(6) {
			case 0, 1:
				step := 1 + size
				if round%4 == 0 {
					step *= 40
				}
				for range 1 + rnd.IntN(3) {
					w.advance(w.high + step)
				}
			case 2:
				last := min(size, w.high-near) + near
				w.markRun(near, last)
				for s := near; s != last+1; s++ {
					model[s] = true
				}
			case 3:
				last := min(size, w.high-near) + near
				w.unmarkRun(near, last)
				for s := near; s != last+1; s++ {
					delete(model, s)
				}
			default: // as most streams do
				for range size {
					w.advance(w.high + 1)
					w.mark(w.high)
					model[w.high] = true
				}
			}
		}
		for s := w.high - windowSize + 1; s != w.high+1; s++ {
			if w.seen(s) != model[s] {
				t.Fatalf("round %d: serial %d, %d before the newest: seen %v", round, s, w.high-s, w.seen(s))
			}
		}
		for s := w.high - windowSize + 1; w.holds(s); {
			n, seen := w.run(s, w.high-s+1)
			if model[s] != seen || (w.holds(s+n) && model[s+n] == seen) {
				t.Fatalf("round %d: a run of %d from %d on", round, n, s)
			}
			s += n
		}
		w.clear()
		if shared.used != 0 {
			t.Errorf("%d pages are left", shared.used)
		}
	}
}

// BenchmarkObserveNodes shows what a record costs where many nodes take turns.
func BenchmarkObserveNodes(b *testing.B) {
	for _, n := range []int{1, 64, 65, MaxNodes, 2 * MaxNodes} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := new(record.Batch)
			for i := range n {
				one := audittest.Lines(b, fmt.Sprintf("node=n%d %s", i, audittest.User(1)))
				r := one.Recs[0]
				r.Off = uint32(len(in.Buf))
				in.Buf = append(in.Buf, one.Buf...)
				in.Recs = append(in.Recs, r)
			}
			tr := NewTracker(Options{})
			b.ReportAllocs()
			for done := 0; b.Loop(); done++ {
				k := done % n
				in.Recs[k].Serial++
				tr.Observe(&record.Batch{Buf: in.Buf, Recs: in.Recs[k : k+1]}, audittest.Epoch)
			}
		})
	}
}
