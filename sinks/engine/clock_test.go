package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
)

// TestClockSetBack: an hour less on the clock, in records and beside the files of the journal, which
// are of later then, costs nothing: what came again is found, and what the engine has lost is sent again.
func TestClockSetBack(t *testing.T) {
	r := newRelay(t)
	r.start(queue.Position{})
	before := sinktest.Lines(0, 1000)
	for i := range 10 {
		r.put(sinktest.Lines(i*100, 100))
		r.drained()
	}
	r.stop()
	files, _ := filepath.Glob(filepath.Join(r.dir, "engine", "fleet", "*"+suffix))
	for _, f := range files {
		if err := os.Chtimes(f, time.Time{}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	r.f.set(func() { r.f.got = r.f.got[:len(r.f.got)/2] })

	after := bytes.ReplaceAll(sinktest.Lines(1000, 1000), []byte("audit(1700000000."), []byte("audit(1699996400."))
	lines := bytes.SplitAfter(before, []byte("\n"))
	r.start(positionAt(t, before, 950, 950))
	r.put(bytes.Join(lines[950:], nil))
	r.put(after)
	r.drained()
	r.stop()
	r.exact(append(before, after...))
	if c := r.s.Counts(); c.Known != 50 || c.Rollbacks != 1 || c.Lost != 0 || c.Unmatched != 0 {
		t.Errorf("%+v", c)
	}
	for _, s := range r.f.got {
		if s.Until.Before(s.First) {
			t.Errorf("a batch from %v until %v", s.First, s.Until)
		}
	}
}
