package sinks

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"audisp-relay/queue/spool"
)

// complainEvery is how often a failure that lasts is logged again; settleTime how long a
// sink that fails and works in turn has to wait before a new failure is logged.
const (
	complainEvery = time.Minute
	settleTime    = 10 * time.Second
)

// Health is whether a sink works, and logs when that changes: at once, and while it
// lasts once a minute with totals.
type Health struct {
	name string
	log  *zap.Logger

	mu     sync.Mutex // guards all below
	state  Status
	at     time.Time // of the last complaint
	logged bool      // the present failure was
}

// NewHealth returns the Health of a sink that works.
func NewHealth(name string, log *zap.Logger) *Health {
	return &Health{name: name, log: log, state: Status{Since: time.Now()}}
}

// Fail says that an attempt failed. err names the place, the reason and what to do.
func (h *Health) Fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if !h.state.Degraded {
		h.state.Degraded = true
		h.state.Since = now
	}
	changed := h.state.Error != err.Error()
	h.state.Failures++
	h.state.Error = err.Error()
	h.state.DiskFull = spool.OutOfSpace(err)

	if quiet := now.Sub(h.at); quiet < settleTime || (quiet < complainEvery && h.logged && !changed) {
		return
	}
	h.at, h.logged = now, true
	h.log.Warn("sink degraded", zap.String("sink", h.name), zap.Error(err),
		zap.Time("since", h.state.Since), zap.Uint64("failures", h.state.Failures))
}

// OK says that an attempt succeeded. It is cheap while the sink works.
func (h *Health) OK() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.state.Degraded {
		return
	}
	now := time.Now()
	if h.logged {
		h.log.Info("sink works again", zap.String("sink", h.name),
			zap.Duration("degraded_for", now.Sub(h.state.Since)), zap.Uint64("failures", h.state.Failures))
	}
	h.state.Degraded, h.state.DiskFull, h.state.Since, h.logged = false, false, now, false
}

// Status returns the present state.
func (h *Health) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}
