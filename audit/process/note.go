package process

import (
	"bytes"
	"strings"

	"audisp-relay/audit/record"
)

// flawed are the flags of records that say nothing here.
const flawed = record.NoID | record.Open | record.Cont | record.Marker

// Note learns from records, in the order in which they are handed on. It keeps nothing of b. From an event that has ended the process
// twice it learns no more than that there was one.
func (t *Table) Note(b *record.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := t.o.AtHand.Take()
	defer slot.Give()

	for i := range b.Recs {
		r := &b.Recs[i]
		speaks := t.speaks(r.Type)
		if !speaks && t.begun && r.Serial == t.max {
			continue // the rest of an event: most records
		}
		old := r.Millis < t.since // a call that began before may end now: then its serial counts
		if r.Flags&flawed != 0 || record.OfDaemon(r.Type) || (old && !t.begun) || !t.isLocal(b, i) {
			continue
		}
		if !t.follow(r) || !speaks || old {
			continue
		}

		switch poison := slot.Hold(b, i); {
		case !poison:
			t.note(b, i)
		case r.Type == record.TypeSyscall || r.Type == record.TypeConfig: // the first record that says something
			t.doubts.add(doubt{first: r.Serial, last: r.Serial})
		}
	}
}

// speaks reports whether records of a type may say something.
func (t *Table) speaks(typ uint32) bool {
	switch typ {
	case record.TypeSyscall, record.TypeExecve, record.TypeConfig:
		return true
	case record.TypeCWD, record.TypePath:
		return t.scripts > 0
	}
	return false
}

// isLocal reports whether record i is of the table's host.
func (t *Table) isLocal(b *record.Batch, i int) bool {
	node := b.Node(i)
	if t.o.IsLocal != nil {
		return t.o.IsLocal(node)
	}
	if !t.named {
		t.named, t.node = true, bytes.Clone(node)
	}
	return string(node) == string(t.node)
}

// bootFall is by how much serials fall at a boot at least; from one record to another they may fall by a
// few, since they are given out when an event begins.
const bootFall = 1 << 16

// follow notes a record's serial. It returns whether what it says has a place here.
func (t *Table) follow(r *record.Record) bool {
	before := t.clock
	t.clock = max(t.clock, r.Millis)

	switch d := int32(r.Serial - t.max); {
	case !t.begun:
		t.begun, t.max = true, r.Serial
		t.enter(r.Serial - 1)
	case d > 0:
		if d > 1 { // seen now: the time of an event is that of its begin, which may be long ago
			t.holes.open(t.max+1, r.Serial-1, t.clock)
		}
		t.max = r.Serial
	case d == 0:
	// A stored stream may go over a boot that few events came before: its serials are lower, and of a later time. What comes late
	// in another order is of an earlier one.
	case d > -bootFall && (t.o.Live || r.Millis <= before+young):
		t.holes.fill(r.Serial)
	case r.Flags&record.FromLog != 0:
		return false // what was missing for long
	default:
		t.forget()
		t.begun, t.max, t.clock = true, r.Serial, r.Millis
	}
	return true
}

// enter gives processes from /proc a serial, that before the first record.
func (t *Table) enter(serial uint32) {
	for _, p := range t.started {
		p.serial, p.base = serial, serial
		t.insert(p)
	}
	for _, p := range t.started { // parents, too, are there now
		if t.labels != nil {
			t.findLabels(p, 0)
		}
	}
	t.started = nil
}

// note learns from record i.
func (t *Table) note(b *record.Batch, i int) {
	r := &b.Recs[i]
	m := Moment{r.Millis, r.Serial}
	switch r.Type {
	case record.TypeSyscall:
		if c, ok := t.calls.readCall(b.Body(i)); ok {
			t.noteCall(m, &c)
		}
	case record.TypeExecve:
		t.noteArgs(m, record.Parse(b, i).Body)
	case record.TypeCWD:
		t.noteCWD(m, b.Body(i))
	case record.TypePath:
		t.notePath(m, b.Body(i))
	case record.TypeConfig:
		// Without a rule, or without audit, execs are not seen.
		if body := b.Body(i); bytes.Contains(body, []byte("remove_rule")) || bytes.Contains(body, []byte("audit_enabled=0")) {
			t.doubts.add(doubt{first: r.Serial, last: r.Serial})
		}
	}
}

// noteCall learns from a system call.
func (t *Table) noteCall(m Moment, c *call) {
	t.confirm(m, c)
	switch {
	case c.kind == execCall && c.ok:
		t.noteExec(m, c)
		return
	case c.kind == exitCall:
		// The kernel writes it when the process ends (audit_free), without success=.
		t.insert(&Process{text: "\x00", millis: m.Millis, serial: m.Serial, base: m.Serial, pid: c.pid, from: ended})
		return
	case c.forks() && c.exit < 1<<31:
		t.noteProgram(m, c)
		if c.flags&otherChild == 0 {
			t.noteFork(m, c, int32(c.exit))
		}
		return
	}
	t.noteProgram(m, c)
}

// confirm notes that a process is the child of the one whose fork has returned its number, and so
// runs what that one runs, if it has not executed something else since.
func (t *Table) confirm(m Moment, c *call) {
	p := t.byPID[c.pid]
	if p == nil || !p.from.isUnsure() || p.ppid != c.ppid || !m.notBefore(p.at()) {
		return
	}
	if parent := t.look(c.ppid, m, m.Millis-young, 0); parent == nil || parent.text != p.text {
		return
	}
	sure := *p
	sure.from = fromFork
	t.replace(p, &sure)
}

// noteExec learns of a program that a process has begun. Its arguments come with the next record.
func (t *Table) noteExec(m Moment, c *call) {
	exe := unquote(t.args.exe[:0], c.exe)
	if len(exe) == 0 || len(exe) > maxExe { // another one than before at any rate
		t.insert(&Process{text: "\x00", millis: m.Millis, serial: m.Serial, base: m.Serial, pid: c.pid, from: ended})
		return
	}
	t.dropLater(m, c, exe)
	p := t.newProcess(m, c, exe, fromExec)
	if before := t.look(c.pid, m, m.Millis-young, 0); before != nil {
		p.follow(before)
	}
	if t.labels != nil {
		p.keyed = t.labels.ofKeys(c.rest)
	}
	if !t.insert(p) {
		return
	}
	t.label(p)
	t.findPlace(p)
	t.expect(p, c.items)
}

// follow takes over what is known of the process, which ran before until now: its pid is its own since then.
func (p *Process) follow(before *Process) {
	p.state |= before.state & (hostPIDs | known)
	p.given = before.given
}

// dropLater drops what was learnt of a process after m from records that had come before those of its exec at m: that
// it was forked, as the fork returned in the parent later, or another process of that number was (see isTaken); and that it
// runs exe, without arguments.
func (t *Table) dropLater(m Moment, c *call, exe []byte) {
	for p := t.byPID[c.pid]; p != nil && serialBefore(m.Serial, p.serial); {
		later := p
		p = p.prev
		switch {
		case (later.from.isUnsure() || (later.from == fromFork && later.ppid == c.ppid)) && later.millis <= m.Millis:
			t.remove(later)
		case later.from == fromCall && isSameFile(record.Alias(exe), later.Exe()) && (p == nil || !serialBefore(m.Serial, p.serial)):
			t.remove(later)
		}
	}
}

// noteProgram learns which program a process runs from a call of another kind, where that is not
// known, or was another one: after an exec that the rules leave out. The call may come late, as when audit.log alone had it.
func (t *Table) noteProgram(m Moment, c *call) {
	exe := unquote(t.args.exe[:0], c.exe)
	if len(exe) == 0 || len(exe) > maxExe || exe[0] == '<' { // <no_memory>: the kernel had none for the path
		return
	}
	before := t.look(c.pid, m, m.Millis-young, 0)
	if before != nil && isSameFile(before.Exe(), record.Alias(exe)) {
		return
	}
	p := t.newProcess(m, c, exe, fromCall)
	if before != nil {
		p.follow(before)
	}
	t.insert(p)
	t.label(p)
	t.findPlace(p)
}

// deleted is what the kernel writes after the path of a file that has been deleted (fs/d_path.c).
const deleted = " (deleted)"

// isSameFile reports whether a call names the program that is known: an upgrade, and whoever may delete the file, do not
// make it another one.
func isSameFile(known, exe string) bool {
	rest, ok := strings.CutPrefix(exe, known)
	return ok && (rest == "" || rest == deleted)
}

// noteFork learns of a child of the process that made the call. The child's number is one of the caller's own
// namespace (kernel/fork.c, kernel_clone, pid_vnr): of the host's or of a container's.
func (t *Table) noteFork(m Moment, c *call, child int32) {
	pid := c.pid
	parent := t.look(pid, m, m.Millis-young, 0)
	if parent == nil || child == pid {
		return
	}
	if t.follows && parent.state&(hostPIDs|wondered) == 0 {
		select {
		case t.wonder <- parent:
			parent.state |= wondered
		default:
		}
	}

	last := t.byPID[child]
	switch {
	case last == nil:
	case t.isTaken(m, child), last.millis >= m.Millis && last.ppid == pid && last.from != ended:
		return // the child was quicker
	case t.o.Live && t.cannotBeChild(child, m):
		return // the number is one of a container
	}
	from := unsureFork
	if c.kind == clone3Call {
		from = unsureClone
	}
	p := &Process{
		text: parent.text, cut: parent.cut, exeLen: parent.exeLen, outcome: parent.outcome,
		millis: m.Millis, serial: m.Serial, base: parent.base, pid: child, ppid: pid, from: from, state: c.state,
	}
	t.insert(p)
	t.label(p)
	t.findPlace(p)
}

// isTaken reports whether a program of the process with the number that a fork has returned was seen while that fork was on
// its way, which is as long as the child likes (vfork(2)). Either the child was quicker, which may have another parent
// (CLONE_PARENT), or the number is another process's, as the child is in a container: what that one runs stays so.
func (t *Table) isTaken(m Moment, child int32) bool {
	p := t.byPID[child]
	for p != nil && serialBefore(m.Serial, p.serial) {
		p = p.prev
	}
	return p != nil && !p.from.isUnsure() && p.millis >= m.Millis
}

// tellHost notes that p is in the host's pid namespace. Only the process itself could have
// been looked at: its pid was not used again up to now, ms since 1970.
func (t *Table) tellHost(p *Process, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sure, _ := t.reuse.sure(p, now); !sure || p.state&gone != 0 {
		return
	}
	p.state |= hostPIDs
	if last := t.byPID[p.pid]; last.from != ended && !last.from.isUnsure() {
		last.state |= hostPIDs // what it has executed meanwhile
	}
}

// newProcess returns the process that a call names, which runs exe.
func (t *Table) newProcess(m Moment, c *call, exe []byte, from source) *Process {
	t.args.text = appendProgram(t.args.text[:0], exe, unquote(t.args.comm[:0], c.comm))
	return &Process{
		text: string(t.args.text), exeLen: uint16(len(exe)),
		millis: m.Millis, serial: m.Serial, base: m.Serial, pid: c.pid, ppid: c.ppid, from: from, state: c.state,
	}
}

// unquote returns the text in a field, up to a NUL; "" for (null). It may use scratch.
func unquote(scratch, value []byte) []byte {
	if string(value) == "(null)" {
		return nil
	}
	text, _ := record.Unquote(scratch, value)
	if at := bytes.IndexByte(text, 0); at >= 0 {
		text = text[:at]
	}
	return text
}

// appendProgram appends the beginning of a Process's text, without a script.
func appendProgram(dst, exe, comm []byte) []byte {
	dst = append(append(dst, exe...), 0)
	return append(append(dst, comm[:min(len(comm), maxComm)]...), 0, 0)
}

// argReader reads arguments, and keeps its memory.
type argReader struct {
	args record.Args
	text []byte
	exe  [512]byte // of those in hex; a longer one takes memory of its own
	comm [64]byte
}

// noteArgs adds the arguments that the first EXECVE record of an event has.
func (t *Table) noteArgs(m Moment, body []byte) {
	e := t.expected(m)
	if e == nil || e.awaits {
		return
	}

	whole := *e.p
	text := append(t.args.text[:0], whole.text...)
	text, whole.cut = t.args.appendArgs(text, body)
	t.args.text = text
	whole.text = string(text)
	script := t.scriptOfEnv(&whole)
	whole.setScript(script)
	t.replace(e.p, &whole)
	t.labelByArgs(&whole)
	if script != "" && whole.state&gone == 0 {
		t.relabel(&whole)
	}

	e.p = &whole
	if whole.state&gone != 0 || (t.hashed == 0 && (e.items < 2 || !mayBeScript(&whole))) {
		t.forgetExec(e)
		return
	}
	e.awaits = true
	t.scripts++
}

// appendArgs appends the arguments of an EXECVE record, each with a NUL after it, up to maxArgs bytes.
func (r *argReader) appendArgs(dst, body []byte) (out []byte, cut bool) {
	r.args.Reset()
	r.args.Add(body)
	room := len(dst) + maxArgs
	for i := range r.args.Len() {
		arg, state := r.args.Arg(i)
		if state != record.ArgWhole || len(dst)+len(arg)+1 > room || bytes.IndexByte(arg, 0) >= 0 {
			return dst, true
		}
		dst = append(append(dst, arg...), 0)
	}
	return dst, false
}

// Lost says that events of a node with serials from first to last are missing for good.
func (t *Table) Lost(node string, first, last uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.o.IsLocal == nil || t.o.IsLocal([]byte(node)) {
		t.doubts.add(doubt{first: first, last: last})
		t.forgetEntries()
	}
}

// LostBetween says that the kernel has lost events between two times, ms since 1970, without giving them serials.
func (t *Table) LostBetween(from, to int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doubts.add(doubt{from: from, to: to})
	t.unlabel(from)
	t.forgetEntries()
}

// sample notes how far the kernel has come with its pids.
func (t *Table) sample(s sample) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.reuse.note(s) {
		t.forget() // the clock was set back
		t.since = s.Millis - early
	}
	t.settle()
}
