package event

import "audisp-relay/stream"

// nodeOf finds or makes the node of record i.
func (t *Tracker) nodeOf(b *stream.Batch, i int) *node {
	r := &b.Recs[i]
	name := b.Node(i)
	n := t.nodes[string(name)]
	if n == nil {
		if n = t.onlyNode(r); n != nil {
			n.alias = string(name)
		} else {
			if len(t.nodes) >= MaxNodes {
				t.forgetNode()
			}
			n = &node{name: string(name), fromLog: r.Flags&stream.FromLog != 0, habit: newHabit()}
		}
		t.nodes[string(name)] = n
	}
	t.last, t.lastName = n, n.name
	if string(name) != n.name {
		t.lastName = n.alias
	}
	return n
}

// onlyNode returns the one node there is when r, which has another name, is of it
// all the same: auditd 2.8 puts the node into the log and not into the stream, or
// the other way round.
func (t *Tracker) onlyNode(r *stream.Record) *node {
	if len(t.nodes) != 1 {
		return nil
	}
	for _, n := range t.nodes {
		d := r.Millis - n.newest
		if n.alias == "" && n.fromLog != (r.Flags&stream.FromLog != 0) && d > -nearby && d < nearby &&
			(n.window.holds(r.Serial) || r.Serial-n.window.high < windowSize) {
			return n
		}
	}
	return nil
}

// forgetNode gives up the node that was silent the longest.
func (t *Tracker) forgetNode() {
	var oldest *node
	for _, n := range t.nodes {
		if oldest == nil || n.used < oldest.used {
			oldest = n
		}
	}
	oldest.closeBefore(t, oldest.window.high+1)
	oldest.dropEvents(t)
	for name, n := range t.nodes {
		if n == oldest {
			delete(t.nodes, name)
		}
	}
	t.last = nil
	t.counts.Forgot++
}
