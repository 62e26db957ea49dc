package ocsf

import (
	"cmp"
	"hash/crc32"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// event is what is known of the event at hand, beside its records.
type event struct {
	id         string // SEC.MS:SERIAL, "" without
	uid        string // of metadata
	node       string
	millis     int64
	serial     uint32
	written    bool // time is that of writing
	incomplete bool
	recovered  bool

	lead *parsedRecord // says what kind of event it is; nil where there is only what adds to others
	who  *parsedRecord // says which process it was, nil without
	call *parsedRecord // the SYSCALL, nil without
	op   *parsedRecord // the operation of io_uring that the call has had done, nil without
	name string        // of the system call, or of the one that does the same as an operation of io_uring; "" without

	class    class
	activity uint8
	about    party
	fails    bool // success=no

	target     *parsedRecord // OBJ_PID
	file       *parsedRecord // PATH
	path       string
	result     *parsedRecord // the PATH of the new name in a rename, nil without
	resultPath string
	peer       endpoint
	account    user
	cloneFlags uint64
	group      user
	ofMember   bool   // op= speaks of a member of the group
	module     *field // its name
}

// endpoint is an address.
type endpoint struct {
	ip, port string
	version  uint8 // of IP
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readHeader finds what the records' headers say.
func (e *Encoder) readHeader(b *record.Batch, i, j int) {
	ev := &e.ev
	ev.id, ev.millis, ev.serial = record.Alias(e.recs[0].ID), b.Recs[i].Millis, b.Recs[i].Serial
	ev.written = ev.id == "" || ev.millis > record.LastMillis
	ev.node = cmp.Or(record.Alias(e.recs[0].Node), e.opts.Node)
	for k := i; k < j; k++ {
		ev.recovered = ev.recovered || b.Recs[k].Flags&record.FromLog != 0
		ev.incomplete = ev.incomplete || b.Recs[k].Flags&record.Partial != 0
	}
	if ev.id == "" {
		return
	}

	// The parts of an event that was given in several have one id: their content tells them apart, as
	// in the otlp sink.
	from := len(e.text)
	e.text = append(e.text, ev.id...)
	if ev.incomplete {
		sum := uint32(0)
		for k := i; k < j; k++ {
			sum = crc32.Update(sum, castagnoli, b.Text(k))
		}
		e.text = append(e.text, "/part-"...)
		e.text = strconv.AppendUint(e.text, uint64(sum), 16)
	}
	if ev.node != "" {
		e.text = append(append(e.text, '@'), ev.node...)
	}
	ev.uid = record.Alias(e.text[from:])
}

// choose decides what the event is to the schema. main is the record whose fields are the event's own,
// -1 where all are parts of one that is not there.
func (e *Encoder) choose(main int) {
	ev := &e.ev
	for k := range e.recs {
		if r := &e.recs[k]; r.Type == record.TypeSyscall && len(r.ID) > 0 {
			ev.call = r
			break
		}
	}
	if main >= 0 {
		ev.lead = &e.recs[main]
	}
	if ev.call != nil {
		ev.name = record.SocketCall(e.nameCall(ev.call), []byte(e.value(ev.call, "a0")))
		e.findOperation()
		ev.fails = e.value(cmp.Or(ev.op, ev.call), "success") == "no"
	} else if ev.lead != nil && ev.lead.Type == record.TypeUring {
		ev.name = record.UringCall([]byte(e.value(ev.lead, "uring_op")))
		ev.fails = e.value(ev.lead, "success") == "no"
	}

	act := e.known.calls[ev.name]
	for k := range e.recs { // a program's record says more than the system call that has sent it
		if a := e.known.types[e.recs[k].Type]; a != nil && len(e.recs[k].ID) > 0 {
			act, ev.lead = a, &e.recs[k]
			break
		}
	}
	ev.who = ev.lead
	if ev.call != nil {
		ev.who = ev.call
	}
	ev.activity = other
	if act != nil && act.class == accountChange && e.saysMembership(ev.lead) {
		act = &membership
	}
	if act != nil && e.fits(act) {
		ev.class, ev.activity, ev.about = act.class, act.activity, act.about
		e.correctActivity()
		return
	}
	for k := range e.recs { // AVC and CONFIG_CHANGE say more than the SYSCALL after them
		r := &e.recs[k]
		if len(r.ID) > 0 && !record.IsPart(r.Type) && r.Type != record.TypeTaskContexts {
			ev.lead = r
			return
		}
	}
}

// findOperation has an event of io_uring_enter(2) be what the operation does that it has had done, the first of several.
func (e *Encoder) findOperation() {
	ev := &e.ev
	if ev.name != "io_uring_enter" {
		return
	}
	for k := range e.recs {
		r := &e.recs[k]
		if r.Type != record.TypeUring || len(r.ID) == 0 {
			continue
		}
		if name := record.UringCall([]byte(e.value(r, "uring_op"))); name != "" {
			ev.op, ev.name = r, name
		}
		return
	}
}

// fits finds what the class of an action requires. It reports false where the records do not name it.
func (e *Encoder) fits(a *action) bool {
	switch a.class {
	case processEvent:
		return e.hasPID(e.ev.who) && e.findTarget(a.about)
	case fileActivity:
		return e.hasPID(e.ev.who) && e.findFile(a.activity)
	case network:
		return e.findPeer()
	case kernelExtension:
		return e.hasPID(e.ev.who) && e.findModule()
	case groupManagement:
		return e.findGroup()
	}
	e.ev.account = e.accountOf(e.ev.lead)
	return e.ev.account != user{}
}

// correctActivity goes by what has come of the action.
func (e *Encoder) correctActivity() {
	ev := &e.ev
	switch {
	case ev.class == fileActivity && ev.activity == fileOpen && e.value(ev.file, "nametype") == "CREATE":
		ev.activity = fileCreate
	case ev.class == groupManagement && ev.account != (user{}):
		ev.activity = memberActivity(e.said(ev.lead, "op"))
	case ev.class != network || ev.activity != netOpen || !ev.fails:
	case e.exit() == -int64(unix.ECONNREFUSED):
		ev.activity = netRefuse
	case !e.inProgress():
		ev.activity = netFail
	}
}

// exit returns what the system call, or the operation of io_uring, has returned, 0 where that is not known.
func (e *Encoder) exit() int64 {
	n, _ := record.ParseInt([]byte(e.value(cmp.Or(e.ev.op, e.ev.who), "exit")))
	return n
}

// inProgress reports whether a connection is being made although connect has returned: the socket
// does not wait.
func (e *Encoder) inProgress() bool {
	switch unix.Errno(max(0, -e.exit())) {
	case unix.EINPROGRESS, unix.EALREADY, unix.EINTR:
		return true
	}
	return false
}

func (e *Encoder) hasPID(r *parsedRecord) bool {
	return r != nil && number(e.find(r, "pid")) != ""
}

// nameCall gives names to arch and system call: those of package record's tables or, where these have none,
// those that auditd has added. It returns that of the call, "" without.
func (e *Encoder) nameCall(r *parsedRecord) string {
	arch, call := e.find(r, "arch"), e.find(r, "syscall")
	if arch == nil {
		return ""
	}
	code, ok := record.ParseArch([]byte(arch.val))
	if ok {
		arch.val = cmp.Or(record.ArchName(code), arch.val)
	}

	if call == nil {
		return ""
	}
	nr, isNumber := record.ParseInt([]byte(call.val))
	if !ok || !isNumber {
		return ""
	}

	name := record.SyscallName(code, nr)
	if name == "" {
		name = e.twin(r, "syscall")
	}
	if name == "" || strings.HasPrefix(name, "unknown") {
		return ""
	}
	call.val = name
	return name
}

// findTarget finds the process that an action is about.
func (e *Encoder) findTarget(about party) bool {
	switch about {
	case object:
		for k := range e.recs {
			if r := &e.recs[k]; r.Type == record.TypeObjPID && number(e.find(r, "opid")) != "" {
				e.ev.target = r
				return true
			}
		}
		return false
	case child:
		e.readCloneFlags()
		pid := e.exit()
		return e.ev.call != nil && pid > 0 && pid < 1<<32 && e.ev.cloneFlags&record.CloneThread == 0
	}
	return true
}

// readCloneFlags reads the flags of a clone.
func (e *Encoder) readCloneFlags() {
	ev := &e.ev
	if ev.name == "clone" {
		arch, _ := record.ArchCode(e.value(ev.call, "arch")) // the name, see nameCall
		ev.cloneFlags, _ = record.ParseHex([]byte(e.value(ev.call, argNames[record.CloneFlagsArg(arch)])))
	}
}

// findFile chooses the PATH record that an action is about.
func (e *Encoder) findFile(activity uint8) bool {
	want := ""
	switch activity {
	case fileCreate:
		want = "CREATE"
	case fileDelete, fileRename:
		want = "DELETE"
	}

	ev, best := &e.ev, 0
	for k := range e.recs {
		r := &e.recs[k]
		if r.Type != record.TypePath || len(r.ID) == 0 || e.value(r, "name") == "" {
			continue
		}
		rank := 0
		switch kind := e.value(r, "nametype"); {
		case kind == want && want != "":
			rank = 4
		case kind == "PARENT":
			rank = 1
		case kind == "UNKNOWN" || kind == "":
			rank = 2
		default:
			rank = 3
		}

		if rank > best {
			best, ev.file = rank, r
		}
		if activity == fileRename && ev.result == nil && e.value(r, "nametype") == "CREATE" {
			ev.result = r
		}
	}

	if ev.file == nil {
		return false
	}
	if ev.result == ev.file {
		ev.result = nil
	}
	ev.path, ev.resultPath = e.fullPath(ev.file), e.fullPath(ev.result)
	return true
}

// fullPath returns the name in a PATH record as an absolute path, where the records say what it is
// relative to: cwd, unless the system call was given a directory's descriptor.
func (e *Encoder) fullPath(r *parsedRecord) string {
	name := e.value(r, "name") // "" without r
	if name != "" && name[0] != '/' {
		cwd := e.cwd()
		if cwd == "" || !e.countsFromCwd(r) {
			return name
		}
		from := len(e.text)
		e.text = append(append(append(e.text, cwd...), '/'), name...)
		name = record.Alias(e.text[from:])
	}
	if strings.Contains(name, "//") || strings.Contains(name, "/.") {
		return path.Clean(name)
	}
	return name
}

// cwd returns the process's working directory, "" where no record has it.
func (e *Encoder) cwd() string {
	for k := range e.recs {
		if r := &e.recs[k]; r.Type == record.TypeCWD && len(r.ID) > 0 {
			if f := e.find(r, "cwd"); f != nil && strings.HasPrefix(f.val, "/") {
				return take(f)
			}
		}
	}
	return ""
}

// countsFromCwd reports whether a relative name counts from the process's working directory.
func (e *Encoder) countsFromCwd(r *parsedRecord) bool {
	if record.TakesNoDir(e.ev.name) {
		return true
	}
	args := record.DirFDs(e.ev.name)
	if len(args) == 0 {
		return false
	}
	arg := args[0]
	if e.value(r, "nametype") == "CREATE" {
		arg = args[len(args)-1]
	}
	if arg >= len(argNames) {
		return false
	}
	n, ok := record.ParseHex([]byte(e.value(e.ev.call, argNames[arg])))
	return ok && int32(n) == unix.AT_FDCWD // the kernel takes a descriptor as an int
}

var argNames = [...]string{"a0", "a1", "a2", "a3"}

// findPeer finds the address of the Internet in the event's SOCKADDR record.
func (e *Encoder) findPeer() bool {
	for k := range e.recs {
		r := &e.recs[k]
		if r.Type != record.TypeSockaddr || len(r.ID) == 0 {
			continue
		}
		a, raw, ok := record.Sockaddr(e.text[len(e.text):], []byte(e.value(r, "saddr")))
		e.text = append(e.text, raw...) // the same bytes, if there was room for them
		ip, isIP := netip.AddrFromSlice(a.Addr)
		if !ok || !isIP || (a.Family == unix.AF_UNSPEC && !strings.HasPrefix(e.ev.name, "send")) { // which take it for one of IPv4
			continue
		}

		ev := &e.ev
		ip = ip.Unmap()
		ev.peer.version = 6
		if ip.Is4() {
			ev.peer.version = 4
		}
		from := len(e.text)
		e.text = ip.AppendTo(e.text)
		at := len(e.text)
		e.text = strconv.AppendUint(e.text, uint64(a.Port), 10)
		ev.peer.ip, ev.peer.port = record.Alias(e.text[from:at]), record.Alias(e.text[at:])
		return true
	}
	return false
}
