package ecs

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/audit/record"
)

// document is what is written of an event, beside the lists that the Encoder keeps.
type document struct {
	main       int    // the record whose fields are the event's own, -1 without
	first      int    // the record that says what kind of event it is
	typ        uint32 // its type, or that of the system call where nothing is known of it
	does       roles  // of the account that the first record names
	millis     int64
	serial     uint32
	node       string
	id         string
	written    bool // @timestamp is the time of writing: the records have none
	recovered  bool
	incomplete bool
	listed     bool   // the records follow as they came
	title      []byte // a proctitle that process.title does not show exactly

	result, session string
	summary         summary
	source, dest    address
	direction       string
	category, kind  string // words

	file       *parsedRecord // the PATH record that the event is about, nil without
	fields     []pair        // what it has
	path, mode string

	user, effective, target, group entity
	impliedEUID                    bool // user.effective is left out, being the user
	impliedEGID                    bool
}

// isProcess reports whether a field is the process's: in the event's data it has another place.
func isProcess(key string) bool {
	switch key {
	case "pid", "ppid", "proctitle", "comm", "exe", "cwd":
		return true
	}
	return false
}

// address is a peer.
type address struct{ ip, port, path string }

// identity is one of a process's users or groups, under the name of the field that says it.
type identity struct {
	key string
	entity
}

// id returns the user or group of that field of the main record, nothing without.
func (e *Encoder) id(key string) (none identity) {
	for i := range e.ids {
		if e.ids[i].key == key {
			return e.ids[i]
		}
	}
	return none
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

	e.nameIDs()
	e.findUsers()
	e.dropUnset()
	e.correctVerdict()
	e.completePath()
	for k := range e.recs {
		e.placeRest(k)
	}
	for k := range e.recs {
		e.placeNames(k)
		d.listed = d.listed || e.recs[k].odd
	}
}

// nameIDs gives names to the ids of the event's own record.
func (e *Encoder) nameIDs() {
	for i := range e.ids {
		id := &e.ids[i]
		id.Name = e.name(&e.recs[e.doc.main], id.key, id.ID, strings.HasSuffix(id.key, "gid"))
		if id.ID == "unset" { // that is for the summary
			id.ID = ""
		}
	}
}

// dropUnset takes out what only says that an id is not set: of who has no login id, the summary alone
// says so.
func (e *Encoder) dropUnset() {
	if object := &e.doc.summary.object; *object == "unset" {
		*object = ""
	}
	e.data = slices.DeleteFunc(e.data, func(p pair) bool { return p.unset })
}

// placeRest sees to it that those fields of a record are in the document that were put aside, the ids
// whose place another user has taken, and a number of PATH records that are not there.
func (e *Encoder) placeRest(k int) {
	d, r := &e.doc, &e.recs[k]
	list := &e.data
	switch {
	case r.isPath:
		list = &r.shown
	case r.Type == record.TypeSockaddr:
		list = &e.socket
	}
	for i := r.from; i < r.to; i++ {
		f := &e.fields[i]
		switch {
		case f.aside && list == &e.data && isProcess(f.key):
			r.odd = true
		case f.aside,
			k == d.main && f.key == "items" && f.val != strconv.Itoa(len(e.paths)),
			k == d.main && f.key == "uid" && d.user.ID != f.val,
			k == d.main && f.key == "euid" && d.effective.ID != f.val && !(d.impliedEUID && d.user.ID == f.val):
			e.show(r, list, f)
		case !r.taken && !f.unset:
			got, _ := get(*list, f.key)
			r.odd = r.odd || got != f.val
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
	list := &e.data
	if r.isPath {
		list = &r.shown
	}
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
		key := t.key + "_name"
		if !put(list, pair{key: key, val: t.val}) {
			got, _ := get(*list, key)
			r.odd = r.odd || r.isPath || got != t.val
		}
	}
}

// showsName reports whether the document has the name of that field of record k.
func (e *Encoder) showsName(k int, key, id, name string) bool {
	r := &e.recs[k]
	if e.doc.does != 0 && k == e.doc.first && e.doc.namesAccount(id, name) {
		return true
	}
	switch {
	case r.isPath:
		place := "owner"
		if key == "ogid" {
			place = "group"
		}
		got, _ := get(r.shown, place)
		return (key == "ouid" || key == "ogid") && got == name
	case k != e.doc.main:
		return false
	case key == "uid":
		return e.doc.user.Name == name
	case key == "euid":
		return e.doc.effective.Name == name || (e.doc.impliedEUID && e.doc.user.Name == name)
	}
	return e.id(key).Name == name
}
