package recovery

import (
	"time"

	"audisp-relay/audit/record"
)

// maxAwaited bounds the lines that wait to be met again in the stream: far more
// than auditd's own queue and the pipe hold.
const maxAwaited = 100_000

// awaited are the lines of the log that the stream has not brought yet: those that
// were given nevertheless, and after them those that wait (pending). The stream will
// bring most of them. Lines are numbered as they were read.
type awaited struct {
	kinds map[kind]span // lines that the stream has not brought, by event and type
	order []awaitedLine // by number, from base on; those before first are settled
	base  uint64        // number of order[0]
	first int
	met   uint64 // number of the last line met
	metAt time.Time
}

// kind is one type of record within one event.
type kind struct {
	millis      int64
	serial, typ uint32
}

// span is the first and the last line of a kind that were not met; the lines
// between are chained.
type span struct{ first, last uint64 }

type awaitedLine struct {
	id   record.ID
	next uint64 // of its kind, 0: none
	at   time.Time
	len  uint32
	dist uint32 // of its serial from those in front of it in the log
	lineState
	far uint8 // how many of the lines after it that the consumers have are far from it; nearOne: one is near
}

const (
	nearOne = 1<<8 - 1
	loneFar = 3 // with so many it fits to none of the lines after it
)

// follow notes the serial of a line that the consumers have for the few in front of it.
func (g *awaited) follow(serial uint32) {
	const few = 4
	for k := max(0, len(g.order)-few); k < len(g.order); k++ {
		switch l := &g.order[k]; {
		case l.far >= loneFar:
		case apart(l.id.Serial, serial) <= nearSerials:
			l.far = nearOne
		default:
			l.far++
		}
	}
}

// lineState is what is known of a line.
type lineState uint8

const (
	isOpen    lineState = 1 << iota // not met
	isMet                           // the stream has brought it
	isForeign                       // it is not given
	isResumed                       // given at the start, or of a kind that the log alone has: that the stream does not bring it is no loss
	isSuspect                       // it may be a part of a socket's address
	isBroken                        // it is the beginning of such a record
	isCont                          // it continues the line before
	isNewer                         // its serial is newer than that of the event in front of it
)

// kindOf returns the kind of a record. One without an id is of its own: a damaged log may have any number of these.
func kindOf(id record.ID) kind {
	if id.Millis == 0 && id.Serial == 0 {
		id.Serial = id.Sum
	}
	return kind{id.Millis, id.Serial, id.Type}
}

func (g *awaited) empty() bool { return len(g.kinds) == 0 }

// end is the number that the next line gets.
func (g *awaited) end() uint64 { return g.base + uint64(len(g.order)) }

func (g *awaited) line(n uint64) *awaitedLine { return &g.order[n-g.base] }

// add remembers record i of b.
func (g *awaited) add(b *record.Batch, i int, now time.Time, state lineState) (n uint64) {
	if g.kinds == nil {
		g.kinds = make(map[kind]span)
	}
	n = g.end()
	r := &b.Recs[i]
	l := awaitedLine{id: b.ID(i), at: now, len: r.Len, lineState: state | isOpen}
	k := kindOf(l.id)
	s := g.kinds[k]
	if s.first == 0 {
		s.first = n
	} else {
		g.line(s.last).next = n
	}
	s.last = n
	g.kinds[k] = s
	g.order = append(g.order, l)
	return n
}

// find returns the number of the first line with this identity that was not met.
func (g *awaited) find(id record.ID) (n uint64, ok bool) {
	for n = g.kinds[kindOf(id)].first; n != 0; n = g.line(n).next {
		if g.line(n).id.Sum == id.Sum {
			return n, true
		}
	}
	return 0, false
}

// meet notes that the stream has brought line n.
func (g *awaited) meet(n uint64, now time.Time) {
	g.forget(n)
	g.line(n).lineState |= isMet
	g.met, g.metAt = max(g.met, n), now
	for g.first < len(g.order) && g.order[g.first].lineState&isOpen == 0 {
		g.first++
	}
}

// forget takes line n out of those that are waited for.
func (g *awaited) forget(n uint64) {
	l := g.line(n)
	if l.lineState&isOpen == 0 {
		return
	}
	l.lineState &^= isOpen

	k := kindOf(l.id)
	s := g.kinds[k]
	before := uint64(0)
	for at := s.first; at != n; at = g.line(at).next {
		before = at
	}

	switch {
	case before != 0:
		g.line(before).next = l.next
		if s.last == n {
			s.last = before
			g.kinds[k] = s
		}
	case l.next == 0:
		delete(g.kinds, k)
	default:
		s.first = l.next
		g.kinds[k] = s
	}
}

// compact lets go of settled lines with numbers below done.
func (g *awaited) compact(done uint64) {
	n := min(g.first, int(done-g.base))
	if n == len(g.order) {
		g.base, g.order, g.first = g.base+uint64(n), g.order[:0], 0
	} else if n > 4096 && n > len(g.order)/2 {
		g.base += uint64(n)
		g.order = g.order[:copy(g.order, g.order[n:])]
		g.first -= n
	}
}

// dropFirst gives the oldest line up and returns 1 when the stream should have
// brought it and has not.
func (g *awaited) dropFirst() (unmet uint64) {
	l := &g.order[g.first]
	if l.lineState&isOpen != 0 {
		g.forget(g.base + uint64(g.first))
		if l.lineState&isResumed == 0 {
			unmet = 1
		}
	}
	g.first++
	return unmet
}

// drop gives up all lines with numbers below end, and returns how many of them the
// stream should have brought.
func (g *awaited) drop(end uint64) (unmet uint64) {
	for g.first < len(g.order) && g.base+uint64(g.first) < end {
		unmet += g.dropFirst()
	}
	g.compact(end)
	return unmet
}

// expire gives up the lines below end that the stream has not brought: those after
// which it has long brought later ones, all when it brings nothing at all, and the oldest
// when there are too many. It returns how many.
func (g *awaited) expire(now time.Time, end uint64) (unmet uint64) {
	for g.first < len(g.order) && g.base+uint64(g.first) < end {
		l := &g.order[g.first]
		overtaken := g.base+uint64(g.first) < g.met && now.Sub(l.at) > lateAfter
		silent := now.Sub(l.at) > silentAfter && now.Sub(g.metAt) > silentAfter
		if l.lineState&isOpen != 0 && !overtaken && !silent && len(g.order)-g.first <= maxAwaited {
			break
		}
		unmet += g.dropFirst()
	}
	g.compact(end)
	return unmet
}

// How long a line that was given may take to come by the stream: lateAfter when
// later ones have come, silentAfter when none does.
const (
	lateAfter   = 3 * time.Second
	silentAfter = 10 * time.Second
)
