package sinks

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// complainEvery is how often a failure that lasts is said again; settleTime how
// long a sink that comes and goes has to wait before a new failure is said.
const (
	complainEvery = time.Minute
	settleTime    = 10 * time.Second
)

// Health is whether a sink works, and says in the log when that changes: at
// once, and while it lasts once a minute with totals.
type Health struct {
	h *health
}

type health struct {
	name string
	log  *zap.Logger

	mu    sync.Mutex // guards all below
	state Status
	said  time.Time
	told  bool // the present failure was said
}

// NewHealth returns the Health of a sink that works.
func NewHealth(name string, log *zap.Logger) Health {
	return Health{&health{name: name, log: log, state: Status{Since: time.Now()}}}
}

// Fail says that an attempt failed. err names the place, the reason and what to do.
func (x Health) Fail(err error) {
	h := x.h
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
	if quiet := now.Sub(h.said); quiet < settleTime || quiet < complainEvery && h.told && !changed {
		return
	}
	h.said, h.told = now, true
	h.log.Warn("sink degraded", zap.String("sink", h.name), zap.Error(err),
		zap.Time("since", h.state.Since), zap.Uint64("failures", h.state.Failures))
}

// OK says that an attempt succeeded. It is cheap while the sink works.
func (x Health) OK() {
	h := x.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.state.Degraded {
		return
	}
	now := time.Now()
	if h.told {
		h.log.Info("sink works again", zap.String("sink", h.name),
			zap.Duration("degraded_for", now.Sub(h.state.Since)), zap.Uint64("failures", h.state.Failures))
	}
	h.state.Degraded, h.state.Since, h.told = false, now, false
}

// Status returns the present state.
func (x Health) Status() Status {
	x.h.mu.Lock()
	defer x.h.mu.Unlock()
	return x.h.state
}
