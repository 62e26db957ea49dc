package process

import (
	"bytes"

	"audisp-relay/audit/record"
)

// callKind is what a system call does to the processes there are.
type callKind uint8

const (
	otherCall callKind = iota
	execCall
	forkCall
	cloneCall  // fork with flags in a0
	cloneCall2 // the same with flags in a1
	clone3Call // fork with flags that no record has
	exitCall   // of the whole process
)

// call is what a table reads of a SYSCALL record.
type call struct {
	kind      callKind
	ok        bool // success=yes
	exit      int64
	flags     uint64 // of cloneCall and cloneCall2
	items     int64  // of PATH records
	ppid, pid int32
	comm, exe []byte // as in the record; nil without
	rest      []byte // what follows exe=
	state     uint16 // what it says of Process.state
}

// calls remembers what the system calls do that were seen, by AUDIT_ARCH_ value and number.
type calls struct{ kinds map[uint64]callKind }

// maxCalls bounds that: hostile records may have any number.
const maxCalls = 4096

func (c *calls) kindOf(arch uint32, nr int64) callKind {
	key := uint64(arch)<<32 | uint64(uint32(nr))
	kind, known := c.kinds[key]
	if known {
		return kind
	}

	switch record.SyscallName(arch, nr) {
	case "execve", "execveat":
		kind = execCall
	case "fork", "vfork":
		kind = forkCall
	case "clone":
		kind = cloneCall
		if record.CloneFlagsArg(arch) == 1 {
			kind = cloneCall2
		}
	case "clone3":
		kind = clone3Call
	case "exit_group":
		kind = exitCall
	}

	if c.kinds == nil || len(c.kinds) >= maxCalls {
		c.kinds = make(map[uint64]callKind)
	}
	c.kinds[key] = kind
	return kind
}

// Flags of clone(2) with which the number that it returns is not that of a child of the caller.
const otherChild = record.CloneThread | record.CloneParent

// forks reports whether the call has made a process or a thread, and returned its number.
func (r *call) forks() bool {
	switch r.kind {
	case forkCall, cloneCall, cloneCall2, clone3Call:
		return r.ok && r.exit > 0
	}
	return false
}

// readCall reads the body of a SYSCALL record. Its fields stand in the order in which the kernel
// writes them (kernel/auditsc.c, audit_log_exit and audit_log_task_info), and no value that a program chose
// has a blank in it, so that a field is where its name is found first. ok is false where it is not so.
func (c *calls) readCall(body []byte) (r call, ok bool) {
	rest, ok := cutPrefix(record.TrimColon(body), "arch=")
	if !ok {
		return r, false
	}
	value, rest := cutWord(rest)
	arch, ok := record.ParseArch(value)
	if !ok {
		return r, false
	}
	if rest, ok = cutPrefix(rest, " syscall="); !ok {
		return r, false
	}
	value, rest = cutWord(rest)
	nr, ok := record.ParseInt(value)
	if !ok || nr < 0 || nr > 1<<31 {
		return r, false
	}
	r.kind = c.kindOf(arch, nr)

	if r.kind != otherCall {
		r.readResult(rest)
	}
	r.ppid, r.pid, rest, ok = cutPIDs(rest)
	r.readProgram(rest)
	return r, ok
}

// cutPIDs reads ppid= and pid=, which stand after each other, and returns what follows.
func cutPIDs(body []byte) (ppid, pid int32, rest []byte, ok bool) {
	at := indexField(body, "ppid=")
	if at < 0 {
		return 0, 0, nil, false
	}
	value, rest := cutWord(body[at+len("ppid="):])
	ppid, okParent := readPID(value)
	if rest, ok = cutPrefix(rest, " pid="); !ok {
		return 0, 0, nil, false
	}
	value, rest = cutWord(rest)
	pid, okPID := readPID(value)
	return ppid, pid, rest, okParent && okPID && pid > 0
}

// indexField returns where a field begins, -1 without. Its first letter is searched for, as blanks are everywhere.
func indexField(body []byte, field string) int {
	for from := 0; ; {
		at := bytes.Index(body[from:], []byte(field))
		if at < 0 {
			return -1
		}
		if from += at; from > 0 && body[from-1] == ' ' {
			return from
		}
		from += len(field)
	}
}

// readResult reads what stands between syscall= and ppid=. With per= there is something else first.
func (r *call) readResult(rest []byte) {
	at := bytes.Index(rest, []byte(" success="))
	if at < 0 {
		return
	}

	value, rest := cutWord(rest[at+len(" success="):])
	r.ok = string(value) == "yes" || string(value) == `"yes"` // laurel2audit quotes all words
	rest, _ = cutPrefix(rest, " exit=")
	value, rest = cutWord(rest)
	r.exit, _ = record.ParseInt(value)

	switch r.kind {
	case cloneCall, cloneCall2:
		rest, _ = cutPrefix(rest, " a0=")
		value, rest = cutWord(rest)
		if r.kind == cloneCall2 {
			rest, _ = cutPrefix(rest, " a1=")
			value, _ = cutWord(rest)
		}
		r.flags, _ = record.ParseHex(value)
	case execCall:
		if at := indexField(rest, "items="); at >= 0 {
			value, _ = cutWord(rest[at+len("items="):])
			r.items, _ = record.ParseInt(value)
		}
	}
}

// readProgram reads uid=, the second one, and ses=, comm= and exe=, which stand after each other.
func (r *call) readProgram(rest []byte) {
	if user, ok := cutPrefix(rest, " auid="); ok {
		if _, user = cutWord(user); record.HasPrefix(user, " uid=0 ") {
			r.state |= asRoot
		}
	}

	at := indexField(rest, "comm=")
	if at < 0 {
		return
	}
	const unset = " ses=4294967295 "
	if at >= len(unset) && string(rest[at-len(unset):at]) == unset {
		r.state |= noSession
	}

	value, rest := cutWord(rest[at+len("comm="):])
	rest, ok := cutPrefix(rest, " exe=")
	if !ok {
		return
	}
	r.comm = value
	r.exe, r.rest = cutWord(rest)
	if at := bytes.IndexByte(r.exe, record.Separator); at >= 0 {
		r.exe = r.exe[:at]
	}
}

// keyOf returns the value of key= in what follows exe=: the kernel's last field (kernel/audit.c, audit_log_key). A security
// context before it may have blanks.
func keyOf(rest []byte) []byte {
	if at := bytes.IndexByte(rest, record.Separator); at >= 0 {
		rest = rest[:at]
	}
	const field = " key="
	at := bytes.LastIndex(rest, []byte(field))
	if at < 0 {
		return nil
	}
	value, _ := cutWord(rest[at+len(field):])
	return value
}

// readPID reads a pid as %d writes it.
func readPID(value []byte) (pid int32, ok bool) {
	n, ok := record.ParseInt(value)
	return int32(n), ok && n >= 0 && n < 1<<31
}

// cutPrefix is bytes.CutPrefix for a prefix that is a string.
func cutPrefix(text []byte, prefix string) (rest []byte, ok bool) {
	if !record.HasPrefix(text, prefix) {
		return nil, false
	}
	return text[len(prefix):], true
}

// cutWord cuts text before its first blank, or its end.
func cutWord(text []byte) (word, rest []byte) {
	end := record.WordEnd(text, 0)
	return text[:end], text[end:]
}
