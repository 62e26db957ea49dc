package engine

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
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
