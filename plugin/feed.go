package plugin

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/host"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	"audisp-relay/recovery"
)

// fanout gives records to every consumer. Whoever holds the Merger calls it.
type fanout struct{ p *Plugin }

func (o fanout) Put(b *record.Batch) {
	missed, doubt := isLate(b), time.Time{}
	if missed {
		doubt = o.p.feed.Doubt()
	}
	o.p.noteProcesses(b)
	for _, c := range o.p.consumers() {
		c.Give(b, missed, doubt)
	}
}

// isLate reports whether a batch is of lines of the log that precede records which the consumers already have.
func isLate(b *record.Batch) bool {
	for i := range b.Recs {
		if b.Recs[i].Flags&(record.FromLog|record.Late) == record.FromLog|record.Late {
			return true
		}
		if b.Recs[i].Flags&record.FromLog == 0 {
			return false // a batch is all of the log, or all of the stream
		}
	}
	return false
}

func (o fanout) Lost(t integrity.Gap) {
	if known := o.p.processes.now.Table(); known != nil {
		known.Lost(t.Node, t.First, t.Last)
	}
	for _, c := range o.p.consumers() {
		c.Queue().RecordUpstreamLoss(queue.Upstream, consumer.LossOf(t))
	}
}

// newFeed makes what stands between the reader and the queues, and reads audit.log where
// there is one.
func (p *Plugin) newFeed() *recovery.Merger {
	tracker := integrity.NewTracker(integrity.Options{BootID: bootID(), Window: p.opt.Window, Patience: p.backlog.patience, AtHand: p.atHand})
	if data := p.saver.before.Tracker; len(data) > 0 {
		var s integrity.State
		if err := json.Unmarshal(data, &s); err != nil {
			p.log.Warn("serials of the previous run unknown: a gap at the restart will not be noticed", zap.Error(err))
		} else {
			tracker.Restore(s) // of another boot they say nothing
		}
	}

	log, network := p.auditLog()
	return recovery.New(recovery.Options{
		Log: log, Network: network, Tracker: tracker, Out: fanout{p}, Say: p.log.limited(),
		MaxHeld: p.maxHeld(), Saves: p.nextRunResumes,
		Panicked: func(stage string, b *record.Batch, fault any) { p.faults.Note(stage, b, 0, 1<<30, fault) },
	})
}

// nextRunResumes reports whether the next run will find each consumer's place in audit.log. A consumer that has
// received nothing yet has no place there, and would begin with the records of that time. The Merger calls it.
func (p *Plugin) nextRunResumes() bool {
	return p.saver.saves.Load() && !slices.ContainsFunc(p.consumers(), func(c *consumer.Consumer) bool {
		return !c.Queues()[0].Position().HasID
	})
}

// auditLog returns the log that gaps are filled from, nil where there is none, and whether it has records of other
// hosts that auditd does not distribute.
func (p *Plugin) auditLog() (log *auditlog.Reader, network bool) {
	p.mu.Lock()
	cfg := p.cfg.Recovery
	p.mu.Unlock()
	if !cfg.Enabled {
		return nil, false
	}

	info, err := host.LogOf(p.parent)
	if path := cfg.LogFile; path != "" {
		return auditlog.New(path), info.Network
	}

	switch { // a mistake in auditd.conf comes with all that is right in it
	case info.Path == "":
		p.log.Warn("audit.log not found: records that the stream lacks cannot be recovered "+
			"(name it as log_file under [recovery], or set enabled = false)", zap.Error(err))
		return nil, false
	case !info.Written:
		p.log.Warn("auditd writes no log: records that the stream lacks cannot be recovered", zap.String("because", info.Why))
		return nil, false
	}
	p.log.Debug("recovery reads the log", zap.String("log_file", info.Path))
	return auditlog.New(info.Path), info.Network
}

// expireEvery is how often events are looked for that have waited too long for their end.
const expireEvery = 100 * time.Millisecond

// startExpiry gives consumers, from time to time, the events that have waited too long for their end. A lossless
// queue makes that wait for room, as it does the reader, so it has a goroutine of its own: stop ends it, and ended
// is closed when it has ended.
func (p *Plugin) startExpiry() (stop func(), ended <-chan struct{}) {
	ctx, stop := context.WithCancel(context.Background())
	return stop, inBackground(func() {
		every(expireEvery, ctx.Done(), func(now time.Time) {
			p.safely("expiry", func() { p.feed.WithLock(func() { p.expire(now) }) })
		})
	})
}

// expire gives consumers the events that have waited too long. Whoever holds the Merger calls it.
func (p *Plugin) expire(now time.Time) {
	for _, c := range p.consumers() {
		c.Intake.Expire(now)
	}
}

// flush gives consumers the events that are open, and returns a channel that is closed when that is done. It may have
// to wait until others who give records have found room in a queue, and then for room itself. A queue that is closed
// meanwhile counts the records as lost.
func (p *Plugin) flush(cs ...*consumer.Consumer) <-chan struct{} {
	return inBackground(func() {
		p.feed.WithLock(func() {
			for _, c := range cs {
				p.safely("flush", c.Intake.Flush)
			}
		})
	})
}

// startFeed makes the Merger and runs it. What it returns ends it, and gives the consumers
// what is left in it.
func (p *Plugin) startFeed() (end func()) {
	cs := p.resumed()
	p.feed = p.newFeed()
	if cs != nil {
		p.feed.Begin()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := inBackground(func() {
		if cs != nil {
			p.safely("resuming", func() { p.feed.Resume(cs) })
		}
		p.feed.Run(ctx)
	})

	return func() {
		began := time.Now()
		cancel()
		done := inBackground(func() {
			if awaitFor(feedTime, ended) {
				p.safely("end of the log", func() { p.feed.Finish(began.Add(feedTime)) })
			} else { // the log hangs
				p.safely("end of the log", p.feed.Force)
			}
		})
		for !awaitFor(feedTime/10, done) {
			p.closeStalled(feedTime/2, began)
			if time.Since(began) > 2*feedTime {
				p.log.Warn("a consumer has not taken the last records: leaving them to the next run")
				return
			}
		}
	}
}

// resumed returns the consumers with the positions they continue from, nil when none has
// one.
func (p *Plugin) resumed() (cs []recovery.Resumed) {
	known := false
	for _, c := range p.consumers() {
		r := recovery.Resumed{Name: c.Name, Put: c.Intake.Resume}
		at := c.Queue().ResumeAt()
		r.ID, r.First, r.Known = at.ID, at.First, at.HasID
		known = known || r.Known
		cs = append(cs, r)
	}
	if !known {
		return nil
	}
	return cs
}
