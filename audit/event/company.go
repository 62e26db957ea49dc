package event

import (
	"bytes"

	"audisp-relay/audit/record"
)

// What a program sends has an id of its own on most kernels, so that its record is all of
// its event and nothing has to wait. Where several security modules have contexts of
// their own (Ubuntu from 5.15 on, all from Linux 6.18 on) it shares the id with records
// of the kernel: MAC_TASK_CONTEXTS at least, and those of the system call by which it was
// sent, where any rule wants them. Such a kernel writes "subj=?" into the record. So a
// program's record waits for others
//
//   - where the kernel has written that;
//   - where one of that node had company before;
//   - where the batch at hand has more of the same id.
//
// It waits for titleWait at most, and no longer once there is a SYSCALL record: from then
// on the event ends as those of system calls do. The kernels that have shown company are
// remembered, a few of them at a time.

const (
	// lookAhead is how many records of a batch are looked at for more of an event.
	lookAhead = 128
	lookNear  = 8
	// maxMisses is how many searches may be in vain: then none is made after a PROCTITLE, as
	// an audit.log has no EOE, and a nearer one after the record of a program.
	maxMisses = 64
)

// namedTaskContexts is that type where auditd has a name for it: record.TypeNumber of
// "MAC_TASK_CONTEXTS".
const namedTaskContexts uint32 = 0x9AF24A89

// kernels is what was seen of the kernels of some nodes. A node whose place is taken by
// another has to show it again.
type kernels [512]kernel

type kernel struct {
	node     uint64
	joined   bool // a program's record had company
	contexts bool // MAC_TASK_CONTEXTS came
}

func (ks *kernels) of(node uint64) *kernel {
	k := &ks[node%uint64(len(ks))]
	if k.node != node {
		*k = kernel{node: node}
	}
	return k
}

func (ks *kernels) know(node uint64) kernel {
	if k := ks[node%uint64(len(ks))]; k.node == node {
		return k
	}
	return kernel{}
}

func (ks *kernels) forget(node uint64) { *ks.of(node) = kernel{node: node} }

// company notes record i, which belongs to that event.
func (a *Assembler) company(d *eventState, i int) {
	if d.standalone {
		return
	}
	typ := a.in.Recs[i].Type
	if isMostlyAlone(typ) {
		d.user = true
		d.expects = d.expects || (record.Alone(typ) && withoutSubject(a.in.Bytes(i)))
	} else {
		d.other = true
	}

	if d.user && d.other {
		a.kernels.of(d.node).joined = true
	}
	if typ == record.TypeTaskContexts || typ == namedTaskContexts {
		d.contexts, a.stacked = true, true
		a.kernels.of(d.node).contexts = true
	}
	if e := a.at; !a.live && e.in != a.listOf(e) {
		a.addPending(e)
	}
}

// waits reports whether an event that has only what comes alone mostly, up to record i, is
// to wait for more.
func (a *Assembler) waits(i int, d *eventState) bool {
	if !record.Alone(a.lineType) {
		return false
	}
	if d.expects || a.kernels.know(d.node).joined {
		return true
	}
	depth := lookAhead
	if a.alone >= maxMisses { // these kernels give no company
		depth = lookNear
	}
	if a.comes(i, d, depth) {
		a.alone = 0
		return true
	}
	a.alone++
	return false
}

// lingers reports whether an event that has its PROCTITLE is not complete though record i
// is of another one.
func (a *Assembler) lingers(i int, d *eventState) bool {
	switch {
	case d.lasts, d.user, a.stacked && !d.contexts && a.kernels.know(d.node).contexts:
		d.lasts = true
	case a.misses < maxMisses:
		if d.lasts = a.comes(i, d, lookAhead); d.lasts {
			a.misses = max(0, a.misses-4)
		} else {
			a.misses++
		}
	}
	return d.lasts
}

// comes reports whether a record of that event is among the next ones after record i.
func (a *Assembler) comes(i int, d *eventState, depth int) bool {
	for n := i + 1; n < min(i+1+depth, len(a.in.Recs)); n++ {
		r := &a.in.Recs[n]
		if r.Serial == d.serial && r.Millis == d.millis && r.Flags&odd&^record.Open == 0 && !record.OfDaemon(r.Type) && a.names.hashName(a.in.Node(n)) == d.node {
			return true
		}
	}
	return false
}

// withoutSubject reports whether the kernel has written into a program's record that its
// subject has several contexts (kernel/audit.c, audit_log_task_context). What the program
// says follows it.
func withoutSubject(text []byte) bool {
	const subject, head = " subj=?", 256
	text = text[:min(len(text), head)]
	for from := 0; ; { // to look for '?' costs a tenth of what it costs to look for all of it
		k := bytes.IndexByte(text[from:], '?')
		if k < 0 {
			return false
		}
		from += k + 1
		if from >= len(subject) && string(text[from-len(subject):from]) == subject && (from == len(text) || text[from] == ' ') {
			return true
		}
	}
}
