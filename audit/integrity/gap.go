package integrity

import (
	"audisp-relay/audit/record"
)

// Kind says what is wrong.
type Kind uint8

const (
	// MissingSerials is a run of serials without any record.
	MissingSerials Kind = iota
	// IncompleteEvent is an event that lacks records or has a truncated one.
	IncompleteEvent
)

// Gap is what the stream should have brought and did not.
type Gap struct {
	Kind        Kind
	Node        string // as in node=, empty where records have none
	First, Last uint32 // serials; the same one twice for a damaged event
	Missing     uint32 // how many of First to Last are missing; 1 for a damaged event
	Millis      int64  // time of the event; of a hole, about that of the last event before it
	Stopped     bool   // a hole from a proper stop and start of auditd: no loss
	From        int64  // time from which on the log is to be searched: that of an event may be hours old when it is written
}

// Events returns how many events are concerned.
func (t Gap) Events() uint64 { return uint64(t.Missing) }

// nearby is how far in time a record may be from the one that showed the hole
// it fills. An event has the time its system call began, which may have waited
// long before it was recorded.
const nearby = 24 * 3600 * 1000

// Covers reports whether record i of b may be one of those missing. auditd 2.8
// can put node= into the log and not into the stream, and the other way round:
// a line of the log with a name and a record without are of the same node.
func (t Gap) Covers(b *record.Batch, i int) bool {
	r := &b.Recs[i]
	if !counts(r) || r.Serial-t.First > t.Last-t.First {
		return false
	}
	if d := r.Millis - t.Millis; d < -nearby || d > nearby || (t.Kind == IncompleteEvent && d != 0) {
		return false
	}
	if r.Flags&record.FromLog != 0 && (r.NodeLen == 0 || t.Node == "") {
		return true
	}
	return string(b.Node(i)) == t.Node
}

// counts reports whether r has a serial of the kernel's. Records of auditd
// itself (1200 to 1299) have their own, which begin at random.
func counts(r *record.Record) bool {
	return r.Flags&(record.NoID|record.Cont|record.Marker) == 0 && !record.OfDaemon(r.Type)
}
