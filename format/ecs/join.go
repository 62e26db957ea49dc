package ecs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/record"
)

// joinRecords has aucoalesce make one event of the records.
func (e *Encoder) joinRecords() {
	first, syscall := e.leading()
	e.doc.main = syscall
	if syscall < 0 {
		e.doc.main = first
	}
	e.doc.first = max(first, 0)
	if first < 0 { // only EOE, or nothing with an id
		e.doc.event = bareEvent(&e.recs[0])
		return
	}

	event, err := e.coalesceFrom(first, syscall, first == syscall)
	if err == nil && first != syscall && syscall >= 0 && isUnknown(event) {
		// aucoalesce goes by the first record, and has nothing to say of BPF or OPENAT2.
		// Of the system call it has.
		event, err = e.coalesceFrom(first, syscall, true)
	}

	if err != nil {
		e.doc.problem = err.Error()
		event = bareEvent(&e.recs[first])
		for i := range e.recs {
			e.recs[i].odd, e.recs[i].path = true, nil
		}
	}
	e.doc.event = event
	if err == nil && syscall < 0 {
		e.addOthers(first)
	}
	e.addArgs()
}

// leading returns the record that says what kind of event it is, and the system call's; -1
// where there is none. The first is the first but for those that only add to others, and not, as the
// main one of json and filters (record.MainOf), the system call: aucoalesce goes by it. A
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
	return r.Flags&record.NoID == 0 && len(r.ID) > 0 && r.typ() != auparse.AUDIT_EOE
}

// bareEvent returns an event that says no more than the type of a record.
func bareEvent(r *parsedRecord) *aucoalesce.Event {
	return &aucoalesce.Event{Type: r.typ(), Category: aucoalesce.GetAuditEventType(r.typ()), Data: map[string]string{}}
}

func isUnknown(event *aucoalesce.Event) bool {
	return slices.ContainsFunc(event.Warnings, func(w error) bool { return w.Error() == "no normalization found for event" })
}

// coalesceFrom has aucoalesce work. Without a system call it takes one record only, of more it
// says "missing syscall message in compound event"; with ahead the system call goes first.
//
// The library is fed with what any program may have put into a record. If it panics, this one
// event is written as the list of its records and says so; the relay, and every other consumer,
// continue.
func (e *Encoder) coalesceFrom(first, syscall int, ahead bool) (event *aucoalesce.Event, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.panicked(p)
			event, err = nil, fmt.Errorf("aucoalesce panicked: %v", p)
		}
	}()
	leader := first
	if ahead {
		leader = syscall
	}
	e.list = append(e.list[:0], e.newMessage(&e.recs[leader]))
	if syscall < 0 {
		return e.coalesce(e.list)
	}

	sockaddr, execve := false, false
	for i := range e.recs {
		r := &e.recs[i]
		if i == leader || !r.coalesces() {
			continue
		}
		switch r.typ() {
		case auparse.AUDIT_SYSCALL:
			if i != syscall {
				continue
			}
		case auparse.AUDIT_SOCKADDR: // of several the last would win
			if sockaddr {
				continue
			}
			sockaddr = true
		case auparse.AUDIT_EXECVE:
			if execve {
				continue
			}
			execve = true
		}
		e.list = append(e.list, e.newMessage(r))
	}
	return e.coalesce(e.list)
}

// newMessage returns a record as aucoalesce wants it.
func (e *Encoder) newMessage(r *parsedRecord) *auparse.AuditMessage {
	msg, data := e.pool.take()
	msg.RecordType = r.typ()
	switch msg.RecordType {
	case auparse.AUDIT_PATH:
		r.path = data
	case auparse.AUDIT_EXECVE:
		data["argc"] = "0" // see addArgs
	}
	for _, f := range e.fields[r.from:r.to] {
		if !f.aside {
			data[f.key] = f.val
		}
	}
	return msg
}

// addOthers adds the other records of an event without a system call, as aucoalesce adds
// them to one.
func (e *Encoder) addOthers(main int) {
	event := e.doc.event
	sockaddr := e.recs[main].typ() == auparse.AUDIT_SOCKADDR
	e.recs[main].path = nil // its fields are the event's own
	for i := range e.recs {
		r := &e.recs[i]
		if i == main || !r.coalesces() {
			continue
		}
		switch r.typ() {
		case auparse.AUDIT_PATH:
			e.newMessage(r)
			event.Paths = append(event.Paths, r.path)
			continue
		case auparse.AUDIT_SOCKADDR:
			if sockaddr {
				continue
			}
			sockaddr = true
		}

		for _, f := range e.fields[r.from:r.to] {
			key := f.key
			if r.typ() == auparse.AUDIT_SOCKADDR {
				key = "socket_" + key
			}
			if place := processField(&event.Process, key); place != nil {
				*place = cmp.Or(*place, f.val)
			} else if _, taken := event.Data[key]; !taken && !f.aside && !f.unset {
				event.Data[key] = f.val
			}
		}
	}
}

// processField returns where aucoalesce puts a field that is the process's, nil for others.
func processField(p *aucoalesce.Process, key string) *string {
	switch key {
	case "pid":
		return &p.PID
	case "ppid":
		return &p.PPID
	case "proctitle":
		return &p.Title
	case "comm":
		return &p.Name
	case "exe":
		return &p.Exe
	case "cwd":
		return &p.CWD
	}
	return nil
}

// addArgs adds the arguments of all EXECVE records. Where they do not say all, the
// records' text follows.
func (e *Encoder) addArgs() {
	if !e.execve {
		return
	}
	n := e.args.Len()
	argc, counted := e.args.Count()
	event := e.doc.event
	if counted {
		event.Data["argc"] = strconv.FormatUint(uint64(argc), 10)
	} else {
		delete(event.Data, "argc")
	}
	for i := range n {
		if text, state := e.args.Arg(i); state != 0 {
			event.Process.Args = append(event.Process.Args, record.Alias(text))
		}
	}

	if e.args.Missing() == 0 && e.args.Cut() == 0 && !e.args.Left() && counted && int64(argc) == int64(n) {
		return
	}
	for i := range e.recs {
		if e.recs[i].typ() == auparse.AUDIT_EXECVE {
			e.recs[i].odd = true
		}
	}
}
