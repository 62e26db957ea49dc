package plugin

import (
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/host"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	"audisp-relay/queue/spool"
	"audisp-relay/state"
)

// consumers returns the present consumers.
func (p *Plugin) consumers() []*consumer.Consumer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members
}

// newConsumer makes a consumer without starting it. It continues where the one of its name
// in an earlier run, or before a reload, has ended.
func (p *Plugin) newConsumer(cfg config.Sink) *consumer.Consumer {
	log := p.log.limited()
	before, dir := p.saver.of(cfg.Name)
	return consumer.New(consumer.Options{
		Config: cfg, Log: log, Queue: p.newQueue(cfg, log, p.openSpool(dir, cfg, log), before),
		Before: before, Known: p.known(), Local: p.nodes.Local(), MaxOpen: p.maxOpen(), Patience: p.backlog.patience, Late: dir == nil, AtHand: p.atHand,
	})
}

// known is what is known of this host beside its records.
func (p *Plugin) known() consumer.Known {
	k := consumer.Known{Users: p.users, Processes: &p.processes.now}
	if p.opt.In == nil { // else the stream may be another host's
		if id, permanent := host.MachineID(); permanent {
			k.HostID = id
		}
	}
	return k
}

// newQueue makes the queue of a consumer, which continues from before.
func (p *Plugin) newQueue(cfg config.Sink, log *zap.Logger, s *spool.Spool, before state.Consumer) *queue.Queue {
	return queue.New(queue.Options{
		Config: p.queueConfig(cfg), Name: cfg.Name, Key: p.saver.markerKey(), Stop: p.stop,
		Trigger:  func(a queue.Overflow) { p.overflow(cfg.Name, a) },
		Spool:    s,
		Position: before.Position,
		Floor:    before.Floor,
		Log:      func(err error) { log.Warn("spool fails", zap.String("sink", cfg.Name), zap.Error(err)) },
	})
}

func (p *Plugin) queueConfig(cfg config.Sink) queue.Config {
	kind, _ := format.Parse(cfg.Format) // it was checked
	q := queue.Config{
		Depth:    cfg.QDepth,
		Bytes:    int64(cfg.QBytes),
		Lossless: cfg.QOS == "lossless",
		Action:   queue.Overflow(cfg.OverflowAction),
		Hold:     cfg.WhenIdle != "discard",
		Slow:     queue.Slow(cfg.SlowClient),
		Markers:  p.markers.Load(),
		Whole:    cfg.Filter != "" || cfg.Serial || cfg.Events || kind.Format.Events(),
	}
	p.memory.Load().fit(&q)
	return q
}

// start puts a sink of the present configuration at the end of a consumer's queue.
func (p *Plugin) start(c *consumer.Consumer) { c.Start(p.leaving, p.nodes.Of(c.Config())) }

// apply gives a consumer a changed configuration. The sink is replaced only where it has to be.
func (p *Plugin) apply(c *consumer.Consumer, cfg config.Sink) {
	if replace := c.Apply(cfg, p.queueConfig(cfg)); !replace && !c.Stopped() {
		c.Reopen()
		return
	}
	c.Cancel(nil)
	p.start(c)
}

// followNames keeps the names of this host up to date, also in filters.
func (p *Plugin) followNames(now time.Time) {
	p.nodes.Follow(now)
	local := p.nodes.Local()
	for _, c := range p.consumers() {
		c.SetLocal(local)
	}
}
