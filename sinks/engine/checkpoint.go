package engine

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"audisp-relay/fleet/wire"
)

// Announcer may be implemented by a Place that takes checkpoints beside the batches.
type Announcer interface {
	// Announce has the engine store a checkpoint, and returns when that is acknowledged.
	Announce(ctx context.Context, checkpoint []byte) error
}

// checkpoints are those that a sink is to send: the newest, and its last word.
type checkpoints struct {
	mu   sync.Mutex // guards both
	next *wire.Checkpoint
	last *wire.Checkpoint

	failed bool // the one before was not taken; of the sink's goroutine
}

// Checkpoint takes over a checkpoint that is to be sent beside the records, with the epoch and
// the last acknowledged number of the time when it is sent. Only the newest is; one that is the
// last word is sent when everything is delivered. It returns at once and may be called from
// anywhere.
func (s *Sink) Checkpoint(c wire.Checkpoint) {
	s.said.mu.Lock()
	defer s.said.mu.Unlock()
	if c.Reason == wire.ReasonEnd {
		s.said.last = &c
	} else {
		s.said.next = &c
	}
}

// take takes the checkpoint that is due.
func (c *checkpoints) take(final bool) (due *wire.Checkpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if due = c.next; final {
		due = c.last
	}
	if due != nil {
		c.next = nil
	}
	return due
}

// announce sends the checkpoint that is due, the last word when final. It costs the records
// nothing if the engine does not take it.
func (s *Sink) announce(ctx context.Context, final bool) {
	to, ok := s.place.(Announcer)
	if !ok || !s.synced {
		return
	}
	c := s.said.take(final)
	if c == nil {
		return
	}

	c.Epoch, c.Seq = s.head.Epoch, s.acked-1
	text, err := c.Append(nil)
	if err == nil {
		err = to.Announce(ctx, text)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil && !s.said.failed:
		s.log.Warn("checkpoint not stored: fleet status reports this host as silent", zap.Error(withAdvice(err)))
	case err == nil && s.said.failed:
		s.log.Info("checkpoints are stored again")
	}

	if err == nil {
		s.count(func(counts *Counts) { counts.Announced = c.Time })
	}
	s.said.failed = err != nil
}
