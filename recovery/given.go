package recovery

import (
	"time"

	"audisp-relay/stream"
)

// maxGiven bounds the lines that wait to be met again in the stream: far more
// than auditd's own queue and the pipe hold.
const maxGiven = 100_000

// given is what consumers were given from the log ahead of the stream. The
// stream will bring most of it once more.
type given struct {
	lines map[stream.ID]uint16 // not met yet
	kinds map[kind]kindCount   // the same by event and type, to know damaged copies by
	order []givenLine          // as given; those before first are settled
	first int
	met   uint64 // number of the last line met; lines are numbered as they are given
	metAt time.Time
	count uint64
}

// kind is one type of record within one event.
type kind struct {
	millis      int64
	serial, typ uint32
}

type kindCount struct {
	lines  uint16
	maxLen uint16
}

type givenLine struct {
	id      stream.ID
	n       uint64
	at      time.Time
	resumed bool // given at the start: that the stream does not bring it is no loss
}

func kindOf(id stream.ID) kind { return kind{id.Millis, id.Serial, id.Type} }

func (g *given) empty() bool { return len(g.lines) == 0 }

// add remembers record i of b. It returns how many lines were given up for it,
// not met, because there are too many.
func (g *given) add(b *stream.Batch, i int, now time.Time, resumed bool) (dropped uint64) {
	if g.lines == nil {
		g.lines, g.kinds = make(map[stream.ID]uint16), make(map[kind]kindCount)
	}
	id := b.ID(i)
	g.lines[id]++
	k := g.kinds[kindOf(id)]
	k.lines++
	k.maxLen = max(k.maxLen, uint16(min(b.Recs[i].Len, 1<<16-1)))
	g.kinds[kindOf(id)] = k
	g.count++
	g.order = append(g.order, givenLine{id, g.count, now, resumed})
	for len(g.lines) > maxGiven {
		dropped += g.dropFirst()
	}
	return dropped
}

// meet reports whether the record with this identity was given, and forgets it.
func (g *given) meet(id stream.ID, now time.Time) bool {
	if g.lines[id] == 0 {
		return false
	}
	g.forget(id)
	g.progress(id, now)
	return true
}

// damaged reports whether a line of the same event and type was given that was
// not met: then a record that is not equal to it is a damaged copy of it. A line
// that auditd cut for the log (at 8937 bytes, auditd-event.c) has no such copy.
func (g *given) damaged(id stream.ID, length uint32) bool {
	k := g.kinds[kindOf(id)]
	return k.lines > 0 && !(k.maxLen >= 8900 && length > uint32(k.maxLen))
}

// progress notes how far the stream has come, by the order of the log.
func (g *given) progress(id stream.ID, now time.Time) {
	// The lines before the one met stand at the front: look a little way.
	for j := g.first; j < len(g.order) && j < g.first+64; j++ {
		if g.order[j].id == id {
			g.met, g.metAt = max(g.met, g.order[j].n), now
			break
		}
	}
	for g.first < len(g.order) && g.lines[g.order[g.first].id] == 0 {
		g.first++
	}
	g.compact()
}

func (g *given) forget(id stream.ID) {
	if n := g.lines[id]; n > 1 {
		g.lines[id] = n - 1
	} else {
		delete(g.lines, id)
	}
	k := kindOf(id)
	if c := g.kinds[k]; c.lines > 1 {
		c.lines--
		g.kinds[k] = c
	} else {
		delete(g.kinds, k)
	}
}

// dropFirst gives the oldest line up and returns 1 when the stream should have
// brought it and has not.
func (g *given) dropFirst() (unmet uint64) {
	l := g.order[g.first]
	g.first++
	if g.lines[l.id] > 0 {
		g.forget(l.id)
		if !l.resumed {
			unmet = 1
		}
	}
	g.compact()
	return unmet
}

// drop gives all up, and returns how many the stream should have brought.
func (g *given) drop() (unmet uint64) {
	for g.first < len(g.order) {
		unmet += g.dropFirst()
	}
	*g = given{}
	return unmet
}

func (g *given) compact() {
	if g.first == len(g.order) {
		g.order, g.first = g.order[:0], 0
	} else if g.first > 4096 && g.first > len(g.order)/2 {
		g.order = g.order[:copy(g.order, g.order[g.first:])]
		g.first = 0
	}
}

// expire gives up the lines that the stream has not brought: those of which it
// has long brought later ones, and all when it brings nothing at all. It returns
// how many.
func (g *given) expire(now time.Time) (unmet uint64) {
	for g.first < len(g.order) {
		l := &g.order[g.first]
		overtaken := l.n < g.met && now.Sub(l.at) > lateAfter
		silent := now.Sub(l.at) > silentAfter && now.Sub(g.metAt) > silentAfter
		if g.lines[l.id] > 0 && !overtaken && !silent {
			break
		}
		unmet += g.dropFirst()
	}
	return unmet
}

// How long a line that was given may take to come by the stream: lateAfter when
// later ones have come, silentAfter when none does.
const (
	lateAfter   = 3 * time.Second
	silentAfter = 10 * time.Second
)

// meetKind forgets one line of id's event and type: its damaged copy has come.
func (g *given) meetKind(id stream.ID, now time.Time) {
	for j := g.first; j < len(g.order); j++ {
		if l := &g.order[j]; kindOf(l.id) == kindOf(id) && g.lines[l.id] > 0 {
			at := l.id
			g.forget(at)
			g.progress(at, now)
			return
		}
	}
}
