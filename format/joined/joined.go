// Package joined writes events as text: the records of an event on one line, each as the format
// string has it. docs/recipes.md ("Records of an event on one line") is the format.
//
// Wazuh's agent makes such lines of an audit.log itself (logcollector, log_format audit): the records
// in their order, one blank between.
package joined

import (
	"bytes"

	"audisp-relay/audit/record"
	"audisp-relay/format"
)

// Kind is the format "joined".
var Kind = format.Kind{
	Name:   "joined",
	Format: format.Events,
	New:    func(o format.Options) format.EventEncoder { return New(o) },
	Raw:    writeRaw,
}

// begins stands in front of the id in every record, and in a line nowhere else: see appendText.
var begins = []byte(" msg=audit(")

// unit replaces the blank of begins where that is a part of a record's own text.
const unit = 0x1F

// Encoder writes events. It keeps nothing between calls, and belongs to one goroutine.
type Encoder struct {
	node  string // of records that have none
	strip bool   // node= is left out
}

// New returns an Encoder.
func New(o format.Options) *Encoder { return &Encoder{node: o.Node, strip: o.StripNode} }

// AppendEvent appends the line of the event that records i to j-1 of b are, its newline
// included.
func (e *Encoder) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	if i >= j {
		return dst
	}
	own := len(dst)
	for k := i; k < j; k++ {
		if k == i || !isBareEOE(b, k) {
			dst, own = e.appendNext(dst, b, k, k == i, own)
		}
	}
	return append(dst, '\n')
}

// appendNext appends record k, with a blank before it unless it is the first of the line. own is where the text of the
// record before begins, after its header, and begin where that of this one does.
func (e *Encoder) appendNext(dst []byte, b *record.Batch, k int, isFirst bool, own int) (out []byte, begin int) {
	from := len(dst)
	if b.Recs[k].Flags&record.Cont != 0 && !isFirst { // the next piece of a line: begins may lie across the cut
		from = max(own, from-len(begins)+1)
		dst = append(dst, textOf(b, k)...)
	} else {
		if !isFirst {
			dst = append(dst, ' ')
		}
		dst, own = e.appendRecord(dst, b, k)
		from = max(from, own-1) // where no header is, the blank in front may be that of begins
	}
	hide(dst[from:])
	return dst, own
}

// appendRecord appends record k as the format string has it, without its newline, and returns where its
// own text begins.
func (e *Encoder) appendRecord(dst []byte, b *record.Batch, k int) (out []byte, own int) {
	r, text := &b.Recs[k], textOf(b, k)
	header := headerOf(b, k, text)
	named := e.node != "" && r.NodeLen == 0 && r.Kind != record.Junk && r.Flags&record.Cont == 0
	if e.strip || named { // a node= without a name is replaced
		n := min(b.NodeEnd(k), len(text))
		text, header = text[n:], max(header-n, 0)
	}
	if named && !e.strip && record.HasPrefix(text, "node=") { // text with two names is not a record's
		header = 0
	}
	if named && !e.strip {
		dst = append(dst, "node="...)
		dst = append(dst, e.node...)
		dst = append(dst, ' ')
	}
	if r.Kind == record.Ver0 {
		dst = append(dst, "type="...)
		dst = record.AppendTypeName(dst, r.Type)
		dst = append(dst, " msg="...)
	}
	own = len(dst) + header
	return append(dst, text...), own
}

// headerOf returns how long the header of record k is, whose text that is: up to the parenthesis or, where the id
// cannot be read, as in a record that was cut there, up to the id.
func headerOf(b *record.Batch, k int, text []byte) int {
	r := &b.Recs[k]
	if r.HasID() || r.Flags&record.Cont != 0 {
		return min(len(b.Header(k)), len(text))
	}
	if r.Kind == record.Ver0 { // it gets type= and msg= in front
		return 0
	}
	from := 0
	if record.HasPrefix(text, "node=") {
		from = min(record.WordEnd(text, 0)+1, len(text))
	}
	end := record.WordEnd(text, from)
	if record.HasPrefix(text[from:], "type=") && bytes.HasPrefix(text[end:], begins) {
		return end + len(begins)
	}
	return 0
}

// textOf returns the bytes of record k without what stands at its end: its newline, and the blanks and
// NULs in which the framings differ. A piece that another one continues has all of its bytes.
func textOf(b *record.Batch, k int) []byte {
	if b.Recs[k].Flags&record.Open != 0 {
		return b.Bytes(k)
	}
	return record.TrimEnd(b.Bytes(k))
}

// hide sees to it that text, a record's own, neither ends the line nor begins a record in it.
// A newline, which frames may have, becomes a blank, as in the format string.
// In " msg=audit(" the blank is a 0x1F: neither the kernel nor auditd writes these bytes but in a
// header, but a program may send them, and any user may connect to a path that has them
// (SADDR={ saddr_fam=local path=... }).
func hide(text []byte) {
	format.BlankNewlines(text)
	for {
		k := bytes.Index(text, begins)
		if k < 0 {
			return
		}
		text[k] = unit
		text = text[k+len(begins):]
	}
}

// isBareEOE reports whether a record is an EOE without fields, which says nothing that the end of the
// line does not. auditd does not write them to its log.
func isBareEOE(b *record.Batch, k int) bool {
	return b.Recs[k].Type == record.TypeEOE && len(record.TrimColon(b.Body(k))) == 0 && b.Recs[k].HasID()
}

// writeRaw writes the records of an event over which the encoder has panicked one after the other, and reads nothing but their
// headers. In a record whose header cannot be read none begins either.
func writeRaw(w *format.Raw, _ any) {
	e := Encoder{node: string(w.Node), strip: w.StripNode}
	own := len(w.Buf)
	for k := w.From; k < w.To; k++ {
		w.Buf, own = e.appendNext(w.Buf, w.Batch, k, k == w.From, own)
	}
}
