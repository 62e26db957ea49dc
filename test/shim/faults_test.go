package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stream runs n lines through a plan, in pieces that do not end with lines,
// a millisecond apart.
func stream(p Plan, n int) (out []byte, c Counts) {
	var in bytes.Buffer
	for i := range n {
		fmt.Fprintf(&in, "record %06d of the stream\n", i)
	}
	f := newFaults(p)
	now := time.Unix(0, 0)
	for data := in.Bytes(); len(data) > 0; data = data[min(len(data), 97):] {
		now = now.Add(time.Millisecond)
		f.feed(data[:min(len(data), 97)], now)
		out = append(out, f.take()...)
	}
	f.end()
	return append(out, f.take()...), f.counts
}

func TestNothingSpoilt(t *testing.T) {
	out, c := stream(Plan{}, 1000)
	if want := (Counts{Records: 1000}); c != want || bytes.Count(out, []byte("\n")) != 1000 || !strings.HasSuffix(string(out), "record 000999 of the stream\n") {
		t.Errorf("%+v, %d bytes", c, len(out))
	}
}

// What is counted is what happened: each line is whole in the output, or counted.
func TestCountsAreTrue(t *testing.T) {
	const n = 20000
	plan := Plan{Seed: 7, Drop: 0.01, Cut: 0.01, Delay: 0.01, Late: 100 * time.Millisecond}
	out, c := stream(plan, n)
	whole, damaged, late, last := map[string]bool{}, 0, 0, -1
	for line := range strings.Lines(string(out)) {
		var i int
		if len(line) != len("record 000000 of the stream\n") {
			damaged++
		} else if _, err := fmt.Sscanf(line, "record %06d of the stream\n", &i); err != nil || whole[line] {
			t.Fatalf("%q: %v", line, err)
		} else if whole[line] = true; i < last {
			late++
		} else {
			last = i
		}
	}
	// A line that a piece without newline ran into is spoilt too, unless it was
	// itself no longer there.
	gone := n - len(whole)
	if least := c.Dropped + c.Cut; gone < least || gone > least+c.Joined {
		t.Errorf("%d lines are not whole: %+v", gone, c)
	}
	if damaged == 0 || late == 0 || late > c.Delayed {
		t.Errorf("%d damaged, %d out of order: %+v", damaged, late, c)
	}
	for what, got := range map[string]int{"dropped": c.Dropped, "cut": c.Cut, "delayed": c.Delayed, "joined": 2 * c.Joined} {
		if got < n/200 || got > n/50 {
			t.Errorf("%s: %d of %d, want about 1 %%", what, got, n)
		}
	}
	again, c2 := stream(plan, n)
	if diff := cmp.Diff(c, c2); diff != "" || !bytes.Equal(out, again) {
		t.Errorf("the same seed, but\n%s", diff)
	}
}

func TestDelayIsKept(t *testing.T) {
	f := newFaults(Plan{Delay: 1, Late: time.Second})
	now := time.Unix(0, 0)
	f.feed([]byte("one\n"), now)
	due := f.next(now.Add(time.Hour))
	if len(f.take()) != 0 || !due.After(now) || due.After(now.Add(time.Second)) {
		t.Fatalf("due at %v", due)
	}
	f.feed(nil, due.Add(-1))
	if got := f.take(); len(got) != 0 {
		t.Errorf("early: %q", got)
	}
	f.feed(nil, due)
	if got := f.take(); string(got) != "one\n" {
		t.Errorf("due: %q", got)
	}
}
