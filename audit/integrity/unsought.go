package integrity

import (
	"math"
	"slices"
)

// maxUnsought bounds how many runs of events are kept apart that were not looked for.
const maxUnsought = 64

// addReport appends x. Where there are too many already a hole is joined to the last one of its
// node, which is an earlier one. What cannot be joined is given up.
func (t *Tracker) addReport(list []reported, x reported) []reported {
	if len(list) < maxReports {
		return append(list, x)
	}
	if x.Kind == IncompleteEvent {
		if e := x.node.findOpen(x.First, x.Millis); e != nil && e.reported {
			t.giveUpEvent(e)
		}
		return list
	}

	for i := len(list) - 1; i >= 0; i-- {
		k := &list[i]
		if k.Kind != MissingSerials || k.node != x.node {
			continue
		}
		if k.epoch == x.epoch && k.Stopped == x.Stopped && int32(x.First-k.Last) > 0 && int32(x.Last-k.First) > 0 {
			k.Last = x.Last
			k.Missing += x.Missing
			return list
		}
		break
	}
	t.giveUp(x.Gap)
	return list
}

// giveUpEvent ends the wait for what an event lacks that was reported: there are too many.
func (t *Tracker) giveUpEvent(e *incompleteEvent) {
	if e.isLost() {
		t.giveUp(e.gap())
	}
	t.closeEvent(e)
}

// giveUp counts as lost what there is no room for among the reports, so that it is never looked for. What a node
// lacks is one run; of nodes beyond maxUnsought it is counted with the first.
func (t *Tracker) giveUp(x Gap) {
	if x.Stopped { // no loss
		t.counts.Stopped += x.Events()
		return
	}
	at := slices.IndexFunc(t.unsought, func(u Gap) bool { return u.Node == x.Node })
	if at < 0 && len(t.unsought) < maxUnsought {
		t.unsought = append(t.unsought, x)
		return
	}

	u := &t.unsought[max(at, 0)]
	u.Missing += min(x.Missing, math.MaxUint32-u.Missing)
	if at < 0 {
		return
	}
	if int32(x.First-u.First) < 0 {
		u.First = x.First
	}
	if int32(x.Last-u.Last) > 0 {
		u.Last = x.Last
	}
}
