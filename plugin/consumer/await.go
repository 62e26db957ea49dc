package consumer

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// endTime is by when a sink has ended that was asked to, unless a disk hangs, or a program in the kernel.
const endTime = 5 * time.Second

var errBefore = errors.New("the sink before the reload has not ended, so that its records cannot be taken over: most likely its disk hangs; " +
	"see to that, or restart auditd")

// await waits until a new sink may begin: for the one before, nil for none, which reads the same queue, and for those of consumers that a
// reload has taken away, as one may want the path of another. A disk of theirs that hangs must not keep this one from
// beginning: who still has a file or a socket is found out when that is opened.
func (c *Consumer) await(ctx context.Context, before <-chan struct{}, others []<-chan struct{}) {
	late := time.NewTimer(endTime)
	defer late.Stop()
	if before != nil {
		select {
		case <-before:
		case <-late.C:
			c.awaitHung(before)
			late.Reset(endTime)
		}
	}

	for _, ended := range others {
		select {
		case <-ended:
		case <-ctx.Done():
		case <-late.C:
			c.Log.Warn("a sink that was removed has not ended, most likely because its disk hangs: this one begins nevertheless", zap.String("sink", c.Name))
			return
		}
	}
}

// awaitHung waits for a sink that hangs. Meanwhile the status says why nothing is delivered.
func (c *Consumer) awaitHung(before <-chan struct{}) {
	c.Log.Warn("sink does not begin", zap.String("sink", c.Name), zap.Error(errBefore))
	c.lack(errBefore)
	<-before
	c.lack(nil)
}

// lack notes why there is no sink, nil when there is one.
func (c *Consumer) lack(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.panicked = why
}
