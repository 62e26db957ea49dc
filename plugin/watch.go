package plugin

import (
	"time"

	"go.uber.org/zap"

	"audisp-relay/plugin/consumer"
)

// inputLog is what was logged of the way to the relay.
type inputLog struct {
	resumed                    bool
	recovered, mended          uint64
	events, kernel             uint64
	stopped                    uint64
	repairs, losses, unwatched consumer.Growth
}

// logLosses logs what consumers have lost and how long they held up the reader. final leaves
// nothing unlogged.
func (p *Plugin) logLosses(now time.Time, final bool) {
	p.logInput(now, final)
	for _, c := range p.consumers() {
		c.LogLosses(now, final)
	}
}

// logInput logs what did not come whole, or not at all.
func (p *Plugin) logInput(now time.Time, final bool) {
	s, c := &p.logged, p.feed.Show()
	kernel := uint64(0)
	if p.kernel != nil {
		kernel = p.kernel.lost.Load()
	}

	if c.Resumed > 0 && !s.resumed {
		p.log.Info("resumed from the saved positions", zap.Uint64("records", c.Resumed))
		s.resumed = true
	}
	if s.repairs.Due(c.Recovered+c.Mended, now, final) > 0 {
		p.log.Warn("recovered missing or truncated records from audit.log",
			zap.Uint64("recovered", c.Recovered-s.recovered), zap.Uint64("mended", c.Mended-s.mended),
			zap.Uint64("total_recovered", c.Recovered), zap.Uint64("total_mended", c.Mended))
		s.recovered, s.mended = c.Recovered, c.Mended
	}
	if s.unwatched.Due(c.Serials.Forgot+c.Serials.Unwatched, now, final) > 0 {
		p.log.Warn("too many nodes to watch: losses of the others go unnoticed", zap.Int("nodes", c.Serials.Nodes),
			zap.Uint64("total_forgotten", c.Serials.Forgot), zap.Uint64("total_records_not_watched", c.Serials.Unwatched))
	}
	if stopped := c.Stopped + p.kernelStopped(); stopped > s.stopped {
		p.log.Info("auditd was stopped and started: records that the kernel made meanwhile are in no log",
			zap.Uint64("events", stopped-s.stopped), zap.Uint64("total_events", stopped))
		s.stopped = stopped
	}
	if s.losses.Due(c.LostHoles+kernel, now, final) > 0 {
		p.log.Warn("records lost on the way to the relay",
			zap.Uint64("events", c.LostHoles-s.events), zap.Uint64("kernel", kernel-s.kernel),
			zap.Uint64("total_events", c.LostHoles), zap.Uint64("total_kernel", kernel))
		s.events, s.kernel = c.LostHoles, kernel
	}
}
