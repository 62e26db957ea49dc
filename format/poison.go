package format

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format/jsontext"
)

// Records can hold whatever anybody has put into them, and code that reads them can have
// faults, ours or a library's. A panic over one event must cost no more than its
// shape: it is given raw, and all others as ever.

// rescue gives the event, or record, that records i..j-1 of b are in its raw form, after
// the encoder has panicked over it. What it had written is dropped.
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
	case JSON, ECS, Laurel:
		e.events = e.NewEvents() // the one before may be in any state
		return e.appendRaw(dst, b, i, j, fault)
	case Binary:
		return stream.AppendFrame(dst, 1, 0, cutTo(b.Bytes(i), stream.MaxPayload))
	}
	dst = append(dst, b.Bytes(i)...)
	if b.Recs[i].Kind != record.Line {
		dst = append(dst, '\n')
	}
	return dst
}

func cutTo(s []byte, n int) []byte { return s[:min(len(s), n)] }

// appendRaw writes an event of which nothing but its header is read, as a line.
func (e *Encoder) appendRaw(dst []byte, b *record.Batch, i, j int, fault any) []byte {
	w := raw{buf: dst, b: b, i: i, j: j, node: e.Node}
	for k := i; k < j; k++ {
		w.bad = w.bad || !utf8.Valid(b.Bytes(k)) || !utf8.Valid(b.Node(k))
	}
	switch e.Format {
	case JSON:
		w.json()
	case ECS:
		w.ecs(fmt.Sprint("encoder panicked: ", fault))
	default:
		w.laurel()
	}
	return append(w.buf, '}', '\n')
}

// raw writes an event's records as they came.
type raw struct {
	buf  []byte
	b    *record.Batch
	i, j int
	node string
	bad  bool // bytes that are no UTF-8 are written as %xx, and % as %25
}

// json keeps the rules by which docs/json.md has every record rebuilt: each has "raw".
func (w *raw) json() {
	w.put(`{"@timestamp":`)
	w.stamp("null")
	w.put(`,"id":`)
	w.id()
	w.put(`,"serial":`)
	if r := &w.b.Recs[w.i]; r.HasID() {
		w.buf = strconv.AppendUint(w.buf, uint64(r.Serial), 10)
	} else {
		w.put("null")
	}
	w.put(`,"node":`)
	source := ""
	switch node := w.b.Node(w.i); {
	case len(node) > 0:
		w.text(node)
	case w.node != "":
		w.text([]byte(w.node))
		source = `,"node_source":"relay"`
	default:
		w.put("null")
	}
	main := w.main()
	w.put(`,"type":`)
	w.typ(max(main, w.i))
	w.put(`,"record_types":[`)
	for k := w.i; k < w.j; k++ {
		w.comma(k > w.i)
		w.typ(k)
	}
	w.put("]")
	if main >= 0 {
		w.put(`,"raw":`)
		w.text(w.b.Bytes(main))
	}
	w.put(`,"keys":[],"key":null,"paths":[`)
	w.list(func(k int) bool { return k != main && w.b.Recs[k].Type == record.TypePath }, false)
	w.put(`],"sockaddrs":[`)
	w.list(func(k int) bool { return k != main && w.b.Recs[k].Type == record.TypeSockaddr }, false)
	w.put(`],"other_records":[`)
	w.list(func(k int) bool {
		t := w.b.Recs[k].Type
		return k != main && t != record.TypePath && t != record.TypeSockaddr
	}, true)
	w.put("]" + source)
	if w.bad {
		w.put(`,"encoding":"percent"`)
	}
}

// ecs says pipeline_error, the schema's kind of such events.
func (w *raw) ecs(fault string) {
	w.put(`{"@timestamp":`)
	w.stamp(time.Now().UTC().Format(`"2006-01-02T15:04:05.000Z"`))
	w.put(`,"event":{`)
	if w.b.Recs[w.i].HasID() {
		w.put(`"id":`)
		w.id()
		w.put(",")
	}
	w.put(`"kind":"pipeline_error","module":"auditd","original":[`)
	for k := w.i; k < w.j; k++ {
		w.comma(k > w.i)
		w.text(w.line(k))
	}
	w.put(`]},"error":{"message":`)
	w.text([]byte(fault))
	w.put(`},"service":{"type":"auditd"}`)
	node := w.b.Node(w.i)
	if len(node) == 0 {
		node = []byte(w.node)
	}
	if len(node) > 0 {
		w.put(`,"host":{"name":`)
		w.text(node)
		w.put("}")
	}
	if w.bad {
		w.put(`,"labels":{"encoding":"percent"}`)
	}
	w.put(`,"ecs":{"version":"8.0.0"}`)
}

// laurel has RAW, which is what it calls a record that it cannot read.
func (w *raw) laurel() {
	w.bad = true // laurel always writes %25
	w.put(`{"ID":`)
	w.id()
	node := w.b.Node(w.i)
	if len(node) == 0 {
		node = []byte(w.node)
	}
	if len(node) > 0 {
		w.put(`,"NODE":`)
		w.text(node)
	}
	w.put(`,"RAW":[`)
	for k := w.i; k < w.j; k++ {
		w.comma(k > w.i)
		w.text(w.line(k))
	}
	w.put("]")
}

func (w *raw) put(s string) { w.buf = append(w.buf, s...) }

func (w *raw) comma(yes bool) {
	if yes {
		w.buf = append(w.buf, ',')
	}
}

// Types of records that say more of an event that another one is about.

// main is the main record as docs/json.md has it, -1 without.
func (w *raw) main() int {
	first := -1
	for k := w.i; k < w.j; k++ {
		switch w.b.Recs[k].Type {
		case record.TypeSyscall:
			return k
		case record.TypePath, record.TypeSockaddr, record.TypeCWD, record.TypeExecve, record.TypeProctitle, record.TypeEOE:
		default:
			if first < 0 {
				first = k
			}
		}
	}
	return first
}

// list writes objects with the records that want says.
func (w *raw) list(want func(k int) bool, typed bool) {
	n := 0
	for k := w.i; k < w.j; k++ {
		if !want(k) {
			continue
		}
		w.comma(n > 0)
		n++
		w.put("{")
		if typed {
			w.put(`"type":`)
			w.typ(k)
			w.put(",")
		}
		w.put(`"raw":`)
		w.text(w.b.Bytes(k))
		w.put("}")
	}
}

func (w *raw) line(k int) []byte {
	s := w.b.Bytes(k)
	for len(s) > 0 && s[len(s)-1] == '\n' {
		s = s[:len(s)-1]
	}
	return s
}

func (w *raw) typ(k int) {
	if !w.b.Recs[k].HasID() {
		w.put("null")
		return
	}
	w.text(w.b.AppendType(nil, k))
}

func (w *raw) stamp(otherwise string) {
	r := &w.b.Recs[w.i]
	at := time.UnixMilli(r.Millis).UTC()
	if !r.HasID() || at.Year() > 9999 {
		w.put(otherwise)
		return
	}
	w.buf = at.AppendFormat(w.buf, `"2006-01-02T15:04:05.000Z"`)
}

func (w *raw) id() {
	r := &w.b.Recs[w.i]
	if !r.HasID() {
		w.put("null")
		return
	}
	w.buf = fmt.Appendf(w.buf, `"%d.%03d:%d"`, r.Millis/1000, r.Millis%1000, r.Serial)
}

// text writes a JSON string.
func (w *raw) text(s []byte) { w.buf, _ = jsontext.AppendString(w.buf, s, w.bad) }
