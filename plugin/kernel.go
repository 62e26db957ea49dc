package plugin

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

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
	ask  func() (uint32, error) // host.KernelLost, but for tests
	log  *zap.Logger
	tell func(n uint32) // of so many more records lost

	seen atomic.Int64  // the kernel's count, -1 while it is not known
	lost atomic.Uint64 // in this run
	err  string
}

func (k *kernelLoss) run(ctx context.Context) {
	t := time.NewTicker(kernelEvery)
	defer t.Stop()
	for {
		k.look()
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

func (k *kernelLoss) look() {
	lost, err := k.ask()
	if err != nil {
		if k.err != err.Error() {
			k.err = err.Error()
			k.log.Warn("the kernel does not say what it has lost", zap.Error(err))
		}
		return
	}
	k.err = ""
	// auditctl --reset-lost sets it to 0; a uint32 wraps.
	before := k.seen.Swap(int64(lost))
	if n := lost - uint32(before); before >= 0 && n > 0 && n < 1<<31 {
		k.lost.Add(uint64(n))
		k.tell(n)
	}
}

// startKernel asks the kernel from now on. What it returns ends that.
func (p *Plugin) startKernel() (end func()) {
	if p.opt.In != nil {
		return func() {} // a stream that is not auditd's
	}
	k := &kernelLoss{ask: host.KernelLost, log: p.log.limited(), tell: p.tellKernel}
	k.seen.Store(-1)
	if seen, ok := p.keep.before.Input[kernelSeen]; ok {
		if p.keep.before.BootID != bootID() {
			seen = 0 // it counts from the boot on
		}
		k.seen.Store(int64(uint32(seen)))
	}
	p.kernel = k
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.run(ctx)
	}()
	return func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(feedTime / 10): // it waits for a lossless consumer, or for the kernel
		}
	}
}

// tellKernel puts a marker into every consumer's stream.
func (p *Plugin) tellKernel(n uint32) {
	p.feed.Give(func() {
		for _, c := range p.consumers() {
			c.queue().Note(queue.Kernel, queue.Loss{Records: uint64(n), At: time.Now()})
		}
	})
}

// Names of what is saved of the input.
const (
	kernelSeen = "kernel seen" // the kernel's own count when it was asked last
	kernelLost = "lost kernel"
)
