package consumer

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/host/athand"
	"audisp-relay/sinks"
)

// panicEvery is how often it is logged again that something panics.
const panicEvery = time.Minute

// Panics counts panics over events, or records, of one consumer or of the input, and events that
// were not read because they have ended the process (package athand). Each of these was given raw. Sinks with many
// clients use it from many goroutines.
type Panics struct {
	log    *zap.Logger  // nil: logs nothing
	atHand *athand.Page // nil: no event is noted; does not change once it is used

	mu    sync.Mutex // guards what follows
	times uint64
	last  string // the event, what panicked over it, and how
	said  time.Time
}

// NewPanics returns one that logs to log.
func NewPanics(log *zap.Logger) *Panics { return &Panics{log: log} }

// Note counts a panic over records i to j-1 of b; b is nil if no records are at hand. fault is what the deferred
// function that calls Note has recovered, or athand.ErrPoison.
func (p *Panics) Note(stage string, b *record.Batch, i, j int, fault any) {
	id := "none"
	if b != nil {
		for ; i < j && i < len(b.Recs); i++ {
			if r := &b.Recs[i]; r.HasID() {
				id = fmt.Sprintf("%d.%03d:%d", r.Millis/1000, r.Millis%1000, r.Serial)
				break
			}
		}
	}

	poison := fault == athand.ErrPoison
	at, last := "", fmt.Sprintf("event %s, not given to the %s: %v", id, stage, fault)
	if !poison {
		at = sinks.PanicAt()
		last = fmt.Sprintf("event %s, %s at %s: %v", id, stage, at, fault)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	p.times++
	p.last = last
	if p.log == nil || (!p.said.IsZero() && time.Since(p.said) < panicEvery) {
		return
	}
	p.said = time.Now()

	if poison {
		p.log.Error("event has ended the process twice: its records are delivered raw, please report this", zap.String("stage", stage),
			zap.String("event", id), zap.Uint64("times", p.times))
		return
	}
	p.log.Error("panic over an event: its records are delivered raw, please report this", zap.String("stage", stage), zap.String("event", id),
		zap.String("at", at), zap.Any("panic", fmt.Sprint(fault)), zap.Uint64("times", p.times))
}

// Shown returns how many there were, and the last one.
func (p *Panics) Shown() (times uint64, last string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.times, p.last
}
