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
	m := w.open("auditd", '{')
	if d.id != "" {
		w.key("sequence")
		w.buf = strconv.AppendUint(w.buf, uint64(d.serial), 10)
	}
	e.writeType("message_type", e.recs[d.first].name)
	if d.session != "unset" {
		w.some("session", d.session)
	}
	w.some("result", d.result)
	e.writeSummary()
	a := w.open("paths", '[')
	for _, k := range e.paths {
		o := w.openItem()
		w.pairs(e.recs[k].shown, nil)
		w.close(o, '}')
	}
	w.close(a, ']')
	e.writeData()
	if d.listed {
		e.writeMessages()
	}
	w.close(m, '}')
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
	e.w.some(key, record.Alias(e.text[from:]))
}

func (e *Encoder) writeSummary() {
	w, s := &e.w, &e.doc.summary
	m := w.open("summary", '{')
	o := w.open("actor", '{')
	w.some("primary", s.actor)
	w.some("secondary", s.actor2)
	w.close(o, '}')
	o = w.open("object", '{')
	w.some("primary", s.object)
	w.some("secondary", s.object2)
	w.some("type", s.what)
	w.close(o, '}')
	w.some("how", s.how)
	w.close(m, '}')
}

// pairs writes members in the order of their names, but for those to be skipped.
func (w *writer) pairs(list []pair, skip func(key string) bool) {
	slices.SortFunc(list, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	for i := range list {
		if skip == nil || !skip(list[i].key) {
			w.str(list[i].key, list[i].val)
		}
	}
}

// writeData writes auditd.data. The fields of SOCKADDR are an object in it.
func (e *Encoder) writeData() {
	w := &e.w
	m := w.open("data", '{')
	w.pairs(e.data, isProcess)
	if title := e.doc.title; title != nil {
		a := w.open("proctitle", '[')
		for more := true; more; {
			var arg []byte
			arg, title, more = bytes.Cut(title, []byte{0})
			w.item(record.Alias(arg))
		}
		w.close(a, ']')
	}
	o := w.open("socket", '{')
	w.pairs(e.socket, nil)
	w.close(o, '}')
	w.close(m, '}')
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
	a := w.open("messages", '[')
	for k := range e.recs {
		r := &e.recs[k]
		if !r.odd {
			continue
		}
		m := w.openItem()
		e.writeType("type", r.name)
		o := w.open("data", '{')
		for _, f := range e.fields[r.from:r.to] {
			if !f.unset && !e.overlaid(r, f) {
				w.str(f.key, f.val)
			}
		}
		w.close(o, '}')
		w.close(m, '}')
	}
	w.close(a, ']')
}
