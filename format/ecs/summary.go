package ecs

import (
	"cmp"
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

// summarize describes who has done what, to what, and how, as far as the table knows it.
func (e *Encoder) summarize() {
	d := &e.doc
	s := &d.summary
	s.actor, s.actor2 = e.id(keyAUID).ID, e.id(keyUID).ID
	s.how = e.usualHow()
	m, call := e.meaning()
	if m == nil {
		return
	}
	s.action, s.what = m.action, m.what
	d.category[0], d.kind[0] = m.category, m.kind
	if call != nil && call != m {
		d.category[1], d.kind[1] = call.category, call.kind
	}

	switch {
	case m.what == "socket" && !e.disconnects():
		s.object, _ = e.get(&e.socket, keyPath)
		if addr, ok := e.get(&e.socket, keyAddr); ok {
			s.object = addr
		}
		s.object2, _ = e.get(&e.socket, keyPort)
	case (m.what == "file" || m.what == "filesystem") && len(e.paths) > 0:
		e.chooseFile(m.path)
	}
	e.setFirst(&s.actor, m.actor)
	e.setFirst(&s.actor2, m.actor2)
	e.setFirst(&s.object, m.object)
	e.setFirst(&s.object2, m.object2)
	e.setFirst(&s.how, m.how)
	if ip, ok := e.get(&e.data, m.source); ok && d.source == (address{}) {
		e.data.drop(m.source)
		d.source, d.direction = address{ip: ip}, "ingress"
	}
}

// meaning returns what the event is, and what its system call does; each nil where that is not known or
// there is none.
func (e *Encoder) meaning() (m, call *row) {
	if name := e.callName(); name != "" {
		if call = e.known.calls[name]; call == nil {
			call = e.known.anyCall
		}
	}
	if e.doc.typ == record.TypeSyscall || e.doc.typ == record.TypeUring {
		return call, call
	}
	for _, row := range e.known.of(e.doc.typ).rows {
		if val, ok := e.get(&e.data, row.has); row.has == other || (ok && row.accepts(val)) {
			m = row
		}
	}
	return m, call
}

// callName returns what the event's system call, or its operation of io_uring, does: the name of a call, "" without one.
func (e *Encoder) callName() string {
	if main := e.doc.main; main >= 0 && e.recs[main].Type == record.TypeUring {
		return record.UringCall([]byte(e.dataOf(keyUringOp)))
	}
	call := e.dataOf(keySyscall)
	if call == enterCall {
		if r := e.operation(); r != nil {
			call = cmp.Or(record.UringCall([]byte(e.value(r, keyUringOp))), call)
		}
	}
	return record.SocketCall(call, []byte(e.dataOf(keyA0)))
}

// enterCall is the system call that has operations of io_uring done: what it is about is said by the first of them.
const enterCall = "io_uring_enter"

// operation returns the first record of an operation of io_uring, nil without.
func (e *Encoder) operation() *parsedRecord {
	for k := range e.recs {
		if r := &e.recs[k]; r.Type == record.TypeUring && r.coalesces() {
			return r
		}
	}
	return nil
}

// takeOutcome takes over what has come of the operation where the call has only had it done, and was a success whatever that was.
func (e *Encoder) takeOutcome() {
	d := &e.doc
	if e.dataOf(keySyscall) != enterCall || e.callName() == enterCall {
		return
	}
	if result := e.value(e.operation(), keyResult); result != "" && result != d.result {
		d.result, e.recs[d.main].odd = result, true // the call's own is shown nowhere else
	}
}

// setFirst sets a part of the summary to the first of some fields that is there.
func (e *Encoder) setFirst(part *string, keys []key) {
	for _, k := range keys {
		val, ok := e.get(&e.data, k)
		if e.ids.has(k) && !ok {
			val, ok = e.id(k).ID, true
		}
		if ok {
			*part = val
			return
		}
	}
}

// usualHow returns the program, of an interpreter's script its own name.
func (e *Encoder) usualHow() string {
	exe, ok := e.get(&e.data, keyExe)
	comm, named := e.get(&e.data, keyComm)
	if !ok || (named && isInterpreter(exe)) {
		return comm
	}
	return exe
}

// isInterpreter reports whether a program is one that runs scripts, as auditbeat has it.
func isInterpreter(exe string) bool {
	name, ok := strings.CutPrefix(exe, "/usr/bin/")
	return ok && (strings.HasPrefix(name, "python") || strings.HasPrefix(name, "sh") || strings.HasPrefix(name, "bash") || strings.HasPrefix(name, "perl"))
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
	typ := record.Alias(e.appendType(nil, d.first))
	verdict := cmp.Or(e.dataOf(keyApparmor), strings.TrimPrefix(typ, "APPARMOR_"))
	calls := e.known.calls
	m := cmp.Or(calls["apparmor="+verdict+","+e.dataOf(keyOperation)], calls["apparmor="+verdict], calls["apparmor=*"])
	d.summary.action = m.action
	if m.category != "" {
		d.category, d.kind = [2]string{m.category}, [2]string{m.kind}
	}
}
