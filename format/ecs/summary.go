package ecs

import (
	"cmp"
	"slices"
	"strings"

	"audisp-relay/audit/record"
)

// summary is auditd.summary and event.action.
type summary struct {
	actor, actor2   string
	action, how     string
	what            string // the object's type
	object, object2 string
}

// summarize says who has done what, to what, and how, as far as the table has it.
func (e *Encoder) summarize() {
	d := &e.doc
	s := &d.summary
	s.actor, s.actor2 = e.id("auid").ID, e.id("uid").ID
	s.how = e.usualHow()
	m, call := e.meaning()
	if m == nil {
		return
	}
	s.action, s.what = m.action, m.what
	d.category, d.kind = m.category, m.kind
	if call != nil && call != m {
		d.category, d.kind = m.category+" "+call.category, m.kind+" "+call.kind
	}

	switch {
	case m.what == "socket":
		s.object, _ = get(e.socket, "path")
		if addr, ok := get(e.socket, "addr"); ok {
			s.object = addr
		}
		s.object2, _ = get(e.socket, "port")
	case (m.what == "file" || m.what == "filesystem") && len(e.paths) > 0:
		e.chooseFile(m.path)
	}
	e.setFirst(&s.actor, m.actor)
	e.setFirst(&s.actor2, m.actor2)
	e.setFirst(&s.object, m.object)
	e.setFirst(&s.object2, m.object2)
	e.setFirst(&s.how, m.how)
	if ip, ok := get(e.data, m.source); ok && d.source == (address{}) {
		drop(&e.data, m.source)
		d.source, d.direction = address{ip: ip}, "ingress"
	}
}

// meaning returns what the event is, and what its system call does; each nil where that is not known or
// there is none.
func (e *Encoder) meaning() (m, call *meaning) {
	if name, ok := get(e.data, "syscall"); ok {
		if call = e.known.calls[name]; call == nil {
			call = e.known.calls["*"]
		}
	}
	if e.doc.typ == record.TypeSyscall {
		return call, call
	}
	for _, row := range e.known.types[e.doc.typ] {
		if row.has == "" || slices.ContainsFunc(e.data, row.isOf) {
			m = row
		}
	}
	return m, call
}

// setFirst sets a part of the summary to the first of some fields that is there.
func (e *Encoder) setFirst(part *string, keys string) {
	for key := range strings.FieldsSeq(keys) {
		val, ok := get(e.data, key)
		if id := e.id(key); !ok && id.key != "" {
			val, ok = id.ID, true
		}
		if ok {
			*part = val
			return
		}
	}
}

// usualHow returns the program, of an interpreter's script its own name.
func (e *Encoder) usualHow() string {
	comm, named := get(e.data, "comm")
	exe, ok := get(e.data, "exe")
	for _, name := range [...]string{"python", "sh", "bash", "perl"} {
		ok = ok && !(named && strings.HasPrefix(exe, "/usr/bin/") && strings.HasPrefix(exe[len("/usr/bin/"):], name))
	}
	if ok {
		return exe
	}
	return comm
}

// correctVerdict says what AppArmor has decided, where the table says that its policy was violated
// whatever it decided.
func (e *Encoder) correctVerdict() {
	const firstAppArmor, lastAppArmor = 1500, 1599
	d, first := &e.doc, &e.recs[e.doc.first]
	ofAVC := first.Type == record.TypeAVC && d.summary.action == "violated-apparmor-policy"
	if !ofAVC && (first.Type < firstAppArmor || first.Type > lastAppArmor) {
		return
	}
	verdict, _ := get(e.data, "apparmor")
	verdict = cmp.Or(verdict, strings.TrimPrefix(record.Alias(first.name), "APPARMOR_"))
	operation, _ := get(e.data, "operation")
	calls := e.known.calls
	m := cmp.Or(calls["apparmor="+verdict+","+operation], calls["apparmor="+verdict], calls["apparmor=*"])
	d.summary.action = m.action
	if m.category != "" {
		d.category, d.kind = m.category, m.kind
	}
}
