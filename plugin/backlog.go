package plugin

import (
	"sync/atomic"
	"time"

	"audisp-relay/host"
)

const (
	// backlogEvery is how often the length of the kernel's queue is looked at while manyRecords come in that time, and for as long
	// as fullFor after. Fewer do not fill it; and where the relay's own system calls are audited, a look makes some itself.
	backlogEvery = time.Second
	manyRecords  = 100
	// fullFor is for how long after a look that has found the queue full it counts as that: who had to wait for room may
	// not have had a processor yet.
	fullFor = 5 * time.Second
	// fullPatience is how much later than usual the next record of an event may come then.
	fullPatience = 10 * time.Second
)

// backlog is what is known of the kernel's queue of records, which auditd takes them from. While it is full, whoever makes a
// record waits for room (kernel/audit.c, audit_log_start), which is once for each record: those of one event come seconds
// apart then, and audit.log lacks the rest, too. Such an event is not incomplete yet, and nothing of it is lost. Any
// goroutine may use it.
type backlog struct {
	full atomic.Int64 // when a look has found it full, ns since 1970; 0: never

	records uint64    // that had come at the last look; these two are for the goroutine that looks
	busy    time.Time // when many had come last
}

// mayFill reports whether the queue is to be looked at; records is how many have come so far.
func (b *backlog) mayFill(records uint64, now time.Time) bool {
	if records-b.records >= manyRecords || b.patience() > 0 {
		b.busy = now
	}
	b.records = records
	return now.Sub(b.busy) <= fullFor
}

// note takes in a look. Full is half of the limit already: it takes a moment from one to the other.
func (b *backlog) note(counts host.KernelCounts) {
	if counts.Limit > 0 && counts.Backlog >= counts.Limit/2 {
		b.full.Store(time.Now().UnixNano())
	}
}

// patience returns how much later than usual the next record of an event may come now.
func (b *backlog) patience() time.Duration {
	if at := b.full.Load(); at != 0 && time.Since(time.Unix(0, at)) < fullFor {
		return fullPatience
	}
	return 0
}

// received returns how many records have come.
func (p *Plugin) received() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.input.Records
}
