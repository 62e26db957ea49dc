// Package integrity watches a stream of audit records for what it lacks: serials
// that never came, events that lack records, and records that are truncated.
// Recovery from audit.log begins when it finds something; what the log lacks, too, it
// reports as lost.
//
// The kernel numbers events with one counter from boot on (kernel/audit.c,
// audit_serial), after its filters, so a serial that is missing is a lost event.
// Events come interleaved and a little out of order; their times are those of
// the beginning of a system call and say nothing of their order. So everything here
// waits by time of arrival.
package integrity

import (
	"cmp"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/host/athand"
)

// Defaults and bounds.
const (
	// DefaultWindow is how long a record may come late before it counts as
	// missing.
	DefaultWindow = time.Second
	// MaxNodes is how many nodes are watched. For a new one the node that was
	// silent the longest is forgotten, newPerSecond times a second at most.
	MaxNodes = 4096
	// MaxOpen is how many incomplete events are watched. For a new one the oldest
	// is judged early.
	MaxOpen = 4096

	maxReports  = 4096 // not handed out yet, or not settled; more holes are joined
	quietFactor = 10   // an event that nothing has followed is judged after so many windows
)

// Options are what a Tracker is made of.
type Options struct {
	// Window is how long a record may come late; 0 is DefaultWindow.
	Window time.Duration
	// Patience, which may be nil, returns how much later than that a further record of an event may come at present,
	// as while the kernel holds up whoever makes records.
	Patience func() time.Duration
	// BootID names the boot that serials belong to
	// (/proc/sys/kernel/random/boot_id). It is kept in State.
	BootID string
	// AtHand is where the event at hand is noted; nil: nowhere.
	AtHand *athand.Page
}

// Counts is what a Tracker has seen since it was made.
type Counts struct {
	Holes     uint64 `json:"holes"`             // runs of missing serials that were reported
	Missing   uint64 `json:"missing_serials"`   // in those
	Damaged   uint64 `json:"damaged_events"`    // events reported as lacking records, or with a truncated one
	Truncated uint64 `json:"cut_records"`       // truncated records that were passed on
	Late      uint64 `json:"late_events"`       // came out of order within the window
	Filled    uint64 `json:"filled_events"`     // came after they were reported missing
	Lost      uint64 `json:"lost_events"`       // reported, and found nowhere
	Stopped   uint64 `json:"stopped_events"`    // numbered while auditd was properly stopped: in no log, and no loss
	Reboots   uint64 `json:"reboots"`           // serials that began again
	Wraps     uint64 `json:"wraps"`             // serials that ran over the end of 32 bits
	Strays    uint64 `json:"stray_serials"`     // far from all others, and left aside
	Nodes     int    `json:"nodes"`             // that are watched
	Forgot    uint64 `json:"forgotten_nodes"`   // because there were too many
	Unwatched uint64 `json:"unwatched_records"` // of nodes there was no room for
	Open      int    `json:"open_events"`       // that are not complete yet
	Overflow  uint64 `json:"early_judgements"`  // events judged early because there were too many open
}

// Tracker watches a stream. It is for one goroutine.
type Tracker struct {
	patience func() time.Duration // see Options
	window   time.Duration
	boot     string
	atHand   *athand.Page
	start    time.Time
	counts   Counts
	turn     uint64 // number of the record
	nodes    map[string]*node
	gapped   map[*node]struct{} // nodes with gaps
	order    nodeOrder
	last     *node // node of the last record
	lastName string
	ends     endChecker
	live     bool // the stream has brought a record of the kernel
	// confirmed: the lines of the log that are taken in are known from the stream.
	confirmed bool

	// Open events, oldest first; root is no event.
	root incompleteEvent
	free *incompleteEvent // chained by next

	ready     []reported // losses that were not handed out yet
	handedOut []reported // losses that were handed out and are not settled
	unsought  []Gap      // losses for which there was no room among these
}

// reported is a Gap and what is needed to settle it.
type reported struct {
	Gap
	node   *node
	epoch  uint64
	since  time.Duration // arrival of the record that showed it
	filled uint32        // of a hole outside of the window: how many were given from the log
	recent [4]uint32     // the last of these
}

// isHoleOf reports whether it is a hole of that node, in its present serials.
func (x *reported) isHoleOf(n *node) bool {
	return x.Kind == MissingSerials && x.node == n && x.epoch == n.epoch
}

// reports goes through what is not settled.
func (t *Tracker) reports(yield func(*reported) bool) {
	for _, list := range [2][]reported{t.handedOut, t.ready} {
		for i := range list {
			if !yield(&list[i]) {
				return
			}
		}
	}
}

// NewTracker returns a Tracker that has seen nothing.
func NewTracker(o Options) *Tracker {
	t := &Tracker{
		window: cmp.Or(o.Window, DefaultWindow), patience: o.Patience, boot: o.BootID, atHand: o.AtHand,
		nodes: make(map[string]*node), gapped: make(map[*node]struct{}),
	}
	if t.patience == nil {
		t.patience = func() time.Duration { return 0 }
	}
	t.ends.ends = new(endCache)
	t.root.next, t.root.prev = &t.root, &t.root
	t.order.ends.older, t.order.ends.newer = &t.order.ends, &t.order.ends
	return t
}

// Renew returns a Tracker like t that has seen nothing.
func (t *Tracker) Renew() *Tracker {
	return NewTracker(Options{Window: t.window, Patience: t.patience, BootID: t.boot, AtHand: t.atHand})
}

// Window returns how long a record may come late before it counts as missing.
func (t *Tracker) Window() time.Duration { return t.window }

// Observe takes in records that consumers are given, in order. It stops before the
// first that is visibly truncated (see IsTruncated) and returns its index, len(b.Recs)
// when there is none. Lines of the log never count as truncated: there is no better
// copy. now is the time of arrival and must not go back. b is not kept.
//
// Of an event that has ended the process twice no more than headers is read.
func (t *Tracker) Observe(b *record.Batch, now time.Time) int {
	at, slot := t.since(now), t.atHand.Take()
	defer slot.Give()

	for i := range b.Recs {
		r := &b.Recs[i]
		if r.Flags&(record.Cont|record.Marker) != 0 {
			continue
		}
		t.ends.tail = -1
		if slot.Hold(b, i) {
			if counts(r) {
				t.record(b, i, nil, at, false)
			}
			continue
		}
		body := b.Body(i)

		if r.Flags&(record.FromLog|record.Open) == 0 {
			switch t.ends.look(b, i, body) {
			case truncated:
				return i
			case unsure:
				if nextEOETruncated(b, i) {
					return i
				}
			}
		}
		if counts(r) {
			t.record(b, i, body, at, false)
		} else if r.Type == record.TypeDaemonStart || r.Type == record.TypeDaemonEnd {
			t.daemon(b, i, at)
		}
	}
	return len(b.Recs)
}

// ObserveTruncated takes in record i that is given to consumers although it is truncated:
// its event counts as damaged until the log brings a whole copy.
func (t *Tracker) ObserveTruncated(b *record.Batch, i int, now time.Time) {
	t.counts.Truncated++
	r := &b.Recs[i]
	if !counts(r) {
		return
	}
	t.record(b, i, nil, t.since(now), true)
}

func (t *Tracker) since(now time.Time) time.Duration {
	if t.start.IsZero() {
		t.start = now
	}
	return now.Sub(t.start)
}

// record takes in one record. Of a truncated one only the header is believed.
func (t *Tracker) record(b *record.Batch, i int, body []byte, at time.Duration, isTruncated bool) {
	r := &b.Recs[i]
	t.turn++
	t.live = t.live || r.Flags&record.FromLog == 0
	n := t.nodeFor(b, i, at)
	if n == nil {
		return
	}
	n.used = t.turn
	if n.stopping != runs {
		n.readAgain(r)
	}

	e := n.last
	if e == nil || e.serial != r.Serial || e.millis != r.Millis || n.ahead.n > 0 {
		if n.done.is(r) && n.outliers.n == 0 {
			return
		}
		switch n.observeSerial(t, r, at) {
		case ignored:
			return
		case known:
			e = n.findOpen(r.Serial, r.Millis)
		case fresh:
			if record.Alone(r.Type) && !isTruncated {
				return
			}
			// The log may have opened it before the serials began here.
			if e = n.findOpen(r.Serial, r.Millis); e == nil {
				e = t.openEvent(n, r, at)
			}
		}
		if e == nil {
			return // of an event that is complete
		}
	}

	e.last, e.turn = at, t.turn
	if isTruncated {
		e.truncated = true
		return
	}
	if r.Flags&record.FromLog != 0 {
		e.truncated = false
	}
	if r.Type == record.TypeConfig {
		n.registers(r, body)
	}

	if r.Type == record.TypeExecve {
		e.addExecve(record.TrimColon(body), t.ends.tail)
	} else {
		e.add(r.Type, record.TrimColon(body))
		if r.Type == record.TypeSockaddr && r.Flags&record.FromLog == 0 && e.has&partSockaddr != 0 && e.addrHas < e.addr { // shorter than the one that the call was given
			e.truncated = true
		}
	}
	if r.Type == record.TypeProctitle || r.Type == record.TypeEOE || e.reported {
		t.closeComplete(e)
	}
}

// closeComplete closes an event that has come to its end and lacks nothing.
// PROCTITLE is the last record but EOE, which only the stream has.
func (t *Tracker) closeComplete(e *incompleteEvent) {
	n := e.node
	lack := e.lacks()
	if e.truncated || e.has&partCall == 0 || e.has&(partTitle|partEOE) == 0 || lack&n.usual.expected != 0 {
		return
	}
	n.usual.learnFrom(&e.completeness, lack)
	n.done = id{e.serial, e.millis, true}
	t.closeEvent(e)
}

// Counts returns what was seen so far.
func (t *Tracker) Counts() Counts { return t.counts }
