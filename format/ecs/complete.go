package ecs

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/record"
)

// document is what is written of an event.
type document struct {
	event      *aucoalesce.Event
	main       int   // the record whose fields are the event's own, -1 without
	first      int   // the record that says what kind of event it is
	does       roles // of the account that it names
	millis     int64
	serial     uint32
	node       string
	id         string
	written    bool // @timestamp is the time of writing: the records have none
	recovered  bool
	incomplete bool
	titleParts [][]byte // of a proctitle that process.title does not show exactly
	problem    string   // what kept aucoalesce from its work
	listed     bool     // the records follow as they came

	user, effective, target, group entity
	impliedEUID                    bool // user.effective is left out, being the user
	impliedEGID                    bool
}

// completeEvent finds what the event has no place for yet, and gives it one.
func (e *Encoder) completeEvent(b *record.Batch, i int) {
	d := &e.doc
	first := &e.recs[0]
	d.millis, d.serial, d.id = b.Recs[i].Millis, b.Recs[i].Serial, record.Alias(first.ID)
	d.written = len(first.ID) == 0 || d.millis > record.LastMillis
	d.node = cmp.Or(record.Alias(first.Node), e.opts.Node)
	for k := range e.recs {
		d.recovered = d.recovered || e.recs[k].Flags&record.FromLog != 0
		d.incomplete = d.incomplete || e.recs[k].Flags&record.Partial != 0
	}

	d.event.Tags = e.tags
	fixFileType(d.event)
	e.nameIDs()
	e.findUsers()
	e.correctEvent()
	for k := range e.recs {
		e.placeFields(k)
	}
	for k := range e.recs {
		e.placeNames(k)
		d.listed = d.listed || e.recs[k].odd
	}
}

// placeFields sees to it that each field of a record is in the document.
func (e *Encoder) placeFields(k int) {
	r := &e.recs[k]
	if r.path != nil {
		e.placeInPath(r)
		return
	}
	data := e.doc.event.Data
	for _, f := range e.fields[r.from:r.to] {
		key := f.key
		if r.typ() == auparse.AUDIT_SOCKADDR && (k != e.doc.main || f.aside) {
			key = "socket_" + key
		}
		if f.unset || e.shows(k, key, f) {
			continue
		}
		if _, taken := data[key]; !taken && e.doc.problem == "" && (k == e.doc.main || f.aside) && processField(&e.doc.event.Process, key) == nil {
			data[key] = f.val
			continue
		}
		r.odd = true
	}
}

// placeInPath adds the fields of a PATH record that aucoalesce was not given.
func (e *Encoder) placeInPath(r *parsedRecord) {
	if !r.asides {
		return
	}
	for _, f := range e.fields[r.from:r.to] {
		if got, taken := r.path[f.key]; !taken {
			r.path[f.key] = f.val
		} else if got != f.val {
			r.odd = true
		}
	}
}

// shows reports whether the document has that field of record k.
func (e *Encoder) shows(k int, key string, f field) bool {
	ev, val := e.doc.event, f.val
	if got, ok := ev.Data[key]; ok && got == val {
		return true
	}
	if place := processField(&ev.Process, key); place != nil {
		// The ids of processes are numbers.
		_, number := canonical(val)
		return *place == val && val != "" && (number || (key != "pid" && key != "ppid"))
	}

	if k != e.doc.main || f.aside {
		return false
	}
	switch key {
	case "result":
		return ev.Result == val
	case "ses":
		return ev.Session == val
	case "items":
		return val == strconv.Itoa(len(ev.Paths))
	case "addr":
		return ev.Source != nil && ev.Source.IP == val
	case "uid":
		return e.doc.user.ID == val
	case "euid":
		return e.doc.effective.ID == val || (e.doc.impliedEUID && e.doc.user.ID == val)
	}

	if got, ok := ev.User.IDs[key]; ok {
		return got == val
	}
	if label, ok := strings.CutPrefix(key, "subj_"); ok && f.context {
		got, ok := ev.User.SELinux[label]
		return ok && got == val
	}
	return false
}

// nameIDs gives names to the ids of the event's own record and of its paths.
func (e *Encoder) nameIDs() {
	ev := e.doc.event
	if e.doc.main >= 0 {
		r := &e.recs[e.doc.main]
		for key, id := range ev.User.IDs {
			if name := e.name(r, key, id, strings.HasSuffix(key, "gid")); name != "" {
				if ev.User.Names == nil {
					ev.User.Names = make(map[string]string, len(ev.User.IDs))
				}
				ev.User.Names[key] = name
			}
		}
	}

	for k := range e.recs {
		r := &e.recs[k]
		if r.path == nil {
			continue
		}
		for _, p := range [...]struct{ key, name string }{{"ouid", "owner"}, {"ogid", "group"}} {
			_, taken := r.path[p.name]
			if name := e.name(r, p.key, r.path[p.key], p.name == "group"); name != "" && !taken {
				r.path[p.name] = name
			}
		}
		if f := ev.File; f != nil && f.Owner == "" && f.Group == "" && isFile(f, r.path) {
			f.Owner, f.Group = r.path["owner"], r.path["group"]
		}
	}
}

// name returns the name of an id in record r: the one that auditd has added or, in
// a record without such names that is of this machine, the one it has here.
func (e *Encoder) name(r *parsedRecord, key, id string, group bool) string {
	for _, t := range e.twins[r.tfrom:r.tto] {
		if t.key == key {
			if saysNothing(t.val, id) {
				return ""
			}
			return t.val
		}
	}
	return e.lookUp(r, id, group)
}

// saysNothing reports whether a name that auditd has added is none.
func saysNothing(name, id string) bool {
	return name == "unset" || name == "" || (strings.HasPrefix(name, "unknown(") && name == "unknown("+id+")")
}

// find returns where the field of that name is, -1 when r has none.
func (e *Encoder) find(r *parsedRecord, key string) int {
	for i := r.from; i < r.to; i++ {
		if e.fields[i].key == key {
			return i
		}
	}
	return -1
}

// placeNames sees to it that each name that auditd has added is in the document.
func (e *Encoder) placeNames(k int) {
	r := &e.recs[k]
	for _, t := range e.twins[r.tfrom:r.tto] {
		at := e.find(r, t.key)
		if at < 0 {
			r.odd = r.odd || !saysNothing(t.val, "4294967295")
			continue
		}
		val := e.fields[at].val
		if t.val == val || saysNothing(t.val, val) || e.showsName(k, t.key, val, t.val) {
			continue
		}

		if r.path != nil {
			if _, taken := r.path[t.key+"_name"]; taken {
				r.odd = true
				continue
			}
			r.path[t.key+"_name"] = t.val
			continue
		}
		key := t.key + "_name"
		if got, taken := e.doc.event.Data[key]; taken || e.doc.problem != "" {
			r.odd = r.odd || got != t.val
			continue
		}
		e.doc.event.Data[key] = t.val
	}
}

// showsName reports whether the document has the name of that field of record k.
func (e *Encoder) showsName(k int, key, id, name string) bool {
	r := &e.recs[k]
	if e.doc.does != 0 && k == e.doc.first && e.doc.namesAccount(id, name) {
		return true
	}
	switch {
	case r.path != nil:
		return (key == "ouid" && r.path["owner"] == name) || (key == "ogid" && r.path["group"] == name)
	case k != e.doc.main:
		return false
	case key == "uid":
		return e.doc.user.Name == name
	case key == "euid":
		return e.doc.effective.Name == name || (e.doc.impliedEUID && e.doc.user.Name == name)
	}
	return e.doc.event.User.Names[key] == name
}
