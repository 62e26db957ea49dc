package consumer

import (
	"maps"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/integrity"
	"audisp-relay/queue"
	"audisp-relay/state"
)

// Saved returns what is to be saved. Doubt is since when something may be missing (recovery.Merger).
func (c *Consumer) Saved(doubt func() time.Time) state.Consumer {
	q := c.Queues()[0]
	pos := q.Position() // first: balance and doubt may be ahead of it, never the other way round
	n, base := c.balance()
	c.lately.note(time.Now(), &n, base)
	return state.Consumer{Position: pos, Floor: q.Floor(doubt()), Totals: totals(base, &n, false), Losses: c.lately.saved()}
}

// balance returns the counts of c, of both queues where there are two, and what its
// balance was before that.
func (c *Consumer) balance() (n queue.Counts, base map[string]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = c.now.Counts()
	if c.later != nil {
		more := c.nowCounts(&n)
		n = c.later.Counts()
		n.Received += more.Received
		n.Delivered += more.Delivered
		n.Filtered += more.Filtered
		n.Discarded += more.Discarded
		n.Queued += more.Queued
		for cause := range n.Lost {
			n.Lost[cause].Add(&more.Lost[cause])
		}
		n.Suspended = n.Suspended || more.Suspended
		n.Stalls, n.Stalled = n.Stalls+more.Stalls, n.Stalled+more.Stalled
		if n.StallSince.IsZero() {
			n.StallSince = more.StallSince
		}
		n.Delays.Add(&more.Delays)
		if n.Oldest.IsZero() { // the later queue has what is older
			n.Oldest = more.Oldest
		}
	}
	n.Delays.Add(&c.replaced.Delays)
	n.Stalls, n.Stalled = n.Stalls+c.replaced.Stalls, n.Stalled+c.replaced.Stalled
	return n, c.base
}

// nowCounts returns n, the counts of the first queue, without what was moved to the later
// one. c.mu is held.
func (c *Consumer) nowCounts(n *queue.Counts) queue.Counts {
	rest := *n
	if c.moving {
		rest.Received -= n.Delivered - c.handed.Delivered
		rest.Delivered, rest.Delays = c.handed.Delivered, c.handed.Delays
	}
	return rest
}

// totals returns the balance over all runs, of base and n together. Queued records count as received only where
// present is asked for, since a later run receives them again, from the spool or from audit.log.
func totals(base map[string]uint64, n *queue.Counts, present bool) map[string]uint64 {
	t := addTotals(base, nil)
	t["received"] += n.Received
	if !present {
		t["received"] -= n.Queued
	}
	t["delivered"] += n.Delivered
	t["filtered"] += n.Filtered
	t["discarded"] += n.Discarded
	for cause := range queue.NumCauses {
		if l := n.Lost[cause]; l.Records > 0 {
			t["lost "+cause.String()] += l.Records
		}
	}
	return t
}

func addTotals(a, b map[string]uint64) map[string]uint64 {
	sum := make(map[string]uint64)
	maps.Copy(sum, a)
	for key, n := range b {
		sum[key] += n
	}
	return sum
}

// AddQueue gives the sink, from its next start on, the queue of a state_dir that came late, and
// adds the balance and the losses that are saved there. Records are still put into the first one.
func (c *Consumer) AddQueue(later *queue.Queue, saved state.Consumer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.later = later
	c.base = addTotals(c.base, saved.Totals)
	c.lately.restore(time.Now(), saved)
}

// NewIntake returns an intake for q that selects as the present one does.
func (c *Consumer) NewIntake(q *queue.Queue) *Intake {
	in := NewIntake(q, c.Intake.next.Load())
	in.maxOpen, in.patience, in.panics = c.Intake.maxOpen, c.Intake.patience, c.panics
	return in
}

// MoveQueue moves what the first queue still holds, after the end of its sink, into the second queue, which takes its
// place. locked runs a function while nothing else gives records.
func (c *Consumer) MoveQueue(locked func(func())) {
	list := c.Queues()
	later, now := list[0], list[1]
	c.mu.Lock()
	c.moving, c.handed = true, now.Counts()
	c.mu.Unlock()

	cursor := now.Cursor()
	move := func() {
		for {
			b, err := cursor.Take()
			if err != nil || len(b.Recs) == 0 {
				return
			}
			later.Put(&b)
			cursor.Advance(len(b.Recs))
		}
	}

	move()
	var n queue.Counts
	locked(func() {
		now.Close()
		move()
		c.Intake.queue = later
		c.mu.Lock()
		defer c.mu.Unlock()
		n = now.Counts()
		n = c.nowCounts(&n)
		c.base, c.now, c.later, c.moving = totals(c.base, &n, false), later, nil, false
		c.replaced.Delays.Add(&n.Delays)
		c.replaced.Stalls, c.replaced.Stalled = c.replaced.Stalls+n.Stalls, c.replaced.Stalled+n.StalledNow()
	})
	cursor.Close()
	now.Shutdown()
	c.Log.Info("resumed from the positions of the previous run", outcome(c.Name, &n)...)
}

// LossOf says what a gap has cost. It is not known how many records its events had: one each at least.
func LossOf(t integrity.Gap) queue.Loss {
	return queue.Loss{Events: t.Events(), Records: t.Events(), First: t.First, Last: t.Last, At: time.Now()}
}

// Outcome returns what has become of the records of the present queue, for the log.
func (c *Consumer) Outcome() []zap.Field {
	n := c.Queue().Counts()
	return outcome(c.Name, &n)
}

func outcome(sink string, n *queue.Counts) []zap.Field {
	return append([]zap.Field{zap.String("sink", sink),
		zap.Uint64("delivered", n.Delivered), zap.Uint64("lost", n.LostRecords())}, causes(n)...)
}
