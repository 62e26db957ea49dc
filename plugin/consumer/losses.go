package consumer

import (
	"time"

	"go.uber.org/zap"

	"audisp-relay/queue"
)

// warnEvery is how often a loss or a stall that continues is logged again, with totals; it
// is never silent while they grow.
const warnEvery = time.Minute

// Growth is a total that is logged when it grows: at once, then once a minute.
type Growth struct {
	logged uint64
	at     time.Time
}

// Due returns by how much the total has grown since it was logged, and notes that it is now;
// 0 if it is not to be logged. final leaves nothing unlogged.
func (g *Growth) Due(total uint64, now time.Time, final bool) (more uint64) {
	if total <= g.logged || (!final && now.Sub(g.at) < warnEvery) {
		return 0
	}
	more = total - g.logged
	g.logged, g.at = total, now
	return more
}

// lossLog is what was logged of a queue.
type lossLog struct {
	of                                     *queue.Queue
	lost, stalled, failed, unread, spilled Growth
}

// LogLosses logs what the consumer has lost and how long it held up the reader. final leaves
// nothing unlogged.
func (c *Consumer) LogLosses(now time.Time, final bool) {
	q := c.Queue()
	if c.logged.of != q {
		c.logged = lossLog{of: q}
	}
	n := q.Counts()
	log := c.Log.With(zap.String("sink", c.Name))

	if lost := n.LostRecords(); c.Config().OverflowAction != string(queue.Ignore) {
		if more := c.logged.lost.Due(lost, now, final); more > 0 {
			log.Warn("records lost", append([]zap.Field{zap.Uint64("records", more), zap.Uint64("total", lost),
				zap.Uint64("delivered", n.Delivered), zap.Uint64("queued", n.Queued)}, causes(&n)...)...)
		}
	}
	c.watchSpool(n.SpoolBytes)
	stalled := n.StalledNow()
	if more := c.logged.stalled.Due(uint64(stalled), now, final); more > 0 {
		log.Warn("reading stopped for a lossless consumer: auditd and the host wait",
			zap.Duration("for", time.Duration(more)), zap.Duration("total", stalled), zap.Uint64("times", n.Stalls))
	}

	failed, unread, cause := c.Intake.FilterTrouble()
	if more := c.logged.failed.Due(failed, now, final); more > 0 {
		log.Warn("filter failed: these events are let through",
			zap.Uint64("events", more), zap.Uint64("total", failed), zap.Stringp("error", c.Intake.failure.Load()))
	}
	if more := c.logged.unread.Due(unread, now, final); more > 0 {
		log.Warn("records that cannot be read pass the filter",
			zap.Uint64("records", more), zap.Uint64("total", unread), zap.String("likely_cause", cause))
	}
	if c.logged.spilled.Due(n.Spilled, now, final) > 0 {
		log.Debug("queue spilled to disk", zap.Uint64("records", n.Spooled),
			zap.Uint64("total", n.Spilled), zap.Duration("reader_waited", n.SpillWaited))
	}
}

// causes gives the losses by cause, each with the serials it touched.
func causes(n *queue.Counts) (fields []zap.Field) {
	for cause := range queue.NumCauses {
		if l := n.Lost[cause]; l.Records > 0 {
			fields = append(fields, zap.Dict(cause.String(),
				zap.Uint64("records", l.Records), zap.Uint64("events", l.Events),
				zap.Uint32("first", l.First), zap.Uint32("last", l.Last), zap.Time("last_at", l.At)))
		}
	}
	return fields
}
