package queue

import (
	"math"
	"slices"
)

// deliveredRanges is which of the records held some cursor has passed: ranges of record
// numbers in order, none touching the next. One is the rule; there are more while
// a cursor that came later is ahead of one that still has to take what was before.
type deliveredRanges []span

// add adds the records from up to, but not including, to.
func (p *deliveredRanges) add(from, to uint64) {
	if from >= to {
		return
	}
	s := *p
	j := len(s)
	for j > 0 && s[j-1].from > to {
		j--
	}
	i := j
	for i > 0 && s[i-1].to >= from {
		i--
		from, to = min(from, s[i].from), max(to, s[i].to)
	}
	*p = slices.Replace(s, i, j, span{from, to})
}

// run reports whether pos was passed, and up to where the same is so. It
// forgets what is before pos, which never falls.
func (p *deliveredRanges) run(pos uint64) (had bool, end uint64) {
	s := *p
	n := 0
	for n < len(s) && s[n].to <= pos {
		n++
	}
	s = slices.Delete(s, 0, n)
	*p = s
	switch {
	case len(s) == 0:
		return false, math.MaxUint64
	case s[0].from <= pos:
		return true, s[0].to
	}
	return false, s[0].from
}

// among returns how many of the records from up to to were passed.
func (p deliveredRanges) among(from, to uint64) (n uint64) {
	for _, r := range p {
		if lo, hi := max(from, r.from), min(to, r.to); lo < hi {
			n += hi - lo
		}
	}
	return n
}

// end returns the number after the last record passed, 0 when none is.
func (p deliveredRanges) end() uint64 {
	if len(p) == 0 {
		return 0
	}
	return p[len(p)-1].to
}
