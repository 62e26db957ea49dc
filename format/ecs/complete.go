package ecs

import (
	"cmp"
	"strconv"
	"strings"

	"audisp-relay/audit/record"
)

// document is what is written for an event, beside the lists that the Encoder keeps.
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
	category, kind  [2]string // words of what happened, and of the system call that it happened in

	file       int // which of auditd.paths the event is about, -1 for none
	path, mode string

	user, effective, target, group entity
	impliedEUID                    bool // user.effective is left out, being the user
	impliedEGID                    bool
}

// address is a peer.
type address struct{ ip, port, path string }

// id returns the user or group that a field of the main record names, nothing without.
func (e *Encoder) id(k key) entity { return e.entities[k] }

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
	for k := range e.ids.all {
		id := &e.entities[k]
		id.Name = e.name(&e.recs[e.doc.main], k, id.ID, e.known.keys.groups.has(k))
		if id.ID == "unset" { // that is for the summary
			id.ID = ""
		}
	}
}

// dropUnset drops fields that only say that an id is not set: that a user has no login id is in the summary alone.
func (e *Encoder) dropUnset() {
	if object := &e.doc.summary.object; *object == "unset" {
		*object = ""
	}
	for _, k := range [...]key{keyAUID, keyDashOldAUID, keyOldAUID, keySes} { // see addUnset
		if e.data.known.has(k) && e.fields[e.data.at[k]].unset {
			e.data.drop(k)
		}
	}
}

// placeRest sees to it that those fields of a record are in the document that were put aside, the ids
// whose place another user has taken, and a number of PATH records that are not there.
func (e *Encoder) placeRest(k int) {
	d, r := &e.doc, &e.recs[k]
	if r.taken && !r.asides && k != d.main { // as nearly all
		return
	}
	m := e.membersOf(r)
	for i := r.from; i < r.to; i++ {
		f := &e.fields[i]
		switch {
		case f.aside && m == &e.data && f.is&underProcess != 0:
			r.odd = true
		case f.aside, k == d.main && e.isElsewhere(f):
			e.show(r, m, i)
		case !r.taken && !f.unset:
			r.odd = r.odd || e.valueOf(m, f) != f.val
		}
	}
}

// membersOf returns the object that shows the fields of a record.
func (e *Encoder) membersOf(r *parsedRecord) *members {
	switch {
	case r.path >= 0:
		return &e.paths[r.path]
	case r.Type == record.TypeSockaddr:
		return &e.socket
	}
	return &e.data
}

// isElsewhere reports whether the ECS field for a field of the main record has another value.
func (e *Encoder) isElsewhere(f *field) bool {
	d := &e.doc
	switch f.key {
	case keyItems:
		return f.val != strconv.Itoa(len(e.paths))
	case keyUID:
		return d.user.ID != f.val
	case keyEUID:
		return d.effective.ID != f.val && !(d.impliedEUID && d.user.ID == f.val)
	}
	return false
}

// name returns the name of an id in record r: the one that auditd has added or, in
// a record without such names that is of this machine, the one it has here.
func (e *Encoder) name(r *parsedRecord, k key, id string, group bool) string {
	for i := r.tfrom; i < r.tto; i++ {
		if t := &e.twins[i]; t.key == k {
			if saysNothing(t.val, id) {
				return ""
			}
			return t.val
		}
	}
	return e.lookUp(r, id, group)
}

// saysNothing reports whether a name that auditd has added is a placeholder.
func saysNothing(name, id string) bool {
	return name == "unset" || name == "" || (strings.HasPrefix(name, "unknown(") && name == "unknown("+id+")")
}

// find returns where the field of that key is, -1 when r has none.
func (e *Encoder) find(r *parsedRecord, k key) int {
	for i := r.from; i < r.to; i++ {
		if e.fields[i].key == k {
			return i
		}
	}
	return -1
}

// placeNames sees to it that each name that auditd has added is in the document.
func (e *Encoder) placeNames(k int) {
	r := &e.recs[k]
	for i := r.tfrom; i < r.tto; i++ {
		t := &e.twins[i]
		if t.at < 0 {
			r.odd = r.odd || !saysNothing(t.val, "4294967295")
			continue
		}
		if val := e.fields[t.at].val; t.val != val && !saysNothing(t.val, val) && !e.showsName(k, t, val) {
			e.placeName(r, t)
		}
	}
}

// placeName puts a name that has no place beside the field that it is of.
func (e *Encoder) placeName(r *parsedRecord, t *twin) {
	m := &e.data
	if r.path >= 0 {
		m = &e.paths[r.path]
	}
	from := len(e.text)
	e.text = append(append(e.text, t.name...), "_name"...)
	name := record.Alias(e.text[from:])
	if !e.putNew(m, e.known.keys.find(name), name, t.val) {
		r.odd = r.odd || r.path >= 0 || e.valueOf(m, &e.fields[len(e.fields)-1]) != t.val
	}
}

// showsName reports whether the document has the name of that field of record k, an id.
func (e *Encoder) showsName(k int, t *twin, id string) bool {
	r, d := &e.recs[k], &e.doc
	if d.does != 0 && k == d.first && d.namesAccount(id, t.val) {
		return true
	}

	switch {
	case r.path >= 0:
		place := other
		switch t.key {
		case keyOUID:
			place = keyOwner
		case keyOGID:
			place = keyGroup
		}
		got, ok := e.get(&e.paths[r.path], place)
		return ok && got == t.val
	case k != d.main:
		return false
	case t.key == keyUID:
		return d.user.Name == t.val
	case t.key == keyEUID:
		return d.effective.Name == t.val || (d.impliedEUID && d.user.Name == t.val)
	}
	return e.id(t.key).Name == t.val
}
