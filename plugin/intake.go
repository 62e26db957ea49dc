package plugin

import (
	"fmt"
	"sync/atomic"
	"time"

	"audisp-relay/audit/event"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/queue"
)

// expireEvery is how often events are looked for that nothing has completed.
const expireEvery = 100 * time.Millisecond

// wish is what a consumer wants to have: records as they come, or whole events, and
// of these perhaps not all.
type wish struct {
	events bool
	judge  *judge // nil: all
}

// wishOf returns what a checked configuration asks for. users may be nil.
func wishOf(cfg config.Sink, users *users.Users, local string) (*wish, error) {
	kind, err := format.Parse(cfg.Format)
	if err != nil {
		return nil, err
	}
	w := &wish{events: kind.Format.Events() || cfg.Filter != ""}
	if cfg.Filter != "" {
		rule, err := filter.Compile(cfg.Filter)
		if err != nil {
			return nil, err
		}
		match := rule.New()
		if users != nil {
			match.Users, match.Local = users, local
		}
		w.judge = newJudge(match)
	}
	return w, nil
}

// intake stands in front of the queue of one consumer. Whoever holds the Merger calls
// put, expire and flush; the rest may be called from anywhere.
type intake struct {
	queue *queue.Queue
	next  atomic.Pointer[wish] // what is wanted now

	wish *wish            // what was wanted at the last put
	asm  *event.Assembler // nil until events are wanted
	// maxOpen bounds what asm holds, in bytes; 0 is its own default.
	maxOpen int
	own     record.Batch // a copy of the records, for asm to set flags in
	// stored says that the records did not come when they were made: then time is
	// that of the newest of them, not the clock's.
	stored bool
	newest int64 // ms
	// missed says that records were given which the consumer had been lacking: the
	// queue is to hold its floor until the first missedTurn records are given as events.
	missed     bool
	missedTurn uint64

	// late says that the run before may still have state_dir; then first is the
	// identity of the first record that this run was given.
	late  bool
	first atomic.Pointer[record.ID]

	poison  *poison
	counts  atomic.Pointer[event.AssemblerCounts] // as of the last expire
	failed  atomic.Uint64                         // events that a filter failed on, and that were kept
	failure atomic.Pointer[string]                // the last time's error
	unread  atomic.Uint64                         // records without a readable header that a filter kept
	cause   atomic.Pointer[string]                // likely, of the last of these
}

func newIntake(q *queue.Queue, w *wish) *intake {
	in := &intake{queue: q, poison: new(poison)}
	in.next.Store(w)
	return in
}

// put gives the consumer what it wants of b.
func (in *intake) put(b *record.Batch) {
	in.look()
	in.queue.Mark(time.Now())
	if in.late {
		in.noteFirst(b)
	}
	if !in.wish.events {
		in.queue.Put(b)
		return
	}
	in.own.Buf, in.own.Recs = b.Buf, append(in.own.Recs[:0], b.Recs...)
	if !in.stored {
		in.asm.Add(&in.own, time.Now())
		return
	}
	for i := range b.Recs {
		in.newest = max(in.newest, b.Recs[i].Millis)
	}
	in.asm.Add(&in.own, time.UnixMilli(in.newest))
	in.asm.Expire(time.UnixMilli(in.newest))
}

// putMissed gives the consumer records that belong before some it already has. doubt is
// since when records were missing.
func (in *intake) putMissed(b *record.Batch, doubt time.Time) {
	in.queue.Hold(doubt)
	in.put(b)
	in.missed = true
	if in.asm != nil {
		in.missedTurn = in.asm.Turn()
	}
	in.unhold()
}

// unhold lets the queue's floor go when all that was missing is in the queue.
func (in *intake) unhold() {
	if in.missed && (in.asm == nil || in.asm.Given(in.missedTurn)) {
		in.missed = false
		in.queue.Unhold()
	}
}

// noteFirst keeps the identity of the first record that audit.log has, too.
func (in *intake) noteFirst(b *record.Batch) {
	for i := range b.Recs {
		r := &b.Recs[i]
		if r.HasID() && r.Type != record.TypeEOE && r.Flags&(record.Open|record.Cont|record.Late|record.Marker) == 0 {
			id := b.ID(i)
			in.first.Store(&id)
			in.late = false
			return
		}
	}
}

// look takes note of what is wanted now. Events that are open when no events are
// wanted any more are given as they are.
func (in *intake) look() {
	w := in.next.Load()
	if w == in.wish {
		return
	}
	if in.wish != nil && in.wish.events && !w.events {
		in.asm.Flush()
	}
	in.wish = w
	if w.events && in.asm == nil {
		in.asm = event.NewAssembler(event.AssemblerOptions{Out: in.give, MaxBytes: in.maxOpen, Panicked: func(b *record.Batch, i int, fault any) {
			in.poison.note("assembling", b, i, i+1, fault)
		}})
	}
}

// give gives whole events to the queue, those that the filter leaves out apart.
// Events of one verdict that stand together go together.
func (in *intake) give(b *record.Batch) {
	if in.wish.judge == nil {
		in.queue.Put(b)
		return
	}
	from, kept := 0, false
	for i := 0; i < len(b.Recs); {
		j := format.EventEnd(b, i)
		keep, err := in.keep(b, i, j)
		switch {
		case err == nil:
		case isUnread(err):
			in.unread.Add(1)
			if cause := stream.WhyUnread(b.Bytes(i)); in.cause.Load() == nil || *in.cause.Load() != cause {
				in.cause.Store(&cause)
			}
		default:
			text := err.Error()
			in.failure.Store(&text)
			in.failed.Add(1)
		}
		if i > from && keep != kept {
			in.hand(b, from, i, kept)
			from = i
		}
		kept, i = keep, j
	}
	in.hand(b, from, len(b.Recs), kept)
}

// keep asks the filter. An event that it panics over is kept, as any on which it fails.
func (in *intake) keep(b *record.Batch, i, j int) (keep bool, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			in.poison.note("filter", b, i, j, fault)
			in.wish.judge.match = in.wish.judge.match.Renew()
			keep, err = true, fmt.Errorf("panic: %v", fault)
		}
	}()
	return in.wish.judge.keep(b, i, j)
}

func (in *intake) hand(b *record.Batch, from, to int, keep bool) {
	part := record.Batch{Buf: b.Buf, Recs: b.Recs[from:to]}
	if keep {
		in.queue.Put(&part)
	} else {
		in.queue.Skip(&part)
	}
}

// expire gives the events that have waited too long.
func (in *intake) expire(now time.Time) {
	if in.asm == nil {
		return
	}
	in.asm.Expire(now)
	in.unhold()
	n := in.asm.Counts()
	in.counts.Store(&n)
}

// flush gives all events that are open.
func (in *intake) flush() {
	if in.asm != nil {
		in.asm.Flush()
		in.expire(time.Now())
	}
}

// report says how records became events, nil where they do not.
func (in *intake) report() *EventReport {
	n := in.counts.Load()
	if n == nil || !in.next.Load().events {
		return nil
	}
	r := &EventReport{AssemblerCounts: *n, FilterErrors: in.failed.Load(), Unread: in.unread.Load()}
	if text := in.cause.Load(); text != nil {
		r.UnreadCause = *text
	}
	if text := in.failure.Load(); text != nil {
		r.FilterError = *text
	}
	return r
}
