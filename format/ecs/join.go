package ecs

import (
	"cmp"
	"strconv"
	"strings"

	"audisp-relay/audit/record"
)

// joinRecords makes one event of the records: it says what kind it is, and puts their fields into
// the document. Of a name that several records have, the first counts.
func (e *Encoder) joinRecords() {
	d := &e.doc
	first, syscall := e.leading()
	d.first, d.main = max(first, 0), syscall
	if syscall < 0 {
		d.main = first
	}
	d.typ = e.recs[d.first].Type
	if first < 0 { // only EOE, or nothing with an id
		return
	}

	e.takeFields(first, syscall)
	if d.means, d.callMeans = e.meaningOf(d.typ); d.means == nil && first != syscall && syscall >= 0 {
		// Of BPF or OPENAT2 nothing is known. Of the system call it is.
		d.typ = record.TypeSyscall
		e.takeFields(syscall, syscall)
		d.means, d.callMeans = e.meaningOf(d.typ)
	}
	e.summarize()
	e.takeProcess()
	if syscall < 0 {
		e.addOthers(first)
	}
	e.countArgs()
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

// takeFields puts the fields of the records into the document: those of the main record, then those of
// the leader and of the others, as they come. Without a system call it takes the main one's only, see
// addOthers.
func (e *Encoder) takeFields(leader, syscall int) {
	e.data, e.socket, e.ids, e.paths, e.pairs = e.data[:0], e.socket[:0], e.ids[:0], e.paths[:0], e.pairs[:0]
	e.doc.address = false
	e.takeMain()
	if syscall < 0 {
		return
	}
	if leader != syscall {
		e.takeRecord(leader)
	}
	counted := false // items= is how many PATH records there are, which those show
	for i := range e.recs {
		r := &e.recs[i]
		if i == leader || !r.coalesces() || (r.Type == record.TypeSyscall && i != syscall) {
			continue
		}
		if !counted && (leader == syscall || i == syscall) {
			drop(&e.data, "items")
			counted = true
		}
		if i != syscall {
			e.takeRecord(i)
		}
	}
}

// takeMain takes the fields of the main record, whose ids, session and result are the event's.
func (e *Encoder) takeMain() {
	d, r := &e.doc, &e.recs[e.doc.main]
	d.result, d.session = "unknown", ""
	for i := r.from; i < r.to; i++ {
		switch f := &e.fields[i]; {
		case f.aside || (f.context && strings.HasPrefix(f.key, "subj_")):
		case f.key == "result":
			d.result = f.val
		case f.key == "ses":
			d.session = f.val
		case isUserID(f.key):
			e.ids = append(e.ids, identity{key: f.key, entity: entity{ID: f.val}})
		default:
			e.data = append(e.data, pair{f.key, f.val})
		}
	}
}

// takeRecord takes the fields of another record than the main one.
func (e *Encoder) takeRecord(i int) {
	r := &e.recs[i]
	switch r.Type {
	case record.TypePath:
		e.takePath(i)
	case record.TypeExecve: // see countArgs
	case record.TypeSockaddr:
		e.takeAddress(r)
	default:
		for k := r.from; k < r.to; k++ {
			if f := &e.fields[k]; !f.aside {
				put(&e.data, f.key, f.val)
			}
		}
	}
}

// takeAddress takes the fields of a socket address, the first one's of several, and says whose it
// is. A family that has neither IP addresses nor paths has none there: the text of AF_X25 may
// read "10.0.0.1", and a port of vsock is another thing than one of TCP.
func (e *Encoder) takeAddress(r *parsedRecord) {
	d := &e.doc
	call, ok := get(e.data, "syscall")
	if !ok || d.address {
		d.address = true
		return
	}
	d.address = true
	for k := r.from; k < r.to; k++ {
		if f := &e.fields[k]; !f.aside {
			e.socket = append(e.socket, pair{f.key, f.val})
		}
	}

	var place *address
	switch call {
	case "recvfrom", "recvmsg", "accept", "accept4":
		place, d.direction = &d.source, "ingress"
	case "connect", "sendto", "sendmsg":
		place, d.direction = &d.dest, "egress"
	default: // of bind and others it is nobody's
		return
	}
	switch family, _ := get(e.socket, "family"); family {
	case "ipv4", "ipv6", "unix":
		place.ip, _ = get(e.socket, "addr")
		place.port, _ = get(e.socket, "port")
		place.path, _ = get(e.socket, "path")
	}
}

// takeProcess moves the fields that are the process's.
func (e *Encoder) takeProcess() {
	for _, key := range [...]string{"pid", "ppid", "proctitle", "comm", "exe", "cwd"} {
		*e.doc.process.place(key), _ = get(e.data, key)
		drop(&e.data, key)
	}
}

// addOthers adds the other records of an event without a system call, as takeFields adds them to
// one.
func (e *Encoder) addOthers(main int) {
	e.doc.address = e.recs[main].Type == record.TypeSockaddr
	for i := range e.recs {
		r := &e.recs[i]
		if i == main || !r.coalesces() {
			continue
		}
		list := &e.data
		switch r.Type {
		case record.TypePath:
			e.takePath(i)
			continue
		case record.TypeSockaddr:
			if e.doc.address {
				continue
			}
			e.doc.address, list = true, &e.socket
		}

		for _, f := range e.fields[r.from:r.to] {
			if place := e.doc.process.place(f.key); place != nil && list == &e.data {
				*place = cmp.Or(*place, f.val)
			} else if !f.aside && !f.unset {
				put(list, f.key, f.val)
			}
		}
	}
}

// decimal returns a number as text.
func (e *Encoder) decimal(n uint64) string {
	from := len(e.text)
	e.text = strconv.AppendUint(e.text, n, 10)
	return record.Alias(e.text[from:])
}

// countArgs counts the arguments of all EXECVE records. Where these do not say all, the records' text
// follows.
func (e *Encoder) countArgs() {
	if !e.execve {
		return
	}
	drop(&e.data, "argc")
	argc, counted := e.args.Count()
	if counted {
		put(&e.data, "argc", e.decimal(uint64(argc)))
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
