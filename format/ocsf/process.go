package ocsf

import (
	"encoding/hex"

	"audisp-relay/audit/record"
)

// parts say what is written of a process.
type parts uint8

const (
	image   parts = 1 << iota // name and executable
	command                   // the command line
	owner                     // the user it runs as
)

// writeActor writes the actor: a process, and the user that it runs as.
func (e *Encoder) writeActor() {
	w, ev := &e.w, &e.ev
	if ev.who == nil {
		return
	}
	m := w.Open("actor", '{')
	ppid := ""
	if ev.class == processEvent && ev.about == itself && e.launched() { // the parent is who has it run
		ppid = number(e.find(ev.who, "ppid"))
	}
	if ppid != "" {
		e.writeParent("process", ppid)
	} else {
		e.writeProcess(image)
	}
	e.writeUser("user", ev.who, "uid")
	w.Close(m, '}')
}

// launched reports whether the event is a successful launch. Then the records name the program that was launched,
// otherwise the one that tried to.
func (e *Encoder) launched() bool { return e.ev.activity == processLaunch && !e.ev.fails }

func (e *Encoder) writeProcessEvent() {
	w, ev := &e.w, &e.ev
	e.writeActor()
	switch {
	case ev.about == object:
		e.writeTarget()
	case ev.about == child:
		m := w.Open("process", '{')
		w.Literal("pid", take(e.find(ev.call, "exit")))
		parent := "pid"
		if ev.cloneFlags&record.CloneParent != 0 {
			parent = "ppid"
		}
		p := w.Open("parent_process", '{')
		e.number("pid", number(e.find(ev.who, parent)))
		w.Close(p, '}')
		w.Close(m, '}')
		w.Literal("launch_type_id", "2") // Fork
	case ev.activity == processLaunch && ev.fails:
		e.writeAttempt()
		w.Literal("launch_type_id", "3")
	case ev.activity == processLaunch:
		e.writeProcess(image | command | owner)
		w.Literal("launch_type_id", "3") // Exec
	default:
		e.writeProcess(image | owner)
	}
}

// writeAttempt writes a program that could not be executed: the process would have been the same.
func (e *Encoder) writeAttempt() {
	w := &e.w
	m := w.Open("process", '{')
	w.Literal("pid", number(e.find(e.ev.who, "pid")))
	if e.findFile(fileOpen) {
		f := w.Open("file", '{')
		e.writePath(e.ev.path, fileType(e.value(e.ev.file, "mode")))
		w.Close(f, '}')
	}
	w.Close(m, '}')
}

// writeTarget writes the process that an OBJ_PID record names.
func (e *Encoder) writeTarget() {
	w, r := &e.w, e.ev.target
	m := w.Open("process", '{')
	w.Literal("pid", number(e.find(r, "opid")))
	w.Some("name", take(e.find(r, "ocomm")))
	e.number("auid", e.setID(r, "oauid"))
	s := w.Open("session", '{')
	w.Some("uid", e.setID(r, "oses"))
	w.Close(s, '}')
	e.writeUser("user", r, "ouid")
	w.Close(m, '}')
}

// writeProcess writes the process that made the system call, or sent the record.
func (e *Encoder) writeProcess(which parts) {
	w, r := &e.w, e.ev.who
	pid := number(e.find(r, "pid"))
	if pid == "" {
		return
	}
	m := w.Open("process", '{')
	w.Literal("pid", pid)
	if which&image != 0 {
		w.Some("name", take(e.find(r, "comm")))
		e.writeImage(r)
	}
	if which&command != 0 && e.execve {
		w.Some("cmd_line", e.commandLine())
	}

	e.writeParent("parent_process", number(e.find(r, "ppid")))
	w.Some("working_directory", e.cwd())
	s := w.Open("session", '{')
	w.Some("uid", e.setID(r, "ses"))
	w.Some("terminal", take(e.find(r, "tty")))
	w.Close(s, '}')
	if which&owner != 0 {
		e.writeUser("user", r, "uid")
	}
	// linux_users
	e.number("auid", e.setID(r, "auid"))
	e.number("euid", e.setID(r, "euid"))
	e.number("egid", e.setID(r, "egid"))
	e.writeUser("group", r, "gid")
	w.Close(m, '}')
}

// writeParent writes the parent: its number from the records, and all else that is known of it.
func (e *Encoder) writeParent(key, ppid string) {
	w := &e.w
	m := w.Open(key, '{')
	e.number("pid", ppid)
	if p := e.process.Parent; p != nil && ppid != "" {
		w.Some("name", p.Comm())
		f := w.Open("file", '{')
		e.writePath(p.Exe(), "1")
		w.Close(f, '}')

		from := len(e.text)
		e.text = p.AppendArgs(e.text)
		w.Some("cmd_line", record.Alias(e.text[from:]))
	}
	w.Close(m, '}')
}

// writeImage writes the executable: what the kernel says or, in a program's record, what the library says
// that has sent it.
func (e *Encoder) writeImage(r *parsedRecord) {
	f := e.find(r, "exe")
	if f == nil {
		f = e.findSaid(e.ev.lead, "exe")
	}
	exe := take(f)
	if exe == "" {
		return
	}
	m := e.w.Open("file", '{')
	e.writePath(exe, "1")
	e.writeHash()
	e.w.Close(m, '}')
}

// writeHash writes the hash of the program.
func (e *Encoder) writeHash() {
	w, sum := &e.w, e.process.Hash()
	if sum == nil {
		return
	}
	a := w.Open("hashes", '[')
	m := w.OpenItem()
	w.Literal("algorithm_id", "3") // SHA-256
	w.Str("value", hex.EncodeToString(sum[:]))
	w.Close(m, '}')
	w.Close(a, ']')
}

// commandLine returns the arguments with blanks between. All of them, one by one, are in unmapped.
func (e *Encoder) commandLine() string {
	from := len(e.text)
	for i := range e.args.Len() {
		if i > 0 {
			e.text = append(e.text, ' ')
		}
		arg, _ := e.args.Arg(i)
		e.text = append(e.text, arg...)
	}
	return record.Alias(e.text[from:])
}

// setID returns the value of an id or session that is set, "" else.
func (e *Encoder) setID(r *parsedRecord, key string) string {
	f := e.find(r, key)
	if f == nil {
		return ""
	}
	if _, ok := record.ParseID([]byte(f.val)); !ok {
		return ""
	}
	return take(f)
}

// writeUser writes the user or group that a field of a record names, with auditd's name or this host's.
func (e *Encoder) writeUser(key string, r *parsedRecord, id string) {
	f := e.find(r, id)
	u := e.userOf(r, f, key == "group")
	if u == (user{}) {
		return
	}
	f.placed = true
	e.writeEntity(key, u)
}

// writeEntity writes a user or group, if it is one.
func (e *Encoder) writeEntity(key string, u user) {
	w := &e.w
	m := w.Open(key, '{')
	w.Some("name", u.name)
	w.Some("uid", u.uid)
	w.Close(m, '}')
}

// writeAccount writes whose account or login a record is about, from where, and to which service.
func (e *Encoder) writeAccount() {
	w, ev := &e.w, &e.ev
	r := ev.lead
	if r.Type == record.TypeLogin {
		take(e.find(r, "auid"))
	} else {
		take(e.findSaid(r, "id"))
		take(e.findSaid(r, "acct"))
	}
	e.writeEntity("user", ev.account)

	e.writeOrigin(r)
	if ev.class != authentication {
		return
	}
	m := w.Open("session", '{')
	w.Some("uid", e.setID(r, "ses"))
	w.Some("terminal", take(e.findSaid(r, "terminal")))
	w.Close(m, '}')
	service := e.findSaid(r, "exe")
	if service == nil && ev.call != nil {
		service = e.find(ev.call, "exe")
	}
	if service != nil && baseName(service.val) != "" {
		m = w.Open("service", '{')
		w.Str("name", baseName(service.val))
		w.Close(m, '}')
		return
	}
	m = w.Open("dst_endpoint", '{')
	e.writeHost()
	w.Close(m, '}')
}

// writeOrigin writes from where a user came: a program may give any text as addr= or hostname=.
func (e *Encoder) writeOrigin(r *parsedRecord) {
	w := &e.w
	m := w.Open("src_endpoint", '{')
	if f := e.findSaid(r, "addr"); f != nil && isIP(f.val) {
		w.Str("ip", take(f))
	}
	w.Some("hostname", take(e.findSaid(r, "hostname")))
	w.Close(m, '}')
}
