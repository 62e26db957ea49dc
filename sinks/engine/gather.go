package engine

import (
	"context"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/sinks"
)

// maxLine is up to which size the pieces of one overlong line are waited for, so that no batch
// ends within a line, and lineTime for how long.
const (
	maxLine  = 4 << 20
	lineTime = time.Second
)

// eventTime is how long the first records after a pause wait for those that belong to them:
// auditd writes the records of one event within less.
const eventTime = time.Millisecond

// gatherStep is how often is looked whether there is enough for a full batch.
const gatherStep = 10 * time.Millisecond

// gather makes the next batch of what waits in the queue: as many bytes as batches have at
// present, or what there is when it may go. Records that the engine has are left out; of nothing
// but those no batch is made.
func (s *Sink) gather(ctx context.Context) error {
	began := time.Now()
	most := s.size.size()
	list, size, err := s.collect(most)
	for err == nil && size < most && ctx.Err() == nil && !sinks.IsClosed(s.q.Closed()) {
		hold := s.hold(began)
		if hold <= 0 {
			break
		}
		s.pause(ctx, min(hold, gatherStep))
		list, size, err = s.collect(most)
	}
	for err == nil && endsOpen(list) && size < maxLine && time.Since(began) < lineTime && ctx.Err() == nil {
		s.pause(ctx, lineTime/50)
		list, size, err = s.collect(max(most, size+1))
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	if s.opt.Each {
		list = firstEvent(list)
	}

	number, ok := s.cur.Number()
	if !ok { // markers that the queue has no numbers for
		number = s.passed
	}
	s.build.reset()
	s.taken = 0
	for _, b := range list {
		s.build.add(b, number+uint64(s.taken))
		s.taken += len(b.Recs)
	}
	if ok {
		s.passed = number + uint64(s.taken)
	}
	s.begun, s.idle = time.Now(), false
	s.count(func(c *Counts) { c.Known = s.build.skipped; c.BatchSize = most })
	if s.build.count == 0 && len(s.build.raw) == 0 {
		s.cur.Advance(s.taken)
		return nil
	}
	s.pending = s.build.batch(s.head, s.acked)
	s.pending.next = s.passed
	s.keep(s.pending)
	return nil
}

// hold returns how long a batch that began to gather at began, and is not full, is to wait for
// more. What came while the batch before was in flight has waited enough as a rule: so batches
// follow each other no faster than one each Gather, and a record that finds nothing in flight goes
// at once, with its event.
func (s *Sink) hold(began time.Time) time.Duration {
	if s.opt.Each {
		return 0
	}
	until := s.begun.Add(s.opt.Gather)
	if event := began.Add(min(eventTime, s.opt.Gather)); s.idle && until.Before(event) {
		until = event
	}
	return time.Until(until)
}

// endsOpen reports whether the last record continues in one that is still to come.
func endsOpen(list []record.Batch) bool {
	if len(list) == 0 {
		return false
	}
	recs := list[len(list)-1].Recs
	return recs[len(recs)-1].Flags&record.Open != 0
}

// firstEvent returns the first event of list alone.
func firstEvent(list []record.Batch) []record.Batch {
	if len(list) == 0 {
		return nil
	}
	b := list[0]
	b.Recs = b.Recs[:format.EventEnd(&b, 0)]
	return []record.Batch{b}
}
