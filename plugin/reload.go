package plugin

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/host"
	"audisp-relay/plugin/consumer"
)

// loadConfig reads the configuration for a start. It always returns one that
// can be run: of a file with errors the part that has none, without a file
// the defaults, without a sink where it cannot be read. That a file is not there is an error where it was named.
func loadConfig(path string, parent int) (*config.Config, []string, error) {
	file := config.FileOf(path)
	cfg, warnings, err := config.Load(file, host.AuditLogs(parent)...)
	if errors.Is(err, fs.ErrNotExist) && (path == "" || config.IsDir(path)) {
		return config.Default(), append(warnings, file+": no such file: running on defaults, one unix socket"), nil
	}
	if cfg == nil {
		cfg = config.Unread(err)
	}
	return cfg, warnings, err
}

// sayConfig logs what is wrong with a configuration, a line each.
func (p *Plugin) sayConfig(warnings []string, err error) {
	for _, w := range warnings {
		p.log.Warn("config: " + w)
	}
	if list, ok := errors.AsType[config.Errors](err); ok {
		for _, e := range list {
			p.log.Error("config: " + e.Error())
		}
	} else if err != nil {
		p.log.Error("config: " + err.Error())
	}
}

// reload reads the configuration again (SIGHUP). A bad one changes nothing.
// The reader continues meanwhile: it looks up the consumers for each batch, and a queue
// keeps what its sink had not delivered.
func (p *Plugin) reload() {
	p.nodes.LookUp()
	p.feed.Check() // auditd passes its HUP on, and says in its log alone who sent it
	logs := host.AuditLogs(p.parent)
	cfg, warnings, err := config.Load(config.FileOf(p.opt.Config), logs...)
	if errors.Is(err, fs.ErrNotExist) && p.cfg.File == "" {
		cfg, err = config.Default(), nil
	}
	p.sayConfig(warnings, err)
	defer p.lists.refresh()
	if err != nil {
		p.log.Error("config not reloaded: the previous one stays in use")
		p.keep(err, logs)
		return
	}

	if onlyBuiltIn(cfg) && !onlyBuiltIn(p.cfg) {
		p.log.Warn("config: no [sinks.NAME] is left, so the sinks that ran are stopped: was the file truncated?", zap.String("file", cfg.File))
	}
	p.log.setLevel(cfg.Log.Level)
	later := p.sayFixed(p.cfg, cfg)
	p.mu.Lock()
	p.later = later
	p.mu.Unlock()
	keepFixed(p.cfg, cfg)
	p.sayRefused(cfg)
	p.exchange(cfg)
	p.log.Info("config reloaded", zap.String("file", cfg.File), zap.Int("sinks", len(cfg.Sinks)))
}

// keep stays with the configuration that is in use. Neither a sink nor the relay's own log continues to write where
// auditd's log is now.
func (p *Plugin) keep(why error, auditLogs []string) {
	cfg := p.cfg.Reserving(auditLogs...)
	p.log.queue.reserve(cfg.Log.Reserved)
	p.mu.Lock()
	p.cfg, p.cfgErr = cfg, why
	p.mu.Unlock()
	for _, c := range p.consumers() {
		i := slices.IndexFunc(cfg.Sinks, func(s config.Sink) bool { return s.Name == c.Name })
		if i >= 0 && !slices.Equal(cfg.Sinks[i].Reserved, c.Config().Reserved) {
			p.apply(c, cfg.Sinks[i])
			continue
		}
		c.Reopen()
	}
}

// onlyBuiltIn reports whether the one sink is that of a configuration without any.
func onlyBuiltIn(c *config.Config) bool {
	return len(c.Sinks) == 1 && c.Sinks[0].Origin == config.BuiltIn
}

// exchange makes the consumers those of cfg.
func (p *Plugin) exchange(cfg *config.Config) {
	old := p.consumers()
	p.putOff(cfg)
	p.log.queue.reserve(cfg.Log.Reserved)
	p.markers.Store(cfg.LossMarkers)
	p.lookAtCgroup()
	p.setMemory(cfg)
	p.collect()
	p.export.apply(cfg.Metrics)
	p.keepProcesses(cfg)
	var next []*consumer.Consumer
	for _, sc := range cfg.Sinks {
		if i := slices.IndexFunc(old, func(c *consumer.Consumer) bool { return c.Name == sc.Name }); i >= 0 {
			next = append(next, old[i])
		} else {
			next = append(next, p.newConsumer(sc))
		}
	}
	var gone Input // what leaves has stopped the reader for so long: a total must not fall
	for _, c := range old {
		if !slices.Contains(next, c) {
			r := c.Report()
			gone.Stalls, gone.Stalled = gone.Stalls+r.Stalls, gone.Stalled+r.Stalled
			p.saver.retired(c, p.feed.Doubt) // until it has ended: a kill is not to put it back to where this run began
		}
	}

	p.mu.Lock()
	p.cfg, p.cfgAt, p.cfgErr = cfg, time.Now(), nil
	p.input.Stalls, p.input.Stalled = p.input.Stalls+gone.Stalls, p.input.Stalled+gone.Stalled
	p.members = next
	p.reloads++
	p.mu.Unlock()

	p.leaving = slices.DeleteFunc(slices.Clone(p.leaving), (*consumer.Consumer).HasSettled)
	for _, c := range old {
		if !slices.Contains(next, c) {
			p.retire(c)
		}
	}
	for i, c := range next {
		if slices.Contains(old, c) {
			p.apply(c, cfg.Sinks[i])
		} else {
			p.start(c)
			p.warnAction(cfg.Sinks[i])
		}
	}
}

// retire ends a consumer that the configuration no longer has: it delivers what
// is queued, within the time there is at the plugin's own end. That happens in
// the background: the stream may end meanwhile, and then finish takes care of it.
func (p *Plugin) retire(c *consumer.Consumer) {
	sink, gone, settled := c.Ended, make(chan struct{}), make(chan struct{})
	c.Ended, c.Settled = gone, settled
	p.leaving = append(p.leaving, c)
	flushed := p.flush(c)
	timeout := time.AfterFunc(drainTime, func() { c.Cancel(nil) })

	go func() {
		defer close(settled)
		awaitFor(flushTime, flushed)
		p.ckpt.lastWords(c)
		c.Close()
		<-sink
		timeout.Stop()
		c.Cancel(nil)
		c.Shutdown()
		p.saver.retired(c, p.feed.Doubt)
		close(gone)
		<-flushed
		p.saver.retired(c, p.feed.Doubt) // with what was lost of events that were open
		c.Log.Info("consumer removed", c.Outcome()...)
	}()
}

// sayFixed says, and returns, which changes take effect only at the next start.
func (p *Plugin) sayFixed(old, cfg *config.Config) (later []string) {
	for _, x := range []struct {
		key     string
		changed bool
	}{
		{"run_dir", old.RunDir != cfg.RunDir},
		{"input_buffer", old.InputBuffer != cfg.InputBuffer},
		{"state_dir", old.StateDir != cfg.StateDir},
		{"[recovery]", old.Recovery != cfg.Recovery},
		{"spool of a sink", spoolChanged(old, cfg)},
		{"priority_boost", old.PriorityBoost != cfg.PriorityBoost},
		{"sandbox", old.Sandbox != cfg.Sandbox},
		{"oom_score_adj", old.OOMScoreAdj != cfg.OOMScoreAdj},
		{"log.output", old.Log.Output != cfg.Log.Output},
	} {
		if x.changed {
			p.sayLater(x.key)
			later = append(later, x.key)
		}
	}
	return later
}

func (p *Plugin) sayLater(key string) {
	p.log.Warn("config: this change takes effect when the plugin is started again", zap.String("key", key))
}

// keepFixed gives cfg the present values of what changes at the next start only, so that nothing of this run uses
// other values than the rest. The next reload logs these changes again.
func keepFixed(old, cfg *config.Config) {
	cfg.RunDir, cfg.StateDir, cfg.Recovery, cfg.Log.Output = old.RunDir, old.StateDir, old.Recovery, old.Log.Output
	cfg.InputBuffer, cfg.PriorityBoost, cfg.OOMScoreAdj, cfg.Sandbox = old.InputBuffer, old.PriorityBoost, old.OOMScoreAdj, old.Sandbox
	for i := range cfg.Sinks {
		s := &cfg.Sinks[i]
		s.StateDir = old.StateDir
		if o := slices.IndexFunc(old.Sinks, func(o config.Sink) bool { return o.Name == s.Name }); o >= 0 {
			s.Spool.MaxSize, s.Spool.Sync = old.Sinks[o].Spool.MaxSize, old.Sinks[o].Spool.Sync
		}
	}
}

// spoolChanged reports whether a sink that stays is to have another spool.
func spoolChanged(old, cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Sinks, func(s config.Sink) bool {
		i := slices.IndexFunc(old.Sinks, func(o config.Sink) bool { return o.Name == s.Name })
		return i >= 0 && (old.Sinks[i].Spool.MaxSize != s.Spool.MaxSize || old.Sinks[i].Spool.Sync != s.Spool.Sync)
	})
}
