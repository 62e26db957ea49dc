package consumer

import (
	"fmt"
	"sync/atomic"
	"time"

	"audisp-relay/audit/event"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/host/athand"
	"audisp-relay/queue"
)

// Selection is what a consumer gets: records as they come, or whole events, and perhaps not all
// of these. It does not change, and several intakes may follow one.
type Selection struct {
	Events bool
	Serial bool            // events in the order of their serials
	match  *filter.Matcher // each intake has one like it; nil: all
}

// NewSelection returns what a checked configuration asks for. local is node= of this host's own records.
func NewSelection(cfg config.Sink, known Known, local string) (*Selection, error) {
	kind, err := format.Parse(cfg.Format)
	if err != nil {
		return nil, err
	}
	w := &Selection{Events: kind.Format.Events() || cfg.Events || cfg.Filter != "" || cfg.Serial, Serial: cfg.Serial}
	if cfg.Filter != "" {
		rule, err := filter.CompileWith(cfg.Filter, cfg.Rules)
		if err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
		match := rule.New()
		match.Processes = known.Processes
		if known.Users != nil {
			match.Users, match.Local = known.Users, local
		}
		w.match = match
	}
	return w, nil
}

// Intake stands in front of the queue of one consumer. Whoever holds the Merger calls
// Put, Expire and Flush; the rest may be called from anywhere.
type Intake struct {
	queue *queue.Queue
	next  atomic.Pointer[Selection] // what is wanted now

	selection *Selection       // what was wanted at the last put
	judge     *Judge           // asks its filter; nil: all is wanted
	slot      athand.Slot      // of the event that judge is asked about, taken while there are events
	asm       *event.Assembler // nil until events are wanted
	sorter    *event.Sorter    // takes the events of asm; nil until they are wanted in the order of their serials
	now       time.Time        // when what asm gives comes to sorter
	// maxOpen bounds what asm holds, in bytes, and as much what sorter does; 0 is their own default.
	maxOpen  int
	own      record.Batch         // a copy of the records, for asm to set flags in
	patience func() time.Duration // see event.AssemblerOptions; may be nil
	// Stored says that the records did not come when they were made: then time is
	// that of the newest of them, not the clock's.
	Stored bool
	newest int64 // ms
	// missed says that records were given which the consumer had been lacking: the
	// queue is to hold its floor until the first missedTurn records are given as events, and
	// sorter, once it has these, has given its first missedEvents; 0: it does not have them yet.
	missed                   bool
	missedTurn, missedEvents uint64

	// late says that the run before may still have state_dir; then first is the
	// identity of the first record that this run was given.
	late  bool
	first atomic.Pointer[record.ID]

	panics  *Panics
	counts  atomic.Pointer[EventReport] // of asm and sorter, as of the last expire
	failed  atomic.Uint64               // events that a filter failed on, and that were kept
	failure atomic.Pointer[string]      // the last time's error
	unread  atomic.Uint64               // records without a readable header that a filter kept
	cause   atomic.Pointer[string]      // likely, of the last of these
}

// NewIntake returns the intake of a queue.
func NewIntake(q *queue.Queue, w *Selection) *Intake {
	in := &Intake{queue: q, panics: new(Panics)}
	in.next.Store(w)
	return in
}

// Put gives the consumer what it wants of b.
func (in *Intake) Put(b *record.Batch) {
	in.queue.Mark(time.Now())
	in.Resume(b)
}

// Resume gives the consumer what it wants of records of audit.log, in the order of the log
// from where the run before has ended. It is called before Put.
func (in *Intake) Resume(b *record.Batch) {
	in.followSelection()
	if in.late {
		in.noteFirst(b)
	}
	if !in.selection.Events {
		in.queue.Put(b)
		return
	}

	in.own.Buf, in.own.Recs = b.Buf, append(in.own.Recs[:0], b.Recs...)
	if !in.Stored {
		in.now = time.Now()
		in.asm.Add(&in.own, in.now)
		return
	}

	for i := range b.Recs {
		in.newest = max(in.newest, b.Recs[i].Millis)
	}
	in.now = time.UnixMilli(in.newest)
	in.asm.Add(&in.own, in.now)
	in.giveDue()
}

// putMissed gives the consumer records that belong before some it already has. doubt is
// since when records were missing.
func (in *Intake) putMissed(b *record.Batch, doubt time.Time) {
	in.queue.Hold(doubt)
	in.Put(b)
	in.missed, in.missedEvents = true, 0
	if in.asm != nil {
		in.missedTurn = in.asm.Turn()
	}
	in.unhold()
}

// unhold releases the queue's floor when all that was missing is in the queue.
func (in *Intake) unhold() {
	if !in.missed || (in.asm != nil && !in.asm.Given(in.missedTurn)) {
		return
	}
	if in.sorter != nil {
		if in.missedEvents == 0 {
			in.missedEvents = in.sorter.Turn()
		}
		if !in.sorter.Given(in.missedEvents) {
			return
		}
	}
	in.missed = false
	in.queue.Unhold()
}

// noteFirst keeps the identity of the first record that is also in audit.log.
func (in *Intake) noteFirst(b *record.Batch) {
	for i := range b.Recs {
		if b.Recs[i].Loggable() {
			id := b.ID(i)
			in.first.Store(&id)
			in.late = false
			return
		}
	}
}

// followSelection takes up what is wanted now. If events are no longer wanted, those that are open are given as they
// are; if no order is, those that wait for others.
func (in *Intake) followSelection() {
	w := in.next.Load()
	if w == in.selection {
		return
	}
	if in.selection != nil && in.selection.Events && !w.Events {
		in.asm.Flush()
	}
	if in.selection != nil && in.selection.Serial && !w.Serial {
		in.sorter.Flush()
	}
	in.selection, in.judge = w, nil
	if w.match != nil {
		in.judge = NewJudge(w.match.Renew())
	}

	if w.Events && in.asm == nil {
		in.asm = event.NewAssembler(event.AssemblerOptions{Out: in.takeEvents, Patience: in.patience, MaxBytes: in.maxOpen, Panicked: func(b *record.Batch, i int, fault any) {
			in.panics.Note("assembling", b, i, i+1, fault)
		}})
	}
	if w.Serial && in.sorter == nil {
		in.sorter = event.NewSorter(event.SorterOptions{Out: in.putEvents, MaxBytes: in.maxOpen, Passed: func(id record.ID) {
			in.queue.Passed(id)
		}})
	}
}

// takeEvents takes whole events from the Assembler.
func (in *Intake) takeEvents(b *record.Batch) {
	if in.selection.Serial {
		in.sorter.Add(b, in.now)
	} else {
		in.putEvents(b)
	}
}

// putEvents gives whole events to the queue, those that the filter leaves out apart.
// Events of one verdict that stand together go together.
func (in *Intake) putEvents(b *record.Batch) {
	if in.judge == nil {
		in.queue.Put(b)
		return
	}
	in.slot = in.panics.atHand.Take()
	defer in.slot.Give()

	from, kept := 0, false
	for i := 0; i < len(b.Recs); {
		j := format.EventEnd(b, i)
		keep, err := in.keep(b, i, j)
		switch {
		case err == nil:
		case IsUnread(err):
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
			in.putPart(b, from, i, kept)
			from = i
		}
		kept, i = keep, j
	}
	in.putPart(b, from, len(b.Recs), kept)
}

// keep asks the filter. An event is kept if the filter fails or panics on it, or if it has ended the process.
func (in *Intake) keep(b *record.Batch, i, j int) (keep bool, err error) {
	defer func() {
		in.slot.Clear() // the queue may have to wait
		if fault := recover(); fault != nil {
			in.panics.Note("filter", b, i, j, fault)
			in.judge.Match = in.judge.Match.Renew()
			keep, err = true, fmt.Errorf("panic: %v", fault)
		}
	}()
	if in.slot.Hold(b, i) {
		in.panics.Note("filter", b, i, j, athand.ErrPoison)
		return true, athand.ErrPoison
	}
	return in.judge.Keep(b, i, j)
}

func (in *Intake) putPart(b *record.Batch, from, to int, keep bool) {
	part := record.Batch{Buf: b.Buf, Recs: b.Recs[from:to]}
	if keep {
		in.queue.Put(&part)
	} else {
		in.queue.Skip(&part)
	}
}

// Expire gives the events that have waited too long.
func (in *Intake) Expire(now time.Time) {
	if in.asm == nil {
		return
	}
	in.now = now
	in.giveDue()
	in.unhold()
	n := &EventReport{AssemblerCounts: in.asm.Counts()}
	if in.sorter != nil {
		n.SorterCounts = in.sorter.Counts()
	}
	in.counts.Store(n)
}

// giveDue gives the events that have waited too long by now.
func (in *Intake) giveDue() {
	in.asm.Expire(in.now)
	if in.sorter != nil {
		in.sorter.Expire(in.now)
	}
}

// Flush gives all events that are open, or wait for others.
func (in *Intake) Flush() {
	if in.asm == nil {
		return
	}
	in.asm.Flush()
	if in.sorter != nil {
		in.sorter.Flush()
	}
	in.Expire(time.Now())
}

// FilterTrouble returns how many events the filter failed on and let through, and how many records
// without a readable header it kept, with the likely cause of the last.
func (in *Intake) FilterTrouble() (failed, unread uint64, cause string) {
	if text := in.cause.Load(); text != nil {
		cause = *text
	}
	return in.failed.Load(), in.unread.Load(), cause
}

// report says how records became events, nil where they do not.
func (in *Intake) report() *EventReport {
	n := in.counts.Load()
	if n == nil || !in.next.Load().Events {
		return nil
	}
	r := &EventReport{AssemblerCounts: n.AssemblerCounts, SorterCounts: n.SorterCounts}
	r.FilterErrors, r.Unread, r.UnreadCause = in.FilterTrouble()
	if text := in.failure.Load(); text != nil {
		r.FilterError = *text
	}
	return r
}
