package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"audisp-relay/fleet/wire"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
)

// seat is one sink's place in an engine that several have.
type seat struct {
	*fake
	turn    *sync.Mutex // guards what follows and the fake's expects
	expects uint64
}

func (s *seat) Last(ctx context.Context) (*Tail, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	t, err := s.fake.Last(ctx)
	s.set(func() { s.expects = s.fake.expects })
	return t, err
}

func (s *seat) Send(ctx context.Context, b *Batch) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.set(func() { s.fake.expects = s.expects })
	err := s.fake.Send(ctx, b)
	s.set(func() { s.expects = s.fake.expects })
	return err
}

// TestCopiedStateLosesNothing: a host is cloned with its state_dir, and both relays go on where the one was. No
// batch of one is taken for the other's, also if their numbers are equal, and their numbers have no holes.
func TestCopiedStateLosesNothing(t *testing.T) {
	r := newRelay(t)
	r.start(queue.Position{})
	r.put(sinktest.Lines(0, 100))
	r.drained()
	r.stop()
	clone := &relay{t: t, dir: t.TempDir(), f: r.f}
	if err := os.CopyFS(clone.dir, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	turn := new(sync.Mutex)
	for _, one := range []*relay{r, clone} {
		one.seat = &seat{fake: r.f, turn: turn}
		one.start(queue.Position{Number: 100})
		defer func() { one.stop() }()
		for deadline := time.Now().Add(time.Minute); one.s.Counts().Sequence != 100; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no place: %+v", one.s.Status())
			}
		}
	}
	for i := range 5 {
		r.put(sinktest.Lines(1000+10*i, 10))
		r.drained()
		clone.put(sinktest.Lines(2000+10*i, 10))
		clone.drained()
	}

	got := string(r.f.read())
	for _, first := range []int{0, 1000, 2000} {
		for line := range strings.Lines(string(sinktest.Lines(first, 50))) {
			if strings.Count(got, line) != 1 {
				t.Fatalf("%d times: %s", strings.Count(got, line), line)
			}
		}
	}
	next := make(map[string]uint64)
	r.f.set(func() {
		for _, b := range r.f.got {
			if b.Seq != max(next[b.Epoch], 1) {
				t.Errorf("record %d of %s comes, expected %d", b.Seq, b.Epoch, next[b.Epoch])
			}
			next[b.Epoch] = b.Next()
		}
	})
	if len(next) != 2 || clone.s.Counts().Epoch == r.s.Counts().Epoch || r.s.Counts().Lost+clone.s.Counts().Lost > 0 {
		t.Errorf("%d epochs, %+v, %+v", len(next), r.s.Counts(), clone.s.Counts())
	}
}

// TestNextRunGoesOnInTheNewEpoch: though its numbers are lower than those of the epoch that was left.
func TestNextRunGoesOnInTheNewEpoch(t *testing.T) {
	s, dir := newTestSink("", format.Encoder{}, new(fake)), t.TempDir()
	s.journal, _ = mustOpen(t, dir)
	old := testBatch(1000, 10, "a")
	if err := s.journal.append(old); err != nil {
		t.Fatal(err)
	}
	s.journal.f.Close()
	s.journal.f = nil // the next one begins another file
	s.head.Epoch, s.acked, s.pending = old.Header.Epoch, old.Header.Next(), testBatch(1010, 10, "b")
	s.leaveEpoch(new(Tail))
	s.journal.close()
	_, f := mustOpen(t, dir)
	if f.last.Header.Seq != 1 || f.last.Header.Epoch != s.head.Epoch || s.head.Epoch == old.Header.Epoch {
		t.Errorf("%+v, epoch %s", f.last.Header, s.head.Epoch)
	}
}

// wedged is an engine in which another writes right after one of this sink's batches, the one that after counts to.
type wedged struct {
	*fake
	after int
}

func (w *wedged) Send(ctx context.Context, b *Batch) error {
	err := w.fake.Send(ctx, b)
	if w.after--; w.after == 0 {
		w.set(func() {
			w.number++
			w.got = append(w.got, stored{Header: wire.Header{Epoch: "00000000000000aa", Sink: "other", Seq: 1, Count: 1}, number: w.number})
		})
	}
	return err
}

// TestOthersInTheMiddleOfAResend: another writes while what the engine has lost is being sent again. The rest of that is
// sent after it.
func TestOthersInTheMiddleOfAResend(t *testing.T) {
	f := new(fake)
	s := newTestSink("", format.Encoder{}, f)
	s.place = &wedged{f, 1}
	s.q = queue.New(queue.Options{Config: queue.Config{Depth: 100, Bytes: 1 << 20}})
	defer s.q.Shutdown()
	s.journal, _ = mustOpen(t, t.TempDir())
	for _, b := range []*Batch{testBatch(51, 10, "a"), testBatch(61, 10, "b"), testBatch(71, 10, "c")} {
		s.head.Epoch = b.Header.Epoch
		if err := s.journal.append(b); err != nil {
			t.Fatal(err)
		}
	}
	s.acked, s.sure = 81, 81 // and the engine has nothing

	if err := s.sync(t.Context()); !errors.Is(err, ErrMoved) {
		t.Fatalf("the second batch is sent: %v", err)
	}
	for range 2 {
		if err := s.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var seqs []uint64
	for _, b := range f.got {
		seqs = append(seqs, b.Seq)
	}
	if want := []uint64{51, 1, 61, 71}; !slices.Equal(seqs, want) {
		t.Errorf("the engine has the batches from %d on, want %d", seqs, want)
	}
	if c := s.Counts(); c.Rollbacks != 1 || c.Resent != 30 || c.Lost != 50 || s.owed != 0 {
		t.Errorf("%+v, %d owed", c, s.owed)
	}
}

// TestBatchInDoubtIsSentAmongOthers: what was on its way when a relay ended comes also where the engine's last batch is
// another's, or has been removed.
func TestBatchInDoubtIsSentAmongOthers(t *testing.T) {
	for name, after := range map[string]func(f *fake){
		"another's": func(f *fake) {
			f.number++
			f.got = append(f.got, stored{Header: wire.Header{Epoch: "00000000000000aa", Sink: "other", Seq: 1, Count: 1}, number: f.number})
		},
		"removed": func(f *fake) { f.got, f.forgets = nil, true },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelay(t)
			r.start(queue.Position{})
			r.put(sinktest.Lines(0, 10))
			r.drained()
			r.f.set(func() { r.f.down = true })
			r.put(sinktest.Lines(10, 10))
			for !r.s.Status().Degraded {
				time.Sleep(time.Millisecond)
			}
			r.stop()
			r.f.set(func() { r.f.down = false; after(r.f) })
			files, _ := filepath.Glob(filepath.Join(r.dir, "engine", "fleet", "*"+suffix))
			for _, f := range files { // so long ago that an engine may have removed it
				if err := os.Chtimes(f, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			r.start(positionAt(t, sinktest.Lines(0, 10), 10, 10))
			r.put(sinktest.Lines(10, 10)) // as audit.log has them
			r.drained()
			r.stop()
			if got := r.f.read(); !bytes.HasSuffix(got, sinktest.Lines(10, 10)) {
				t.Errorf("got %.300q", got)
			}
		})
	}
}
