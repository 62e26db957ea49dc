package format

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format/jsontext"
)

// rescue gives the event, or record, that records i..j-1 of b are in its raw form, after
// the encoder has panicked over it, or where processes have died over it (package athand). What
// the encoder had written is dropped. Records can hold whatever a program has put into them, and
// the code that reads them, ours or a library's, can have faults: they cost one event its shape,
// and the others nothing.
func (e *Encoder) rescue(dst []byte, b *record.Batch, i, j int, fault any) (out []byte) {
	start := len(dst)
	defer func() {
		if recover() != nil { // there is nothing that can be read
			out = dst[:start]
		}
	}()
	if e.Panicked != nil {
		e.Panicked(b, i, j, fault)
	}

	switch e.Format {
	case Events:
		e.events = e.NewEvents() // the one before may be in any state
		return e.appendRaw(dst, b, i, j, fault)
	case Binary:
		payload := b.Bytes(i)
		return stream.AppendFrame(dst, 1, 0, payload[:min(len(payload), stream.MaxPayload)])
	}
	dst = append(dst, b.Bytes(i)...)
	if b.Recs[i].Kind != record.Line {
		BlankNewlines(dst[start:]) // what follows one would be a record
		dst = append(dst, '\n')
	}
	return dst
}

// appendRaw writes an event as a line, reading nothing but its header.
func (e *Encoder) appendRaw(dst []byte, b *record.Batch, i, j int, fault any) []byte {
	w := Raw{Buf: dst, Batch: b, From: i, To: j, Node: []byte(e.Node), StripNode: e.StripNode}
	if node := b.Node(i); len(node) > 0 {
		w.Node = node
	}
	for k := i; k < j; k++ {
		w.Percent = w.Percent || !utf8.Valid(b.Bytes(k)) || !utf8.Valid(b.Node(k))
	}
	e.Raw(&w, fault)
	return append(w.Buf, '\n')
}

// Raw writes an event's records as they came.
type Raw struct {
	Buf      []byte
	Batch    *record.Batch
	From, To int    // the event is records From to To-1 of Batch
	Node     []byte // of the event, or else of this host; may be empty
	Percent  bool   // bytes that are no UTF-8 are written as %xx, and % as %25
	// StripNode is Encoder's, for formats whose lines are the records' text.
	StripNode bool
}

// Put writes text as it is.
func (w *Raw) Put(s string) { w.Buf = append(w.Buf, s...) }

// List writes an array with an item for each record that is wanted, of all where want is nil.
func (w *Raw) List(want func(k int) bool, item func(k int)) {
	w.Put("[")
	for k := w.From; k < w.To; k++ {
		if want != nil && !want(k) {
			continue
		}
		if w.Buf[len(w.Buf)-1] != '[' {
			w.Put(",")
		}
		item(k)
	}
	w.Put("]")
}

// AppendLine appends record k as the format string has it: a frame may have a newline in it, which must not begin
// another record, and lack the type.
func (w *Raw) AppendLine(dst []byte, k int) []byte {
	return new(Encoder).appendString(dst, *w.Batch, k)
}

// Lines writes the records as a JSON array of strings.
func (w *Raw) Lines() {
	w.List(nil, func(k int) { w.Text(bytes.TrimRight(w.AppendLine(nil, k), "\n")) })
}

// Type writes the type of a record, null where it has no header that could be read.
func (w *Raw) Type(k int) {
	if !w.Batch.Recs[k].HasID() {
		w.Put("null")
		return
	}
	w.Text(w.Batch.AppendType(nil, k))
}

// Stamp writes the time of the event, or else what it is given.
func (w *Raw) Stamp(otherwise string) {
	r := &w.Batch.Recs[w.From]
	if !r.HasID() || r.Millis > record.LastMillis {
		w.Put(otherwise)
		return
	}
	w.Buf = time.UnixMilli(r.Millis).UTC().AppendFormat(w.Buf, `"2006-01-02T15:04:05.000Z"`)
}

// ID writes the id of the event.
func (w *Raw) ID() {
	r := &w.Batch.Recs[w.From]
	if !r.HasID() {
		w.Put("null")
		return
	}
	w.Buf = fmt.Appendf(w.Buf, `"%d.%03d:%d"`, r.Millis/1000, r.Millis%1000, r.Serial)
}

// Text writes a JSON string.
func (w *Raw) Text(s []byte) { w.Buf, _ = jsontext.AppendString(w.Buf, s, w.Percent) }
