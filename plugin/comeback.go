package plugin

import (
	"slices"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/plugin/consumer"
)

// putOff takes the sinks out of cfg that a reload before has taken away and that are still ending. Until then the spool is
// theirs, and how far they get is not known: a consumer that was made now would have no spool, and numbers that are in use
// there, so that a later run would take for delivered what nobody has had. When one has ended, the configuration is read again.
func (p *Plugin) putOff(cfg *config.Config) {
	for _, c := range p.leaving {
		i := slices.IndexFunc(cfg.Sinks, func(s config.Sink) bool { return s.Name == c.Name })
		if i < 0 || c.HasSettled() {
			continue
		}
		cfg.Sinks = slices.Delete(cfg.Sinks, i, i+1)
		p.log.Info("sink is still ending since it was removed: it begins again when it has ended", zap.String("sink", c.Name))
		if !slices.Contains(p.returning, c) {
			p.returning = append(p.returning, c)
			p.comebacks.Go(func() { p.reloadAfter(c) })
		}
	}
}

// reloadAfter has the main goroutine reload when c has ended.
func (p *Plugin) reloadAfter(c *consumer.Consumer) {
	again := func() {
		p.returning = slices.DeleteFunc(p.returning, func(o *consumer.Consumer) bool { return o == c })
		p.reload()
	}
	select {
	case <-c.Settled:
	case <-p.stop:
		return
	}
	select {
	case p.tasks <- again:
	case <-p.stop:
	}
}
