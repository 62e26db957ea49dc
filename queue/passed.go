package queue

import "slices"

// passed is which of the records held some cursor has passed: ranges of record
// numbers in order, none touching the next. One is the rule; there are more while
// a cursor that came later is ahead of one that still has to take what was before.
type passed []struct{ from, to uint64 }

// add adds the records from up to, but not including, to.
func (p *passed) add(from, to uint64) {
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
	*p = slices.Replace(s, i, j, struct{ from, to uint64 }{from, to})
}

// take reports whether pos was passed and forgets what is before it; pos never falls.
func (p *passed) take(pos uint64) bool {
	s := *p
	if len(s) > 0 && s[0].to <= pos {
		s = slices.Delete(s, 0, 1)
		*p = s
	}
	return len(s) > 0 && s[0].from <= pos
}

// end returns the record behind the last one passed, 0 when none is.
func (p passed) end() uint64 {
	if len(p) == 0 {
		return 0
	}
	return p[len(p)-1].to
}
