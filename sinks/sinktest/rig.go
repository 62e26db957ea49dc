package sinktest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// hang is when a test gives up on what has to happen; it says nothing about
// how fast that ought to be.
const hang = time.Minute

// rig is one test: a place, a queue and the sink between them.
type rig struct {
	t     *testing.T
	tg    *Target
	place Place
	enc   format.Encoder
	queue *queue.Queue
	sink  sinks.Sink

	cancel context.CancelFunc
	done   chan struct{}
	want   []byte
}

// newRig makes the place and the queue. Nothing may be left of the test when
// it has ended: what the place itself needs is counted before.
func newRig(t *testing.T, tg *Target, f format.Format) *rig {
	t.Helper()
	r := &rig{t: t, tg: tg, place: tg.Place(t), enc: format.Encoder{Format: f, NewEvents: NewEvents}}
	cfg := queue.Config{Depth: 1 << 20, Bytes: 256 << 20, Lossless: true, Hold: true, Whole: f.Events()}
	if r.place.Queue != nil {
		r.place.Queue(&cfg)
	}
	r.queue = queue.New(queue.Options{Config: cfg})
	t.Cleanup(func() {
		if r.cancel != nil {
			r.cancel()
			<-r.done
		}
	})
	return r
}

// checkFDs holds at the end of all tests of a sink that no descriptor was left open. It
// is registered before they begin and so runs after the last place is taken down.
func checkFDs(t *testing.T) {
	t.Helper()
	warmUp()
	before := openFDs(t)
	t.Cleanup(func() {
		var now map[string]string
		for deadline := time.Now().Add(hang); ; time.Sleep(5 * time.Millisecond) {
			if now = openFDs(t); len(now) <= len(before) {
				return
			}
			if time.Now().After(deadline) {
				break
			}
		}
		for fd, target := range now {
			if before[fd] != target {
				t.Errorf("descriptor %s was left open: %s", fd, target)
			}
		}
	})
}

// warmUp makes the runtime open what it keeps for good (epoll, eventfd).
func warmUp() {
	r, w, err := os.Pipe()
	if err == nil {
		r.Close()
		w.Close()
	}
}

func openFDs(t *testing.T) map[string]string {
	t.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	fds := make(map[string]string, len(entries))
	for _, e := range entries {
		// What is gone again was ReadDir's own.
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil {
			fds[e.Name()] = target
		}
	}
	return fds
}

// start makes a new sink and runs it.
func (r *rig) start() {
	r.sink = r.place.New(r.enc)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan struct{})
	done, sink := r.done, r.sink
	go func() {
		defer close(done)
		sink.Run(ctx, r.queue)
	}()
}

// put feeds batches and remembers what they ought to look like.
func (r *rig) put(batches []record.Batch) {
	r.want = append(r.want, r.tg.expect(r.enc, batches)...)
	for i := range batches {
		r.queue.Put(&batches[i])
	}
}

// putLines feeds n numbered lines, in a format of events as many events, in batches of
// a few records.
func (r *rig) putLines(first, n int) {
	if !r.enc.Format.Events() {
		r.put(Batches(Lines(first, n), 1999))
		return
	}
	batches := make([]record.Batch, n)
	for i := range batches {
		batches[i] = Event(first+i, eventRecords, 0)
	}
	r.put(batches)
}

// perLine is how many records a line of putLines is made of.
func (r *rig) perLine() int {
	if r.enc.Format.Events() {
		return eventRecords
	}
	return 1
}

// wait waits for the sink to end by itself.
func (r *rig) wait() {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(hang):
		r.t.Fatalf("Run did not return; status %+v, queue %+v", r.sink.Status(), r.queue.Counts())
	}
	r.cancel()
}

// end closes the queue and waits until all is delivered.
func (r *rig) end() {
	r.t.Helper()
	r.queue.Close()
	r.wait()
	if c := r.queue.Counts(); c.Queued != 0 {
		r.t.Errorf("Run returned with %d records undelivered", c.Queued)
	}
	r.finish()
}

func (r *rig) finish() {
	if r.place.Finish != nil {
		r.place.Finish()
	}
}

// eventually waits until ok.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	pause := 3 * time.Millisecond // longer each time: to look may mean to copy all that has arrived
	for deadline := time.Now().Add(hang); !ok(); pause = min(2*pause, 50*time.Millisecond) {
		time.Sleep(pause)
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not within %v; status %+v, queue %+v", what, hang, r.sink.Status(), r.queue.Counts())
		}
	}
}

// arrived waits until all that was put is at the place.
func (r *rig) arrived() {
	r.t.Helper()
	r.eventually("arrival of all records", func() bool { return len(r.place.Read()) >= len(r.want) })
	r.exact()
}

// exact holds the place against what was put.
func (r *rig) exact() {
	r.t.Helper()
	if d := diff(r.place.Read(), r.want); d != "" {
		r.t.Fatal(d)
	}
}

// check holds the place against what was put: exactly, or with losses.
func (r *rig) check(loses bool) {
	r.t.Helper()
	if !loses && !r.tg.Repeats {
		r.exact()
		return
	}
	if err := partial(r.place.Read(), r.want, loses, r.tg.Repeats); err != nil {
		r.t.Fatal(err)
	}
}

// diff describes the first difference, "" when there is none.
func diff(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	near := func(b []byte) []byte { return b[min(max(i-60, 0), len(b)):min(i+100, len(b))] }
	return fmt.Sprintf("got %d bytes, want %d; they differ at byte %d:\n got %q\nwant %q", len(got), len(want), i, near(got), near(want))
}

// partial holds got, lines of want, against what may happen to them: every one
// whole and in order; missing ones and ones that come again only where allowed.
// Lines of want are all different.
func partial(got, want []byte, loses, repeats bool) error {
	index := make(map[string]int)
	for i, line := range bytes.SplitAfter(want, []byte("\n")) {
		index[string(line)] = i
	}

	seen, next := make(map[int]bool), 0
	for _, line := range bytes.SplitAfter(got, []byte("\n")) {
		i, ok := index[string(line)]
		switch {
		case !ok:
			return fmt.Errorf("a line that was never sent: %.200q", line)
		case len(line) == 0:
			continue
		case i < next && !repeats:
			return fmt.Errorf("a line out of order or twice: %.200q", line)
		case i > next && !loses && !seen[i-1]:
			return fmt.Errorf("lines are missing before %.200q", line)
		}
		seen[i] = true
		next = i + 1
	}

	if n := len(index) - 1; !loses && len(seen) != n {
		return fmt.Errorf("%d of %d lines arrived", len(seen), n)
	}
	return nil
}
