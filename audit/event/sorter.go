package event

import (
	"cmp"
	"container/list"
	"slices"
	"sort"
	"time"

	"audisp-relay/audit/record"
)

const (
	// SortWait is how long an event waits for one with a lower serial. A record that the stream has lost
	// comes from audit.log about 1.3 s after the one that shows the gap (a second for what is only late,
	// a quarter until gaps are looked at, then the search), and an event that nothing ends comes after
	// DefaultTimeout.
	SortWait = 2500 * time.Millisecond

	// MaxSorted bounds the events that a Sorter holds.
	MaxSorted = 1 << 14
	// maxSequences bounds the nodes that it knows, as integrity.MaxNodes does. For a new one it forgets
	// one of which it holds nothing.
	maxSequences = 4096
)

// SorterOptions are what a Sorter is made of.
type SorterOptions struct {
	// MaxBytes bounds what is held; 0 is DefaultMaxBytes. Beyond it, and beyond MaxSorted events, the
	// event that has waited longest is given.
	MaxBytes int
	// Out is given whole events as an Assembler gives them. The batch is valid during the call, in
	// which the Sorter must not be used.
	Out func(*record.Batch)
	// Passed is called after Out once nothing is held any more: everything in audit.log up to the record
	// of that identity has been given. The flags of the records do not say so, see Sorter.
	Passed func(record.ID)
}

// SorterCounts is what a Sorter has done since it was made, and holds.
type SorterCounts struct {
	Late      uint64 `json:"late"`             // events given after others of their node with higher serials
	Held      int    `json:"held_events"`      // that wait for others with lower serials
	HeldBytes int    `json:"held_event_bytes"` // of their records, and of what describes these
}

// Sorter puts the events of each node into the order of their serials. No event is lost or given
// twice. It is for one goroutine.
//
// The kernel numbers what it sends without gaps (kernel/audit.c, audit_serial). So an event whose
// serial follows that of the last one is given at once, without a copy. One after a gap waits until the
// gap is filled, for SortWait at most. One that comes after later ones were given is given at once,
// and counted.
//
// auditd's own records have serials of their own, and those without a readable id have none: they are
// given at once. Serials run over the end of 32 bits, so their differences count. They begin again
// with the kernel: after a DAEMON_START of that node, or where an event is far older by its serial and
// newer by its time.
//
// Records of an event that is given while another is held that came before it get flag record.Late.
// Saved positions ignore records with that flag, so a restart never skips an event that is held.
type Sorter struct {
	o      SorterOptions
	counts SorterCounts
	names  nodeNames
	nodes  map[uint64]*sequence // by the hash of the node's name
	held   list.List            // of *heldEvent, in the order in which they came
	turn   uint64               // how many events have come
	out    record.Batch         // the event that is being given

	// latest is the last of the records that came since something is held which a position can name.
	latest struct {
		id record.ID
		ok bool
	}
}

// sequence is the events of one node, of one boot.
type sequence struct {
	begun  bool   // serial is set
	serial uint32 // the highest that was given
	millis int64  // time of the event with that serial, at most the time when it came
	held   []*heldEvent
	// held are in the order of their serials, each of which is higher than serial, with a gap between.
}

// heldEvent is an event that waits for others.
type heldEvent struct {
	record.Batch // a copy of its records
	seq          *sequence
	turn         uint64 // number of the event, in the order in which they came
	came         time.Time
	place        *list.Element
}

func (e *heldEvent) serial() uint32 { return e.Recs[0].Serial }

// size is what e counts towards MaxBytes.
func (e *heldEvent) size() int { return len(e.Buf) + len(e.Recs)*recordSize }

// NewSorter returns a Sorter that holds nothing and knows no serial.
func NewSorter(o SorterOptions) *Sorter {
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMaxBytes)
	return &Sorter{o: o, names: newNodeNames(), nodes: make(map[uint64]*sequence)}
}

// Counts returns what was done so far, and what is held.
func (s *Sorter) Counts() SorterCounts {
	c := s.counts
	c.Held = s.held.Len()
	return c
}

// Add takes in whole events as an Assembler gives them, which came at that time. It may set flags in
// b.Recs; b is not kept.
func (s *Sorter) Add(b *record.Batch, now time.Time) {
	from := 0 // b.Recs[from:i] are still to be given
	for i, end := 0, 0; i < len(b.Recs); i = end {
		for end = i + 1; end < len(b.Recs) && b.Recs[end-1].Flags&record.End == 0; end++ {
		}
		s.turn++
		seq, stands := s.find(b, i)
		if stands == restarts || stands == comesEarly {
			s.give(b, from, i)
			from = i
		}

		switch stands {
		case restarts:
			s.release(seq, len(seq.held))
			seq.begin(&b.Recs[i], now)
		case comesNext:
			seq.reach(&b.Recs[i], now)
		case comesLate:
			s.counts.Late++
		case comesEarly:
			s.hold(seq, b, i, end, now)
			from = end
			continue
		}

		if s.held.Len() > 0 {
			s.noteLatest(b, i, end)
			markLate(b.Recs[i:end])
		}
		if stands == comesNext && seq.isDue() {
			s.give(b, from, end)
			from = end
			s.release(seq, 0)
		}
	}
	s.give(b, from, len(b.Recs))
}

// standing says where an event stands among those of its node.
type standing uint8

const (
	unnumbered standing = iota // it has no serial of the kernel, or its node is one too many
	restarts                   // serials begin with it, or after it
	comesNext                  // it comes next, or is a further part of the last one
	comesEarly                 // others are missing before it
	comesLate                  // it should have come before the last one
)

// find returns the sequence that the event of record i belongs to, and how it stands there.
func (s *Sorter) find(b *record.Batch, i int) (*sequence, standing) {
	r := &b.Recs[i]
	daemon := record.OfDaemon(r.Type)
	if r.Flags&(record.NoID|record.Cont|record.Marker) != 0 || (daemon && r.Type != record.TypeDaemonStart) {
		return nil, unnumbered
	}
	seq := s.sequenceOf(b, i)
	if seq == nil {
		return nil, unnumbered
	}

	distance := int32(r.Serial - seq.serial)
	rebooted := distance < -record.RebootSerials && r.Millis > seq.millis+record.RebootMillis
	switch {
	case daemon || !seq.begun || rebooted:
		return seq, restarts
	case distance > 1:
		return seq, comesEarly
	case distance < 0:
		return seq, comesLate
	}
	return seq, comesNext
}

// sequenceOf returns the sequence of record i's node, nil where there is no room for one more.
func (s *Sorter) sequenceOf(b *record.Batch, i int) *sequence {
	node := s.names.hashOf(b, i)
	seq := s.nodes[node]
	if seq == nil && (len(s.nodes) < maxSequences || s.forgetOne()) {
		seq = new(sequence)
		s.nodes[node] = seq
	}
	return seq
}

// forgetOne forgets a node of which nothing is held, and reports whether a few tries have found one.
func (s *Sorter) forgetOne() bool {
	tries := 8
	for node, seq := range s.nodes { // begins anywhere
		if len(seq.held) == 0 {
			delete(s.nodes, node)
			return true
		}
		if tries--; tries == 0 {
			break
		}
	}
	return false
}

// begin makes the serials begin with that of r, or, where r is a DAEMON_START, with that of the next event.
func (q *sequence) begin(r *record.Record, came time.Time) {
	q.begun = !record.OfDaemon(r.Type)
	q.reach(r, came)
}

// reach notes that the event of r, which came at that time, is given. A time after that is not its own: else a record with any
// serial and a time in the future, as whoever sends records of nodes can make one, would be before all others for good.
func (q *sequence) reach(r *record.Record, came time.Time) {
	q.serial, q.millis = r.Serial, min(r.Millis, came.UnixMilli())
}

// isDue reports whether the first event that is held follows the last one that was given.
func (q *sequence) isDue() bool {
	return len(q.held) > 0 && int32(q.held[0].serial()-q.serial) <= 1
}

// give gives events of the batch that is being added.
func (s *Sorter) give(b *record.Batch, from, to int) {
	if from < to {
		s.out = record.Batch{Buf: b.Buf, Recs: b.Recs[from:to:to]}
		s.o.Out(&s.out)
		s.out = record.Batch{}
	}
}

// hold keeps a copy of an event, which is b.Recs[i:end].
func (s *Sorter) hold(seq *sequence, b *record.Batch, i, end int, now time.Time) {
	s.noteLatest(b, i, end)
	size := 0
	for k := i; k < end; k++ {
		size += int(b.Recs[k].Len)
	}
	e := &heldEvent{seq: seq, turn: s.turn, came: now}
	e.Buf, e.Recs = make([]byte, 0, size), make([]record.Record, 0, end-i)
	appendCopy(&e.Batch, b.Buf, b.Recs[i:end])

	// After those of the same serial, as it may be a part of an event.
	at := sort.Search(len(seq.held), func(k int) bool { return int32(seq.held[k].serial()-e.serial()) > 0 })
	seq.held = slices.Insert(seq.held, at, e)
	e.place = s.held.PushBack(e)
	s.counts.HeldBytes += e.size()
	for s.held.Len() > MaxSorted || s.counts.HeldBytes > s.o.MaxBytes {
		s.giveOldest()
	}
}

// oldest returns the event that has waited longest, nil where none does.
func (s *Sorter) oldest() *heldEvent {
	if first := s.held.Front(); first != nil {
		return first.Value.(*heldEvent)
	}
	return nil
}

// giveOldest gives the event that has waited longest, those before it, and what follows it without a gap.
func (s *Sorter) giveOldest() {
	e := s.oldest()
	s.release(e.seq, slices.Index(e.seq.held, e)+1)
}

// release gives the first n events that are held of a node, and what follows these without a gap.
func (s *Sorter) release(seq *sequence, n int) {
	for ; n > 0 || seq.isDue(); n-- {
		e := seq.held[0]
		seq.held[0] = nil
		if seq.held = seq.held[1:]; len(seq.held) == 0 {
			seq.held = nil
		}
		s.held.Remove(e.place)
		s.counts.HeldBytes -= e.size()
		seq.reach(&e.Recs[0], e.came)

		if first := s.oldest(); first != nil && first.turn < e.turn {
			markLate(e.Recs)
		}
		s.o.Out(&e.Batch)
		if s.held.Len() == 0 && s.latest.ok {
			s.latest.ok = false
			s.o.Passed(s.latest.id)
		}
	}
}

// noteLatest remembers the last record of an event that a position can name.
func (s *Sorter) noteLatest(b *record.Batch, i, end int) {
	for k := end - 1; k >= i; k-- {
		if b.Recs[k].Loggable() {
			s.latest.id, s.latest.ok = b.ID(k), true
			return
		}
	}
}

// markLate says that records are given while others are held that came before.
func markLate(recs []record.Record) {
	for i := range recs {
		recs[i].Flags |= record.Late
	}
}

// Expire gives the events that have waited long enough. It is to be called every 100 to 250 ms.
func (s *Sorter) Expire(now time.Time) {
	for e := s.oldest(); e != nil && now.Sub(e.came) >= SortWait; e = s.oldest() {
		s.giveOldest()
	}
}

// Flush gives all that is held, and forgets all serials.
func (s *Sorter) Flush() {
	for e := s.oldest(); e != nil; e = s.oldest() {
		s.release(e.seq, len(e.seq.held))
	}
	clear(s.nodes)
}

// Turn returns how many events were added so far.
func (s *Sorter) Turn() uint64 { return s.turn }

// Given reports whether the first events, counted by Turn, are all given.
func (s *Sorter) Given(turn uint64) bool {
	e := s.oldest()
	return e == nil || e.turn > turn
}
