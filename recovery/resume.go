package recovery

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/record"
)

// Resumed is a consumer that continues where an earlier run has ended.
type Resumed struct {
	Name  string
	ID    record.ID // of the last record it had that is in the log
	First bool      // of the first one it is to have, instead
	Known bool      // otherwise it is new, and begins with what comes from now on
	Put   func(b *record.Batch)

	from auditlog.Position
}

// Begin makes the log lead from the start on, for Resume. It is to be called
// before the reader begins.
func (f *Merger) Begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log == nil {
		return
	}
	f.mode, f.doubt, f.quiet, f.resuming = led, time.Now(), time.Second, true
	f.witness.begin(&f.recent)
	f.count.Led++
}

// Resume gives each consumer what follows its position in the log, then lets the log
// lead until the stream has caught up. It is called after Begin,
// before Run, by Run's goroutine.
func (f *Merger) Resume(cs []Resumed) {
	if f.log == nil {
		return
	}
	began := time.Now()
	err := f.resume(cs)
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.publish()
	f.logState(err)
	f.resuming = false
	if err == nil {
		f.certain.until = began
	}
	f.noteDoubt()
	if err != nil && f.mode != direct {
		f.abandonLog(time.Now())
		return
	}
	poke(f.wake)
}

func (f *Merger) resume(cs []Resumed) error {
	if err := f.places(cs); err != nil {
		return err
	}
	resumed := uint64(0)
	_, err := f.giveLines(func(b *record.Batch, at auditlog.Position) {
		most := 0
		for i := range cs {
			most = max(most, cs[i].put(b, at))
		}
		resumed += uint64(most)
	})
	f.mu.Lock()
	f.count.Resumed += resumed
	f.mu.Unlock()
	return err
}

// overlap is how far back lines are looked at that consumers may have had: the
// stream can bring them again. auditd may hand a plugin's successor records that
// the plugin itself took from the log at its end.
const overlap = 10 * time.Second

// places finds where each consumer resumes and goes to the first of these places, or
// further back by the overlap.
func (f *Merger) places(cs []Resumed) error {
	defer f.markReading()()
	end, err := f.log.SeekEnd()
	if err != nil {
		return err
	}
	first, _, err := f.log.SeekTime(time.Now().Add(-overlap).UnixMilli(), backMax)
	if err != nil {
		return err
	}

	begin := end
	for i := range cs {
		c := &cs[i]
		err = nil
		switch {
		case !c.Known:
			c.from = end
		case c.First:
			c.from, err = f.log.SeekAt(c.ID)
		default:
			c.from, err = f.log.SeekAfter(c.ID)
		}

		if errors.Is(err, auditlog.ErrAbsent) {
			f.o.Say.Info("last record of this consumer is not in audit.log: continuing with the first newer one",
				zap.String("sink", c.Name), zap.Uint32("serial", c.ID.Serial), zap.Time("of", time.UnixMilli(c.ID.Millis)))
		} else if errors.Is(err, auditlog.ErrGone) {
			f.o.Say.Warn("last record of this consumer is no longer in audit.log: continuing with the oldest one there",
				zap.String("sink", c.Name), zap.Uint32("serial", c.ID.Serial), zap.Time("of", time.UnixMilli(c.ID.Millis)))
		} else if err != nil {
			return err
		}

		if c.from.Less(first) {
			first = c.from
		}
		if c.from.Less(begin) {
			begin = c.from
		}
	}

	f.mu.Lock()
	f.resumedAt = begin
	f.mu.Unlock()
	return f.enter(first)
}

// put gives c the part of b that follows its position, and returns how many records
// that is.
func (c *Resumed) put(b *record.Batch, at auditlog.Position) int {
	n := 0
	for n < len(b.Recs) && at.At(b, n).Less(c.from) {
		n++
	}
	if n < len(b.Recs) {
		c.Put(&record.Batch{Buf: b.Buf, Recs: b.Recs[n:]})
	}
	return len(b.Recs) - n
}
