package recovery

import (
	"cmp"
	"errors"
	"io"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/record"
)

const (
	// How far back from the log's end it is searched when it begins to lead: more
	// than the stream can lag. What is older was given or reported as lost.
	backMax = 128 << 20
	// How much older than the newest records one is searched for: its event's time
	// may be of hours ago.
	oldestEvent = 60_000 // ms
	// From how long ago on, when the clock was set back and the times of records say
	// nothing of when they were written.
	unknown = 10 * time.Second
)

// noteTimes notes when the records of the stream were written.
func (f *Merger) noteTimes(b *record.Batch) {
	latest := b.Recs[0].Millis
	for i := range b.Recs {
		latest = max(latest, b.Recs[i].Millis)
	}
	f.latest.Add(latest, len(b.Recs))
}

// writtenAt returns from which time on lines are to be searched for a record that
// came now and whose event has that time.
func (f *Merger) writtenAt(millis int64) int64 {
	return max(millis, f.latest.At()-oldestEvent)
}

// searchFrom returns from which time on the log is to be searched for what was
// written at about that time.
func (f *Merger) searchFrom(millis int64, now time.Time) int64 {
	if f.o.Static || millis <= now.UnixMilli() {
		return millis
	}
	return now.Add(-unknown).UnixMilli()
}

// searchForGaps has the log searched for gaps that have shown, from the lines of about this time on.
func (f *Merger) searchForGaps(now time.Time, millis int64) {
	switch {
	case f.mode != led:
		f.letLogLead(now, millis, quietTime)
	case f.entry != nil: // that search has not begun yet
		f.letLogLead(now, millis, quietTime)
		f.entry.millis = min(f.entry.millis, f.searchFrom(millis, now))
	default: // The log should have had them. It may have been another one, or read from a later place.
		f.doubtLog(now, millis)
	}
}

// doubtLog has the log read again from the lines of about this time on. The log leads until it was, whatever it has
// begun to lead for.
func (f *Merger) doubtLog(now time.Time, millis int64) {
	f.doubt, f.quiet = now, max(f.quiet, quietTime)
	if f.unsure == 0 || millis < f.unsure {
		f.unsure = max(millis, 1)
	}
	if f.certain.entered.IsZero() {
		f.certain.entered = f.certain.until
	}
}

// seekTime finds where the log begins to lead.
func (f *Merger) seekTime(millis int64) (auditlog.Position, error) {
	back := int64(backMax)
	if f.o.Static {
		back = 0
	}
	place, cut, err := f.log.SeekTime(millis, back)
	if cut {
		f.o.Say.Warn("audit.log is not searched further back than this: older missing records are not recovered",
			zap.Int64("bytes", back), zap.Time("wanted_from", time.UnixMilli(millis)))
	}
	return place, err
}

// seek goes to where the log begins to lead, and finds the last line from there
// on that the consumers have: those before it are given late.
func (f *Merger) seek(at *entry) error {
	defer f.markReading()()
	place, err := f.seekTime(at.millis)
	if err != nil {
		return err
	}
	if err = f.log.Go(place); err != nil {
		return err
	}

	f.mu.Lock()
	before, matched := f.had.counts, make(map[recentKey]bool) // changed by this goroutine only
	f.had.matched, f.had.from = matched, at.millis
	f.mu.Unlock()

	var b record.Batch
	for {
		p, err := f.log.Next(&b)
		switch {
		case errors.Is(err, io.EOF):
			return f.enter(place)
		case errors.Is(err, auditlog.ErrSkipped), errors.Is(err, auditlog.ErrTruncated):
			continue
		case err != nil:
			return err
		}

		for i := range b.Recs {
			if k := keyOf(&b, i); before[k] > 0 {
				at.had = p.At(&b, i)
				matched[k], matched[recentKey{serial: k.serial}] = true, true
			}
		}
	}
}

// contextSize is more than the lines take up by which those after them are judged.
const contextSize = 256 << 10

// enter goes to a place in the log. The lines in front of it say what those after it are
// worth: whoever forges some chooses their times, and so where a search ends, even within
// a socket's address.
func (f *Merger) enter(place auditlog.Position) error {
	f.mu.Lock()
	f.suspect, f.witness.lasts = 0, 0
	f.mu.Unlock()
	err := f.log.Before(place, contextSize, func(b *record.Batch, i int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		r := &b.Recs[i]
		f.suspects(b, i)
		if r.HasID() && !record.OfDaemon(r.Type) && r.Flags&record.Cont == 0 {
			f.witness.distance(r.Serial)
		}
		if k := keyOf(b, i); f.had.counts[k] > 0 {
			f.had.matched[k], f.had.matched[recentKey{serial: k.serial}] = true, true
		}
	})
	return cmp.Or(err, f.log.Go(place))
}
