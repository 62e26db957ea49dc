package consumer

import (
	"strings"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/sinks"
)

// Failure is a failure that has lasted for the time that the key after sets, and the action for it.
type Failure struct {
	Disk   bool   // a disk is full; else the server is not reached
	Action string // the value of disk_full_action or network_failure_action
	Since  time.Time
	Error  string // one line
}

// Key is the key of the configuration that asks for the action.
func (f *Failure) Key() string {
	if f.Disk {
		return "disk_full_action"
	}
	return "network_failure_action"
}

// episode is one time that something fails.
type episode struct {
	since time.Time
	done  string // the action that it has led to
}

// due notes since when something fails, zero if it does not, and reports whether it is time
// for an action: once an episode, and again if the configuration asks for another one meanwhile.
func (e *episode) due(since, now time.Time, after time.Duration, action string) bool {
	if !since.Equal(e.since) {
		*e = episode{since: since}
	}
	if since.IsZero() || action == config.NoAction || action == e.done || now.Sub(since) < after {
		return false
	}
	e.done = action
	return true
}

// Failures returns what is to be done now about failures that last. The plugin calls it about once a second.
func (c *Consumer) Failures(now time.Time) (due []Failure) {
	c.mu.Lock()
	cfg, sink := c.cfg, c.sink
	c.mu.Unlock()
	if sink == nil || (cfg.NetworkFailureAction == config.NoAction && cfg.DiskFullAction == config.NoAction) {
		c.network, c.disk, c.waits = episode{}, episode{}, time.Time{}
		return nil
	}

	s := sink.Status()
	n, _ := c.balance()
	network, disk := c.failing(&s, n.Queued, now), n.FullSince
	reason, _, _ := strings.Cut(s.Error, "\n")
	diskReason := "the spool, or its disk, is full"
	if s.DiskFull && !network.IsZero() {
		network, disk, diskReason = time.Time{}, network, reason
	}

	if c.network.due(network, now, cfg.After, cfg.NetworkFailureAction) {
		due = append(due, Failure{Action: cfg.NetworkFailureAction, Since: network, Error: reason})
	}
	if c.disk.due(disk, now, cfg.After, cfg.DiskFullAction) {
		due = append(due, Failure{Disk: true, Action: cfg.DiskFullAction, Since: disk, Error: diskReason})
	}
	return due
}

// failing returns since when the sink is degraded while records wait for it, zero if that is not so. While none wait,
// a sink may notice that its connection has ended, but makes another only when it has something to send, so it is not
// known whether it could.
func (c *Consumer) failing(s *sinks.Status, queued uint64, now time.Time) time.Time {
	switch {
	case !s.Degraded || queued == 0:
		c.waits = time.Time{}
	case c.waits.IsZero():
		c.waits = now
	case s.Since.After(c.waits): // it has worked in between
		c.waits = s.Since
	}
	return c.waits
}

// Stop ends the sink until it is started again. Its records wait in the queue.
func (c *Consumer) Stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.Cancel(nil)
}

// Stopped reports whether the sink waits to be started again.
func (c *Consumer) Stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// rearm is by how many percentage points a spool has to fall below warn_at before it is warned of
// again. It stays above the eighth of max_size that an empty spool may take.
const rearm = 10

// filled reports whether a spool counts as filled beyond warn_at; was says whether it did before.
func filled(was bool, size, limit int64, warnAt int) bool {
	if limit == 0 || warnAt == 0 {
		return false
	}
	if was {
		warnAt -= rearm
	}
	return size*100 >= limit*int64(warnAt)
}

// watchSpool logs once that the spool is filled beyond warn_at, and that it is not any more.
func (c *Consumer) watchSpool(size int64) {
	c.mu.Lock()
	spool, was := c.cfg.Spool, c.filled
	is := filled(was, size, int64(spool.MaxSize), spool.WarnAt)
	c.filled = is
	c.mu.Unlock()

	fields := []zap.Field{zap.String("sink", c.Name), zap.Int64("bytes", size), zap.Stringer("max_size", spool.MaxSize)}
	switch {
	case is && !was:
		c.Log.Warn("spool is above warn_at: see why the sink does not keep up, or raise max_size", append(fields, zap.Int("percent", spool.WarnAt))...)
	case was && !is:
		c.Log.Info("spool is below warn_at again", fields...)
	}
}
