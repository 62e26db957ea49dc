package plugin

import (
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"audisp-relay/sinks"
)

// Times of the steps of the end: the plugin is gone within a second of the end of the stream.
const (
	feedTime  = 150 * time.Millisecond // for the last of audit.log
	flushTime = 50 * time.Millisecond  // for events that are open to find room
	drainTime = 450 * time.Millisecond // for consumers to take what is queued
	leaveTime = 200 * time.Millisecond // for sinks to end once they are asked to
)

// readLast waits for the reader to come to the end of a stream that is closed.
// One that a lossless consumer has stopped would never come there, and auditd 4.2
// waits for the plugin without limit: such a consumer's queue is closed.
func (p *Plugin) readLast(ended <-chan error) error {
	for began := time.Now(); ; {
		select {
		case err := <-ended:
			return err
		case <-time.After(leaveTime / 20):
		}
		p.closeStalled(leaveTime, began)
	}
}

// closeStalled closes the queues that make whoever gives them records wait.
func (p *Plugin) closeStalled(patience time.Duration, began time.Time) {
	for _, c := range p.consumers() {
		for _, q := range c.Queues() {
			since := q.Counts().StallSince
			if !since.IsZero() && (time.Since(since) > patience || time.Since(began) > drainTime) {
				q.Close()
			}
		}
	}
}

// readRest lets the reader take what auditd had written before it went. The
// reader itself waits for stdin until the process ends.
func (p *Plugin) readRest(ended <-chan error) {
	select {
	case <-ended:
	case <-time.After(leaveTime):
	}
}

// finish ends the consumers in the order that Run describes. expired is closed when
// they get no more events that have waited too long.
func (p *Plugin) finish(expired <-chan struct{}) {
	members := slices.Concat(p.consumers(), p.leaving)
	flushed := p.flush(p.consumers()...)
	awaitFor(flushTime, flushed)
	p.ckpt.end()
	var ended []<-chan struct{}
	for _, c := range members {
		c.Close()
		ended = append(ended, c.Ended)
	}
	awaitFor(drainTime, ended...)
	close(p.stop)
	p.comebacks.Wait()
	for _, c := range members {
		c.Cancel(sinks.ErrTimeUp)
	}
	if !awaitFor(leaveTime, ended...) {
		p.log.Warn("sink did not stop in time: abandoning it")
	}

	var stored sync.WaitGroup
	for _, c := range members { // each may wait for a disk
		stored.Go(c.Shutdown)
	}
	stored.Wait()

	p.settle(append(p.running.ended(), flushed, expired)...)
	if p.kernel != nil {
		awaitFor(leaveTime/2, p.kernel.ended)
	}
	p.endState()
	p.logLosses(time.Now(), true)
	p.writeState()
}

// settle waits until all that was open has been given or counted. Nothing holds that up any
// more, as all queues are closed, but a log that hangs while records are read from it.
func (p *Plugin) settle(others ...<-chan struct{}) {
	for _, c := range p.leaving {
		if sinks.IsClosed(c.Ended) { // else its sink is left to itself
			others = append(others, c.Settled)
		}
	}
	awaitFor(leaveTime, others...)
}

// sayEnd logs the end, and closes the log.
func (p *Plugin) sayEnd(err error) {
	if errors.Is(err, ErrRenew) {
		p.signals.ignore()
		p.log.Info("ended, executing the new program", zap.Uint64("records", p.Report().Input.Records), zap.String("path", p.opt.Binary))
	} else {
		p.log.Info("ended", zap.Uint64("records", p.Report().Input.Records), zap.Error(err))
	}
	p.log.close()
}
