package recovery

import (
	"bytes"
	"encoding/binary"

	"audisp-relay/audit/record"
)

// recentSize is how many of the records given last are remembered: those of a
// second and a half at the highest rate auditd reaches, of some seconds at
// ordinary ones. A hole is noticed after a second.
const recentSize = 1 << 17

// recentRecords remembers the records that consumers were given last, each by 16 bytes.
// When the log begins to lead it shows which of its lines they have already.
// Writing it is on the path of every record, so a key is made of samples of the
// text: two records of one event and type with equal samples and length are
// counted, not distinguished.
type recentRecords struct {
	ring []recentRecord
	next int // where the next one goes
	full bool
}

type recentRecord struct {
	recentKey
	packed uint64 // time, and type
}

const timeBits = 48

func pack(r *record.Record) uint64 {
	typ := uint64(r.Type)
	if r.Type >= record.NamedType {
		typ = 0 // its last bits are those of another type
	}
	return typ<<timeBits | uint64(r.Millis)&(1<<timeBits-1)
}

func (r *recentRecord) millis() int64 { return int64(r.packed & (1<<timeBits - 1)) }

// recentKey has the lowest bit of sum set for auditd's own records, whose serials
// are not the kernel's.
type recentKey struct{ serial, sum uint32 }

// add remembers the records of b. EOE records are left out: the log has none.
func (r *recentRecords) add(b *record.Batch) {
	if r.ring == nil {
		r.ring = make([]recentRecord, recentSize)
	}
	for i := range b.Recs {
		rec := &b.Recs[i]
		if rec.Type == record.TypeEOE || rec.Flags&(record.Marker|record.Cont) != 0 {
			continue
		}
		r.ring[r.next] = recentRecord{keyOf(b, i), pack(rec)}
		if r.next++; r.next == recentSize {
			r.next, r.full = 0, true
		}
	}
}

// oldest returns the time of the oldest record remembered, and the serial from which
// on all events are, by the oldest that has one of the kernel's.
func (r *recentRecords) oldest() (millis int64, serial uint32, ok bool) {
	begun := false
	for k := range r.all {
		if !begun {
			millis, begun = k.millis(), true
		}
		switch {
		case k.sum&1 != 0:
		case r.full: // records of that event may be forgotten already
			return millis, k.serial + 1, true
		default:
			return millis, k.serial, true
		}
	}
	return 0, 0, false
}

// all goes through what is remembered, the oldest first.
func (r *recentRecords) all(yield func(*recentRecord) bool) {
	from, n := 0, r.next
	if r.full {
		from, n = r.next, recentSize
	}
	for i := range n {
		if !yield(&r.ring[(from+i)%recentSize]) {
			return
		}
	}
}

// set returns how often each record is remembered.
func (r *recentRecords) set() map[recentKey]uint16 {
	n := r.next
	if r.full {
		n = recentSize
	}
	m := make(map[recentKey]uint16, n)
	for k := range r.all {
		m[k.recentKey]++
	}
	return m
}

// keyOf makes the key of record i, the same for a line of the stream, a frame
// and a line of the log.
func keyOf(b *record.Batch, i int) recentKey {
	return recentKey{b.Recs[i].Serial, sumOf(b.Recs[i].Type, keyText(b, i))}
}

// keyText returns what of record i makes its key: its text from the id on.
func keyText(b *record.Batch, i int) []byte {
	rec := &b.Recs[i]
	text := b.AfterNode(i)
	if rec.Kind != record.Ver0 {
		text = afterType(text)
	}
	if rec.Kind != record.Line && bytes.IndexByte(text, '\n') >= 0 {
		// In a frame it stands as it came, in a line auditd writes a space for it.
		text = bytes.ReplaceAll(text, []byte{'\n'}, []byte{' '})
	}
	return record.TrimEnd(text)
}

// sumOf makes the sum of a key from samples of the text of a record.
func sumOf(typ uint32, text []byte) uint32 {
	n := len(text)
	sum := uint64(typ)<<32 | uint64(uint32(n))
	if n >= 64 {
		// After the id, about where item=, the names and the pids are; the middle
		// and the end. The products do not wait for each other.
		head, middle, end := text[32:56], text[n/2:n/2+8], text[n-8:]
		sum ^= binary.LittleEndian.Uint64(head)*0x9E3779B97F4A7C15 +
			binary.LittleEndian.Uint64(head[8:])*0xC2B2AE3D27D4EB4F +
			binary.LittleEndian.Uint64(head[16:])*0xD6E8FEB86659FD93 +
			binary.LittleEndian.Uint64(middle)*0xA0761D6478BD642F +
			binary.LittleEndian.Uint64(end)*0xE7037ED1A0B428DB
		sum = (sum ^ sum>>32) * 0x9E3779B97F4A7C15
	} else {
		for ; len(text) >= 8; text = text[8:] {
			sum = (sum ^ binary.LittleEndian.Uint64(text)) * 0x9E3779B97F4A7C15
			sum ^= sum >> 32
		}
		for _, c := range text {
			sum = (sum ^ uint64(c)) * 0x9E3779B97F4A7C15
		}
	}

	folded := (uint32(sum>>32) ^ uint32(sum)) &^ 1
	if record.OfDaemon(typ) {
		folded |= 1
	}
	return folded
}

// beginsWith reports whether a record that is shorter than record i, and is its
// beginning, has that sum.
func beginsWith(b *record.Batch, i int, sum uint32) bool {
	text := keyText(b, i)
	for n := 1; n < len(text); n++ {
		if sumOf(b.Recs[i].Type, text[:n]) == sum {
			return true
		}
	}
	return false
}

// afterType returns text without a "type=TYPE msg=" in front: auditd writes nothing between the two.
func afterType(text []byte) []byte {
	if !record.HasPrefix(text, "type=") {
		return text
	}
	k := bytes.IndexByte(text, ' ')
	if msg := text[k+1:]; k > len("type=") && len(msg) > len("msg=") && record.HasPrefix(msg, "msg=") {
		return msg[len("msg="):]
	}
	return text
}

// givenBefore are the records that the consumers were given before the log began to lead.
type givenBefore struct {
	counts      map[recentKey]uint16 // how often each was given
	matched     map[recentKey]bool   // records that the log has; a key with sum 0 counts for all of an event
	from        int64                // time from which on the log was searched for them
	oldestAt    int64                // time of the oldest of them
	oldest      uint32               // serial of the oldest of them
	oldestKnown bool                 // oldestAt and oldest are set
}
