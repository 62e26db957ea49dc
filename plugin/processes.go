package plugin

import (
	"context"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/format"
)

// processes is who has started what, where a sink asks for that.
type processes struct {
	now process.Current

	// What follows belongs to the main goroutine, which starts the one that follows the kernel's pids and ends it.

	stop  chan struct{}
	ended <-chan struct{}
	// What hashes programs may hang with a file system, so it is not waited for for long.
	endHashing context.CancelFunc
	hashed     <-chan struct{}
}

// wantsProcesses reports whether a sink of a checked configuration asks who has started what.
func wantsProcesses(cfg *config.Config) bool {
	if !cfg.ProcessContext {
		return false
	}
	for _, s := range cfg.Sinks {
		if kind, _ := format.Parse(s.Format); kind.Processes {
			return true
		}
		if s.Filter == "" {
			continue
		}
		if f, err := filter.CompileWith(s.Filter, s.Rules); err == nil && f.AsksForProcesses() {
			return true
		}
	}
	return false
}

// keepProcesses keeps a table of processes as long as a sink asks for it. What runs already it
// learns from /proc, but only before the process gives up the right to look: after a reload it
// begins with nothing. The main goroutine calls it.
func (p *Plugin) keepProcesses(cfg *config.Config) {
	wanted, table := wantsProcesses(cfg), p.processes.now.Table()
	switch {
	case wanted && table == nil:
		p.endProcesses() // of one that has panicked
		live := p.opt.In == nil
		o := process.Options{MaxBytes: min(process.DefaultMaxBytes, int(p.memory.Load().Limit/16)), Live: live, Labels: cfg.Labels, Places: p.finder(cfg), Hashed: p.hashedSize(cfg), AtHand: p.atHand}
		if live {
			o.IsLocal = func(node []byte) bool { return users.Local(node, p.nodes.Local()) }
		}
		t := process.NewTable(o)
		stop := make(chan struct{})
		p.processes.stop, p.processes.ended = stop, inBackground(func() { p.safely("processes", func() { t.Follow(stop) }) })
		ctx, cancel := context.WithCancel(context.Background())
		p.processes.endHashing, p.processes.hashed = cancel, inBackground(func() { p.safely("hashes", func() { t.Hash(ctx) }) })
		p.processes.now.Set(t)
	case wanted:
		table.SetLabels(cfg.Labels)
		table.SetPlaces(p.finder(cfg))
		table.SetHashed(p.hashedSize(cfg))
	case table != nil:
		p.endProcesses()
	}
}

// finder returns what finds out where processes are, nil where no sink asks or the stream may be another host's.
func (p *Plugin) finder(cfg *config.Config) process.Finder {
	if cfg.ProcessCgroup && p.opt.In == nil {
		return process.FindInProc
	}
	return nil
}

// hashedSize returns up to which size programs are hashed; 0 where no sink asks for that, or the stream may be another
// host's.
func (p *Plugin) hashedSize(cfg *config.Config) int64 {
	if p.opt.In == nil {
		return int64(cfg.ProcessHash)
	}
	return 0
}

// endProcesses forgets all of them.
func (p *Plugin) endProcesses() {
	p.processes.now.Set(nil)
	if p.processes.stop != nil {
		p.processes.endHashing()
		awaitFor(leaveTime, p.processes.hashed)
		close(p.processes.stop)
		<-p.processes.ended
		p.processes.stop = nil
	}
}

// noteProcesses learns from records which every consumer is about to get. After a panic nothing is
// known any more, since what is known may be wrong. Whoever holds the Merger calls it.
func (p *Plugin) noteProcesses(b *record.Batch) {
	t := p.processes.now.Table()
	if t == nil {
		return
	}
	defer func() {
		if fault := recover(); fault != nil {
			p.processes.now.Set(nil)
			p.faults.Note("processes", b, 0, len(b.Recs), fault)
		}
	}()
	t.Note(b)
}
