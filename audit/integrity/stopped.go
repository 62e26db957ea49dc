package integrity

import (
	"bytes"
	"slices"
	"time"

	"audisp-relay/audit/record"
)

// stopping says where a node is between an ordinary end of its auditd and the next
// start. What the kernel numbers meanwhile no auditd can log, its own record of
// auditd's going (CONFIG_CHANGE op=set audit_pid=0) first of all: that is no loss.
type stopping uint8

const (
	runs     stopping = iota
	ended             // DAEMON_END has come, and no record of the kernel since
	returned          // then DAEMON_START, and no record of the kernel since
)

// daemon takes in a record of auditd's own. In the log, unlike in the stream, others
// may have put a line that looks like one; so a start in the log counts only before the
// stream has brought anything: auditd starts the relay, it never starts while that
// runs. Nor does an end count that records of the kernel follow.
func (t *Tracker) daemon(b *record.Batch, i int, at time.Duration) {
	r := &b.Recs[i]
	if r.Flags&(record.NoID|record.Cont|record.Open) != 0 {
		return
	}
	n := t.nodes[string(b.Node(i))]
	if n == nil || !n.started {
		return
	}

	fromLog := r.Flags&record.FromLog != 0
	switch {
	case fromLog && r.Type == record.TypeDaemonEnd && n.stopping == returned && r.Millis < n.startAt:
		// The log lags the stream, which has brought a start that is newer than this end.
	case r.Type == record.TypeDaemonEnd:
		n.stopping = ended
	case fromLog && t.live:
	case n.stopping == ended:
		n.stopping, n.startAt, n.returned, n.ordinary = returned, r.Millis, at, true
		n.stop.first = n.newestSerial() + 1
		n.stop.end = n.stop.first
	case n.stopping == runs: // it was killed
		n.ordinary = false
	}
}

// tookStop reports whether the serials in front of the newest record of the kernel, r,
// are those of an ordinary stop: it is the first of the new auditd, or an older one that the
// kernel had kept for it. Of those there may be some, with holes between them, also in front
// of the record that the new auditd has registered (see registers); without that a record
// made after DAEMON_START is the first. Where the clock was set back there may be none such,
// but none is kept for long.
func (n *node) tookStop(r *record.Record, at time.Duration) bool {
	was, first := n.stopping, n.stop.end == n.stop.first
	if was == returned && !first && at > n.returned+keptTime {
		n.stopping = runs
		return false
	}

	// An event right after one that is known to be of the new auditd has all its records.
	if was == returned && (first || r.Serial != n.stop.end || r.Millis < n.startAt) {
		n.stop.end = r.Serial + 1
	}
	if was == ended || r.Millis >= n.startAt {
		n.stopping = runs
	}
	return was == returned
}

// keptTime is how long after DAEMON_START the kernel's records of before may come.
const keptTime = 10 * time.Second

// readAgain takes in that a line of the log has come that was there before: then an end
// or a start that stands before it in the log is none of now.
func (n *node) readAgain(r *record.Record) {
	if r.Flags&record.FromLog != 0 && int32(r.Serial-n.window.high) <= 0 && (n.stopping == ended || r.Millis >= n.startAt) {
		n.stopping = runs
	}
}

// maxStops bounds how many stops are known that the stream has not passed yet.
const maxStops = 16

// newestSerial returns the newest serial that the stream or the log has shown.
func (n *node) newestSerial() uint32 {
	if n.ahead.n > 0 && int32(n.ahead.top-n.window.high) > 0 {
		return n.ahead.top
	}
	return n.window.high
}

// logStop takes in that r, which only the log has so far, is the first record after a
// stop: the serials between it and the one before it are those of the stop.
func (n *node) logStop(r *record.Record, at time.Duration) {
	before := n.newestSerial()
	if stopped := n.tookStop(r, at); stopped && int32(r.Serial-before) > 1 && len(n.stops) < maxStops {
		n.stops = append(n.stops, Run{First: before + 1, Last: r.Serial - 1})
	}
}

// addGaps adds the gap g, divided where the log has shown stops within it.
func (n *node) addGaps(t *Tracker, g gap) {
	later := n.stops[:0]
	for _, s := range n.stops {
		if int32(s.First-g.last) > 0 {
			later = append(later, s)
			continue
		}
		if int32(g.last-g.first) < 0 || s.First-g.first > g.last-g.first || s.Last-g.first > g.last-g.first {
			continue
		}
		if s.First != g.first {
			n.addGap(t, gap{g.first, s.First - 1, g.since, g.millis, g.stopped})
		}
		n.addGap(t, gap{s.First, s.Last, g.since, g.millis, true})
		g.first = s.Last + 1
	}

	n.stops = later
	if int32(g.last-g.first) >= 0 {
		n.addGap(t, g)
	}
}

// registers ends the serials of a stop at the kernel's record of the new auditd: what
// is missing after that is a loss like any other.
func (n *node) registers(r *record.Record, body []byte) {
	if len(n.stops) == 0 && len(n.gaps) == 0 && n.stopping != returned && r.Serial != n.stop.end-1 {
		return
	}
	if _, pid, ok := bytes.Cut(body, []byte("op=set audit_pid=")); !ok || bytes.HasPrefix(pid, []byte("0 ")) { // 0: it goes
		return
	}

	if n.stopping == returned || r.Serial == n.stop.end-1 {
		n.stopping, n.stop.end = runs, r.Serial
	}
	for i := range n.stops {
		if s := &n.stops[i]; r.Serial-s.First <= s.Last-s.First {
			s.Last = r.Serial
		}
	}

	for i := len(n.gaps) - 1; i >= 0; i-- {
		g := n.gaps[i]
		if int32(r.Serial-g.last) > 0 {
			return // so are those before it
		}
		if !g.stopped || r.Serial-g.first > g.last-g.first {
			continue
		}
		rest := g
		n.gaps[i].last = r.Serial
		if rest.first, rest.stopped = r.Serial+1, false; r.Serial != g.last && len(n.gaps) < maxGaps {
			n.gaps = slices.Insert(n.gaps, i+1, rest)
			*n.allGaps++
		}
		return
	}
}

// inStop reports whether an event may have begun while auditd was stopped. What came of it is
// what the kernel made after the new auditd had registered; the rest no auditd could log.
func (n *node) inStop(serial uint32) bool { return serial-n.stop.first < n.stop.end-n.stop.first }

// Ordinary reports whether auditd had ended as it should before it was last seen to
// start, or has, by its records.
func (t *Tracker) Ordinary() bool {
	for _, n := range t.nodes {
		if n.ordinary || n.stopping == ended {
			return true
		}
	}
	return false
}
