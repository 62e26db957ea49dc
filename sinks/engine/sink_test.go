package engine

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
)

// relay is the queue and the sink of a relay, over ends of the process.
type relay struct {
	t    *testing.T
	dir  string
	f    *fake
	q    *queue.Queue
	s    *Sink
	seat *seat // nil: it has the engine for itself
	stop func()
}

func newRelay(t *testing.T) *relay { return &relay{t: t, dir: t.TempDir(), f: new(fake)} }

// start starts the relay at a position, with records that the queue begins with.
func (r *relay) start(at queue.Position) {
	r.q = queue.New(queue.Options{Name: "fleet", Position: at,
		Config: queue.Config{Depth: 1 << 20, Bytes: 64 << 20, Lossless: true, Hold: true, Markers: true}})
	r.s = newTestSink(r.dir, format.Encoder{}, r.f)
	if r.seat != nil {
		r.s.place = r.seat
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.s.Run(ctx, r.q)
	}()
	r.stop = func() {
		cancel()
		<-done
		r.q.Shutdown()
	}
}

func (r *relay) put(data []byte) {
	for _, b := range sinktest.Batches(data, 4096) {
		r.q.Put(&b)
	}
}

// drained waits until the engine has all, and returns the position.
func (r *relay) drained() queue.Position {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); r.q.Counts().Queued > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not delivered: %+v, %+v", r.q.Counts(), r.s.Status())
		}
	}
	return r.q.Position()
}

func (r *relay) exact(want []byte) {
	r.t.Helper()
	r.f.check(r.t)
	if got := r.f.read(); !bytes.Equal(got, want) {
		r.t.Fatalf("the engine has %d lines, want %d", bytes.Count(got, []byte("\n")), bytes.Count(want, []byte("\n")))
	}
}

// positionAt is the position after so many lines of data, from which the next run continues.
func positionAt(t *testing.T, data []byte, lines int, number uint64) queue.Position {
	t.Helper()
	n := 0
	for _, b := range sinktest.Batches(data, 4096) {
		for i := range b.Recs {
			if n++; n == lines {
				return queue.Position{Number: number, ID: b.ID(i), HasID: true}
			}
		}
	}
	t.Fatal("no such line")
	return queue.Position{}
}

// TestKillRepeatsNothing: after a kill the queue gives again, from audit.log, what was sent since
// positions were saved: in another order, without EOE records, and with records among them that were never
// sent. The engine gets those alone.
func TestKillRepeatsNothing(t *testing.T) {
	r := newRelay(t)
	r.start(queue.Position{})
	sent := sinktest.Lines(0, 3000)
	r.put(sent)
	r.drained()
	r.stop()

	lines := bytes.SplitAfter(sent, []byte("\n"))
	extra := sinktest.Lines(5000, 1)
	log := bytes.Join([][]byte{lines[2001], lines[2000], extra, bytes.Join(lines[2002:], nil)}, nil)
	rest := sinktest.Lines(6000, 500)
	r.start(positionAt(t, sent, 2000, 2000))
	r.put(log)
	r.put(rest)
	r.drained()
	r.stop()
	r.exact(bytes.Join([][]byte{sent, extra, rest}, nil))
	if c := r.s.Counts(); c.Known != 1000 || c.Rollbacks != 0 || c.Unmatched != 0 {
		t.Errorf("%+v", c)
	}
}

// TestBatchOnItsWay: a batch that was stored and never acknowledged is not sent again, and one
// that was only written to the journal is.
func TestBatchOnItsWay(t *testing.T) {
	r := newRelay(t)
	r.start(queue.Position{})
	r.put(sinktest.Lines(0, 10))
	r.drained()
	r.f.set(func() { r.f.unsaid = true })
	r.put(sinktest.Lines(10, 10))
	r.drained()
	r.exact(sinktest.Lines(0, 20))

	r.f.set(func() { r.f.down = true })
	r.put(sinktest.Lines(20, 10))
	for !r.s.Status().Degraded {
		time.Sleep(time.Millisecond)
	}
	r.stop()
	r.f.set(func() { r.f.down = false })
	r.start(positionAt(t, sinktest.Lines(0, 20), 20, 20))
	r.put(sinktest.Lines(20, 20)) // as audit.log has them
	r.drained()
	r.stop()
	r.exact(sinktest.Lines(0, 40))
}

// TestRollback: what an engine loses although it had acknowledged it is sent again, in place; an
// answer that is only behind is no loss.
func TestRollback(t *testing.T) {
	r := newRelay(t)
	r.start(queue.Position{})
	for i := range 20 {
		r.put(sinktest.Lines(i*100, 100))
		r.drained()
	}
	r.f.set(func() { r.f.got, r.f.moved = r.f.got[:len(r.f.got)/2], true })
	r.put(sinktest.Lines(2000, 100))
	r.drained()
	r.exact(sinktest.Lines(0, 2100))
	c := r.s.Counts()
	if c.Rollbacks != 1 || c.Resent == 0 || c.Lost != 0 {
		t.Errorf("%+v", c)
	}

	r.f.set(func() { r.f.stale, r.f.moved = true, true })
	r.put(sinktest.Lines(2100, 100))
	r.drained()
	r.exact(sinktest.Lines(0, 2200))
	if now := r.s.Counts(); now.Rollbacks != 1 || now.Resent != c.Resent {
		t.Errorf("an answer that was behind counts as a loss: %+v", now)
	}
	r.stop()
}

// TestLossOfTheEngineIsMarked: what is retained no more is reported in the stream.
func TestLossOfTheEngineIsMarked(t *testing.T) {
	r := newRelay(t)
	r.start(queue.Position{})
	r.put(sinktest.Lines(0, 100))
	r.drained()
	r.stop()
	files, _ := filepath.Glob(filepath.Join(r.dir, "engine", "fleet", "*"+suffix))
	r.start(queue.Position{Number: 100})
	r.put(sinktest.Lines(100, 100))
	r.drained()
	for _, f := range files {
		if err := os.Truncate(f, 0); err != nil {
			t.Fatal(err)
		}
	}
	r.f.set(func() { r.f.got, r.f.moved = nil, true })
	r.put(sinktest.Lines(200, 100))
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(string(r.f.read()), "cause=engine"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no marker: %+v", r.s.Counts())
		}
	}
	r.stop()
	if c := r.s.Counts(); c.Lost != 200 || c.Rollbacks != 1 {
		t.Errorf("%+v", c)
	}
	if l := r.q.Counts().Lost[queue.Engine]; l.Records != 200 {
		t.Errorf("the queue counts %+v", l)
	}
}

// TestLossIsCountedThoughNoAnswerComes: the engine takes what is sent again, and its acknowledgement does
// not come. What it had lost is counted nevertheless, and once, also if it is asked where it is behind.
func TestLossIsCountedThoughNoAnswerComes(t *testing.T) {
	for _, behind := range []bool{false, true} {
		f := &fake{unsaid: true} // and all that it had is lost
		s := newTestSink("", format.Encoder{}, f)
		s.q = queue.New(queue.Options{Config: queue.Config{Depth: 100, Bytes: 1 << 20}})
		defer s.q.Shutdown()
		s.journal, _ = mustOpen(t, t.TempDir())
		for _, b := range []*Batch{testBatch(51, 10, "a"), testBatch(61, 10, "b")} {
			s.head.Epoch = b.Header.Epoch
			if err := s.journal.append(b); err != nil {
				t.Fatal(err)
			}
		}
		s.acked, s.sure = 71, 71

		if err := s.sync(t.Context()); err == nil {
			t.Fatal("the first batch is acknowledged")
		}
		f.stale = behind
		if err := s.sync(t.Context()); (err != nil) != behind {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if c := s.Counts(); c.Rollbacks != 1 || c.Resent != 20 || c.Lost != 50 || len(f.got) != 2 {
			t.Errorf("behind %v: %+v, %d batches", behind, c, len(f.got))
		}
		if l := s.q.Counts().Lost[queue.Engine]; l.Records != 50 {
			t.Errorf("behind %v: the queue counts %+v", behind, l)
		}
	}
}

// TestJournalLost: where the journal is gone, the engine's last record says where to continue. If
// it is not found nothing is left out.
func TestJournalLost(t *testing.T) {
	for _, c := range []struct {
		name  string
		found bool
	}{{"found", true}, {"not found", false}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRelay(t)
			r.start(queue.Position{})
			sent := sinktest.Lines(0, 1000)
			r.put(sent)
			r.drained()
			r.stop()
			if err := os.RemoveAll(filepath.Join(r.dir, "engine")); err != nil {
				t.Fatal(err)
			}
			r.start(positionAt(t, sent, 900, 900))
			again, want := sinktest.Lines(900, 200), sinktest.Lines(0, 1100)
			if !c.found {
				again = sinktest.Lines(2000, 10)
				want = append(sinktest.Lines(0, 1000), again...)
				r.q.Close() // nothing more will come: no need to wait for it
			}
			if c.found {
				r.put(again)
				r.drained()
			} else {
				r.stop()
				r.start(positionAt(t, sent, 900, 900))
				r.put(again)
				r.q.Close()
				r.drained()
			}
			r.stop()
			if got := r.f.read(); !bytes.Equal(got, want) {
				t.Errorf("the engine has %d lines, want %d", bytes.Count(got, []byte("\n")), bytes.Count(want, []byte("\n")))
			}
			if n := r.s.Counts(); (n.Unmatched == 0) != c.found {
				t.Errorf("%+v", n)
			}
		})
	}
}

// TestEventsAreKnownAsAWhole: an event of which the engine has all but the EOE is not sent
// again, and one of which it lacks a record is.
func TestEventsAreKnownAsAWhole(t *testing.T) {
	w := builder{enc: format.Encoder{Format: format.Events, NewEvents: sinktest.NewEvents}}
	whole, part := sinktest.Event(1, 3, 0), sinktest.Event(2, 3, 0)
	for i := range 3 {
		w.known.note(idOf(whole.ID(i)))
		if i > 0 {
			w.known.note(idOf(part.ID(i)))
		}
	}
	w.reset()
	w.add(whole, 0)
	if w.count != 0 || w.skipped != 3 {
		t.Errorf("an event that the engine has: %d sent, %d skipped", w.count, w.skipped)
	}
	twice := record.Batch{Buf: whole.Buf, Recs: []record.Record{whole.Recs[0], whole.Recs[0]}}
	twice.Recs[1].Flags |= record.End
	w.known.note(idOf(whole.ID(0)))
	if w.add(twice, 10); w.count != 1 {
		t.Errorf("an event of two equal records, of which the engine has one: %d sent", w.count)
	}
	w.reset()
	w.add(part, 3)
	if w.count != 1 || len(w.ids) != 3 {
		t.Errorf("an event that the engine has in part: %d sent with %d records", w.count, len(w.ids))
	}
}

// TestRecordsWithoutIDMayComeAgain: only where numbers say that it is the same one such a record
// is left out.
func TestRecordsWithoutIDMayComeAgain(t *testing.T) {
	k := known{before: 10, sent: 8}
	k.note(1)
	k.note(1)
	for _, c := range []struct {
		number uint64
		known  bool
	}{{20, false}, {9, false}, {7, true}, {7, true}, {7, false}} {
		if got := k.take(1, c.number, false); got != c.known {
			t.Errorf("number %d: known %v, want %v", c.number, got, c.known)
		}
	}
}

// TestAfter: the nth record of an event, or the one before where only the EOE lacks.
func TestAfter(t *testing.T) {
	e := sinktest.Event(7, 3, 0)
	list := []record.Batch{e, sinktest.Event(8, 2, 0)}
	millis, serial := e.Recs[0].Millis, e.Recs[0].Serial
	for n, want := range map[uint32]int{1: 1, 3: 3, 4: 3, 5: 0} {
		if got := after(list, millis, serial, n); got != want {
			t.Errorf("record %d: after %d, want %d", n, got, want)
		}
	}
	if got := after(list[:1], millis, serial, 4); got != 0 {
		t.Errorf("more of the event may come: after %d", got)
	}
}

// TestEachRunsRepeatsAreKnown: two runs that were killed while the engine was away have each put
// into the spool what audit.log had since the oldest doubt, and this one gets it from audit.log once
// more. Each record goes into a batch once, and of two that are equal each.
func TestEachRunsRepeatsAreKnown(t *testing.T) {
	w := builder{enc: format.Encoder{}, known: known{ends: []uint64{100, 200}, before: 200}}
	for _, c := range []struct {
		number uint64
		lines  []byte
		sent   uint64
	}{
		{40, slices.Concat(sinktest.Lines(0, 50), sinktest.Lines(49, 1)), 51},
		{100, slices.Concat(sinktest.Lines(20, 30), sinktest.Lines(49, 1), sinktest.Lines(50, 30)), 30},
		{200, slices.Concat(sinktest.Lines(30, 20), sinktest.Lines(49, 1), sinktest.Lines(50, 50)), 20},
		{400, sinktest.Lines(49, 1), 1}, // as often as it was sent it was known
	} {
		w.reset()
		for _, b := range sinktest.Batches(c.lines, 4096) {
			w.add(b, c.number)
			c.number += uint64(len(b.Recs))
		}
		if w.count != c.sent {
			t.Errorf("up to number %d: %d records sent, want %d", c.number, w.count, c.sent)
		}
	}
	if !w.known.idle() && w.known.n > 50 {
		t.Errorf("%d records may still come", w.known.n)
	}
}

// TestRunsAreNoted: the beginnings of earlier runs that the queue has not passed are known to the
// next one, however the file looks.
func TestRunsAreNoted(t *testing.T) {
	j := &journal{dir: t.TempDir()}
	for _, c := range []struct {
		begin, at uint64
		want      []uint64
	}{{10, 10, nil}, {50, 10, []uint64{50}}, {90, 20, []uint64{50, 90}}, {90, 60, []uint64{90}}, {95, 95, nil}} {
		if got, err := j.noteRun(c.begin, c.at); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
	if err := os.WriteFile(filepath.Join(j.dir, "runs"), bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 1, 0, 9}, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := j.noteRun(3000, 200); err != nil || len(got) > maxRuns || !slices.IsSorted(got) || got[len(got)-1] != 3000 {
		t.Errorf("of a damaged file: %d", got)
	}
}
