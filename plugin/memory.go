package plugin

import (
	"fmt"
	"math"
	"runtime/debug"
	"slices"

	"go.uber.org/zap"

	"audisp-relay/audit/event"
	"audisp-relay/config"
	"audisp-relay/queue"
)

// MemoryReport says what bounds the memory of the process.
type MemoryReport struct {
	Limit      int64  `json:"limit"`                  // what it aims to stay under
	Cgroup     int64  `json:"cgroup_limit,omitempty"` // 0: none
	CgroupFile string `json:"cgroup_file,omitempty"`
	Queues     int64  `json:"queues"`                 // what all queues together may hold
	QueueCap   int64  `json:"queue_cap,omitempty"`    // no queue holds more, whatever q_bytes says; 0: all of q_bytes
	Asked      int64  `json:"queues_wanted"`          // the sum of q_bytes, with what q_depth headers take
	Input      int64  `json:"input_buffer_cap"`       // 0: no cap
	Events     int64  `json:"events_cap,omitempty"`   // of the records of open events of one consumer, and of those that wait for others; 0: the default
	Recovery   int64  `json:"recovery_cap,omitempty"` // of the records that wait for audit.log; 0: the default
}

const (
	// baseMemory is what the process takes with empty queues, rounded up: the runtime,
	// the tables of types and names, the reader's buffers, what the Merger knows of serials.
	baseMemory = 12 << 20
	// headerMemory is what a record takes in a queue besides its text: 32 bytes, and
	// as much again where the list of a block has just grown.
	headerMemory = 64
	// smallRecord is about the shortest record there is, an EOE.
	smallRecord = 40
	// meanRecord is what the depth of a queue that must save memory is made for: with
	// shorter records it is the count that ends, so that headers stay within half.
	meanRecord = 128
	// minQueue is what a queue gets in any case; config demands as much.
	minQueue = 64 << 10
	// addressable is what all queues may take where the addresses of a process are few: 1 GiB on
	// machines of 32 bits, where it has 2 to 4 in all. On others it bounds nothing.
	addressable = math.MaxInt / 2
	// minEvents is room for the longest event, and one beside it.
	minEvents = 2 * event.DefaultMaxEventBytes
)

// shareMemory divides what there is among the parts of the process. A quarter of a
// cgroup's limit is left to what no setting bounds: the kernel's share, the page cache
// of spools and files, auditd itself, which is in the same cgroup as a rule.
func shareMemory(cfg *config.Config, cgroup int64, file string) *MemoryReport {
	m := &MemoryReport{Limit: int64(cfg.MemoryLimit), Cgroup: cgroup, CgroupFile: file}
	inOrder := 0 // sinks that hold events twice: those that are open, and those that wait for others
	for _, s := range cfg.Sinks {
		if s.Serial {
			inOrder++
		}
	}

	if cgroup > 0 && cgroup/4*3 < m.Limit {
		m.Limit = cgroup / 4 * 3
		m.Input = m.Limit / 8
		m.Recovery = m.Limit / 6
		m.Events = max(m.Limit/8/int64(max(len(cfg.Sinks)+inOrder, 1)), minEvents)
	}

	// Three quarters are for what is live: from there on the collector works without end.
	m.Queues = max(m.Limit/4*3-m.Limit/8-baseMemory, m.Limit/8)
	var sizes []int64
	for _, s := range cfg.Sinks {
		sizes = append(sizes, int64(s.QBytes))
		m.Asked += int64(s.QBytes) + min(int64(s.QDepth), int64(s.QBytes)/smallRecord)*headerMemory
	}

	if m.Limit < int64(cfg.MemoryLimit) && m.Asked > m.Queues { // without a cgroup q_bytes is what the user has asked for
		m.QueueCap = max(evenShare(sizes, m.Queues), minQueue)
	}
	if m.QueueCap == 0 && m.Asked > addressable {
		m.Queues, m.QueueCap = addressable, max(evenShare(sizes, addressable), minQueue)
	}
	return m
}

// evenShare returns the size that those of sizes which are larger have to be cut to,
// so that together they are no more than total.
func evenShare(sizes []int64, total int64) int64 {
	sizes = slices.Sorted(slices.Values(sizes))
	for i, s := range sizes {
		share := total / int64(len(sizes)-i)
		if s > share {
			return share
		}
		total -= s
	}
	if len(sizes) == 0 {
		return total
	}
	return sizes[len(sizes)-1]
}

// text says it in a line of the status.
func (m *MemoryReport) text() string {
	s := fmt.Sprintf("at most %d MiB, of that %d for queues", m.Limit>>20, m.Queues>>20)
	if m.QueueCap > 0 {
		s += fmt.Sprintf(" that want %d: each is cut to %d KiB", m.Asked>>20, m.QueueCap>>10)
	}
	if m.Cgroup > 0 {
		s += fmt.Sprintf("; the cgroup has %d MiB (%s)", m.Cgroup>>20, m.CgroupFile)
	}
	return s
}

// fit cuts the bounds of a queue to its share.
func (m *MemoryReport) fit(q *queue.Config) {
	if m.QueueCap > 0 {
		q.Bytes = min(q.Bytes, m.QueueCap)
		q.Depth = min(q.Depth, int(q.Bytes/meanRecord))
	}
}

// gcPercent is how much garbage there may be beside what is in use. Nearly all
// memory is queue blocks, which are used again and hold no pointers: collecting
// often costs next to nothing here, and full queues do not take twice their size.
const gcPercent = 25

// startMemory is how much memory a start may take without a garbage collection: most take a few megabytes, but a configuration with
// large expressions, or a large spool, may take any amount, and a cgroup may have 64 MiB.
const startMemory = 32 << 20

// holdCollector keeps the garbage collector from running until collect is called, or the process has startMemory: it would run four
// times before the relay reads, for some megabytes.
func holdCollector() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(startMemory)
}

// collect has the garbage collector run, and work harder before the limit is reached.
func (p *Plugin) collect() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(p.memory.Load().Limit / 4 * 3)
}

// lookAtCgroup takes up the limit of the cgroup, which systemd and others change while the process runs.
func (p *Plugin) lookAtCgroup() {
	was := p.cgroup.limit
	p.cgroup.limit, p.cgroup.file = cgroupLimit(p.cgroup.root)
	if p.cgroup.limit != was {
		p.log.Info("memory limit of the cgroup has changed, and the queues with it: the pipe from auditd, recovery and the events of sinks "+
			"that run follow when the plugin is started again",
			zap.Int64("was", was), zap.Int64("cgroup_limit", p.cgroup.limit), zap.String("cgroup_file", p.cgroup.file))
	}
}

// setMemory shares the memory out, and says where queues hold less than configured. The share is that of new queues, and of
// those that are configured again.
func (p *Plugin) setMemory(cfg *config.Config) {
	m := shareMemory(cfg, p.cgroup.limit, p.cgroup.file)
	before := p.memory.Swap(m)
	if p.watches() || (before != nil && *before == *m) {
		return
	}
	fields := []zap.Field{zap.Int64("limit", m.Limit), zap.Int("sinks", len(cfg.Sinks)), zap.Int64("queues_wanted", m.Asked),
		zap.Int64("queues", m.Queues), zap.Int64("cap", m.QueueCap), zap.Int64("memory_limit", int64(cfg.MemoryLimit))}
	if m.Cgroup > 0 {
		fields = append(fields, zap.Int64("cgroup_limit", m.Cgroup), zap.String("cgroup_file", m.CgroupFile))
	}
	switch {
	case m.QueueCap > 0:
		p.log.Info("queues hold less in memory than q_bytes says, the rest goes to the spools: "+
			"lower q_bytes, or raise memory_limit or the cgroup's limit", fields...)
	case m.Limit < int64(cfg.MemoryLimit):
		p.log.Info("memory_limit is above what the cgroup allows", fields...)
	}
}

// maxOpen bounds the open events of one consumer, 0 for the default.
func (p *Plugin) maxOpen() int {
	return int(p.memory.Load().Events)
}

// maxHeld bounds the records that wait for audit.log, 0 for the default.
func (p *Plugin) maxHeld() int {
	return int(p.memory.Load().Recovery) / 3 * 2
}
