package plugin

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/sinks"
)

// sayPoison is how often it is logged again that something panics.
const sayPoison = time.Minute

// poison counts panics over events, or records, of one consumer or of the input. Each of these
// was given raw. Sinks with many clients use it from many goroutines.
type poison struct {
	log *zap.Logger // nil: says nothing

	mu    sync.Mutex // guards what follows
	times uint64
	last  string // the event, what panicked over it, and how
	said  time.Time
}

// note counts one over records i to j-1 of b, nil for no records at hand. A deferred function
// calls it.
func (p *poison) note(stage string, b *record.Batch, i, j int, fault any) {
	id := "none"
	if b != nil {
		for ; i < j && i < len(b.Recs); i++ {
			if r := &b.Recs[i]; r.HasID() {
				id = fmt.Sprintf("%d.%03d:%d", r.Millis/1000, r.Millis%1000, r.Serial)
				break
			}
		}
	}
	at := sinks.PanicAt()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times++
	p.last = fmt.Sprintf("event %s, %s at %s: %v", id, stage, at, fault)
	if p.log == nil || !p.said.IsZero() && time.Since(p.said) < sayPoison {
		return
	}
	p.said = time.Now()
	p.log.Error("panic over an event: its records are given raw, please report this", zap.String("stage", stage), zap.String("event", id),
		zap.String("at", at), zap.Any("panic", fmt.Sprint(fault)), zap.Uint64("times", p.times))
}

// shown returns how often it was, and the last.
func (p *poison) shown() (times uint64, last string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.times, p.last
}

// safely calls f, which does something that can be left out once. A panic in it is counted
// and logged.
func (p *Plugin) safely(what string, f func()) {
	defer func() {
		if fault := recover(); fault != nil {
			p.faults.note(what, nil, 0, 0, fault)
		}
	}()
	f()
}
