// Package record knows what one audit record is: its header (node, type, time,
// serial), the numbers and names of types, its fields and what their values mean.
// It allocates nothing unless a function says so, and it believes nothing: any
// bytes may be in a record, and what is no field is passed on as such.
package record

import (
	"bytes"
	"time"
)

// Kind says in which shape a record's bytes are.
type Kind uint8

const (
	// Line is a line of a string stream, its newline included (a line that is
	// cut, see Open, has none).
	Line Kind = iota
	// Ver0 is the payload of a version 0 frame: "audit(SEC.MS:SERIAL): ...",
	// its type is in the frame header only (libaudit.h,
	// AUDISP_PROTOCOL_VER).
	Ver0
	// Ver1 is the payload of a version 1 frame: a complete log line without
	// newline (AUDISP_PROTOCOL_VER2).
	Ver1
	// Junk is what stood in a binary stream where a frame should have begun.
	Junk
)

// Flags of a record.
const (
	// NoID: the record has no readable type or no readable audit(...) id. It
	// is forwarded as it came.
	NoID uint8 = 1 << iota
	// Open: the line was longer than MaxRecord and continues in the next record.
	Open
	// Cont: the record continues the one before.
	Cont
	// FromLog: the record was read from audit.log, not from auditd's stream.
	FromLog
	// Late: the record is given after later ones of the log, so it says nothing
	// of how far a consumer has got.
	Late
	// Marker: the record is the relay's own, a loss marker or a checkpoint. It counts in no
	// balance.
	Marker
	// End: the record is the last one of a whole event, whose records lie one
	// after the other.
	End
	// Partial, only together with End: the event was given before it was known to
	// be complete, or is what came late of one that was given already.
	Partial
)

// MaxRecord is the most bytes one Record holds. The longest line auditd
// writes has about 9 KiB; a longer one is passed on in pieces (Open, Cont),
// so that memory is bounded whatever arrives.
const MaxRecord = 64 << 10

// Record is one audit record: where its bytes are and what its header says.
type Record struct {
	Off, Len uint32 // the bytes are Batch.Buf[Off:Off+Len]
	Type     uint32 // record type number, 0 when unknown; see NamedType
	Serial   uint32
	Millis   int64 // time of the event, ms since 1970
	Kind     Kind
	Flags    uint8
	NodeLen  uint16 // length of NAME where the bytes begin with "node=NAME "
	// Head is where the header ends, after the parenthesis of "audit(SEC.MS:SERIAL)", set by
	// whoever reads the header (HeaderReader). 0: not known, then Batch looks for it.
	Head uint16
}

// LastMillis is the last time that RFC 3339 has: the end of the year 9999.
const LastMillis = 253402300799999

// TimeOf returns a time in ms since 1970 as one that JSON can hold in every time zone (time.Time.MarshalJSON takes no year beyond
// 9999): what is earlier than 1970 is 1970, what is later than a day before LastMillis that.
func TimeOf(millis int64) time.Time {
	const day = 24 * 3600 * 1000
	return time.UnixMilli(min(max(millis, 0), LastMillis-day))
}

// HasID reports whether the header could be read.
func (r *Record) HasID() bool { return r.Flags&NoID == 0 }

// Loggable reports whether auditd writes such a record to audit.log, in one piece, and it is given in
// the order of the log. It does not write the EOE that ends an event (auditd-event.c, handle_event).
func (r *Record) Loggable() bool {
	return r.Type != TypeEOE && r.Flags&(NoID|Open|Cont|Late|Marker) == 0
}

// Batch is a run of records in the order they arrived and the buffer that
// holds their bytes. Whoever hands out the batch says who owns the buffer, and until when.
type Batch struct {
	Buf  []byte
	Recs []Record
}

// Bytes returns the bytes of record i, as auditd sent them.
func (b *Batch) Bytes(i int) []byte {
	r := &b.Recs[i]
	return b.Buf[r.Off : r.Off+r.Len]
}

// Node returns the name in the record's node= prefix, empty when it has none.
func (b *Batch) Node(i int) []byte {
	n := b.Recs[i].NodeLen
	if n == 0 {
		return nil
	}
	return b.Bytes(i)[len("node="):][:n]
}

// AfterNode returns the bytes of record i without a "node=NAME " in front.
func (b *Batch) AfterNode(i int) []byte {
	text, n := b.Bytes(i), b.Recs[i].NodeLen
	if n == 0 {
		return text
	}
	return text[min(len("node= ")+int(n), len(text)):]
}

// NodeEnd returns where record i begins after the "node=NAME " in front of its header; NAME may be
// empty. It is 0 where there is none, and where no header could be read: then "node=" is text like
// any other. What follows is always "type=" or "audit(".
func (b *Batch) NodeEnd(i int) int {
	r, text := &b.Recs[i], b.Bytes(i)
	if r.Flags&(NoID|Cont) != 0 || !HasPrefix(text, "node=") {
		return 0
	}
	n := len("node=") + int(r.NodeLen) + 1
	if n > len(text) || bytes.IndexByte(text, ' ') != n-1 { // a record of a spoilt spool: a name has no blank
		return 0
	}
	if rest := text[n:]; !HasPrefix(rest, "type=") && !HasPrefix(rest, "audit(") {
		return 0
	}
	return n
}

// Body returns what stands after the header of a record that has an id, without blanks, newlines
// and NULs at its end: ": key=value ...". Of one that has none it is nil.
func (b *Batch) Body(i int) []byte {
	if !b.Recs[i].HasID() {
		return nil
	}
	return TrimEnd(b.Bytes(i)[b.headEnd(i):])
}

// headEnd returns where the header of a record with an id ends.
func (b *Batch) headEnd(i int) int {
	r := &b.Recs[i]
	if r.Head != 0 {
		return min(int(r.Head), int(r.Len))
	}
	rest := b.AfterNode(i)
	return int(r.Len) - len(rest) + bytes.IndexByte(rest, ')') + 1 // no name of a type has a parenthesis
}

// Header returns what record i has in front of its body, up to the parenthesis of its id; nil of one
// that has no id.
func (b *Batch) Header(i int) []byte {
	if !b.Recs[i].HasID() {
		return nil
	}
	return b.Bytes(i)[:b.headEnd(i)]
}

// IDText returns "SEC.MS:SERIAL" of record i's header; nil of one that has no id.
func (b *Batch) IDText(i int) []byte { return idIn(b.Header(i)) }

// idIn returns the id in a header, which has no parenthesis; nil without. In a file that was not
// written as a spool any record may say that it has one.
func idIn(head []byte) []byte {
	from := bytes.LastIndexByte(head, '(') + 1
	if from < len("audit(") || len(head) <= from {
		return nil
	}
	return head[from : len(head)-1]
}

// TrimEnd returns text without the blanks, NULs and newlines at its end: auditd's formats differ
// in them, and fixed frames are padded.
func TrimEnd(text []byte) []byte {
	n := len(text)
	for n > 0 && (text[n-1] == '\n' || text[n-1] == ' ' || text[n-1] == 0) {
		n--
	}
	return text[:n]
}

// TrimColon returns a body without the colon and the blanks in front.
func TrimColon(body []byte) []byte {
	for len(body) > 0 && (body[0] == ':' || body[0] == ' ') {
		body = body[1:]
	}
	return body
}

// SameEvent reports whether records i and j belong to one event: same node,
// time and serial. A record without an id belongs to nothing but itself,
// pieces of one line belong together.
func (b *Batch) SameEvent(i, j int) bool {
	x, y := &b.Recs[i], &b.Recs[j]
	if x.Flags&NoID != 0 || y.Flags&NoID != 0 {
		return false
	}
	return x.Serial == y.Serial && x.Millis == y.Millis && x.NodeLen == y.NodeLen &&
		(x.NodeLen == 0 || string(b.Node(i)) == string(b.Node(j)))
}
