package human

import (
	"bytes"
	"path"

	"audisp-relay/audit/record"
)

// addVerb adds what happened: by the record that says so, else by the system call.
func (p *Printer) addVerb() {
	v := p.verb()
	p.begin("")
	p.text = AppendText(p.text, []byte(v.word))
	p.end(v.colour)
}

func (p *Printer) verb() verb {
	switch {
	case p.head >= 0:
		return verbOfType(string(p.b.AppendType(nil, p.head)))
	case p.call >= 0:
		return p.callVerb()
	case !p.b.Recs[p.i].HasID():
		return verb{"no record", otherColour, ""}
	}
	return verb{"parts of an event", otherColour, ""}
}

// callVerb returns what the system call is called.
func (p *Printer) callVerb() verb {
	r := record.Parse(p.b, p.call)
	name := p.callName(&r)
	if v, ok := callVerbs[name]; ok {
		return v
	}
	if name == "" {
		name = "system call " + string(find(&r, "syscall"))
	}
	return verb{name, otherColour, ""}
}

// addResult adds how it ended, with the name of the error. What a security module has denied may
// have been done, where it only warns (permissive=1).
func (p *Printer) addResult() {
	hasVerdict := p.head >= 0 && p.addVerdict()
	exit := ""
	for _, k := range [2]int{p.call, p.head} {
		if k < 0 || (hasVerdict && k == p.head) {
			continue
		}
		r := record.Parse(p.b, k)
		if r.Type == record.TypeAnomAbend { // always res=1 (auditsc.c, audit_core_dumps): no success
			continue
		}
		if outcome := outcomeOf(firstOf(find(&r, "success"), find(&r, "res"), find(&r, "result"))); outcome != "" {
			p.outcome = outcome
		}
		if p.outcome == "failed" && exit == "" {
			exit = errnoOf(&r)
		}
	}

	switch p.outcome {
	case "ok":
		p.add("", "ok", "")
	case "failed":
		p.add("", p.outcome+exit, red)
	}
}

// outcomeOf returns ok or failed for a value of success=, res= or result=, "" for any other.
func outcomeOf(value []byte) string {
	switch string(inside(bytes.Trim(value, `"`))) {
	case "yes", "success", "1":
		return "ok"
	case "no", "failed", "0", "fail":
		return "failed"
	}
	return ""
}

func firstOf(values ...[]byte) []byte {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}

// errnoOf returns " ENOENT" for exit=-2, " exit=-600" for what has no name.
func errnoOf(r *record.Parsed) string {
	value := find(r, "exit")
	n, ok := record.ParseInt(value)
	if !ok {
		return ""
	}
	arch, _ := record.ParseArch(find(r, "arch"))
	if n < 0 && n >= -record.MaxErrno {
		if name := record.ErrnoNameOn(arch, -n); name != "" {
			return " " + name
		}
	}
	return " exit=" + string(value)
}

// addVerdict adds what a security module decided, if that is what the event says.
func (p *Printer) addVerdict() bool {
	r := record.Parse(p.b, p.head)
	v, ok := readVerdict(&r)
	if !ok {
		return false
	}

	colour := ""
	if string(v.Result) == "denied" {
		colour = red
	}
	p.begin("")
	p.text = append(p.text, v.Result...)
	for perm, rest := record.NextPerm(v.Perms); len(perm) > 0; perm, rest = record.NextPerm(rest) {
		p.text = AppendText(append(p.text, ' '), perm)
	}
	p.end(colour)
	return true
}

// readVerdict reads the verdict of an AVC, or of a USER_AVC in its text.
func readVerdict(r *record.Parsed) (v record.Verdict, ok bool) {
	switch r.Type {
	case record.TypeAVC:
		return record.ReadVerdict(r.Body)
	case record.TypeUserAVC:
		return record.ReadVerdict(inside(find(r, "msg")))
	}
	return v, false
}

// addWho adds host, user, session, terminal and process: of the system call, else of the
// record that says what happened.
func (p *Printer) addWho() {
	if node := p.b.Node(p.i); len(node) > 0 {
		p.begin("@")
		p.text = AppendText(p.text, node)
		p.end("")
	}
	k := p.who()
	if k < 0 {
		return
	}

	r := record.Parse(p.b, k)
	s := &p.subject
	*s = subject{
		auid: find(&r, "auid"), uid: find(&r, "uid"), euid: find(&r, "euid"), ses: find(&r, "ses"),
		tty: firstOf(find(&r, "tty"), find(&r, "terminal")), pid: find(&r, "pid"),
	}
	p.addUser(&r, k)
	if s.ses != nil && !record.IsUnset(s.ses) {
		p.addValue("ses=", s.ses)
	}
	if !isEmpty(s.tty) {
		p.addValue("tty=", p.textOf(record.Plain, s.tty))
	}
	if s.pid != nil {
		p.addValue("pid=", s.pid)
	}
}

// subject is who it was: values of a record, nil for what it does not have.
type subject struct{ auid, uid, euid, ses, tty, pid []byte }

// who returns the record that says who it was, -1 without.
func (p *Printer) who() int {
	if p.call >= 0 {
		return p.call
	}
	return p.head
}

// addUser adds who logged in, an arrow and the user that the program ran as, that user's effective id
// in parentheses where it is another; one name where they are the same.
func (p *Printer) addUser(r *record.Parsed, k int) {
	auid, uid, euid := p.subject.auid, p.subject.uid, p.subject.euid
	known := auid != nil && !record.IsUnset(auid)
	if uid == nil && !known {
		return
	}

	p.begin("")
	if known && !bytes.Equal(auid, uid) {
		p.text = p.appendID(p.text, r, k, []byte("auid"), auid)
		if uid != nil {
			p.text = append(p.text, "→"...)
		}
	}
	if uid != nil {
		p.text = p.appendID(p.text, r, k, []byte("uid"), uid)
	}
	if euid != nil && !bytes.Equal(euid, uid) {
		p.text = append(p.text, '(')
		p.text = append(p.appendID(p.text, r, k, []byte("euid"), euid), ')')
	}
	p.end(bold)
}

// addValue adds a label and a word.
func (p *Printer) addValue(label string, value []byte) {
	p.begin(label)
	p.text = appendWord(p.text, value)
	p.end("")
}

// addProgram adds the program of a system call, as far as the command line, whose first
// word is title, does not name it: its file, and the name of the thread.
func (p *Printer) addProgram(title []byte) {
	if p.head >= 0 {
		if r := record.Parse(p.b, p.head); find(&r, "exe") != nil { // it is shown with the rest of that record
			return
		}
	}
	r := record.Parse(p.b, p.call)
	exe := bytes.Clone(p.textOf(record.Text, find(&r, "exe")))
	if !isEmpty(exe) && !bytes.Equal(exe, title) {
		p.addValue("exe=", exe)
	}
	comm := p.textOf(record.Text, find(&r, "comm"))
	if !isEmpty(comm) && !isCommOf(comm, exe) && !isCommOf(comm, title) {
		p.addValue("comm=", comm)
	}
}

// isCommOf reports whether comm is what the kernel makes of a file's name (TASK_COMM_LEN,
// 16 with the NUL).
func isCommOf(comm, file []byte) bool {
	const longest = 15
	base := path.Base(string(file))
	return len(file) > 0 && string(comm) == base[:min(len(base), longest)]
}
