package plugin

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/integrity"
	"audisp-relay/host"
	"audisp-relay/queue"
)

// kernelEvery is how often the kernel is asked what it has lost. Each question is
// a message to the kernel's audit queue, so not more often.
const kernelEvery = 10 * time.Second

// kernelLoss asks the kernel for its count of lost records until ctx ends. What
// the kernel loses never reaches auditd, consumes no serial where the backlog
// was full, and shows nowhere else (kernel/audit.c, audit_log_lost).
type kernelLoss struct {
	ask    func() (host.KernelCounts, error) // host.KernelQueue, but for tests
	log    *zap.Logger
	report func(n uint32) // that so many more records are lost

	backlog *backlog
	records func() uint64                     // that have come so far
	now     atomic.Pointer[host.KernelCounts] // the last answer, nil while there is none
	seen    atomic.Int64                      // the kernel's count, -1 while it is not known
	lost    atomic.Uint64                     // in this run
	stopped atomic.Uint64                     // while auditd was stopped as it should be: no loss
	last    atomic.Bool                       // it was asked when the run had ended
	failed  lastError
	ended   <-chan struct{} // when it has asked for the last time

	// Of the time before this run: what the kernel lost then is judged once it is known
	// how auditd had ended. ordinary reports that, and whether it could be looked up at this moment; nil: as a loss at once.
	ordinary func() (ordinary, known bool)
	before   uint32
}

// judgeAfter is how long after the start of the relay it is known how auditd had ended.
const judgeAfter = 2 * time.Second

// judgeAgain is how soon that is looked up again while records are given: after a start there may be many.
const judgeAgain = 5 * time.Millisecond

func (k *kernelLoss) run(ctx context.Context) {
	k.look()
	k.judge(ctx)
	k.ordinary, k.before = nil, 0
	looked := time.Now()
	every(backlogEvery, ctx.Done(), func(now time.Time) {
		switch {
		case now.Sub(looked) > kernelEvery-backlogEvery/2:
			looked = now
			k.look()
		case k.backlog.mayFill(k.records(), now):
			k.lookAtBacklog()
		}
	})
	k.last.Store(k.look() == nil)
}

// judge counts what was lost before this run.
func (k *kernelLoss) judge(ctx context.Context) {
	if k.before == 0 {
		return
	}
	awaitFor(judgeAfter, ctx.Done())
	ordinary, known := k.ordinary()
	for !known && !awaitFor(judgeAgain, ctx.Done()) {
		ordinary, known = k.ordinary()
	}
	if ordinary {
		k.stopped.Add(uint64(k.before))
	} else {
		k.count(k.before)
	}
}

func (k *kernelLoss) count(n uint32) {
	k.lost.Add(uint64(n))
	k.report(n)
}

// look asks once.
func (k *kernelLoss) look() error {
	counts, err := k.ask()
	if changed := k.failed.replace(err); changed && err != nil {
		k.log.Warn("the kernel's count of lost records cannot be read", zap.Error(err))
	}
	if err != nil {
		k.now.Store(nil)
		return err
	}

	k.now.Store(&counts)
	k.backlog.note(counts)
	lost := counts.Lost

	// auditctl --reset-lost sets it to 0; a uint32 wraps.
	before := k.seen.Swap(int64(lost))
	if n := lost - uint32(before); before >= 0 && n > 0 && n < 1<<31 {
		if k.ordinary != nil {
			k.before = n
			return nil
		}
		k.count(n)
	}
	return nil
}

// lookAtBacklog asks for the length of the queue alone. That it cannot be read look logs.
func (k *kernelLoss) lookAtBacklog() {
	if counts, err := k.ask(); err == nil {
		k.backlog.note(counts)
	}
}

// startKernel asks the kernel from now on. What it returns ends that.
func (p *Plugin) startKernel() (end func()) {
	if p.opt.In != nil {
		return func() {} // a stream that is not auditd's
	}
	k := &kernelLoss{ask: host.KernelQueue, log: p.log.limited(), report: p.reportKernel, backlog: &p.backlog, records: p.received}
	k.seen.Store(-1)
	if seen, ok := p.saver.before.Input[kernelSeen]; ok {
		if p.saver.before.BootID != bootID() {
			seen = 0 // it counts from the boot on
		}
		k.seen.Store(int64(uint32(seen)))
		// Only if it was asked at the end of that run is what it lost since of the time
		// in which auditd was not there.
		if p.saver.before.Input[kernelLast] != 0 {
			k.ordinary = p.auditdEnded
		}
	}

	p.kernel = k
	ctx, cancel := context.WithCancel(context.Background())
	k.ended = inBackground(func() { p.safely("kernel", func() { k.run(ctx) }) })
	return func() {
		cancel()
		awaitFor(feedTime/10, k.ended) // it may wait for a lossless consumer, or for the kernel
	}
}

// auditdEnded reports whether auditd had ended regularly before it started this run, and whether it could be looked up without waiting.
func (p *Plugin) auditdEnded() (ordinary, known bool) {
	known = p.feed.Tracker(func(t *integrity.Tracker) { ordinary = t.Ordinary() })
	return ordinary, known
}

// kernelStopped returns what the kernel lost while auditd was stopped regularly.
func (p *Plugin) kernelStopped() uint64 {
	if p.kernel == nil {
		return 0
	}
	return p.kernel.stopped.Load()
}

// reportKernel puts a marker into every consumer's stream.
func (p *Plugin) reportKernel(n uint32) {
	if known := p.processes.now.Table(); known != nil {
		now := time.Now()
		known.LostBetween(now.Add(-2*kernelEvery).UnixMilli(), now.UnixMilli())
	}
	p.feed.WithLock(func() {
		for _, c := range p.consumers() {
			c.Queue().RecordUpstreamLoss(queue.Kernel, queue.Loss{Records: uint64(n), At: time.Now()})
		}
	})
}

// Names of what is saved of the input.
const (
	kernelSeen = "kernel seen" // the kernel's own count when it was asked last
	kernelLost = "lost kernel"
	kernelLast = "kernel asked at the end" // 1: after the stream had ended

	auditdStopped = "missed while auditd was stopped" // no loss: there was no auditd
)
