package plugin

import (
	"time"

	"go.uber.org/zap"

	"audisp-relay/queue"
)

// warnEvery is how often a loss or a stall that continues is logged again, with totals; it
// is never silent while they grow.
const warnEvery = time.Minute

// said is what was logged of one consumer.
type said struct {
	of       *queue.Queue
	failed   uint64
	failAt   time.Time
	unread   uint64
	unreadAt time.Time
	lost     uint64
	lostAt   time.Time
	stalled  time.Duration
	stallAt  time.Time
	spilled  uint64
	spillAt  time.Time
}

// saidInput is what was logged of the way to the relay.
type saidInput struct {
	resumed           bool
	recovered, mended uint64
	mendedAt          time.Time
	events, kernel    uint64
	lostAt            time.Time
	crowd             uint64 // nodes forgotten and records not watched
	crowdAt           time.Time
	stopped           uint64
}

// watch says in the log what consumers have lost and how long they held up the
// reader. final leaves nothing unsaid.
func (p *Plugin) watch(now time.Time, final bool) {
	p.watchInput(now, final)
	for _, c := range p.consumers() {
		q := c.queue()
		if c.said.of != q {
			c.said = said{of: q}
		}
		n := q.Counts()
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
		if failed := c.intake.failed.Load(); failed > c.said.failed && (final || now.Sub(c.said.failAt) >= warnEvery) {
			c.log.Warn("filter fails: these events are let through", zap.String("sink", c.name),
				zap.Uint64("events", failed-c.said.failed), zap.Uint64("total", failed), zap.Stringp("error", c.intake.failure.Load()))
			c.said.failed, c.said.failAt = failed, now
		}
		if unread := c.intake.unread.Load(); unread > c.said.unread && (final || now.Sub(c.said.unreadAt) >= warnEvery) {
			c.log.Warn("records that cannot be read pass the filter", zap.String("sink", c.name),
				zap.Uint64("records", unread-c.said.unread), zap.Uint64("total", unread), zap.Stringp("likely_cause", c.intake.cause.Load()))
			c.said.unread, c.said.unreadAt = unread, now
		}
		if n.Spilled > c.said.spilled && (final || now.Sub(c.said.spillAt) >= warnEvery) {
			c.log.Debug("queue spilled to disk", zap.String("sink", c.name), zap.Uint64("records", n.Spooled),
				zap.Uint64("total", n.Spilled), zap.Duration("reader_waited", n.SpillWaited))
			c.said.spilled, c.said.spillAt = n.Spilled, now
		}
	}
}

// watchInput says what did not come whole, or not at all.
func (p *Plugin) watchInput(now time.Time, final bool) {
	s, c := &p.said, p.feed.Show()
	kernel := uint64(0)
	if p.kernel != nil {
		kernel = p.kernel.lost.Load()
	}
	if c.Resumed > 0 && !s.resumed {
		p.log.Info("resumed from the saved positions", zap.Uint64("records", c.Resumed))
		s.resumed = true
	}
	if (c.Recovered > s.recovered || c.Mended > s.mended) && (final || now.Sub(s.mendedAt) >= warnEvery) {
		p.log.Warn("recovered missing or truncated records from audit.log",
			zap.Uint64("recovered", c.Recovered-s.recovered), zap.Uint64("mended", c.Mended-s.mended),
			zap.Uint64("total_recovered", c.Recovered), zap.Uint64("total_mended", c.Mended))
		s.recovered, s.mended, s.mendedAt = c.Recovered, c.Mended, now
	}
	if crowd := c.Serials.Forgot + c.Serials.Unwatched; crowd > s.crowd && (final || now.Sub(s.crowdAt) >= warnEvery) {
		p.log.Warn("more nodes than are watched: what the others lose does not show", zap.Int("nodes", c.Serials.Nodes),
			zap.Uint64("total_forgotten", c.Serials.Forgot), zap.Uint64("total_records_not_watched", c.Serials.Unwatched))
		s.crowd, s.crowdAt = crowd, now
	}
	if stopped := c.Stopped + p.kernelStopped(); stopped > s.stopped {
		p.log.Info("auditd was stopped and started: what the kernel made meanwhile is in no log",
			zap.Uint64("events", stopped-s.stopped), zap.Uint64("total_events", stopped))
		s.stopped = stopped
	}
	if (c.LostHoles > s.events || kernel > s.kernel) && (final || now.Sub(s.lostAt) >= warnEvery) {
		p.log.Warn("records lost on the way to the relay",
			zap.Uint64("events", c.LostHoles-s.events), zap.Uint64("kernel", kernel-s.kernel),
			zap.Uint64("total_events", c.LostHoles), zap.Uint64("total_kernel", kernel))
		s.events, s.kernel, s.lostAt = c.LostHoles, kernel, now
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
