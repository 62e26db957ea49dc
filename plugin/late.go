package plugin

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	"audisp-relay/recovery"
	"audisp-relay/state"
)

// A state_dir may be usable only later, because the previous relay still hangs or the file
// system comes late. Then each consumer becomes what it would have been from the start: a
// second queue is made from spool and position, the sink continues with that, and the queue
// gets from audit.log what stands there between the position and the first record of this
// run. Then it gets what this run has queued, and replaces the first queue.

// lateState takes state_dir while the plugin runs. It belongs to saveRegularly.
func (p *Plugin) lateState(dir *state.Dir) {
	k := p.saver
	before := p.loadState(dir)
	k.mu.Lock()
	k.dir, k.before = dir, before
	k.absent = maps.Clone(before.Consumers)
	k.mu.Unlock()
	p.log.Info("state_dir can be used now", zap.String("state_dir", k.path))
	cs := p.consumers()
	for _, c := range cs {
		saved := before.Consumers[c.Name]
		c.AddQueue(p.newQueue(c.Config(), c.Log, p.openSpool(dir, c.Config(), c.Log), saved), saved)
	}

	lost := func(t integrity.Gap) {
		for _, c := range cs {
			c.Queues()[0].RecordUpstreamLoss(queue.Upstream, consumer.LossOf(t))
		}
	}
	k.late = inBackground(func() {
		for i, c := range cs {
			gap := &gap{tracker: integrity.NewTracker(integrity.Options{BootID: bootID(), AtHand: p.atHand})}
			if i == 0 { // what is lost is the same for all
				gap.serials(before.Tracker)
				gap.lost = lost
			}
			p.safely("late state_dir", func() { p.goLate(c, gap) })
		}
	})
}

// goLate lets c continue with its later queue.
func (p *Plugin) goLate(c *consumer.Consumer, g *gap) {
	list := c.Queues()
	later, now := list[0], list[1]
	cfg := p.queueConfig(c.Config())
	cfg.Hold, cfg.Slow = true, queue.Drop // it has no client any more
	sunk := make(chan (<-chan struct{}), 1)
	select {
	case p.tasks <- func() {
		if !slices.Contains(p.consumers(), c) { // a reload has taken it away
			sunk <- nil
			return
		}
		now.SetConfig(cfg)
		sunk <- c.Ended
		c.Cancel(nil)
		p.start(c)
	}:
	case <-p.saver.stop:
		return
	}

	ended := <-sunk
	if ended == nil {
		later.Shutdown()
		return
	}
	<-ended // what the sink has delivered is known now
	pos := now.Position()
	p.giveGap(c, g, later)
	if pos.HasID && !pos.First {
		later.Passed(pos.ID)
	}
	c.MoveQueue(p.feed.WithLock)
}

// gap is what stands in audit.log between the position of the previous run and the first
// record that this run was given.
type gap struct {
	tracker *integrity.Tracker
	known   bool                // the tracker knows the serials that the previous run has seen
	lost    func(integrity.Gap) // is given what is not in the log either; may be nil
}

// serials makes g continue from the serials that the previous run has seen.
func (g *gap) serials(saved json.RawMessage) {
	var s integrity.State
	if json.Unmarshal(saved, &s) == nil {
		g.known = g.tracker.Restore(s)
	}
}

// reportLost reports the serials that neither the previous run nor the log has, up to first;
// what is missing from there on is reported by others.
func (g *gap) reportLost(first *record.ID) {
	if !g.known || g.lost == nil {
		return
	}
	g.tracker.Due(time.Now().Add(time.Hour))
	for _, t := range g.tracker.Lost() {
		if int32(t.First-first.Serial) < 0 {
			g.lost(t)
		}
	}
}

// giveGap gives the later queue of c what is in the gap.
func (p *Plugin) giveGap(c *consumer.Consumer, g *gap, later *queue.Queue) {
	at := later.ResumeAt()
	if !at.HasID {
		return
	}
	log, network := p.auditLog()
	if log == nil {
		return
	}

	first := p.awaitFirst(c)
	if first == nil {
		return
	}
	in := c.NewIntake(later)
	over := false
	put := func(b *record.Batch) {
		for i := range b.Recs {
			past := b.Recs[i].HasID() && b.Recs[i].Millis > first.Millis+pastFirst
			if over = over || past || b.ID(i) == *first; over {
				b = &record.Batch{Buf: b.Buf, Recs: b.Recs[:i]}
				break
			}
		}
		in.Put(b)
	}

	feed := recovery.New(recovery.Options{Log: log, Network: network, Static: true, Tracker: g.tracker, Out: nowhere{}, Say: c.Log})
	feed.Begin()
	feed.Resume([]recovery.Resumed{{Name: c.Name, ID: at.ID, First: at.First, Known: true, Put: put}})
	in.Flush()
	log.Close()
	g.reportLost(first)
}

// pastFirst is how much later than the first record of this run a line has to be to count
// as after it, where that record itself is not found.
const pastFirst = 2000 // ms

// awaitFirst returns the identity of the first record that this run has given c, nil if
// the plugin ends before there is one.
func (p *Plugin) awaitFirst(c *consumer.Consumer) *record.ID {
	for {
		if first := c.First(); first != nil || awaitFor(saveEvery, p.saver.stop) {
			return first
		}
	}
}

// nowhere is an Out for records that others give.
type nowhere struct{}

func (nowhere) Put(*record.Batch)  {}
func (nowhere) Lost(integrity.Gap) {}
