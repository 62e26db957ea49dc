package auditlog

import (
	"errors"
	"math"
	"os"
	"slices"

	"audisp-relay/audit/record"
)

// A position that is not in the log need not have been rotated away: the log may end
// before it (power was lost before the last lines were on disk, logging was suspended,
// the log is a copy), or lack just this line. Then a consumer continues where the line
// would stand: after the last line that is not newer.
//
// Serials say what is newer, as the kernel numbers records in about the order in which
// they are written; times are those of the beginning of a system call. Serials begin
// again at each boot, so the log is taken apart into boots first, and times say in which
// of them the position lies.

// ErrAbsent: a line is not in the log, but older ones are.
var ErrAbsent = errors.New("is not in the log, which has older ones")

const (
	// So much of the log is looked at before the place that the position's time
	// leads to, and so much after it: a clock may have been set back.
	nearBack  = 64 << 20
	nearAhead = 256 << 20
	// After so much that is all newer the place is known.
	nearEnough = 16 << 20

	bootSerials = 16   // a serial so much lower than those before, of a newer event, is of another boot
	bootMillis  = 1000 // any lower serial is, of an event so much newer
	bootLines   = 8    // so many events in a row with such low serials are, whatever their times
	nearNodes   = 64
)

// nearest looks for where a line would stand.
type nearest struct {
	id    record.ID
	nodes map[string]*boots
	past  Position // after the last line that is not newer, of any node
}

// boots are those of one node, as its lines show them.
type boots struct {
	list    []boot
	high    uint32
	newest  int64
	pending []nearLine // of serials so low that another boot may have begun
}

// boot is one run of rising serials.
type boot struct {
	first     int64 // time of its first line
	newest    int64
	high      uint32
	end       Position // after its last line
	old       Position // after the last line that is not newer than the position
	has       bool     // old is set
	newestOld int64    // newest time up to old
	gap       uint32   // from the line in front of old to the position, in serials; of auditd's own in ms
	clockUp   bool     // its time continues from the boot before
	over      bool     // of a position of auditd's own: a newer line has come
	met       bool     // a line of its event and type with another text: a damaged copy was delivered
}

type nearLine struct {
	millis      int64
	serial, typ uint32
	at, end     Position
}

// daemon reports whether a line has a serial of auditd's own.
func (x *nearLine) daemon() bool { return record.OfDaemon(x.typ) }

// add takes in one line, in the order of the log.
func (s *nearest) add(node []byte, x nearLine) {
	b := s.nodes[string(node)]
	if b == nil {
		if len(s.nodes) >= nearNodes {
			return
		}
		b = new(boots)
		s.nodes[string(node)] = b
	}
	if len(s.nodes) > 1 && x.millis <= s.id.Millis {
		s.pass(b, x)
	}

	if x.daemon() {
		if len(b.list) == 0 {
			b.begin(x, false)
		}
		if len(b.pending) == 0 {
			s.addToBoot(b, x)
		}
		return
	}

	d := int32(x.serial - b.high)
	low := b.high != 0 && (d < -bootSerials || (d < 0 && x.millis > b.newest+bootMillis))
	switch {
	case len(b.list) == 0 || (low && x.millis > b.newest):
		s.flush(b)
		b.begin(x, len(b.list) > 0)
		s.addToBoot(b, x)
	case low:
		if n := len(b.pending); n > 0 && b.pending[n-1].serial == x.serial {
			b.pending[n-1].end = x.end
		} else if b.pending = append(b.pending, x); len(b.pending) == bootLines {
			s.beginPending(b)
		}
	default:
		s.flush(b)
		s.addToBoot(b, x)
	}
}

// pass takes a line that is not newer for one that stands before the position, where
// it follows such a line of another node.
func (s *nearest) pass(of *boots, x nearLine) {
	for _, b := range s.nodes {
		if n := len(b.list); b != of && n > 0 && b.list[n-1].has && b.list[n-1].old == x.at {
			b.list[n-1].old = x.end
		}
	}
}

// begin adds a boot that begins with x.
func (b *boots) begin(x nearLine, clockUp bool) {
	b.list = append(b.list, boot{first: x.millis, newest: x.millis, high: x.serial, end: x.end, clockUp: clockUp || len(b.list) == 0})
	b.high = 0
	if !x.daemon() {
		b.high = x.serial
	}
	b.newest = x.millis
}

// flush takes what is pending for late lines of the present boot.
func (s *nearest) flush(b *boots) {
	for _, x := range b.pending {
		s.addToBoot(b, x)
	}
	b.pending = nil
}

// beginPending takes what is pending for the beginning of another boot.
func (s *nearest) beginPending(b *boots) {
	b.begin(b.pending[0], false)
	s.flush(b)
}

// addToBoot takes x for a line of the present boot.
func (s *nearest) addToBoot(b *boots, x nearLine) {
	k := &b.list[len(b.list)-1]
	k.newest = max(k.newest, x.millis)
	b.newest = max(b.newest, x.millis)
	k.end = x.end
	if !x.daemon() && (b.high == 0 || int32(x.serial-b.high) > 0) {
		b.high, k.high = x.serial, x.serial
	}

	switch {
	case record.OfDaemon(s.id.Type): // the time is that of its writing, and nothing before is newer
		if k.over = k.over || x.millis > s.id.Millis; k.over {
			return
		}
		k.gap = uint32(min(s.id.Millis-x.millis, math.MaxUint32))
	case x.daemon(): // its time counts, where it stands there, or alone
		if x.millis > s.id.Millis || (k.has && k.old != x.at) || (!k.has && b.high != 0) {
			return
		} else if !k.has {
			k.gap = math.MaxUint32
		}
	case int32(x.serial-s.id.Serial) > 0:
		return
	case x.serial == s.id.Serial && k.met && x.typ != s.id.Type:
		return // of the position's event, after it
	default:
		k.met = k.met || (x.serial == s.id.Serial && x.millis == s.id.Millis && x.typ == s.id.Type)
		k.gap = s.id.Serial - x.serial
	}
	k.has, k.old, k.newestOld = true, x.end, k.newest
	s.past = x.end
}

// place returns where the position would stand, false if all lines are newer.
func (s *nearest) place() (p Position, ok bool) {
	least := uint64(math.MaxUint64)
	for _, b := range s.nodes {
		if len(b.pending) > 1 {
			s.beginPending(b)
		} else {
			s.flush(b)
		}
		k := b.at(s.id.Millis)
		switch {
		case k == nil:
		case k.has && !k.before(s.id):
			if uint64(k.gap) < least {
				p, ok, least = k.old, true, uint64(k.gap)
			}
		case (k.newest <= s.id.Millis || k.before(s.id)) && least == math.MaxUint64: // all of it is older
			if !ok || p.Less(k.end) {
				p, ok = k.end, true
			}
		}
	}
	return p, ok
}

// before reports whether the position is of a later boot that has no line:
// it is newer than all of this one and has a serial that was there long ago. Where all
// that follows that serial is older than what stands there, the clock was set back.
func (k *boot) before(id record.ID) bool {
	return !record.OfDaemon(id.Type) && k.newest < id.Millis && int32(id.Serial-k.high) < -bootSerials && k.newest > k.newestOld
}

// at returns the boot that the time lies in, nil when all began later.
func (b *boots) at(millis int64) *boot {
	for i := len(b.list) - 1; i >= 0; i-- {
		k := &b.list[i]
		if k.first > millis {
			continue
		}
		// A clock that was not set yet, or was set back, says nothing: then the
		// boot whose serials are nearer.
		if !k.clockUp && i > 0 && b.list[i-1].has && (!k.has || b.list[i-1].gap < k.gap) {
			continue
		}
		return k
	}
	return nil
}

// nearest returns where the line with that identity would stand in the log, near
// from, which its time leads to. The error is ErrGone when all lines are newer.
func (l *Reader) nearest(id record.ID, from Position) (Position, error) {
	s := nearest{id: id, nodes: make(map[string]*boots)}
	start, first := l.before(from, nearBack)
	read := int64(0)
	for _, f := range slices.Clone(l.files) {
		if f.gen < start.gen || read > nearAhead {
			continue
		}
		off, stop := start.in(f), false
		err := l.with(f, func(file *os.File) error {
			return l.eachLine(file, off, off+nearAhead-read, f != l.newest(), func(b *record.Batch, i int, at int64) bool {
				r := &b.Recs[i]
				if !r.HasID() || r.Type == record.TypeEOE {
					return true
				}
				x := nearLine{r.Millis, r.Serial, r.Type, Position{f.gen, at}, Position{f.gen, at + int64(r.Len)}}
				s.add(b.Node(i), x)
				stop = from.Less(x.at) && s.past != (Position{}) && s.past.gen == f.gen && at-s.past.Off > nearEnough
				return !stop
			})
		})
		if err != nil && !unreachable(err) {
			return Position{}, err
		}
		if stop {
			break
		}
		read += f.size - off
	}

	p, ok := s.place()
	switch {
	case ok:
		return p, nil
	case len(s.nodes) == 0: // there is no line
		return l.SeekEnd()
	case !first:
		return start, nil
	}
	return l.oldest(), ErrGone
}

// before returns a place so many bytes before p, in an older file perhaps, and
// whether nothing lies before that.
func (l *Reader) before(p Position, bytes int64) (Position, bool) {
	for _, f := range slices.Backward(slices.Clone(l.files)) {
		if f.gen > p.gen {
			continue
		}
		if bytes == 0 {
			return p, false
		}
		size := f.size
		if f.gen == p.gen {
			size = p.Off
		}
		if size > bytes {
			return Position{f.gen, size - bytes}, false
		}
		bytes -= size
		p = Position{gen: f.gen}
	}
	return p, true
}
