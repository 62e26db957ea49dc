// Package format turns records, as they were received, into the bytes a
// consumer gets.
package format

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/audit/users"
	"audisp-relay/host/athand"
)

// Format is what a consumer gets its records as.
type Format uint8

const (
	// String is the line auditd writes to a plugin with format = string.
	String Format = iota
	// Binary is a dispatcher header and exactly the payload it names.
	Binary
	// Events are events, one on a line, in the shape of one of the kinds that were registered.
	Events
)

// Events reports whether the format is one of events, not of records.
func (f Format) Events() bool { return f == Events }

// EventEncoder writes events. What it keeps between calls does not show in what it writes.
// It belongs to one goroutine.
type EventEncoder interface {
	// AppendEvent appends the event that records i up to j of b are, as one line with
	// its newline. The line has every byte of the records, in whatever form.
	AppendEvent(dst []byte, b *record.Batch, i, j int) []byte
}

// Options say what an EventEncoder adds to what the records carry.
type Options struct {
	Node  string // see HostNames
	Local string
	// StripNode is Encoder's, for formats whose lines are the records' text.
	StripNode bool
	// Users gives the names of ids in records that carry none (log_format RAW). Nil
	// leaves them out.
	Users users.Names
	// Processes knows who has started what; nil: that is not known.
	Processes *process.Current
	// HostID is the machine-id(5) of this host, for its own records; "" leaves it out.
	HostID string
	// DataStream is where Elasticsearch is to put the events of format ecs; the zero value leaves it out.
	DataStream DataStream
}

// DataStream names a data stream of Elasticsearch: logs-DATASET-NAMESPACE.
type DataStream struct{ Dataset, Namespace string }

// Kind is a format by its name in the configuration, and what writes it if it is one of events.
type Kind struct {
	Name   string
	Format Format
	New    func(o Options) EventEncoder
	// Raw writes an event that the encoder has panicked over, as a line without its newline.
	Raw func(w *Raw, fault any)
	// AddRules adds the names of rules to a line that ends with the event's "}" and a newline. nil: the format has no
	// place for them.
	AddRules func(line []byte, names []string) []byte
	// Processes says that its events carry what Options.Processes knows.
	Processes bool
}

// Tagger returns the names of the rules that hold for the event that records i..j-1 of b are. They last until the next call.
type Tagger func(b *record.Batch, i, j int) []string

// kinds are those of the configuration, in the order in which messages list them. They are added
// while packages are initialised only, so that no lock guards them.
var kinds = []Kind{{Name: "string"}, {Name: "binary", Format: Binary}}

// Register adds formats of events. Package format/all calls it.
func Register(events ...Kind) {
	for _, k := range events {
		if !k.Format.Events() || k.New == nil || k.Raw == nil {
			panic("format " + k.Name + " cannot write events")
		}
		kinds = append(kinds, k)
	}
}

// Names returns what the configuration may say.
func Names() (names []string) {
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}

// Parse returns the kind of that name in the configuration.
func Parse(name string) (Kind, error) {
	for _, k := range kinds {
		if k.Name == name {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("format %q is not known: use one of %s", name, strings.Join(Names(), ", "))
}

// Encoder writes records in one format. What it keeps between calls does not show in what it
// writes. It belongs to one goroutine.
type Encoder struct {
	Format Format
	// Node is put in front of records that carry no node= of their own; empty
	// leaves them as they are.
	Node string
	// NodeVer0Only restricts that to version 0 frames, as audispd 2.8 does.
	NodeVer0Only bool
	// StripNode leaves node= out of the records' text, Node too, in string and binary, and in joined
	// (see Options). Other formats of events have a place of their own for the name.
	StripNode bool
	// DropEOE leaves EOE records out, as audispd's builtin_syslog does.
	DropEOE bool
	// Padded, where not nil, says whether binary frames are filled up to the length that
	// auditd's were up to 4.1.0. It is asked once, when the first one is made.
	Padded func() bool
	// Host, where it is not nil, holds the names of this host, and Node is taken from it:
	// they may change while the encoder is used.
	Host *atomic.Pointer[HostNames]
	// NewEvents makes the encoder of a format of events; each copy of an Encoder
	// makes its own when it is first used. Raw is that of the format's Kind.
	NewEvents func() EventEncoder
	Raw       func(w *Raw, fault any)
	// NewTagger makes what names the rules that hold for an event, one for each copy of an Encoder, and AddRules, that
	// of the format's Kind, puts the names into its line. Both are nil where no rule is asked.
	NewTagger func() Tagger
	AddRules  func(line []byte, names []string) []byte
	// Panicked, which may be nil, is called with a panic over records i..j-1 of b, one event or
	// record. They are given raw.
	Panicked func(b *record.Batch, i, j int, fault any)
	// AtHand, which may be nil, is where the event that is being written is noted, in a format of events. One that is
	// poison is given raw, with Panicked called as for a panic.
	AtHand *athand.Page

	asked  bool       // whether Padded was asked
	padded bool       // what it said
	seen   *HostNames // that Node and events were made for
	events EventEncoder
	tag    Tagger
	slot   athand.Slot
	batch  record.Batch // that events is given: a pointer to the caller's would move it to the heap
	buf    []byte
	ends   []uint32
	line   []byte
}

// HostNames are what this host is called.
type HostNames struct {
	Node  string // of what carries no node= of its own; empty leaves it out
	Local string // node= of its own records where auditd writes one: ids of other hosts are not looked up
}

// refreshNames takes names that have changed.
func (e *Encoder) refreshNames() {
	if e.Host == nil {
		return
	}
	if now := e.Host.Load(); now != e.seen {
		e.Node, e.seen, e.events = now.Node, now, nil
	}
}

// Encoded is a batch in the shape the consumer gets. It is valid until the next
// call of Encode and, where nothing had to be changed, no longer than the batch.
type Encoded struct {
	Bytes []byte
	ends  []uint32 // where each record ends in Bytes
}

// Encode returns the records of b one after the other, of padded frames maybe only the
// first of them. A string stream that nothing is to be added to or taken from costs no copy.
func (e *Encoder) Encode(b record.Batch) Encoded {
	e.refreshNames()
	if e.untouched(b) {
		from := b.Recs[0].Off
		return Encoded{Bytes: b.Buf[from : from+e.ends[len(e.ends)-1]], ends: e.ends}
	}

	e.slot = e.AtHand.Take()
	defer e.giveSlot()
	e.buf, e.ends = e.buf[:0], e.ends[:0]
	if e.Format == Binary && e.pads() && len(b.Recs) > maxPadded {
		b.Recs = b.Recs[:maxPadded]
	}
	for e.beginBatch(b); len(e.ends) < len(b.Recs); {
		e.encodeSome()
	}
	return Encoded{Bytes: e.buf, ends: e.ends}
}

// encodeSome continues where it ended before, to the end or past the first event or record that it
// panics over. The bytes of an event belong to its first record, so that it is acknowledged as a whole.
func (e *Encoder) encodeSome() {
	b := &e.batch
	i := len(e.ends)
	j := i
	defer func() {
		if fault := recover(); fault != nil {
			j = max(j, i+1)
			e.buf = e.rescue(e.buf, b, i, j, fault)
			e.endRecords(j)
		}
	}()

	for ; i < len(b.Recs); i = j {
		if e.Format.Events() {
			j = EventEnd(b, i)
			e.buf = e.appendWhole(e.buf, b, i, j)
		} else {
			j = i + 1
			e.buf = e.appendRecord(e.buf, *b, i)
		}
		e.endRecords(j)
	}
}

// untouched reports whether b's bytes are the output already, and then sets e.ends.
func (e *Encoder) untouched(b record.Batch) bool {
	adds := e.Node != "" && !e.NodeVer0Only && !e.StripNode
	if e.Format != String || len(b.Recs) == 0 || adds || e.DropEOE {
		return false
	}
	from, size, strips := b.Recs[0].Off, uint32(0), e.StripNode
	e.ends = e.ends[:0]
	for i := range b.Recs {
		r := &b.Recs[i]
		if r.Kind != record.Line || r.Off != from+size || (strips && b.NodeEnd(i) > 0) {
			return false
		}
		size += r.Len
		e.ends = append(e.ends, size)
	}
	return true
}

// Append appends record i of b to dst. It appends nothing for a record that
// this consumer does not get, and for all but the first one of an event in a format of
// events.
func (e *Encoder) Append(dst []byte, b record.Batch, i int) (out []byte) {
	defer func() {
		if fault := recover(); fault != nil {
			e.batch = b
			end := i + 1
			if e.Format.Events() {
				end = EventEnd(&e.batch, i)
			}
			out = e.rescue(dst, &e.batch, i, end, fault)
		}
	}()
	e.refreshNames()
	if e.Format.Events() {
		return e.appendEvent(dst, b, i)
	}
	return e.appendRecord(dst, b, i)
}

// appendRecord appends record i of b in a format of records.
func (e *Encoder) appendRecord(dst []byte, b record.Batch, i int) []byte {
	if e.DropEOE && b.Recs[i].Type == record.TypeEOE {
		return dst
	}
	if e.Format == Binary {
		return e.appendBinary(dst, b, i)
	}
	return e.appendString(dst, b, i)
}

// appendString writes what auditd writes to a string plugin (audispd.c,
// event_loop): version 0 payloads get "type=NAME msg=" in front, newlines within
// become spaces, a newline ends the record.
func (e *Encoder) appendString(dst []byte, b record.Batch, i int) []byte {
	r := &b.Recs[i]
	if e.needsNode(r) {
		dst = append(dst, "node="...)
		dst = append(dst, e.Node...)
		dst = append(dst, ' ')
	}
	if r.Kind == record.Line {
		return append(dst, e.text(&b, i)...)
	}
	if r.Kind == record.Ver0 {
		dst = append(dst, "type="...)
		dst = record.AppendTypeName(dst, r.Type)
		dst = append(dst, " msg="...)
	}

	start := len(dst)
	dst = append(dst, e.text(&b, i)...)
	BlankNewlines(dst[start:])
	return append(dst, '\n')
}

// text returns the bytes of record i: without its node= for a consumer that wants none, and
// without one that names nobody where appendString writes another.
func (e *Encoder) text(b *record.Batch, i int) []byte {
	if e.StripNode || e.needsNode(&b.Recs[i]) {
		return b.Bytes(i)[b.NodeEnd(i):]
	}
	return b.Bytes(i)
}

// BlankNewlines makes blanks of the newlines in text, so that it is one line.
func BlankNewlines(text []byte) {
	for k := bytes.IndexByte(text, '\n'); k >= 0; k = bytes.IndexByte(text, '\n') {
		text[k] = ' '
		text = text[k+1:]
	}
}

// needsNode reports whether this record is to get a node= prefix.
func (e *Encoder) needsNode(r *record.Record) bool {
	return e.Node != "" && !e.StripNode && r.NodeLen == 0 && r.Kind != record.Junk && r.Flags&record.Cont == 0 &&
		(!e.NodeVer0Only || r.Kind == record.Ver0)
}

// AppendNode appends the name that record i has in the consumer's node=, its own or Node; with
// StripNode the one that it would have. It appends nothing where there is none.
func (e *Encoder) AppendNode(dst []byte, b *record.Batch, i int) []byte {
	e.refreshNames()
	r := &b.Recs[i]
	switch {
	case r.NodeLen > 0 && b.NodeEnd(i) > 0:
		return append(dst, b.Node(i)...)
	case e.StripNode, e.needsNode(r):
		return append(dst, e.Node...)
	}
	return dst
}

// appendBinary writes a frame with exactly its payload. What came as a frame
// keeps its version; a line becomes a version 1 frame, and so does what gets a
// node= prefix, which only that version can carry.
func (e *Encoder) appendBinary(dst []byte, b record.Batch, i int) []byte {
	r, payload := &b.Recs[i], e.text(&b, i)
	ver, number := uint32(1), r.Type
	if number >= record.NamedType {
		number = 0 // not known to readers; the payload has the name
	}
	switch {
	case e.needsNode(r):
		e.line = e.appendString(e.line[:0], b, i)
		payload = bytes.TrimSuffix(e.line, []byte{'\n'})
	case r.Kind == record.Ver0:
		ver = 0
	case r.Kind == record.Line && r.Flags&record.Open == 0:
		payload = payload[:len(payload)-1] // its newline
	}

	if e.pads() {
		return e.appendPadded(dst, b, i, ver, number, payload)
	}
	for len(payload) > stream.MaxPayload { // longer than any frame: continue in the next
		dst = stream.AppendFrame(dst, ver, number, payload[:stream.MaxPayload])
		payload = payload[stream.MaxPayload:]
	}
	return stream.AppendFrame(dst, ver, number, payload)
}

// Records returns how many records the first n bytes hold whole, and where the
// last of them ends.
func (e *Encoded) Records(n int) (records, end int) {
	for records < len(e.ends) && int(e.ends[records]) <= n {
		end = int(e.ends[records])
		records++
	}
	return records, end
}

// Len returns the number of records.
func (e *Encoded) Len() int { return len(e.ends) }

// Span returns how many records go with record i: itself and those after it that
// have no bytes of their own, such as the others of an event.
func (e *Encoded) Span(i int) int {
	n := 1
	for i+n < len(e.ends) && e.ends[i+n] == e.ends[i] {
		n++
	}
	return n
}

// End returns where record i ends in Bytes.
func (e *Encoded) End(i int) int { return int(e.ends[i]) }
