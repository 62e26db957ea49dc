package ecs

import (
	"strconv"

	"audisp-relay/audit/record"
)

// joinRecords makes one event of the records: it says what kind it is, and puts their fields into
// the document. Of a name that several records have, the first counts.
func (e *Encoder) joinRecords() {
	d := &e.doc
	first, syscall := e.leading()
	d.first, d.main, d.file = max(first, 0), syscall, -1
	if syscall < 0 {
		d.main = first
	}
	d.typ = e.recs[d.first].Type
	if first < 0 { // only EOE, or nothing with an id
		return
	}
	if first != d.main && !e.isKnown(d.typ) { // BPF or OPENAT2: of the system call more is known
		first, d.typ = d.main, record.TypeSyscall
	}

	e.countArgs()
	e.take(d.main)
	alone := syscall < 0 && e.recs[d.main].Type != record.TypeUring // what others of the event have is not about it
	if alone {
		e.summarize()
	}
	e.take(first)
	items := syscall >= 0 && e.find(&e.recs[syscall], keyItems) >= 0
	for i := range e.recs {
		if items && (i == syscall) == (first != syscall) && e.isJoined(i) {
			e.data.drop(keyItems) // the PATH records show how many they are, or see placeRest
			items = false
		}
		e.take(i)
	}
	if !alone {
		e.takeOutcome()
		e.summarize()
	}
}

// leading returns the record that says what kind of event it is, and the system call's; -1
// where there is none. The first is the first but for those that only add to others, and not, as the
// main one of json and filters (record.MainOf), the system call: auditbeat goes by it. A
// program's record comes before the system call with which it was sent: kernels with several
// security modules give both one id.
func (e *Encoder) leading() (first, syscall int) {
	first, syscall = -1, -1
	adding, program := -1, -1
	for i := range e.recs {
		r := &e.recs[i]
		if !r.coalesces() {
			continue
		}
		switch {
		case adding < 0 && record.IsPart(r.Type):
			adding = i
		case first < 0 && !record.IsPart(r.Type):
			first = i
		}
		if syscall < 0 && r.Type == record.TypeSyscall {
			syscall = i
		}
		if program < 0 && record.OfProgram(r.Type) {
			program = i
		}
	}

	switch {
	case first < 0:
		first = adding
	case program >= 0 && (first == syscall || e.recs[first].Type == record.TypeTaskContexts):
		first = program
	}
	return first, syscall
}

// coalesces reports whether a record is one of those that are put together.
func (r *parsedRecord) coalesces() bool {
	return r.Flags&record.NoID == 0 && len(r.ID) > 0 && r.Type != record.TypeEOE
}

// isKnown reports whether there is a meaning for records of a type, and the event has the field that it
// asks for.
func (e *Encoder) isKnown(typ uint32) bool {
	for _, m := range e.known.of(typ).rows {
		if m.has == other {
			return true
		}
		for k := range e.recs {
			r := &e.recs[k]
			if !r.coalesces() || r.Type == record.TypePath {
				continue
			}
			if at := e.find(r, m.has); at >= 0 && !e.fields[at].aside && m.accepts(e.fields[at].val) {
				return true
			}
		}
	}
	return false
}

// isJoined reports whether a record's fields have a place: those of a second system call have not.
func (e *Encoder) isJoined(k int) bool {
	return e.recs[k].coalesces() && (e.recs[k].Type != record.TypeSyscall || k == e.doc.main)
}

// take takes the fields of a record, once, but for those that are put aside.
func (e *Encoder) take(k int) {
	d, r := &e.doc, &e.recs[k]
	switch {
	case r.taken || !e.isJoined(k):
		return
	case k == d.main:
		d.result = "unknown"
	case r.Type == record.TypePath:
		e.takePath(k)
		return
	case r.Type == record.TypeSockaddr:
		e.takeAddress(r)
		return
	}

	r.taken = true
	for i := r.from; i < r.to; i++ {
		f := &e.fields[i]
		if f.aside || (k == d.main && e.takeOwn(f)) {
			continue
		}
		if f.is&underProcess != 0 {
			r.odd = r.odd || !isProcessValue(f)
		}
		e.show(r, &e.data, i)
	}
}

// isProcessValue reports whether a field's value can be shown of the process: its ids have to be numbers.
func isProcessValue(f *field) bool {
	if f.key == keyPID || f.key == keyPPID {
		_, ok := canonical(f.val)
		return ok
	}
	return f.val != ""
}

// takeOwn takes a field of the main record that is the event's own.
func (e *Encoder) takeOwn(f *field) bool {
	switch {
	case f.key == keyResult:
		e.doc.result = f.val
	case f.key == keySes:
		e.doc.session = f.val
	case f.is&(ofProcess|ofObject) != 0:
		e.ids.add(f.key)
		e.entities[f.key].ID = f.val
	default:
		return f.context && f.is&ofSubject != 0 // writeUser has it
	}
	return true
}

// show shows a field of a record among members, if another has not taken its place.
func (e *Encoder) show(r *parsedRecord, m *members, at int) {
	if f := &e.fields[at]; !e.put(m, at) && !f.unset {
		r.odd = r.odd || e.valueOf(m, f) != f.val
	}
}

// takeAddress takes the fields of a socket address, and says whose it is. Of several the first
// counts. A family that has neither IP addresses nor paths has none there: the text of AF_X25 may
// read "10.0.0.1", and a port of vsock is another thing than one of TCP.
func (e *Encoder) takeAddress(r *parsedRecord) {
	d := &e.doc
	r.taken = true
	second := e.socket.n > 0 || e.recs[d.main].Type == record.TypeSockaddr
	for i := r.from; i < r.to; i++ {
		if second {
			r.odd = r.odd || e.valueOf(&e.socket, &e.fields[i]) != e.fields[i].val
			continue
		}
		e.show(r, &e.socket, i)
	}
	if second {
		return
	}

	var place *address
	switch e.callName() {
	case "recvfrom", "recvmsg", "accept", "accept4":
		place, d.direction = &d.source, "ingress"
	case "connect", "sendto", "sendmsg":
		place, d.direction = &d.dest, "egress"
	default: // of bind and others it is nobody's
		return
	}
	switch family, _ := e.get(&e.socket, keyFamily); {
	case family == "ipv4", family == "ipv6", family == "unix", family == "unspec" && !e.disconnects():
		place.ip, _ = e.get(&e.socket, keyAddr)
		place.port, _ = e.get(&e.socket, keyPort)
		place.path, _ = e.get(&e.socket, keyPath)
	}
}

// disconnects reports whether the address is of no family, and so nobody's: connect(2) ends a connection with it. To what sends it is one of IPv4, if it
// has that form (record.Sockaddr).
func (e *Encoder) disconnects() bool {
	if family, _ := e.get(&e.socket, keyFamily); family != "unspec" {
		return false
	}
	call := e.callName()
	return call != "sendto" && call != "sendmsg"
}

// countArgs counts the arguments of all EXECVE records. Where these do not say all, the records' text
// follows.
func (e *Encoder) countArgs() {
	if !e.execve {
		return
	}
	argc, counted := e.args.Count()
	if counted {
		from := len(e.text)
		e.text = strconv.AppendUint(e.text, uint64(argc), 10)
		e.putNew(&e.data, keyArgc, keyNames[keyArgc], record.Alias(e.text[from:]))
	}
	if e.args.Missing() == 0 && e.args.Cut() == 0 && !e.args.Left() && counted && int64(argc) == int64(e.args.Len()) {
		return
	}
	for i := range e.recs {
		if e.recs[i].Type == record.TypeExecve {
			e.recs[i].odd = true
		}
	}
}
