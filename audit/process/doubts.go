package process

import "slices"

// maxDoubts is how many losses are remembered. If there are more, the first two become one.
const maxDoubts = 64

// doubts are the places of the stream where events are missing: an exec may have been among them.
// What was known before such a place says nothing of what is after it.
type doubts struct {
	list []doubt
}

// doubt is a loss, by serials or, where the events have got none, by the time of the loss.
type doubt struct {
	first, last uint32
	from, to    int64 // ms; to is 0 for one by serials
}

func (d *doubts) add(one doubt) {
	d.list = append(d.list, one)
	if len(d.list) <= maxDoubts {
		return
	}

	// The oldest two of a kind become one that spans both: more is in doubt then, never less.
	for i := range d.list {
		k := i + 1 + slices.IndexFunc(d.list[i+1:], func(o doubt) bool { return (o.to == 0) == (d.list[i].to == 0) })
		if k == i {
			continue
		}
		a, b := &d.list[i], &d.list[k]
		a.from, a.to = min(a.from, b.from), max(a.to, b.to)
		if serialBefore(b.first, a.first) {
			a.first = b.first
		}
		if serialBefore(a.last, b.last) {
			a.last = b.last
		}
		d.list = slices.Delete(d.list, k, k+1)
		return
	}
}

// between reports whether something was lost after since and up to m.
func (d *doubts) between(since, m Moment) bool {
	for i := len(d.list) - 1; i >= 0; i-- {
		o := &d.list[i]
		if o.to != 0 {
			if o.to >= since.Millis && o.from <= m.Millis {
				return true
			}
		} else if serialBefore(since.Serial, o.last) && !serialBefore(m.Serial, o.first) {
			return true
		}
	}
	return false
}

// hole is a run of serials that have not come yet. The kernel's serials are dense (kernel/audit.c, audit_serial), but
// sometimes come in another order.
type hole struct {
	first, last uint32
	seen        int64 // ms: the latest time of an event when it was noticed
}

// holes are those there are, in the order of serials.
type holes struct{ list []hole }

const (
	// maxHoles is how many are remembered; of more, the oldest two become one.
	maxHoles = 64
	// young is for how long a hole may be one of order alone, ms.
	young = 5000
)

// open notes that the serials from first to last are missing.
func (h *holes) open(first, last uint32, seen int64) { h.add(len(h.list), hole{first, last, seen}) }

func (h *holes) add(at int, one hole) {
	h.list = slices.Insert(h.list, at, one)
	if len(h.list) > maxHoles {
		h.list[1].first = h.list[0].first
		h.list = slices.Delete(h.list, 0, 1)
	}
}

// fill notes that a serial has come.
func (h *holes) fill(serial uint32) {
	for i := len(h.list) - 1; i >= 0; i-- {
		o := &h.list[i]
		switch {
		case serialBefore(o.last, serial):
			return
		case serialBefore(serial, o.first):
		case o.first == o.last:
			h.list = slices.Delete(h.list, i, i+1)
			return
		case serial == o.first:
			o.first++
			return
		case serial == o.last:
			o.last--
			return
		default:
			before := hole{o.first, serial - 1, o.seen}
			o.first = serial + 1
			h.add(i, before)
			return
		}
	}
}

// between reports whether serials after since and up to m are missing; of holes that were seen after a time,
// ms since 1970, it is not asked.
func (h *holes) between(since, m uint32, until int64) bool {
	for i := len(h.list) - 1; i >= 0; i-- {
		o := &h.list[i]
		if !serialBefore(since, o.last) {
			return false
		}
		if !serialBefore(m, o.first) && o.seen <= until {
			return true
		}
	}
	return false
}

// youngBefore reports whether serials before one are missing since a time, ms since 1970, or a later one.
func (h *holes) youngBefore(serial uint32, since int64) bool {
	for i := range h.list {
		o := &h.list[i]
		if !serialBefore(o.first, serial) {
			return false
		}
		if o.seen >= since {
			return true
		}
	}
	return false
}
