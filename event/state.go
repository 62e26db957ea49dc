package event

import (
	"cmp"
	"slices"
)

// State is what a Tracker has to know of an earlier run to see a hole between
// that and its own begin.
type State struct {
	BootID string      `json:"boot_id"`
	Nodes  []NodeState `json:"nodes,omitempty"`
}

// NodeState is the State of one node.
type NodeState struct {
	Node   string `json:"node,omitempty"`
	Serial uint32 `json:"serial"` // no older one is waited for
	Millis int64  `json:"millis"` // time of the newest event
}

// State returns where the Tracker is. What it still waits for, or has reported
// and was not asked for with Lost, is behind that.
func (t *Tracker) State() State {
	s := State{BootID: t.boot}
	for name, n := range t.nodes {
		if name != n.name || !n.started {
			continue
		}
		serial := n.window.high
		for _, g := range n.gaps {
			serial = older(serial, g.first-1)
		}
		for _, list := range [][]reported{t.ready, t.told} {
			for _, x := range list {
				if x.Kind == Hole && x.node == n && x.epoch == n.epoch {
					serial = older(serial, x.First-1)
				}
			}
		}
		s.Nodes = append(s.Nodes, NodeState{Node: name, Serial: serial, Millis: n.newest})
	}
	slices.SortFunc(s.Nodes, func(a, b NodeState) int { return cmp.Compare(a.Node, b.Node) })
	return s
}

func older(a, b uint32) uint32 {
	if int32(b-a) < 0 {
		return b
	}
	return a
}

// Restore makes a new Tracker go on from s, and reports whether it could: the
// serials of another boot say nothing.
func (t *Tracker) Restore(s State) bool {
	if s.BootID != t.boot || len(s.Nodes) > MaxNodes || len(t.nodes) > 0 {
		return false
	}
	for _, x := range s.Nodes {
		n := &node{name: x.Node, habit: newHabit(), started: true, newest: x.Millis}
		n.window.high = x.Serial
		n.window.mark(x.Serial)
		t.nodes[x.Node] = n
	}
	return true
}
