package unix

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// tally logs what may happen at any rate: the first few times in a
// minute one by one, the rest as one total when the minute is over. It may be used
// from anywhere.
type tally struct {
	log func(msg string, fields ...zap.Field)
	msg string

	mu   sync.Mutex // guards all below
	from time.Time  // when this minute began
	said int        // in this minute, one by one
	held uint64     // times not logged yet

	total atomic.Uint64 // times in all
}

const (
	tallyEvery = time.Minute
	tallyBurst = 5
)

// add counts one more and logs it or holds it back.
func (t *tally) add(fields ...zap.Field) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(false)
	total := t.total.Add(1)
	if t.said == tallyBurst {
		t.held++
		return
	}
	t.said++
	t.log(t.msg, append(fields, zap.Uint64("total", total))...)
}

// flush logs what was held back once the minute is over, or now.
func (t *tally) flush(now bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(now)
}

func (t *tally) turn(now bool) {
	at := time.Now()
	if at.Sub(t.from) < tallyEvery && !now {
		return
	}
	if t.held > 0 {
		t.log(t.msg+" (not logged one by one)", zap.Uint64("times", t.held), zap.Uint64("total", t.total.Load()))
	}
	t.from, t.said, t.held = at, 0, 0
}
