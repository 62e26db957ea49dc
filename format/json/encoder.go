// Package json writes events as JSON, one a line. docs/json.md is the format;
// schema.json describes it to programs.
//
// Two things hold whatever the records are. A line is strictly valid JSON in valid
// UTF-8 without two keys that are equal but for case. And every record can be rebuilt
// from it byte by byte: a field is shown in its decoded form; where the rules of
// docs/json.md would not restore its very bytes, the record's bytes are shown as
// well, under "raw".
package json

import (
	"bytes"
	"hash/maphash"
	"strconv"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/jsontext"
)

// Options are those of all formats of events.
type Options = format.Options

// Encoder writes events. It belongs to one goroutine. What it keeps between calls saves work
// and does not show: an event is written as a new Encoder would write it.
type Encoder struct {
	opts Options

	// The event at hand.
	recs    []parsedRecord
	head    header
	main    int  // index of the main record, -1 without
	auditd  bool // the names come from auditd: a record of the event has some
	lookup  bool // names are looked up
	looked  bool // a name was looked up and found
	percent bool // this is the second try: '%' is encoded, too
	bad     int  // how many bytes are percent-encoded
	args    record.Args
	obj     object        // the record being written
	inner   object        // the fields in msg='...' of the record being written
	names   enrichedNames // the names that auditd has added to that record
	uid     lookedUp
	gid     lookedUp

	// What events before were written as.
	memos [memoCount]memo
	seed  maphash.Seed
	title title
	named map[namedType]*recordType
	kin   [kinCount]kin // by the parent's pid

	// Parts that are written before their place in the line comes.
	others   []byte // the members of other_records
	keys     []byte // `,"a","b"`: keys of the records in others
	mainKeys []byte

	process process.Context // what is known of the event's process
	scratch []byte
	saddr   []byte
	stamp   jsontext.Stamp
	arch    lastArch
	called  []byte // what the record calls the field being written, where it is shown under another name
}

// New returns an Encoder.
func New(o Options) *Encoder {
	return &Encoder{opts: o, seed: maphash.MakeSeed(), obj: object{odd: new(odd)}, inner: object{odd: new(odd)}}
}

// AppendEvent appends the line of the event that records i to j-1 of b are, its newline
// included.
func (e *Encoder) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	if i >= j {
		return dst
	}
	e.cutEvent(b, i, j)
	e.readArgs()
	e.opts.Processes.Of(&e.process, b, i, j)
	start := len(dst)
	dst = e.appendEvent(dst)
	if e.bad > 0 && bytes.Count(dst[start:], []byte{'%'}) > e.bad {
		e.percent = true
		dst = e.appendEvent(dst[:start])
		e.percent = false
	}
	return dst
}

// appendEvent writes the event whose records are cut.
func (e *Encoder) appendEvent(dst []byte) []byte {
	e.bad, e.looked, e.uid, e.gid = 0, false, lookedUp{}, lookedUp{}
	e.writeOthers()
	dst = e.appendEnvelope(dst)
	if e.main >= 0 {
		dst = e.appendRecord(dst, &e.recs[e.main], top)
	}
	if e.main < 0 || e.obj.keyless {
		dst = e.appendKeyless(dst)
	}
	dst = e.appendCWD(dst)
	dst = e.appendAll(append(dst, `,"paths":[`...), record.TypePath, path)
	dst = e.appendAll(append(dst, `],"sockaddrs":[`...), record.TypeSockaddr, sockaddr)
	dst = e.appendArgs(append(dst, ']'))
	dst = e.appendProctitle(dst)
	dst = e.appendProcess(dst)
	return e.appendFlags(appendList(dst, `,"other_records":[`, e.others, ']'))
}

func (e *Encoder) appendEnvelope(dst []byte) []byte {
	h := &e.head
	dst = append(dst, `{"@timestamp":`...)
	if len(h.id) == 0 {
		dst = append(dst, `null,"id":null,"serial":null`...)
	} else {
		dst = e.stamp.Append(dst, h.millis)
		dst = append(dst, `,"id":"`...)
		dst = append(dst, h.id...)
		dst = append(dst, `","serial":`...)
		dst = strconv.AppendUint(dst, uint64(h.serial), 10)
	}

	dst = append(dst, `,"node":`...)
	switch {
	case len(h.node) > 0:
		dst = e.appendString(dst, h.node)
	case e.opts.Node != "":
		e.scratch = append(e.scratch[:0], e.opts.Node...)
		dst = e.appendString(dst, e.scratch)
	default:
		dst = append(dst, "null"...)
	}

	dst = append(dst, `,"type":`...)
	dst = append(dst, e.recs[max(e.main, 0)].kind.json...)
	dst = append(dst, `,"record_types":`...)
	for i := range e.recs {
		dst = append(dst, ',')
		if i == 0 {
			dst[len(dst)-1] = '['
		}
		dst = append(dst, e.recs[i].kind.json...)
	}
	return append(dst, ']')
}

// appendFlags appends the members that are there only when they apply, and ends the line.
func (e *Encoder) appendFlags(dst []byte) []byte {
	flags := uint8(0)
	for i := range e.recs {
		flags |= e.recs[i].flags
	}
	if flags&record.Partial != 0 {
		dst = append(dst, `,"incomplete":true`...)
	}
	if flags&record.FromLog != 0 {
		dst = append(dst, `,"recovered":true`...)
	}

	switch {
	case e.auditd:
		dst = append(dst, `,"names":"auditd"`...)
	case e.looked:
		dst = append(dst, `,"names":"relay"`...)
	}
	if len(e.head.node) == 0 && e.opts.Node != "" {
		dst = append(dst, `,"node_source":"relay"`...)
	}

	switch e.head.kind {
	case record.Ver0:
		dst = append(dst, `,"frame":0`...)
	case record.Ver1:
		dst = append(dst, `,"frame":1`...)
	}
	if e.bad > 0 {
		dst = append(dst, `,"encoding":"percent"`...)
	}
	return append(dst, '}', '\n')
}

// writeOthers fills e.others and e.keys.
func (e *Encoder) writeOthers() {
	e.others, e.keys = e.others[:0], e.keys[:0]
	for i := range e.recs {
		r := &e.recs[i]
		if i == e.main || r.elsewhere {
			continue
		}
		e.others = append(e.others, `,{"type":`...)
		e.others = append(e.others, r.kind.json...)
		e.others = e.appendRecord(e.others, r, other)
		e.others = append(e.others, '}')
	}
}

// appendAll appends the records of a type as the objects of an array.
func (e *Encoder) appendAll(dst []byte, typ uint32, l level) []byte {
	start := len(dst)
	for i := range e.recs {
		r := &e.recs[i]
		if r.typ != typ || !r.elsewhere {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		from := len(dst)
		dst = openObject(e.appendRecord(dst, r, l), from)
		dst = append(dst, '}')
	}
	return dst
}

// openObject makes an object of the members from dst[from:], each of which begins with a comma.
func openObject(dst []byte, from int) []byte {
	if len(dst) == from {
		return append(dst, '{')
	}
	dst[from] = '{'
	return dst
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 are written as %xx, and
// counted in e.bad; with e.percent every '%', too.
func (e *Encoder) appendString(dst, s []byte) []byte {
	dst, escaped := jsontext.AppendString(dst, s, e.percent)
	e.bad += escaped
	return dst
}
