package ecs

import (
	"bytes"
	"slices"
	"strconv"

	"audisp-relay/audit/record"
)

// writeAuditd writes what is auditbeat's own and not of the schema.
func (e *Encoder) writeAuditd() {
	w, d := &e.w, &e.doc
	m := w.Open("auditd", '{')
	if d.id != "" {
		w.Key("sequence")
		w.Buf = strconv.AppendUint(w.Buf, uint64(d.serial), 10)
	}
	e.writeType("message_type", d.first)
	if d.session != "unset" {
		w.Some("session", d.session)
	}
	w.Some("result", d.result)
	if self := e.process.Self; self != nil {
		w.Some("script", self.Script())
	}
	e.writeSummary()

	e.writePaths()
	e.writeData()
	if d.listed {
		e.writeMessages()
	}
	w.Close(m, '}')
}

// writeType writes the name of the type of record k as auditbeat does, in lower case.
func (e *Encoder) writeType(key string, k int) {
	from := len(e.text)
	e.text = e.appendType(e.text, k)
	name := e.text[from:]
	for i, c := range name {
		if c-'A' < 26 {
			name[i] += 'a' - 'A'
		}
	}
	e.w.Some(key, record.Alias(name))
}

func (e *Encoder) writeSummary() {
	w, s := &e.w, &e.doc.summary
	m := w.Open("summary", '{')
	o := w.Open("actor", '{')
	w.Some("primary", s.actor)
	w.Some("secondary", s.actor2)
	w.Close(o, '}')
	o = w.Open("object", '{')
	w.Some("primary", s.object)
	w.Some("secondary", s.object2)
	w.Some("type", s.what)
	w.Close(o, '}')
	w.Some("how", s.how)
	w.Close(m, '}')
}

// writeData writes auditd.data. The fields of SOCKADDR are an object in it.
func (e *Encoder) writeData() {
	w := &e.w
	m := w.Open("data", '{')
	e.writeMembers(&e.data, e.known.keys.placed)
	if title := e.doc.title; title != nil {
		a := w.Open("proctitle", '[')
		for more := true; more; {
			var arg []byte
			arg, title, more = bytes.Cut(title, []byte{0})
			w.Item(record.Alias(arg))
		}
		w.Close(a, ']')
	}
	o := w.Open("socket", '{')
	e.writeMembers(&e.socket, keySet{})
	w.Close(o, '}')
	w.Close(m, '}')
}

// overlaid reports whether a field has the name of a part of the record's security context.
func (e *Encoder) overlaid(r *parsedRecord, f *field) bool {
	return !f.context && f.is&(ofSubject|ofLabel) != 0 &&
		slices.ContainsFunc(e.fields[r.from:r.to], func(part field) bool { return part.context && part.key == f.key })
}

// writeMessages writes the fields of the records that the rest does not show, or not all
// of it. Their text stands in event.original.
func (e *Encoder) writeMessages() {
	w := &e.w
	a := w.Open("messages", '[')
	for k := range e.recs {
		r := &e.recs[k]
		if !r.odd {
			continue
		}
		m := w.OpenItem()
		e.writeType("type", k)
		o := w.Open("data", '{')
		for i := r.from; i < r.to; i++ {
			if f := &e.fields[i]; !f.unset && !e.overlaid(r, f) {
				w.Str(f.name, f.val)
			}
		}
		w.Close(o, '}')
		w.Close(m, '}')
	}
	w.Close(a, ']')
}
