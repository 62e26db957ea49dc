package ecs

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/audit/record"
)

// writeAuditd writes what is auditbeat's own and not of the schema.
func (e *Encoder) writeAuditd() {
	w, d, ev := &e.w, &e.doc, e.doc.event
	m := w.open("auditd", '{')
	if d.id != "" {
		w.key("sequence")
		w.buf = strconv.AppendUint(w.buf, uint64(d.serial), 10)
	}
	w.typeName("message_type", e.recs[d.first].name)
	if ev.Session != "unset" {
		w.some("session", ev.Session)
	}
	w.some("result", ev.Result)
	e.writeSummary()
	a := w.open("paths", '[')
	for _, path := range ev.Paths {
		e.writePath(path)
	}
	w.close(a, ']')
	e.writeData()
	if d.listed {
		e.writeMessages()
	}
	w.close(m, '}')
}

// typeName writes the name of a record type as auditbeat does, in lower case.
func (w *writer) typeName(key string, name []byte) {
	w.some(key, strings.ToLower(record.Alias(name)))
}

func (e *Encoder) writeSummary() {
	w, s := &e.w, &e.doc.event.Summary
	m := w.open("summary", '{')
	o := w.open("actor", '{')
	w.some("primary", s.Actor.Primary)
	w.some("secondary", s.Actor.Secondary)
	w.close(o, '}')
	o = w.open("object", '{')
	w.some("primary", s.Object.Primary)
	w.some("secondary", s.Object.Secondary)
	w.some("type", s.Object.Type)
	w.close(o, '}')
	w.some("how", s.How)
	w.close(m, '}')
}

// pathKeys are those that a path usually has, sorted: sorting those of each path takes a
// tenth of an event's time.
var pathKeys = []string{"cap_fe", "cap_fi", "cap_fp", "cap_frootid", "cap_fver", "dev", "group", "inode", "item", "mode", "name", "nametype", "ogid", "ouid", "owner", "rdev"}

// writePath writes the fields of a path in the order of their names.
func (e *Encoder) writePath(fields map[string]string) {
	known := 0
	for _, k := range pathKeys {
		if _, ok := fields[k]; ok {
			known++
		}
	}
	keys := pathKeys
	if known < len(fields) {
		keys = e.sortedKeys(fields)
	}
	m := e.w.openItem()
	for _, k := range keys {
		if val, ok := fields[k]; ok {
			e.w.str(k, val)
		}
	}
	e.w.close(m, '}')
}

// sortedKeys returns the keys of fields in order. They are valid until the next call.
func (e *Encoder) sortedKeys(fields map[string]string) []string {
	e.sorted = slices.AppendSeq(e.sorted[:0], maps.Keys(fields))
	slices.Sort(e.sorted)
	return e.sorted
}

// writeData writes auditd.data. The fields of SOCKADDR are an object in it.
func (e *Encoder) writeData() {
	w, d, data := &e.w, &e.doc, e.doc.event.Data
	keys := e.sortedKeys(data)
	m := w.open("data", '{')
	for _, k := range keys {
		if !strings.HasPrefix(k, "socket_") {
			w.str(k, data[k])
		}
	}
	if d.titleParts != nil {
		a := w.open("proctitle", '[')
		for _, part := range d.titleParts {
			w.item(record.Alias(part))
		}
		w.close(a, ']')
	}

	o := w.open("socket", '{')
	for _, k := range keys {
		if name, ok := strings.CutPrefix(k, "socket_"); ok {
			w.str(name, data[k])
		}
	}
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
		w.typeName("type", r.name)
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
