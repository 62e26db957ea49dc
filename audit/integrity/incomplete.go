package integrity

import (
	"time"

	"audisp-relay/audit/record"
)

// incompleteEvent is an event that is not complete yet.
type incompleteEvent struct {
	completeness
	node       *node
	serial     uint32
	millis     int64
	first      time.Duration // arrival of its first record
	from       int64         // about when its first record was written, by the times of others
	last       time.Duration // arrival of its last record
	turn       uint64        // of its last record
	truncated  bool          // it has a truncated record
	reported   bool
	chain      *incompleteEvent // next in the node's bucket
	prev, next *incompleteEvent // in the tracker's list, oldest first
}

// openEvent makes a new event.
func (t *Tracker) openEvent(n *node, r *record.Record, at time.Duration) *incompleteEvent {
	t.makeRoom()
	e := t.free
	if e != nil {
		t.free = e.next
		*e = incompleteEvent{}
	} else {
		e = new(incompleteEvent)
	}
	e.node, e.serial, e.millis, e.from, e.first = n, r.Serial, r.Millis, n.before(r), at
	n.addOpen(e)
	t.linkEvent(e)
	n.last = e
	t.counts.Open++
	return e
}

// bucket returns where open events of that serial are; there are some.
func (n *node) bucket(serial uint32) **incompleteEvent { return &n.open[serial%uint32(len(n.open))] }

// addOpen puts e among the open events of its node.
func (n *node) addOpen(e *incompleteEvent) {
	if n.opens >= len(n.open) && len(n.open) < openBuckets {
		n.moreBuckets()
	}
	at := n.bucket(e.serial)
	e.chain, *at = *at, e
	n.opens++
}

// moreBuckets doubles the buckets.
func (n *node) moreBuckets() {
	old := n.open
	n.open = make([]*incompleteEvent, max(firstBuckets, 2*len(old)))
	for _, e := range old {
		for e != nil {
			next, at := e.chain, n.bucket(e.serial)
			e.chain, *at = *at, e
			e = next
		}
	}
}

// makeRoom judges the oldest event when there are too many, and gives it up when even those that
// are reported are.
func (t *Tracker) makeRoom() {
	if t.counts.Open < MaxOpen {
		return
	}
	e := t.root.next
	if !e.reported {
		t.counts.Overflow++
		t.judgeEvent(e)
	}
	if t.counts.Open >= 2*MaxOpen { // so e is open still, and reported
		t.giveUpEvent(e)
	}
}

// closeEvent forgets an event: it is complete, or settled.
func (t *Tracker) closeEvent(e *incompleteEvent) {
	n := e.node
	if n.last == e {
		n.last = nil
	}
	at := n.bucket(e.serial)
	for *at != e {
		at = &(*at).chain
	}
	*at = e.chain
	n.opens--
	e.unlink()
	e.next, t.free = t.free, e
	t.counts.Open--
}

// linkEvent puts e at the end of the list.
func (t *Tracker) linkEvent(e *incompleteEvent) {
	e.prev, e.next = t.root.prev, &t.root
	e.prev.next, t.root.prev = e, e
}

func (e *incompleteEvent) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

// judgeEvent closes an event for which no more records are awaited if it is complete,
// and reports it if it is damaged.
func (t *Tracker) judgeEvent(e *incompleteEvent) {
	n := e.node
	lack := e.lacks()
	missed := lack & n.usual.expected
	if (n.exempt && e.serial == n.first) || n.inStop(e.serial) {
		missed, e.truncated = 0, false // it may have begun before we did, or before auditd did
	} else {
		n.usual.learnFrom(&e.completeness, lack)
	}
	if missed == 0 && !e.truncated {
		t.closeEvent(e)
		return
	}
	e.reported = true
	e.unlink()
	t.linkEvent(e) // after those that wait for judgement
	t.report(n, e.first, e.gap())
}

// gap is what is reported of an event.
func (e *incompleteEvent) gap() Gap {
	return Gap{Kind: IncompleteEvent, Node: e.node.name, First: e.serial, Last: e.serial, Missing: 1, Millis: e.millis, From: e.from}
}

// isLost reports whether an event lacks what the rest of it proves to exist.
func (e *incompleteEvent) isLost() bool {
	return e.truncated || e.lacks()&e.node.usual.expected&certain != 0
}

// dropEvents judges all open events: their serials will be used again.
func (n *node) dropEvents(t *Tracker) {
	for _, e := range n.open {
		for e != nil {
			next := e.chain
			if !e.reported {
				t.judgeEvent(e)
			}
			e = next
		}
	}
	n.last = nil
}

// findOpen returns the open event of that serial and time, nil if there is none.
func (n *node) findOpen(serial uint32, millis int64) *incompleteEvent {
	if e := n.last; e != nil && e.serial == serial && e.millis == millis {
		return e
	}
	if n.opens == 0 {
		return nil
	}
	for e := *n.bucket(serial); e != nil; e = e.chain {
		if e.serial == serial && e.millis == millis {
			n.last = e
			return e
		}
	}
	return nil
}
