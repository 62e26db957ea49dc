package recovery

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"slices"

	"audisp-relay/audit/record"
)

// witnessSize is how many serials back is known which events the stream has brought.
const witnessSize = 1 << 16

// witness knows the events that the stream has brought, and those that the log
// alone gave: a line of the log that the stream does not bring is judged by
// them. Only auditd writes the stream.
type witness struct {
	events  []witnessed // by serial
	any     bool        // the stream has brought something
	low     uint32      // from this serial up to top all that the stream brought is known
	top     uint32      // the newest serial that it brought
	node    []byte      // of the stream's first record
	multi   bool        // it has shown others
	daemons [16]uint32  // serials of auditd's own records, the last ones
	daemon  int         // how many records of auditd's own there were
	// Of the log: the last serials, each of another event.
	last  [8]uint32
	lasts int
}

// witnessed is one event.
type witnessed struct {
	millis int64
	line   uint64 // number of its line that was met last
	serial uint32
	node   uint32
	dist   uint32 // of one that only the log has, see awaitedLine
	types  witnessTypes
	held   uint8     // records of it that have arrived and wait
	sums   [5]uint32 // of the records with these types that consumers were given before the log led
}

// witnessTypes are the records that an event has once at most, of those of the stream that
// were dealt with.
type witnessTypes uint8

const (
	hasCall witnessTypes = 1 << iota
	hasCWD
	hasTitle
	hasSockaddr
	hasUser
	byStream
	byLog
)

// singleType returns the bit of a type that an event has once at most, 0 for others.
func singleType(typ uint32) witnessTypes {
	switch {
	case typ == record.TypeSyscall || typ == record.TypeUring:
		return hasCall
	case typ == record.TypeCWD:
		return hasCWD
	case typ == record.TypeProctitle:
		return hasTitle
	case typ == record.TypeSockaddr:
		return hasSockaddr
	case record.OfProgram(typ):
		return hasUser
	}
	return 0
}

// begin forgets all but auditd's own serials, and takes over what recent knows.
func (w *witness) begin(r *recentRecords) {
	if w.events == nil {
		w.events = make([]witnessed, witnessSize)
	} else {
		clear(w.events)
	}
	w.any = false
	for k := range r.all {
		if k.sum&1 != 0 {
			continue
		}
		e := w.put(k.serial, k.millis(), 0)
		if bit := singleType(uint32(k.packed >> timeBits)); bit != 0 {
			e.types |= bit
			e.sums[bits.TrailingZeros8(uint8(bit))] = k.sum
		}
	}
}

var nodeSeed = maphash.MakeSeed()

// nodeKey distinguishes nodes where the stream shows several: where it does not, the
// log may have a name and the stream none.
func (w *witness) nodeKey(name []byte) uint32 {
	if !w.multi {
		return 0
	}
	return uint32(maphash.Bytes(nodeSeed, name))
}

// noteNode sees whether the stream shows several nodes.
func (w *witness) noteNode(name []byte) {
	if w.node == nil {
		w.node = append(make([]byte, 0, len(name)+1), name...)
	} else if !w.multi && !bytes.Equal(name, w.node) {
		w.multi = true
		clear(w.events)
	}
}

// note takes in records of the stream, as they arrive.
func (w *witness) note(b *record.Batch) {
	if w.events == nil {
		return
	}
	for i := range b.Recs {
		r := &b.Recs[i]
		if !r.HasID() || r.Flags&(record.Cont|record.Marker) != 0 {
			continue
		}
		if record.OfDaemon(r.Type) {
			w.noteDaemon(r.Serial)
			continue
		}
		name := b.Node(i)
		if w.node == nil || (!w.multi && !bytes.Equal(name, w.node)) {
			w.noteNode(name)
		}
		e := w.put(r.Serial, r.Millis, w.nodeKey(name))
		if r.Type != record.TypeEOE && e.held < 1<<8-1 {
			e.held++
		}
	}
}

// put notes a record that the stream has brought.
func (w *witness) put(serial uint32, millis int64, node uint32) *witnessed {
	e := &w.events[serial%witnessSize]
	if e.types&byStream == 0 || e.serial != serial || e.millis != millis || e.node != node {
		*e = witnessed{millis: millis, serial: serial, node: node, types: byStream}
		switch d := int32(serial - w.top); {
		case !w.any || d > witnessSize || d < -witnessSize: // the first, or a new beginning
			w.low, w.top, w.any = serial, serial, true
		case d > 0:
			w.top = serial
		case int32(serial-w.low) < 0:
			w.low = serial
		}
	}
	return e
}

// settle notes that record i of the stream is being dealt with.
func (w *witness) settle(b *record.Batch, i int) *witnessed {
	r := &b.Recs[i]
	e := w.find(b, i)
	if e == nil || e.types&byStream == 0 || e.millis != r.Millis {
		return nil
	}
	e.types |= singleType(r.Type)
	return e
}

// done notes that a record of the stream was dealt with.
func (e *witnessed) done() {
	if e != nil && e.held > 0 {
		e.held--
	}
}

// find returns the event that has the serial of record i and is of its node, nil if there is none.
func (w *witness) find(b *record.Batch, i int) *witnessed {
	if w.events == nil {
		return nil
	}
	serial := b.Recs[i].Serial
	e := &w.events[serial%witnessSize]
	if e.types == 0 || e.serial != serial || e.node != w.nodeKey(b.Node(i)) {
		return nil
	}
	return e
}

// noteLog notes the event of line i, which only the log has.
func (w *witness) noteLog(b *record.Batch, i int, dist uint32) {
	if w.events == nil {
		return
	}
	r := &b.Recs[i]
	e := &w.events[r.Serial%witnessSize]
	if e.types&byStream != 0 && w.any && int32(w.top-e.serial) >= 0 && w.top-e.serial < witnessSize {
		return // of the stream, and not to be overwritten
	}
	*e = witnessed{millis: r.Millis, serial: r.Serial, node: w.nodeKey(b.Node(i)), dist: dist, types: byLog}
}

func (w *witness) noteDaemon(serial uint32) {
	w.daemons[w.daemon%len(w.daemons)] = serial
	w.daemon++
}

// daemonLine reports whether a line can be a record of auditd's own that it did not
// dispatch: before 4.2 it logs some only. Their serials are a series, which begins
// at random with each start. alone: there is no stream that it should have been in;
// resumed: nor was there when it was written.
func (w *witness) daemonLine(r *record.Record, alone, resumed bool) bool {
	const near = 16
	known := w.daemons[:min(w.daemon, len(w.daemons))]
	follows := slices.ContainsFunc(known, func(s uint32) bool { return apart(r.Serial, s) <= near })
	switch r.Type {
	case record.TypeDaemonStart:
		return resumed
	case record.TypeDaemonErr:
		return follows
	case record.TypeDaemonAbort, record.TypeDaemonConfig, record.TypeDaemonReconfig, record.TypeDaemonRotate, record.TypeDaemonResume:
		return true // DAEMON_CONFIG of a reload has a serial at random
	}
	return follows || resumed || (alone && len(known) == 0) // DAEMON_END of a stop before the last one
}

// distance says how far the serial of a line is from those before it in
// the log, and whether it is newer, and notes it. The other lines of its event do not
// count.
func (w *witness) distance(serial uint32) (dist uint32, newer bool) {
	const size = len(w.last)
	end := w.lasts
	if end > 0 && w.last[(end-1)%size] == serial {
		end--
	} else {
		w.last[end%size] = serial
		w.lasts++
	}
	n := min(end, size-1)
	if n == 0 {
		return unknownDist, false
	}

	before := w.last[(end-1)%size]
	newer = int32(serial-before) > 0
	// An address has room for four lines: they are near each other, but not to what
	// stands in front of them.
	far := w.last[(end-min(n, maxSuspects+1))%size]
	if d := apart(serial, before); d <= nearSerials && apart(serial, far) <= nearSerials {
		return d, newer
	}

	var all [size]uint32
	for k := range n {
		all[k] = apart(serial, w.last[(end-1-k)%size])
	}
	return middle(all[:n]), newer
}

const (
	// nearSerials is how far apart the serials of neighbours in the log may be, as the
	// processors write their events at once.
	nearSerials = 256
	unknownDist = 1 << 31
)

// apart returns how far apart two serials are.
func apart(a, b uint32) uint32 { return min(a-b, b-a) }

// middle returns the middle one, the lower one of two.
func middle(list []uint32) uint32 {
	slices.Sort(list)
	return list[(len(list)-1)/2]
}
