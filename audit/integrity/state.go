package integrity

import (
	"cmp"
	"slices"
)

// State is what a Tracker has to know of an earlier run to see a hole between the two.
type State struct {
	BootID string      `json:"boot_id"`
	Nodes  []NodeState `json:"nodes,omitempty"`
}

// NodeState is the State of one node.
type NodeState struct {
	Node    string `json:"node,omitempty"`
	Serial  uint32 `json:"serial"`            // the newest; all before it were seen that are not in Missing
	Missing []Run  `json:"missing,omitempty"` // serials before the newest that were not seen
	Millis  int64  `json:"millis"`            // time of the newest event
	Ahead   []Run  `json:"ahead,omitempty"`   // serials after the newest that only the log has shown
	Stopped uint8  `json:"stopped,omitempty"` // 1: its auditd has ended properly; 2: it has started again since
	Start   int64  `json:"start,omitempty"`   // time of that start, ms
}

// Run is a run of serials.
type Run struct {
	First  uint32 `json:"first"`
	Last   uint32 `json:"last"`
	Millis int64  `json:"millis"` // from when on they are to be looked for
	// Stopped: the kernel numbered them while auditd was properly stopped.
	Stopped bool `json:"stopped,omitempty"`
}

// maxRuns bounds what is kept of a node: where more is missing, everything from
// there on counts as not seen.
const maxRuns = 1024

// State returns where the Tracker is. Missing is what it still waits for, and what
// it has reported and was not asked for with Lost.
func (t *Tracker) State() State {
	s := State{BootID: t.boot}
	for name, n := range t.nodes {
		if name != n.name || !n.started {
			continue
		}
		x := NodeState{Node: name, Serial: n.window.high, Millis: n.newest, Stopped: uint8(n.stopping)}
		if n.stopping == returned {
			x.Start = n.startAt
		}

		add := func(millis int64, stopped bool) func(first, last uint32) {
			return func(first, last uint32) { x.Missing = append(x.Missing, Run{first, last, millis, stopped}) }
		}
		if n.reported { // else none is its own, and there may be thousands of nodes and reports
			for r := range t.reports {
				if r.isHoleOf(n) {
					n.missing(r.First, r.Last, add(r.Millis, r.Stopped))
				}
			}
		}

		for _, g := range n.gaps {
			n.missing(g.first, g.last, add(g.millis, g.stopped))
		}

		if len(x.Missing) > maxRuns {
			x.Serial = x.Missing[maxRuns].First - 1
			x.Missing = x.Missing[:maxRuns]
		} else {
			x.Ahead = n.ahead.runs(n.window.high)
		}
		s.Nodes = append(s.Nodes, x)
	}
	slices.SortFunc(s.Nodes, func(a, b NodeState) int { return cmp.Compare(a.Node, b.Node) })
	return s
}

// Restore makes a new Tracker continue from s, and reports whether it could: the
// serials of another boot say nothing.
func (t *Tracker) Restore(s State) bool {
	if s.BootID != t.boot || len(s.Nodes) > MaxNodes || len(t.nodes) > 0 {
		return false
	}

	for _, x := range s.Nodes {
		if t.nodes[x.Node] != nil {
			continue
		}
		n := t.addNode(x.Node)
		n.started, n.newest = true, x.Millis
		n.latest.Add(x.Millis, 1)
		if x.Stopped <= uint8(returned) {
			n.stopping, n.startAt = stopping(x.Stopped), x.Start
			n.stop.first, n.stop.end = x.Serial+1, x.Serial+1
		}
		n.window.high = x.Serial
		n.window.markRun(x.Serial-windowSize+1, x.Serial)
		n.ahead.restore(x.Serial, x.Ahead)

		for _, r := range x.Missing[:min(len(x.Missing), maxRuns)] {
			if size := r.Last - r.First; size < windowSize && n.window.holds(r.First) && n.window.holds(r.Last) {
				n.window.unmarkRun(r.First, r.Last)
				n.addGap(t, gap{r.First, r.Last, 0, r.Millis, r.Stopped})
			}
		}
	}
	return true
}
