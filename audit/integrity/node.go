package integrity

import (
	"slices"
	"time"

	"audisp-relay/audit/record"
)

// node is what is known of one node: which serials came, which are missing, and
// which events are not complete.
type node struct {
	name     string
	fromLog  bool   // the node was seen first in a line of the log
	alias    string // second name of the node, where log and stream differ
	window   window
	started  bool
	epoch    uint64        // how often it began again: serials of another epoch say nothing
	newest   int64         // newest time of the last events, ms
	latest   Latest        // of the events, from which newest is taken
	first    uint32        // serial that came first: its event may have begun before that
	exempt   bool          // first is set
	stopping stopping      // where its auditd is between a stop and a start
	startAt  int64         // time of the auditd's DAEMON_START, ms
	returned time.Duration // arrival of the DAEMON_START
	ordinary bool          // the auditd's last stop was an ordinary one
	stops    []Run         // serials of stops that only the log has shown so far
	// stop are the serials of the last stop, and of the record after it that is not the one of
	// auditd's registering: from first up to end, which is not among them.
	stop     struct{ first, end uint32 }
	gaps     []gap // not reported yet, in order of serials and of time
	allGaps  *int  // of all nodes
	outliers outliers
	ahead    ahead // seen in the log alone so far
	// logOutliers are those of lines that only the log has.
	logOutliers outliers
	usual       expectedParts
	used        uint64           // when it was seen last, in Tracker.turn
	last        *incompleteEvent // the event of the last record
	done        id               // the event that was complete last: its EOE often follows
	reported    bool             // a Gap of the node was

	// Its open events, in as many buckets as there were at once, a power of two.
	open  []*incompleteEvent
	opens int

	newer, older *node // in nodeOrder
}

const (
	firstBuckets = 8
	openBuckets  = 512 // at most
)

// id is what records of one event of a node share.
type id struct {
	serial uint32
	millis int64
	known  bool
}

func (d *id) is(r *record.Record) bool {
	return d.serial == r.Serial && d.millis == r.Millis && d.known
}

// gap is a run of serials that were passed over at one time. Those that came
// since are marked in the window.
type gap struct {
	first, last uint32
	since       time.Duration
	millis      int64 // time from which on the missing records are to be looked for, ms
	stopped     bool  // auditd did not run on that node
}

// maxGaps bounds a node's gaps: more are joined to the last one.
const maxGaps = 4096

// fewGaps is how many a node keeps room for when it has none.
const fewGaps = 64

// outliers collects serials that lie outside of the window. One is noise, a damaged
// record perhaps; outliersEnough of them near each other, and none of the others
// between, are the new serials: after a reboot or a very long hole.
type outliers struct {
	serials [outliersEnough]uint32
	n       int
}

const outliersEnough = 16

// arrival says what a record's serial is to its node.
type arrival uint8

const (
	fresh   arrival = iota // the first record of its event
	known                  // a further one
	ignored                // outside of the window: noise, or very old
)

// observeSerial takes in the serial of r.
func (n *node) observeSerial(t *Tracker, r *record.Record, at time.Duration) arrival {
	if r.Flags&record.FromLog != 0 && !t.confirmed {
		return n.logged(t, r, at)
	}
	if !n.started {
		gathered := n.logOutliers.serials[:n.logOutliers.n]
		n.begin(r)
		n.adopt(t, r, at, gathered)
		return fresh
	}

	if !n.exempt { // the first record after Restore
		n.first, n.exempt = r.Serial, true
	}

	w := &n.window
	d := int32(r.Serial - w.high)
	switch {
	case d == 0:
		return known
	case d > 0 && d <= windowSize:
		opened := n.ahead.has(r.Serial) // the log has opened its event
		n.advance(t, r, at)
		if opened {
			n.outliers.n, n.newest = 0, n.latest.Add(r.Millis, 1)
			return known
		}
	case d <= -windowSize && r.Flags&record.FromLog != 0 && r.Millis < n.newest:
		t.fillFar(n, r.Serial)
		return ignored
	case d > 0 || d <= -windowSize:
		return n.resync(t, r, at, &n.outliers)
	case d < -record.RebootSerials && r.Millis > n.newest+record.RebootMillis && !w.seen(r.Serial):
		n.reboot(t, r)
		return fresh
	case w.seen(r.Serial):
		n.outliers.n = 0
		return known
	default:
		w.mark(r.Serial)
		n.countLate(t, r)
	}

	n.outliers.n = 0
	n.newest = n.latest.Add(r.Millis, 1)
	return fresh
}

// begin makes r's serial the first of the node.
func (n *node) begin(r *record.Record) {
	n.window.clear()
	n.window.high = r.Serial
	n.window.mark(r.Serial)
	n.latest = Latest{}
	n.started, n.newest = true, n.latest.Add(r.Millis, 1)
	n.epoch++
	n.first, n.exempt = r.Serial, true
	n.outliers.n, n.logOutliers.n = 0, 0
	n.ahead.clear()
	n.done = id{}
	n.stopping, n.stop.first, n.stop.end = runs, 0, 0
}

// advance moves the window on to r's serial, which is the newest now.
func (n *node) advance(t *Tracker, r *record.Record, at time.Duration) {
	w := &n.window
	if r.Serial < w.high {
		t.counts.Wraps++
	}
	old := w.high
	n.closeBefore(t, r.Serial-windowSize+1)
	w.advance(r.Serial)
	w.mark(r.Serial)
	if n.ahead.n > 0 {
		n.ahead.move(w, old+1, r.Serial)
	}
	stopped := n.tookStop(r, at)
	if r.Serial-old > 1 {
		n.addGaps(t, gap{old + 1, r.Serial - 1, at, n.before(r), stopped})
	}
}

// before returns a time from which on the records in front of r are to be looked
// for: that of the newest event so far, or a minute before it at most if r is of
// an older one.
func (n *node) before(r *record.Record) int64 {
	return min(n.newest, max(r.Millis, n.newest-60_000))
}

func (n *node) addGap(t *Tracker, g gap) {
	t.gapped[n] = struct{}{}
	if k := len(n.gaps); k >= maxGaps || (k > 0 && *n.allGaps >= maxAllGaps) {
		n.gaps[k-1].stopped = n.gaps[k-1].stopped && g.stopped
		n.gaps[k-1].last, n.gaps[k-1].since = g.last, g.since
		return
	}
	n.gaps = append(n.gaps, g)
	*n.allGaps++
}

// closeBefore judges the gaps with serials that will leave the window.
func (n *node) closeBefore(t *Tracker, serial uint32) {
	n.closeGaps(t, func(g gap) bool { return int32(g.first-serial) < 0 })
}

// closeOld judges the gaps that have been open since before.
func (n *node) closeOld(t *Tracker, before time.Duration) {
	n.closeGaps(t, func(g gap) bool { return g.since <= before })
}

func (n *node) closeGaps(t *Tracker, due func(gap) bool) {
	k := 0
	for ; k < len(n.gaps) && due(n.gaps[k]); k++ {
		n.reportGap(t, n.gaps[k])
	}
	n.dropGaps(k)
}

func (n *node) dropGaps(k int) {
	if k == 0 {
		return
	}
	n.gaps = n.gaps[:copy(n.gaps, n.gaps[k:])]
	*n.allGaps -= k
	if len(n.gaps) == 0 && cap(n.gaps) > fewGaps {
		n.gaps = nil
	}
}

// reportGap reports what of a gap is still missing.
func (n *node) reportGap(t *Tracker, g gap) {
	n.missing(g.first, g.last, func(first, last uint32) {
		t.reportHole(n, gap{first, last, g.since, g.millis, g.stopped})
	})
}

func (t *Tracker) reportHole(n *node, g gap) {
	t.report(n, g.since, Gap{Kind: MissingSerials, Node: n.name, First: g.first, Last: g.last, Missing: g.last - g.first + 1,
		Millis: g.millis, From: g.millis, Stopped: g.stopped})
}

// missing calls fn with each run of serials that were not seen. Those that have
// left the window count as such.
func (n *node) missing(first, last uint32, fn func(first, last uint32)) {
	w := &n.window
	low := w.high - windowSize + 1
	if int32(first-low) < 0 {
		if int32(last-low) < 0 {
			fn(first, last)
			return
		}
		fn(first, low-1)
		first = low
	}

	for left := last - first + 1; left > 0; {
		k, seen := w.run(first, left)
		if !seen {
			fn(first, first+k-1)
		}
		first += k
		left -= k
	}
}

// countLate counts a record that came after later ones: in time, or when its hole
// was reported already.
func (n *node) countLate(t *Tracker, r *record.Record) {
	switch {
	case len(n.gaps) > 0 && int32(r.Serial-n.gaps[0].first) >= 0:
		t.counts.Late++
	case n.exempt && int32(r.Serial-n.first) < 0: // from before the start
	default:
		t.counts.Filled++
	}
}

// resync takes in a serial outside of the window; s has those before it.
func (n *node) resync(t *Tracker, r *record.Record, at time.Duration, s *outliers) arrival {
	if s.n > 0 {
		if prev := s.serials[s.n-1]; r.Serial == prev {
			return ignored
		} else if d := int32(r.Serial - prev); d <= -windowSize || d >= windowSize {
			s.n = 0
		}
	}

	t.counts.Strays++
	s.serials[s.n] = r.Serial
	s.n++
	if s.n < outliersEnough {
		return ignored
	}

	s.n = 0
	low, high := slices.MinFunc(s.serials[:], bySerial), slices.MaxFunc(s.serials[:], bySerial)
	t.counts.Strays -= outliersEnough
	millis := n.before(r)
	if n.ahead.n > 0 && int32(low-n.ahead.top) > 0 {
		n.moveTo(t, n.ahead.top, at, millis)
	}
	old, newest := n.window.high, n.newest
	n.closeBefore(t, old+1)
	t.detach(n)

	if int32(low-old) > 0 && r.Millis >= newest-record.RebootMillis {
		if high < old {
			t.counts.Wraps++
		}
		t.reportHole(n, gap{old + 1, low - 1, at, millis, n.tookStop(r, at)})
		n.newest = n.latest.Add(r.Millis, 1)
	} else {
		n.reboot(t, r)
		n.first = low
	}
	n.restart(t, low, high, at, millis, s.serials[:])
	return ignored
}

// bySerial orders serials that lie near each other: they may run over the end of uint32.
func bySerial(a, b uint32) int { return int(int32(a - b)) }

// restart makes the window end with high and marks the given serials. Those
// between low and high that are not among them are a gap.
func (n *node) restart(t *Tracker, low, high uint32, at time.Duration, millis int64, serials []uint32) {
	w := &n.window
	n.done = id{}
	n.ahead.clear()
	w.clear()
	w.high = high
	for _, x := range serials {
		if w.holds(x) {
			w.mark(x)
		}
	}
	n.dropGaps(len(n.gaps))
	n.addGap(t, gap{low, high, at, millis, false})
}

// reboot begins again with r's serial. What was missing of the boot before is
// judged now.
func (n *node) reboot(t *Tracker, r *record.Record) {
	t.counts.Reboots++
	n.closeBefore(t, n.window.high+1)
	t.detach(n)
	n.dropEvents(t)
	n.begin(r)
}
