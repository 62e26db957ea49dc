package integrity

import (
	"time"

	"audisp-relay/audit/record"
)

const (
	// maxPages bounds what the windows of all nodes take: 8 MiB. 256 nodes can have
	// holes all over their windows; where nothing is missing a node has a page.
	maxPages = 1 << 14
	// maxAllGaps bounds the gaps of all nodes. Beyond it more are joined to a node's last
	// one.
	maxAllGaps = 1 << 16
	// newPerSecond is how many new nodes a second may take the place of others. Records
	// of further ones are not watched: a flood of names must not throw out all that
	// are known.
	newPerSecond = 64
)

// nodeOrder lists the nodes by when they were seen last, and bounds them.
type nodeOrder struct {
	ends   node // older of it is the newest node, newer of it the oldest
	pages  pages
	gaps   int           // of all nodes
	second time.Duration // beginning of the second that taken is of
	taken  int           // how many new nodes took the place of others
}

// nodeFor returns the node of record i, mostly that of the record before; nil if
// there is no room for it.
func (t *Tracker) nodeFor(b *record.Batch, i int, at time.Duration) *node {
	r := &b.Recs[i]
	if n := t.last; n != nil && ((r.NodeLen == 0 && t.lastName == "") || (r.NodeLen != 0 && string(b.Node(i)) == t.lastName)) {
		return n
	}
	return t.nodeOf(b, i, at)
}

// nodeOf finds or makes the node of record i; nil if there is no room for it.
func (t *Tracker) nodeOf(b *record.Batch, i int, at time.Duration) *node {
	r := &b.Recs[i]
	name := b.Node(i)
	n := t.nodes[string(name)]
	if n == nil {
		if n = t.onlyNode(r); n != nil {
			n.alias = string(name)
			t.nodes[n.alias] = n
		} else if t.roomForNode(at) {
			n = t.addNode(string(name))
			n.fromLog = r.Flags&record.FromLog != 0
		} else {
			t.counts.Unwatched++
			return nil
		}
	}

	n.unlist()
	n.list(&t.order.ends)
	if t.order.pages.used > maxPages && t.order.ends.newer != n {
		t.forgetNode()
	}
	t.last, t.lastName = n, n.name
	if string(name) != n.name {
		t.lastName = n.alias
	}
	return n
}

// addNode makes a node.
func (t *Tracker) addNode(name string) *node {
	n := &node{name: name, usual: newExpectedParts()}
	n.window.shared, n.ahead.marks.shared, n.allGaps = &t.order.pages, &t.order.pages, &t.order.gaps
	n.list(&t.order.ends)
	t.nodes[name] = n
	t.counts.Nodes++
	return n
}

// list makes n the newest.
func (n *node) list(ends *node) {
	n.newer, n.older = ends, ends.older
	n.older.newer, ends.older = n, n
}

func (n *node) unlist() { n.newer.older, n.older.newer = n.older, n.newer }

// onlyNode returns the one node there is when r is of it although it has another name:
// auditd 2.8 puts the node into the log and not into the stream, or the other way
// round.
func (t *Tracker) onlyNode(r *record.Record) *node {
	if len(t.nodes) != 1 {
		return nil
	}
	for _, n := range t.nodes {
		d := r.Millis - n.newest
		if n.alias == "" && n.fromLog != (r.Flags&record.FromLog != 0) && d > -nearby && d < nearby &&
			(n.window.holds(r.Serial) || r.Serial-n.window.high < windowSize) {
			return n
		}
	}
	return nil
}

// roomForNode makes room for one more node and reports whether it could.
func (t *Tracker) roomForNode(at time.Duration) bool {
	if len(t.nodes) < MaxNodes {
		return true
	}
	o := &t.order
	if at-o.second >= time.Second {
		o.second, o.taken = at, 0
	}
	if o.taken >= newPerSecond {
		return false
	}
	o.taken++
	t.forgetNode()
	return true
}

// forgetNode gives up the node that was silent the longest. What is missing of it is
// looked for still, but its windows are free.
func (t *Tracker) forgetNode() {
	n := t.order.ends.newer
	n.closeBefore(t, n.window.high+1)
	n.dropEvents(t)
	t.detach(n)
	n.dropGaps(len(n.gaps))
	n.window.clear()
	n.ahead.clear()
	n.unlist()
	delete(t.nodes, n.name)
	if t.nodes[n.alias] == n {
		delete(t.nodes, n.alias)
	}
	t.last = nil
	t.counts.Nodes--
	t.counts.Forgot++
}

// detach makes the holes of a node whose window is given up know what came of them, as only
// that has until now.
func (t *Tracker) detach(n *node) {
	if !n.reported {
		return
	}
	for x := range t.reports {
		if !x.isHoleOf(n) {
			continue
		}
		left := uint32(0)
		for _, l := range t.lostHole(nil, x) {
			left += l.Missing
		}
		x.filled = x.Missing - left
	}
	n.epoch++
}
