package consumer

import (
	"errors"
	"hash/maphash"
	"math/rand/v2"

	"audisp-relay/audit/event"
	"audisp-relay/audit/record"
	"audisp-relay/filter"
)

// Judge decides which events a consumer gets. An event can come in parts: it was too long,
// waited too long, or some of it came late. Then all parts share what was decided on the
// first. A part that leaves open whether the whole is to be kept, because what decides is in
// another one, is kept. So the beginning of an event cannot hide its end.
type Judge struct {
	Match *filter.Matcher
	seed  maphash.Seed
	mul   uint64 // odd and secret: a program cannot choose ids that look the same
	last  []verdictOf
	line  verdict // on the part that ended within a line
}

// verdictCount is how many events are remembered. If an event is no longer remembered, parts of it that leave the
// decision open are kept.
const verdictCount = 1 << 13

type verdictOf struct {
	id      uint64
	verdict verdict
}

type verdict uint8

const (
	notKnown verdict = iota
	kept
	leftOut
	undecided // left out; another part may be kept
)

func verdictOn(keep bool) verdict {
	if keep {
		return kept
	}
	return leftOut
}

// NewJudge returns one that asks a filter.
func NewJudge(m *filter.Matcher) *Judge {
	return &Judge{Match: m, seed: maphash.MakeSeed(), mul: rand.Uint64() | 1, last: make([]verdictOf, verdictCount)}
}

// Keep reports whether records i to j-1 of b, an event or a part of one, are kept. The error is the filter's.
func (g *Judge) Keep(b *record.Batch, i, j int) (bool, error) {
	if b.Recs[j-1].Flags&record.Partial != 0 {
		return g.part(b, i, j)
	}
	keep, err := g.Match.Keep(b, i, j)
	if b.Recs[i].HasID() {
		*g.place(b, i) = verdictOf{g.id(b, i), verdictOn(keep)}
	}
	return keep, err
}

// part decides on a part of an event.
func (g *Judge) part(b *record.Batch, i, j int) (keep bool, err error) {
	k := i // the first record that says which event it is
	for k < j && !b.Recs[k].HasID() {
		k++
	}
	was := notKnown
	if k < j {
		if p := g.place(b, k); p.id == g.id(b, k) {
			was = p.verdict
		}
	}

	if was == notKnown && b.Recs[i].Flags&record.Cont != 0 {
		was = g.line
	}
	v := was
	switch main := filter.HasMain(b, i, j); {
	case !b.Recs[i].HasID():
		if was == notKnown {
			v = kept
			if b.Recs[i].Flags&record.Cont == 0 {
				err = filter.ErrUnread
			}
		}
	case was == notKnown && main:
		v, err = g.first(b, i, j)
	case was == notKnown, was == undecided:
		if keep, err = g.Match.MayKeep(b, i, j); keep || was == notKnown {
			v = verdictOn(keep)
		}
	case was == leftOut && main: // a record that can be judged by itself
		keep, err = g.Match.Keep(b, i, j)
		v = verdictOn(keep)
	}

	if k < j {
		*g.place(b, k) = verdictOf{g.id(b, k), v}
	}
	if b.Recs[j-1].Flags&record.Open != 0 {
		g.line = v
	}
	return v == kept, err
}

// first decides on a part with the main record.
func (g *Judge) first(b *record.Batch, i, j int) (verdict, error) {
	keep, err := g.Match.Keep(b, i, j)
	if keep {
		return kept, err
	}
	switch may, _ := g.Match.MayKeep(b, i, j); {
	case !may:
		return leftOut, nil
	case event.IsCut(b.Recs[i:j]): // the rest is to come
		return kept, nil
	}
	return undecided, nil // nothing else may come: an old kernel has no PROCTITLE
}

// place returns where the event of record i is remembered.
func (g *Judge) place(b *record.Batch, i int) *verdictOf {
	return &g.last[(b.Recs[i].Serial+uint32(b.Recs[i].NodeLen)<<9)%verdictCount]
}

// id returns what the records of one event have in common.
func (g *Judge) id(b *record.Batch, i int) uint64 {
	r := &b.Recs[i]
	id := (uint64(r.Millis)*g.mul ^ uint64(r.Serial)) * g.mul
	if r.NodeLen > 0 {
		id ^= maphash.Bytes(g.seed, b.Node(i))
	}
	return id
}

// IsUnread reports whether an error is that of a record without a readable header, which every
// filter keeps.
func IsUnread(err error) bool { return errors.Is(err, filter.ErrUnread) }
