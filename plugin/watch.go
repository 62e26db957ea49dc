package plugin

import (
	"time"

	"go.uber.org/zap"

	"audisp-relay/queue"
)

// warnEvery is how often a loss or a stall that goes on is said again, with
// totals; it never goes quiet while they grow.
const warnEvery = time.Minute

// said is what the log was told of one consumer.
type said struct {
	lost    uint64
	lostAt  time.Time
	stalled time.Duration
	stallAt time.Time
}

// watch says in the log what consumers have lost and how long they held up the
// reader. final leaves nothing unsaid.
func (p *Plugin) watch(now time.Time, final bool) {
	for _, c := range p.consumers() {
		n := c.queue.Counts()
		if lost := n.LostRecords(); lost > c.said.lost && c.cfg.OverflowAction != string(queue.Ignore) &&
			(final || now.Sub(c.said.lostAt) >= warnEvery) {
			c.log.Warn("records lost", append([]zap.Field{
				zap.String("sink", c.name),
				zap.Uint64("records", lost-c.said.lost),
				zap.Uint64("total", lost),
				zap.Uint64("delivered", n.Delivered),
				zap.Uint64("queued", n.Queued),
			}, causes(&n)...)...)
			c.said.lost, c.said.lostAt = lost, now
		}
		if stalled := n.StalledNow(); stalled > c.said.stalled && (final || now.Sub(c.said.stallAt) >= warnEvery) {
			c.log.Warn("reading stopped for a lossless consumer: auditd and the host wait",
				zap.String("sink", c.name), zap.Duration("for", stalled-c.said.stalled),
				zap.Duration("total", stalled), zap.Uint64("times", n.Stalls))
			c.said.stalled, c.said.stallAt = stalled, now
		}
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
