package ecs

// shownPath is how a PATH record was shown in auditd.paths, with the names of the file's owner and group. Processes work with the same files, and
// what their records say of them is the same in each.
type shownPath struct {
	json  []byte // the object; empty: it was not shown yet
	names []byte // that of the owner, which has so many bytes, and then that of the group
	owner int
	n     int // how many members it has
}

// maxShown bounds what is kept of an object, bytes; what is longer seldom repeats.
const maxShown = 1024

// is reports whether s is an object with those names and so many members.
func (s *shownPath) is(owner, group string, n int) bool {
	return len(s.json) > 0 && s.n == n && string(s.names[:s.owner]) == owner && string(s.names[s.owner:]) == group
}

// set makes s that object.
func (s *shownPath) set(json []byte, owner, group string, n int) {
	s.json = append(s.json[:0], json...)
	s.names = append(append(s.names[:0], owner...), group...)
	s.owner, s.n = len(owner), n
}

// writePaths writes auditd.paths.
func (e *Encoder) writePaths() {
	w := &e.w
	a := w.Open("paths", '[')
	k := 0
	for i := range e.paths {
		for k < len(e.recs) && e.recs[k].path != i { // both are in the order of the records
			k++
		}
		if k < len(e.recs) && e.paths[i].n > 0 {
			e.writePath(&e.paths[i], &e.recs[k])
		}
	}
	w.Close(a, ']')
}

// writePath writes what the PATH record r says: as it was written the last time, if the record and the names are the same.
func (e *Encoder) writePath(m *members, r *parsedRecord) {
	w := &e.w
	w.Comma()
	if r.memo == nil || w.Percent {
		e.writeObject(m)
		return
	}
	owner, _ := e.get(m, keyOwner)
	group, _ := e.get(m, keyGroup)
	shown := &r.memo.shown
	if shown.is(owner, group, m.n) {
		w.Buf = append(w.Buf, shown.json...)
		return
	}

	from := len(w.Buf)
	e.writeObject(m)
	if json := w.Buf[from:]; !w.Bad && len(json) <= maxShown && m.n == e.countShown(r, owner, group) {
		shown.set(json, owner, group, m.n)
	}
}

// writeObject writes an object of members.
func (e *Encoder) writeObject(m *members) {
	e.w.Buf = append(e.w.Buf, '{')
	e.writeMembers(m, keySet{})
	e.w.Buf = append(e.w.Buf, '}')
}

// countShown returns how many members a PATH record has that follow from its bytes and the names of the file's owner and group. There are more where
// auditd has added other names.
func (e *Encoder) countShown(r *parsedRecord, owner, group string) (n int) {
	for i := r.from; i < r.to; i++ {
		if !e.fields[i].aside {
			n++
		}
	}
	if owner != "" {
		n++
	}
	if group != "" {
		n++
	}
	return n
}
