// Package event puts the records of a stream together to whole events.
package event

import (
	"cmp"
	"math/rand/v2"
	"time"

	"audisp-relay/audit/record"
)

// Defaults of AssemblerOptions.
const (
	DefaultTimeout       = 2 * time.Second // auditd's end_of_event_timeout (auditd.conf(5))
	DefaultMaxEvents     = 4096
	DefaultMaxBytes      = 16 << 20
	DefaultMaxRecords    = 4000 // and its EOE: a block of the queue holds 4096
	DefaultMaxEventBytes = 1 << 20
)

// titleWait is how long an event that has its PROCTITLE waits for its EOE at most, and a
// program's record for those of the kernel that share its id: the kernel sends them one
// after another.
const titleWait = 100 * time.Millisecond

// AssemblerOptions are what an Assembler is made of. What is 0 gets its default.
type AssemblerOptions struct {
	// Timeout is how long the next record of an event may take to arrive.
	Timeout time.Duration
	// Patience, which may be nil, returns how much longer than Timeout that may take at present, as while the
	// kernel holds up whoever makes records. Expire calls it.
	Patience func() time.Duration
	// MaxEvents and MaxBytes bound what is held of events that are not complete.
	// Beyond them the one that began first is given as it is.
	MaxEvents int
	MaxBytes  int
	// MaxRecords and MaxEventBytes bound one event; beyond, it is given in parts.
	// An EOE may exceed them, and a single record may be longer.
	MaxRecords    int
	MaxEventBytes int
	// Out is given batches of whole events: the records of each lie in a row, the last
	// with flag record.End. The batch is valid during the call, in which the Assembler
	// must not be used.
	Out func(*record.Batch)
	// Panicked, which may be nil, is called with a panic over record i of b; b is nil where no
	// record was being added. All that is held is given then.
	Panicked func(b *record.Batch, i int, fault any)
}

// AssemblerCounts is what an Assembler has given since it was made, and holds.
type AssemblerCounts struct {
	Events       uint64 `json:"events"`                 // given, the partial ones among them
	PartialTimer uint64 `json:"partial_by_timeout"`     // no further record came in time
	PartialLimit uint64 `json:"partial_by_limit"`       // too long, or too much was held
	PartialEnd   uint64 `json:"partial_at_end"`         // the stream was over
	PartialLate  uint64 `json:"partial_late"`           // records of an event that was given already
	LateEOE      uint64 `json:"late_eoe"`               // dropped: the event was given already
	Poison       uint64 `json:"poison"`                 // times that putting records together panicked
	Open         int    `json:"incomplete_events"`      // that are held
	Bytes        int    `json:"incomplete_event_bytes"` // of their records, and of what describes these
}

// Assembler puts the records of a stream together to whole events, by node, time
// and serial. No record is lost or given twice, but for an EOE that comes after
// its event, which is only counted. It is for one goroutine.
//
// An event is complete with its EOE, or with its only record where records of
// that type come alone; those of programs do so on most kernels, see company.
// PROCTITLE is the last record where there is no EOE, as in audit.log: such an event is
// complete when anything else comes from its node, or after a short while. Events are
// given in the order in which they get complete. What comes of an event that was given
// already makes another one, which is marked incomplete.
//
// Records of an event that is given while an older event is still incomplete get flag
// record.Late. Saved positions ignore records with that flag, so a restart never skips an
// event that has not been given.
type Assembler struct {
	o      AssemblerOptions
	start  time.Time
	now    time.Duration // since start
	counts AssemblerCounts
	mul    uint64 // odd and secret, so that no program can choose ids that collide
	names  nodeNames

	// in is the batch that is being added, turn the number of its first record.
	in   *record.Batch
	turn uint64

	// Events to be given lie at in.Recs[from:to] while they lie in a row; otherwise
	// their records are copied to run. Either way the bytes stay in in.Buf.
	from, to int
	run      []record.Record
	out      record.Batch

	// The event of the last record is cur while all of it lies in one piece from
	// in.Recs[begin] on (live), and otherwise at, nil if it is not open.
	live  bool
	fast  bool // live, and the last record is whole
	cur   eventState
	begin int
	at    *pendingEvent

	// The last record is a piece of a line that continues (record.Open).
	line     bool
	lineType uint32

	pendingEvents
	recent  recentEvents
	kernels kernels
	stacked bool // a kernel has shown MAC_TASK_CONTEXTS
	misses  int  // searches in vain after a PROCTITLE
	alone   int  // searches in vain after the record of a program
}

// NewAssembler returns an Assembler that holds nothing.
func NewAssembler(o AssemblerOptions) *Assembler {
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.MaxEvents = cmp.Or(o.MaxEvents, DefaultMaxEvents)
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMaxBytes)
	o.MaxRecords = cmp.Or(o.MaxRecords, DefaultMaxRecords)
	o.MaxEventBytes = cmp.Or(o.MaxEventBytes, DefaultMaxEventBytes)
	return &Assembler{o: o, mul: rand.Uint64() | 1, names: newNodeNames(), recent: recentEvents{n: recentSize}}
}

// Counts returns what was given so far, and what is held.
func (a *Assembler) Counts() AssemblerCounts {
	c := a.counts
	c.Open, c.Bytes = a.open, a.bytes
	return c
}

// odd are the flags of records that do not simply join the event before.
const odd = record.NoID | record.Open | record.Cont | record.Marker

// Add takes in records in the order of their arrival. It may set flags in b.Recs;
// b is not kept. now is the time of arrival and must not go back.
func (a *Assembler) Add(b *record.Batch, now time.Time) {
	a.in, a.now = b, a.since(now)
	for i, done := 0, false; !done; {
		i, done = a.addFrom(i)
	}
	a.turn += uint64(len(b.Recs))
	a.in = nil
}

// addFrom adds the records from i on, and returns where to continue: after one that it
// panics over.
func (a *Assembler) addFrom(i int) (next int, done bool) {
	next = i
	defer func() {
		if fault := recover(); fault != nil {
			a.rescue(next, fault)
			next++
			done = next > len(a.in.Recs)
		}
	}()

	for ; next < len(a.in.Recs); next++ {
		r := &a.in.Recs[next]
		done := false
		if r.Type-firstEvent < 100 && r.Flags&odd == 0 {
			if a.fast {
				done = a.joins(r, next)
			} else {
				done = a.begins(r, next)
			}
		}
		if !done {
			a.take(next)
		}
	}
	a.keep()
	return next, true
}

// joins is take for the usual record: one more of the current event.
func (a *Assembler) joins(r *record.Record, i int) bool {
	c := &a.cur
	n := int(r.Len)
	if r.Serial != c.serial || r.Millis != c.millis || r.Type == record.TypeNetfilter || !a.names.same(a.in, i) ||
		c.recs >= a.o.MaxRecords || c.bytes+n > a.o.MaxEventBytes {
		return false
	}
	c.recs++
	c.bytes += n
	switch r.Type {
	case record.TypeEOE:
		a.giveCur(i+1, complete)
	case record.TypeProctitle:
		c.hasProctitle = true
		c.call = true
	default:
		c.call = c.call || comesWithCall(r.Type)
	}
	return true
}

// begins is take for the usual first record of an event.
func (a *Assembler) begins(r *record.Record, i int) bool {
	if a.live || a.at != nil || a.titled.head != nil || r.Type == record.TypeEOE || r.Type == record.TypeProctitle || r.Type == record.TypeNetfilter {
		return false
	}
	k := a.keyOf(i)
	if _, late := a.recent.find(k); late || a.findPending(k) != nil {
		return false
	}
	a.beginAt(i, k).other = true
	a.fast = true
	return true
}

// take takes in record i of any kind.
func (a *Assembler) take(i int) {
	r := &a.in.Recs[i]
	if r.Flags&record.Cont != 0 && a.line {
		a.join(i)
	} else {
		a.endLine(i)
		a.lineType = r.Type
		if !a.assign(i) {
			return
		}
		d := a.draft()
		if r.Type-firstEvent < 100 && r.Type != record.TypeNetfilter && !d.user {
			d.other = true
		} else {
			a.company(d, i)
		}
	}

	a.line = r.Flags&record.Open != 0
	if !a.line {
		a.settle(i + 1)
	}
	a.makeRoom()
	a.fast = a.live && !a.line && a.cur.other && !a.cur.user
}

// draft returns what is known of the event of the last record.
func (a *Assembler) draft() *eventState {
	if a.live {
		return &a.cur
	}
	return &a.at.eventState
}

// endLine ends a line in pieces whose last piece has not come.
func (a *Assembler) endLine(i int) {
	if a.line {
		a.line = false
		a.settle(i)
	}
}

// assign finds the event of record i, or begins one, and reports false if it is
// an EOE too late for its event.
func (a *Assembler) assign(i int) bool {
	r := &a.in.Recs[i]
	k := a.keyOf(i)
	own := r.Flags&(record.NoID|record.Cont|record.Marker) != 0 || record.OfDaemon(r.Type)
	if !own && ((a.live && a.cur.key == k) || (a.at != nil && a.at.key == k)) {
		a.join(i)
		return true
	}

	a.leave(i, k, own)
	if own {
		c := a.beginAt(i, k)
		// A piece without a beginning is of a line that was given up.
		c.standalone, c.late = true, r.Flags&record.Cont != 0
		if r.Type == record.TypeDaemonStart { // with another kernel, maybe
			a.kernels.forget(k.node)
		}
		return true
	}

	if e := a.findPending(k); e != nil {
		a.at = e
		a.join(i)
		return true
	}
	at, late := a.recent.find(k)
	if late {
		a.misses = max(0, a.misses-4)
	}
	if late && r.Type == record.TypeEOE && a.bare(i) {
		a.counts.LateEOE++
		return false
	}
	a.beginAt(i, k).late = late
	if late && a.recent.solo[at] != isMostlyAlone(r.Type) {
		a.kernels.of(k.node).joined = true
	}
	return true
}

// bare reports whether an EOE holds nothing but its header, as all do.
func (a *Assembler) bare(i int) bool {
	body := a.in.Body(i)
	return a.in.Recs[i].Flags&record.Open == 0 && (len(body) == 0 || string(body) == ":")
}

// leave ends work on the event of the last record, since record i is of the event
// k. An event of the same node that had its PROCTITLE is complete then.
func (a *Assembler) leave(i int, k key, own bool) {
	if a.live {
		if a.cur.hasProctitle && a.cur.node == k.node && !a.lingers(i, &a.cur) {
			a.giveCur(i, complete)
		} else {
			a.suspend(i)
		}
	}
	a.at = nil
	if e := a.pendingWithTitle(k.node); e != nil && (own || e.key != k) {
		if a.lingers(i, &e.eventState) {
			a.addPending(e)
		} else {
			a.give(e, complete)
		}
	}
}

// beginAt begins an event with record i.
func (a *Assembler) beginAt(i int, k key) *eventState {
	c := &a.cur
	*c = eventState{key: k, first: a.turn + uint64(i)}
	c.countRecord(&a.in.Recs[i])
	a.live, a.begin, a.at = true, i, nil
	return c
}

// join adds record i to the event of the last record. Where that would exceed
// the limits, the event is given and its rest begins.
func (a *Assembler) join(i int) {
	r := &a.in.Recs[i]
	d := a.draft()
	if (d.recs >= a.o.MaxRecords || d.bytes+int(r.Len) > a.o.MaxEventBytes) && (r.Type != record.TypeEOE || r.Flags&odd != 0) {
		was, line := *d, a.line
		if a.live {
			a.giveCur(i, tooLong)
		} else {
			a.give(a.at, tooLong)
		}
		a.line = line
		c := a.beginAt(i, was.key)
		c.rest, c.standalone, c.late = true, was.standalone, was.late
		c.user, c.other, c.expects = was.user, was.other, was.expects
		return
	}
	d.countRecord(r)
	if !a.live {
		a.holdRecord(a.at, i)
	}
}

// settle ends the event of the last record, in.Recs[end-1], if that completes it.
func (a *Assembler) settle(end int) {
	d := a.draft()
	switch {
	case d.standalone || a.lineType == record.TypeEOE || (d.isSolo() && !a.waits(end-1, d)):
		if a.live {
			a.giveCur(end, complete)
		} else {
			a.give(a.at, complete)
		}
	case a.lineType == record.TypeProctitle && !d.hasProctitle:
		d.hasProctitle = true
		if !a.live {
			a.addPending(a.at)
		}
	}
}

// keep ends the work on a batch: of what is not complete a copy is held.
func (a *Assembler) keep() {
	if a.live {
		a.at = a.suspend(len(a.in.Recs))
	}
	a.makeRoom()
	a.send()
	for _, e := range a.touched {
		e.copyFrom(a.in)
	}
	a.touched = a.touched[:0]
}

// Expire gives the events that have waited long enough for their next record. It
// is to be called every 100 to 250 ms.
func (a *Assembler) Expire(now time.Time) {
	defer a.rescueHeld()
	a.now = a.since(now)
	timeout := a.o.Timeout
	if a.o.Patience != nil {
		timeout += a.o.Patience()
	}
	for {
		e, due := a.nextDue(timeout)
		if e == nil || due > a.now {
			return
		}
		a.give(e, byTimer)
	}
}

// Turn returns how many records were added so far.
func (a *Assembler) Turn() uint64 { return a.turn }

// Given reports whether all events are given that have one of the first records,
// counted by Turn.
func (a *Assembler) Given(turn uint64) bool {
	return a.all.head == nil || a.all.head.first >= turn
}

// Flush gives all that is held: the stream is over.
func (a *Assembler) Flush() {
	defer a.rescueHeld()
	for e := a.nextLast(); e != nil; e = a.nextLast() {
		a.give(e, atEnd)
	}
}

func (a *Assembler) since(now time.Time) time.Duration {
	if a.start.IsZero() {
		a.start = now
	}
	return now.Sub(a.start)
}
