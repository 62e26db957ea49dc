package ecs

import (
	"slices"

	"audisp-relay/audit/record"
)

// places are those of a user's other ids; any other id is user.KEY.
var places = [...]struct {
	name        string
	user, group key
}{
	{"audit", keyAUID, other},
	{"filesystem", keyFSUID, keyFSGID},
	{"saved", keySUID, keySGID},
}

// writeUser writes user and related.user. A process makes many events, and its ids are the same in each: how
// they were written the last time is copied.
func (e *Encoder) writeUser() {
	w, mark := &e.w, len(e.w.Buf)
	memo := e.userMemoOf()
	known := memo != nil && memo.is(&e.entities)
	if known {
		w.Buf = append(w.Buf, memo.user...)
	} else {
		w.Open("user", '{')
		e.writeUsers()
	}
	end := len(w.Buf)
	if e.doc.main >= 0 {
		e.writeContext(&e.recs[e.doc.main], ofSubject)
	}
	w.Close(mark, '}')

	if known {
		w.Buf = append(w.Buf, memo.related...)
		return
	}
	from := len(w.Buf)
	e.writeRelated()
	if memo != nil && !w.Bad && from >= end {
		memo.set(&e.entities, w.Buf[mark:end], w.Buf[from:])
	}
}

// writeUsers writes the users and groups of the event and its process.
func (e *Encoder) writeUsers() {
	w, d := &e.w, &e.doc
	w.entity(d.user)
	w.account("group", e.id(keyGID))
	group := e.id(keyEGID)
	if d.impliedEGID {
		group = entity{}
	}
	w.accounts("effective", d.effective, group)
	for _, p := range places {
		w.accounts(p.name, e.id(p.user), e.id(p.group))
	}
	for k := range e.ids.without(e.known.keys.process).all {
		w.account(keyNames[k], e.id(k))
	}
	w.account("target", d.target)
}

// writeRelated writes related.user: each name of a user once.
func (e *Encoder) writeRelated() {
	w, d := &e.w, &e.doc
	names := e.sorted[:0]
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add(d.user.Name)
	add(d.effective.Name)
	add(d.target.Name)
	for k := range e.ids.without(e.known.keys.groups).all {
		add(e.entities[k].Name)
	}
	if e.sorted = names; len(names) == 0 {
		return
	}

	slices.Sort(names)
	w.Buf = append(w.Buf, `,"related":{"user":[`...)
	for _, name := range names {
		w.Item(name)
	}
	w.Buf = append(w.Buf, "]}"...)
}

// account writes a user or a group as an object.
func (w *writer) account(key string, e entity) {
	if e != (entity{}) {
		m := w.Open(key, '{')
		w.entity(e)
		w.Close(m, '}')
	}
}

// accounts writes a user and its group as an object.
func (w *writer) accounts(key string, user, group entity) {
	if user != (entity{}) || group != (entity{}) {
		m := w.Open(key, '{')
		w.entity(user)
		w.account("group", group)
		w.Close(m, '}')
	}
}

func (w *writer) entity(e entity) {
	w.Some("id", e.ID)
	w.Some("name", e.Name)
}

// userMemo is how the users and groups of a process were written.
type userMemo struct {
	ids           [len(processIDs)]entity // of text
	text          []byte
	user, related []byte
}

// processIDs are those on which that depends.
var processIDs = [...]key{keyUID, keyAUID, keyEUID, keySUID, keyFSUID, keyGID, keyEGID, keySGID, keyFSGID}

const (
	userMemos   = 16
	maxUserMemo = 1024 // bytes; what is longer is of no usual process
)

// userMemoOf returns the memo for the users of the event, nil where there is more to them than the ids of
// the process: a record that is about an account, ids of others, bytes that are no UTF-8.
func (e *Encoder) userMemoOf() *userMemo {
	if e.doc.does != 0 || e.w.Percent || e.ids.without(e.known.keys.process) != (keySet{}) {
		return nil
	}
	at := 0
	for _, k := range processIDs[:3] {
		if id := e.entities[k].ID; id != "" {
			at = at*3 + len(id) + int(id[len(id)-1])
		}
	}
	return &e.users[at%userMemos]
}

// is reports whether the memo is of those ids and names.
func (m *userMemo) is(entities *[keyCount]entity) bool {
	for i, k := range processIDs {
		if m.ids[i] != entities[k] {
			return false
		}
	}
	return m.user != nil
}

// set makes the memo that of those ids and names.
func (m *userMemo) set(entities *[keyCount]entity, user, related []byte) {
	if len(user)+len(related) > maxUserMemo {
		return
	}
	n := 0
	for _, k := range processIDs {
		n += len(entities[k].ID) + len(entities[k].Name)
	}
	m.text = slices.Grow(m.text[:0], n) // so that it does not move
	keep := func(s string) string {
		from := len(m.text)
		m.text = append(m.text, s...)
		return record.Alias(m.text[from:])
	}
	for i, k := range processIDs {
		m.ids[i] = entity{keep(entities[k].ID), keep(entities[k].Name)}
	}
	m.user, m.related = append(m.user[:0], user...), append(m.related[:0], related...)
}
