package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"audisp-relay/fleet/wire"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
)

// announcing is a fake that takes checkpoints.
type announcing struct {
	fake
	said chan *wire.Checkpoint
}

func (a *announcing) Announce(_ context.Context, text []byte) error {
	c, err := wire.ParseCheckpoint(text)
	if err == nil {
		a.said <- c
	}
	return err
}

// TestCheckpoints: a checkpoint says up to where the engine has acknowledged, and the last word
// comes after the last record.
func TestCheckpoints(t *testing.T) {
	a := &announcing{said: make(chan *wire.Checkpoint, 10)}
	q := queue.New(queue.Options{Config: queue.Config{Depth: 1 << 20, Bytes: 64 << 20, Lossless: true, Hold: true}})
	defer q.Shutdown()
	s := newTestSink(t.TempDir(), format.Encoder{}, &a.fake)
	s.place = a
	now := time.Now()
	c := wire.Checkpoint{V: wire.Version, Host: testHost.ID, Epoch: "0000000000000000", Sink: "fleet", N: 1, Time: now, Next: now, Reason: wire.ReasonTick}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(context.Background(), q)
	}()
	for _, b := range sinktest.Batches(sinktest.Lines(0, 100), 4096) {
		q.Put(&b)
	}
	for q.Counts().Queued > 0 {
		time.Sleep(time.Millisecond)
	}
	s.Checkpoint(c)
	if got := <-a.said; got.Seq != 100 || got.Epoch != s.Counts().Epoch || got.N != 1 {
		t.Errorf("%+v", got)
	}
	c.N, c.Reason = 2, wire.ReasonEnd
	s.Checkpoint(c)
	for _, b := range sinktest.Batches(sinktest.Lines(100, 50), 4096) {
		q.Put(&b)
	}
	q.Close()
	<-done
	if got := <-a.said; got.Seq != 150 || got.Reason != wire.ReasonEnd {
		t.Errorf("%+v", got)
	}
	if at := s.Counts().Announced; !at.Equal(c.Time) {
		t.Errorf("the last checkpoint is of %v, want %v", at, c.Time)
	}
}

// refusing is a fake that takes no checkpoint.
type refusing struct{ fake }

func (r *refusing) Announce(context.Context, []byte) error { return errors.New("no stream takes it") }

// TestCheckpointsThatAreNotStored are not taken for the last one.
func TestCheckpointsThatAreNotStored(t *testing.T) {
	s := newTestSink(t.TempDir(), format.Encoder{}, &fake{})
	s.place, s.synced = new(refusing), true
	now := time.Now()
	s.Checkpoint(wire.Checkpoint{V: wire.Version, Host: testHost.ID, Epoch: "0000000000000000", Sink: "fleet", N: 1, Time: now, Next: now, Reason: wire.ReasonTick})
	s.announce(context.Background(), false)
	if at := s.Counts().Announced; !s.said.failed || !at.IsZero() {
		t.Errorf("one is said to be stored, of %v; refused: %v", at, s.said.failed)
	}
}
