package ecs

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

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
	e.writeType("message_type", e.recs[d.first].name)
	if d.session != "unset" {
		w.Some("session", d.session)
	}
	w.Some("result", d.result)
	if self := e.process.Self; self != nil {
		w.Some("script", self.Script())
	}
	e.writeSummary()
	a := w.Open("paths", '[')
	for _, k := range e.paths {
		o := w.OpenItem()
		w.pairs(e.recs[k].shown, nil)
		w.Close(o, '}')
	}
	w.Close(a, ']')
	e.writeData()
	if d.listed {
		e.writeMessages()
	}
	w.Close(m, '}')
}

// writeType writes the name of a record type as auditbeat does, in lower case.
func (e *Encoder) writeType(key string, name []byte) {
	from := len(e.text)
	for _, c := range name {
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		e.text = append(e.text, c)
	}
	e.w.Some(key, record.Alias(e.text[from:]))
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

// pairs writes members in the order of their names, but for those to be skipped.
func (w *writer) pairs(list []pair, skip func(key string) bool) {
	slices.SortFunc(list, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	for i := range list {
		if skip == nil || !skip(list[i].key) {
			w.Str(list[i].key, list[i].val)
		}
	}
}

// writeData writes auditd.data. The fields of SOCKADDR are an object in it.
func (e *Encoder) writeData() {
	w := &e.w
	m := w.Open("data", '{')
	w.pairs(e.data, isProcess)
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
	w.pairs(e.socket, nil)
	w.Close(o, '}')
	w.Close(m, '}')
}

// overlaid reports whether a field has the name of a part of the record's security context.
func (e *Encoder) overlaid(r *parsedRecord, f field) bool {
	return !f.context && (strings.HasPrefix(f.key, "subj_") || strings.HasPrefix(f.key, "obj_")) &&
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
		e.writeType("type", r.name)
		o := w.Open("data", '{')
		for _, f := range e.fields[r.from:r.to] {
			if !f.unset && !e.overlaid(r, f) {
				w.Str(f.key, f.val)
			}
		}
		w.Close(o, '}')
		w.Close(m, '}')
	}
	w.Close(a, ']')
}
