package engine

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/fleet/wire"
	"audisp-relay/queue"
)

// keep writes a batch to the journal, before it is sent.
func (s *Sink) keep(b *Batch) {
	if s.journal == nil {
		return
	}
	s.noteJournal(s.journal.append(b))
}

// noteJournal reports when the journal cannot be written, and when it can again.
func (s *Sink) noteJournal(err error) {
	switch {
	case err != nil && !s.broken:
		s.log.Warn("journal of batches cannot be written: after a kill the last records are sent twice, and records that the engine loses are not sent again", zap.Error(err))
	case err == nil && s.broken:
		s.log.Info("journal of batches can be written again")
	}
	s.broken = err != nil
}

// send has the engine store the batch at hand.
func (s *Sink) send(ctx context.Context, b *Batch) error {
	began := time.Now()
	if err := s.place.Send(ctx, b); err != nil {
		return err
	}
	s.size.note(time.Since(began))
	s.finish(b)
	return nil
}

// finish notes that the engine has the batch at hand.
func (s *Sink) finish(b *Batch) {
	s.acked = b.Header.Next()
	s.sure = s.acked
	s.pending, s.fails, s.ackedAt = nil, 0, time.Now()
	s.cur.Advance(s.taken)
	s.count(func(c *Counts) {
		c.Batches++
		c.Bytes += uint64(len(b.Body))
		c.Sequence = s.acked - 1
		c.Ack = s.size.ack
	})
}

// sync asks the engine for its last batch of this host, and has the sink continue after it. The engine's
// answer counts, whatever this host remembers.
func (s *Sink) sync(ctx context.Context) error {
	tail, err := s.place.Last(ctx)
	if err != nil {
		return err
	}

	have, known := s.firstLacking(tail)
	switch {
	case known && s.hasTwin(tail, have):
		s.leaveEpoch(tail)
		have, known = 0, false
	case known:
		s.settleDoubt(have)
	}
	switch {
	case known:
		err = s.catchUp(ctx, tail, have)
	case s.owed > 0: // others have written in between: what the engine has of this sink's their batch does not say
		err = s.resend(ctx, s.owed)
	case s.sure < s.acked: // the batch that was on its way when the last run ended: rather twice than not at all
		err = s.resend(ctx, s.sure)
	}
	if err != nil {
		return err
	}

	if tail != nil {
		s.number = max(s.number, tail.Number)
	}
	s.sure, s.rolled, s.owed = s.acked, false, 0
	s.synced, s.placed = true, true
	s.count(func(c *Counts) { c.Sequence = s.acked - 1 })
	return nil
}

// catchUp makes the numbers of sink and engine agree, where have is the first record that the engine lacks: what it
// lacks of what was sent is sent again from the journal, and the batch at hand is done if it has that.
func (s *Sink) catchUp(ctx context.Context, tail *Tail, have uint64) error {
	end := s.acked
	if s.pending != nil {
		end = s.pending.Header.Next()
	}

	switch {
	case have >= end && s.pending != nil:
		s.finish(s.pending)
		s.acked, s.sure = have, have
	case have > s.acked: // this host has forgotten the last ones: its journal was lost, or a part of it
		s.tail = tail
		s.acked, s.sure = have, have
	case have < s.acked:
		return s.resend(ctx, have)
	}
	return nil
}

// firstLacking returns the number of the first record that the engine lacks, as far as that is known.
func (s *Sink) firstLacking(tail *Tail) (have uint64, known bool) {
	switch {
	case tail == nil:
		return s.firstLackingOfNone()
	case tail.Epoch == s.head.Epoch:
		return tail.next(), true
	case tail.Number < s.number:
		return 1, true // another epoch, and older than what was acknowledged of this one
	}
	if s.acked > 1 || s.placed || tail.Sink != s.head.Sink {
		s.count(func(c *Counts) { c.Foreign++ })
		s.log.Warn("another relay or sink writes to this sink's subject: its batches are among this one's. "+
			"Give each host an id of its own (/etc/machine-id), and each host one sink for this stream",
			zap.String("its_sink", tail.Sink), zap.String("its_epoch", tail.Epoch), zap.String("its_name", tail.Name))
		return 0, false
	}
	s.tail = tail // what this sink kept in state_dir is lost
	return 0, false
}

// hasTwin reports whether the engine has something in this sink's epoch that this sink has not sent. Then
// another one uses the epoch, too: state_dir was copied with its host, or this host was put back to an earlier
// state, its memory included. The number of the batch at hand does not show then that it was stored.
func (s *Sink) hasTwin(tail *Tail, have uint64) bool {
	switch {
	case tail == nil || !s.placed || have <= s.acked:
		return false
	case s.pending == nil:
		return true
	}
	h := &s.pending.Header
	return have != h.Next() || tail.Seq != h.Seq || tail.Boot != h.Boot || tail.Last != h.Last || !tail.Until.Equal(h.Until)
}

// leaveEpoch has the sink begin a new epoch, with record 1.
func (s *Sink) leaveEpoch(tail *Tail) {
	s.log.Error("another relay sends in the epoch of this one: state_dir was copied with its host, or put back while the relay ran. "+
		"This one continues in a new epoch; give each host an id of its own (/etc/machine-id)",
		zap.String("epoch", s.head.Epoch), zap.String("its_name", tail.Name), zap.String("its_boot", tail.Boot))
	s.head.Epoch = wire.NewEpoch()
	s.acked, s.owed, s.doubt = 1, 0, inDoubt{}
	s.count(func(c *Counts) {
		c.Foreign++
		c.Epoch = s.head.Epoch
	})
	if s.journal != nil {
		s.journal.clear() // what it has is of the epoch before
	}
	if b := s.pending; b != nil {
		b.Header.Epoch, b.Header.Seq = s.head.Epoch, s.acked
		s.keep(b)
	}
}

// firstLackingOfNone is firstLacking for an engine that has nothing. Engines remove what is old: that is no loss.
func (s *Sink) firstLackingOfNone() (have uint64, known bool) {
	keeps, certain := s.place.Keeps()
	switch quiet := time.Since(s.ackedAt); {
	case s.acked == 1, certain && keeps == 0:
		return 1, true
	case quiet > max(keeps, s.opt.Age):
		return 0, false
	}
	have = s.acked // what the journal does not retain cannot be sent again, so only the rest counts as lacking
	if s.journal != nil {
		_ = s.journal.replay(1, func(b *Batch) error {
			if b.Header.Epoch == s.head.Epoch {
				have = min(have, b.Header.Seq)
			}
			return nil
		})
	}
	return have, true
}

// resend sends from the journal what the engine lacks from number have on. Only when the engine has taken
// the first of it is it certain that it had lost that: its answer may have come from a server that was behind
// the others.
func (s *Sink) resend(ctx context.Context, have uint64) error {
	at, sent, gap := have, uint64(0), uint64(0)
	send := func(b *Batch) error {
		if b.Header.Epoch != s.head.Epoch || b.Header.Next() <= at || b.Header.Seq >= s.acked {
			return nil
		}
		one := inDoubt{next: b.Header.Next()}
		if b.Header.Seq > at {
			one.gap = b.Header.Seq - at
		}
		if b.Header.Seq < s.sure {
			one.sent = b.Header.Count
		}
		if err := s.place.Send(ctx, b); err != nil {
			if !errors.Is(err, ErrMoved) { // after which it is certain that this one was not stored
				s.doubt = one
			}
			return err
		}
		s.doubt = inDoubt{}
		sent, gap, at = sent+one.sent, gap+one.gap, one.next
		return nil
	}

	var err error
	if s.journal != nil {
		err = s.journal.replay(have, send)
	}
	switch {
	case err != nil:
		s.owed = at
	case at < s.acked && have < s.sure:
		gap += s.acked - at
	}
	s.noteRollback(have, sent, gap)
	return err
}

// inDoubt is a batch that was sent again and that the engine may have stored without acknowledging it. It says
// what the engine had lost in that case.
type inDoubt struct {
	next uint64 // number of the record after the batch, 0: there is no such batch
	sent uint64 // records of it that the engine had acknowledged before
	gap  uint64 // records before it that the journal no longer retains
}

// settleDoubt counts what the engine had lost before a batch that it took without acknowledging it. What the
// engine has now no longer shows that loss.
func (s *Sink) settleDoubt(have uint64) {
	d := s.doubt
	if d.next == 0 || have < d.next {
		return // the server that answered may be behind: sending again shows whether the batch was stored
	}
	s.doubt = inDoubt{}
	s.noteRollback(have, d.sent, d.gap)
}

// noteRollback counts and reports what an engine has lost.
func (s *Sink) noteRollback(have, sent, gap uint64) {
	if sent == 0 && gap == 0 {
		return
	}
	s.count(func(c *Counts) {
		if !s.rolled {
			c.Rollbacks++
		}
		c.Resent += sent
		c.Lost += gap
	})
	s.rolled = true // until all is sent
	s.log.Error("the engine has lost what it had acknowledged",
		zap.Uint64("engine_has", have-1), zap.Uint64("acknowledged", s.sure-1), zap.Uint64("sent_again", sent), zap.Uint64("lost", gap))
	if gap > 0 {
		s.q.RecordUpstreamLoss(queue.Engine, queue.Loss{Records: gap})
	}
}

// searchTime is how long the engine's last record is looked for in the queue at a start, and
// maxSearch in how many bytes of records.
const (
	searchTime = 5 * time.Second
	maxSearch  = 16 << 20
)

// search looks for the engine's last record among those that the queue gives first, and skips what is before
// it: the engine has that, though the journal does not. If the record is not found, nothing is skipped.
func (s *Sink) search(ctx context.Context) error {
	want := s.tail.Last
	s.tail = nil
	if at := s.q.Position(); want.N == 0 || !at.HasID || at.First {
		return nil // a queue that begins with new records repeats none
	}

	for end := time.Now().Add(searchTime); ctx.Err() == nil; s.pause(ctx, searchTime/50) {
		list, size, err := s.collect(maxSearch)
		if err != nil {
			return err
		}
		if n := after(list, int64(want.Millis), want.Serial, want.N); n > 0 {
			s.cur.Advance(n)
			s.log.Info("resumed after the engine's last record", zap.String("id", want.String()), zap.Int("records_passed", n))
			s.count(func(c *Counts) { c.Known += uint64(n) })
			s.build.skipped += uint64(n)
			return nil
		}
		if size >= maxSearch || time.Now().After(end) {
			break
		}
		select {
		case <-s.q.Closed():
			end = time.Now()
		default:
		}
	}

	s.count(func(c *Counts) { c.Unmatched++ })
	s.log.Warn("the engine's last record was not found in the queue: some records may be sent twice", zap.String("id", want.String()))
	return ctx.Err()
}

// after returns how many records of list there are up to the nth one of an event, that one included, 0 where
// it is not there. The EOE of an event is in the stream only, never in audit.log: if the nth alone is missing,
// and other records follow, the count goes up to the last one of the event that is there.
func after(list []record.Batch, millis int64, serial, n uint32) int {
	seen, at, pos := uint32(0), 0, 0
	for _, b := range list {
		for i := range b.Recs {
			pos++
			r := &b.Recs[i]
			if !r.HasID() || r.Serial != serial || r.Millis != millis || r.Flags&record.Cont != 0 {
				continue
			}
			seen++
			if at = pos; seen == n {
				return at
			}
		}
	}

	if seen > 0 && seen+1 == n && pos > at {
		return at
	}
	return 0
}
