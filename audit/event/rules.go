package event

import (
	"audisp-relay/audit/record"
)

// firstEvent is the first type of the kernel's records of events (linux/audit.h,
// AUDIT_FIRST_EVENT).
const firstEvent = 1300

// callParts are the types of the records that the kernel writes of a system call
// or an io_uring operation, as bits from firstEvent on (kernel/auditsc.c,
// audit_log_exit, show_special and those it calls). An event with one of these
// ends with PROCTITLE or EOE, and lacks something without.
//
// All other types may come alone: CONFIG_CHANGE, SECCOMP, the anomalies from 1700
// on, AVC and all else of security modules, INTEGRITY, NETFILTER_CFG, BPF, TTY
// and so on. Where the task has an audit context and any rule is loaded they share
// the serial with the SYSCALL record that follows; in a kernel thread, in an
// interrupt, without rules or for a task that rules exclude (-a never,task) they
// are all there is, and nothing says so but the timer. That goes for the types of
// NetLabel, 1406 to 1419, too: libaudit takes them for events of one record
// (common.c, audit_is_last_record), but the kernel writes them with the context of
// the task (net/netlabel/netlabel_user.c). And for LOGIN, which had no SYSCALL
// record in older kernels.
const callParts uint64 = 1<<(record.TypeSyscall-firstEvent) | 1<<(record.TypePath-firstEvent) | 1<<(record.TypeIPC-firstEvent) |
	1<<(record.TypeSocketcall-firstEvent) | 1<<(record.TypeSockaddr-firstEvent) | 1<<(record.TypeCWD-firstEvent) | 1<<(record.TypeExecve-firstEvent) |
	0xf<<(record.TypeIPCSet-firstEvent) | // IPC_SET_PERM, MQ_OPEN, MQ_SENDRECV, MQ_NOTIFY
	1<<(record.TypeMQGetset-firstEvent) | 1<<(record.TypeFDPair-firstEvent) | 1<<(record.TypeObjPID-firstEvent) | 1<<(record.TypeEOE-firstEvent) |
	1<<(record.TypeBprmFcaps-firstEvent) | 1<<(record.TypeCapset-firstEvent) | 1<<(record.TypeMmap-firstEvent) | 1<<(record.TypeProctitle-firstEvent) |
	1<<(record.TypeKernModule-firstEvent) | 1<<(record.TypeInjOffset-firstEvent) | 1<<(record.TypeAdjNtp-firstEvent) | 1<<(record.TypeUring-firstEvent) |
	1<<(record.TypeOpenat2-firstEvent)

// comesWithCall reports whether records of this type only come with a system call.
func comesWithCall(typ uint32) bool {
	typ -= firstEvent
	return typ < 64 && callParts>>typ&1 != 0
}

// isMostlyAlone reports whether records of this type are whole events mostly: what programs
// send (but see company), KERNEL, and the packets that the AUDIT target logs, at any rate
// (net/netfilter/xt_AUDIT.c), which have no context. Types from 1007 to 1099 are
// no records, and complete events with libaudit (common.c, audit_is_last_record).
func isMostlyAlone(typ uint32) bool {
	return record.Alone(typ) || typ == record.TypeNetfilter || (typ > record.TypeLogin && typ < 1100)
}

// cause says why an event is given.
type cause uint8

const (
	complete cause = iota
	byTimer
	byLimit // too many events are held, or too many bytes
	tooLong // the event itself has come to its limits
	atEnd   // of the stream
	tooLate
)

// eventState is what is known of an event that is not complete.
type eventState struct {
	key
	standalone   bool // a single line that nothing joins
	late         bool // what came after its event was given
	rest         bool // the event was given up to here, being too long
	hasProctitle bool // has its PROCTITLE
	call         bool // has a record that only comes with a system call
	user         bool // has a record of a type that comes alone mostly
	other        bool // has a record of another type
	contexts     bool // has MAC_TASK_CONTEXTS
	expects      bool // a program's record says that others share its id
	lasts        bool // is not complete when anything else comes after its PROCTITLE
	recs         int
	bytes        int
	first        uint64 // number of the first record, counted over the stream
}

// countRecord counts one more record.
func (d *eventState) countRecord(r *record.Record) {
	d.recs++
	d.bytes += int(r.Len)
	d.call = d.call || comesWithCall(r.Type)
}

// isSolo reports whether the event has nothing but what comes alone mostly.
func (d *eventState) isSolo() bool { return d.user && !d.other }

// partialCause returns why the event counts as partial, complete if it does not.
func (d *eventState) partialCause(why cause) cause {
	switch {
	case d.late:
		return tooLate
	case why == tooLong:
		return byLimit
	case d.hasProctitle, (why == byTimer || why == atEnd) && !d.call && !d.standalone:
		why = complete
	}
	if why == complete && d.rest {
		return byLimit
	}
	return why
}

// IsCut reports whether a part of an event has come to the limits of an Assembler with
// the default options: more of it follows, most likely.
func IsCut(recs []record.Record) bool {
	size := 0
	for i := range recs {
		size += int(recs[i].Len)
	}
	return len(recs) >= DefaultMaxRecords || size > DefaultMaxEventBytes-record.MaxRecord
}

// count counts an event that is given, and returns the flags of its last record.
func (c *AssemblerCounts) count(why cause) uint8 {
	c.Events++
	switch why {
	case complete:
		return record.End
	case byTimer:
		c.PartialTimer++
	case atEnd:
		c.PartialEnd++
	case tooLate:
		c.PartialLate++
	default:
		c.PartialLimit++
	}
	return record.End | record.Partial
}
