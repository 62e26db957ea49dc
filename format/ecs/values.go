package ecs

import (
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/elastic/go-libaudit/v2/auparse"
	"golang.org/x/sys/unix"

	"audisp-relay/decode"
)

// add adds a field as it stands in a record, under auparse's name and in its form. What
// could not be had back from that form is left as it is.
func (p *parser) add(prefix string, key, token []byte) {
	p.token = nil
	if !plainKey(key) {
		p.r.odd = true
		return
	}
	if isNothing(token) {
		return
	}
	name := str(key)
	if prefix != "" {
		name = prefix + name
	}
	quoted := len(token) > 1 && (token[0] == '"' || token[0] == '\'') && token[len(token)-1] == token[0]
	val := token
	switch {
	case quoted:
		val = token[1 : len(token)-1]
	case token[0] == '"' && decode.ClassIn(p.r.Type, key) == decode.Text: // the record ends in the middle of it
		val, p.r.odd = token[1:], true
	case decode.ClassIn(p.r.Type, key) == decode.Text:
		val = p.e.unhex(token)
	}
	at := p.interpret(name, val, quoted)
	context := name == "subj" || name == "obj"
	if !quoted && at >= 0 && (context || name == "op" || name == "text") {
		p.token, p.context = token, context
	}
}

// isNothing reports whether a token is one of the audit system's words for the lack of
// a value. In quotes they are text.
func isNothing(token []byte) bool {
	switch string(token) {
	case "", "?", "?,", "(null)":
		return true
	}
	return false
}

// unhex returns the bytes that upper-case hex stands for, which is what the kernel and
// libaudit write; anything else as it is.
func (e *Encoder) unhex(v []byte) []byte {
	for _, c := range v {
		if c-'0' >= 10 && c-'A' >= 6 {
			return v
		}
	}
	from := len(e.text)
	text, ok := decode.AppendUnhex(e.text, v)
	if !ok {
		return v
	}
	e.text = text
	return text[from:len(text):len(text)]
}

// interpret does for one field what auparse's enrichData does. It returns where the
// field is, -1 when it was not added as such.
func (p *parser) interpret(name string, val []byte, quoted bool) int {
	typ := p.r.typ()
	kernel := typ == auparse.AUDIT_SYSCALL || typ == auparse.AUDIT_SECCOMP
	text := str(val)
	switch name {
	case "auid", "old-auid", "ses":
		if decode.IsUnset(val) {
			text = "unset"
		}
	case "success":
		if p.success == nil {
			p.success = val
			return -1
		}
		p.r.odd = p.r.odd || string(p.success) != text
		return -1
	case "res":
		if p.res == nil {
			p.res = val
			return -1
		}
		p.r.odd = p.r.odd || string(p.res) != text
		return -1
	case "key":
		p.keys(text)
		return -1
	case "exit":
		if n, ok := canonical(text); ok && n < 0 && auparse.AuditErrnoToName[-n] != "" {
			text = auparse.AuditErrnoToName[-n]
		}
	case "sig":
		if n, ok := canonical(text); ok && typ == auparse.AUDIT_SECCOMP {
			if name := unix.SignalName(syscall.Signal(n)); name != "" {
				text = name
			}
		}
	case "arch":
		at := p.put(name, text, false)
		if kernel && at >= 0 {
			p.arch = at
		}
		return at
	case "syscall":
		at := p.put(name, text, false)
		if kernel && at >= 0 {
			p.sysno = at
		}
		return at
	case "proctitle":
		if typ != auparse.AUDIT_PROCTITLE {
			p.r.odd = true
			break
		}
		text = p.e.title(val)
	}
	// A file may be called "?". Elsewhere such a text is put aside, because an actor or an
	// object that is called so would say something else than "not known".
	aside := quoted && isNothing(val) && name != "name" && name != "cwd"
	return p.put(name, text, aside)
}

func (r *record) typ() auparse.AuditMessageType {
	if r.Type > 1<<16-1 { // auparse has 16 bits
		return 0
	}
	return auparse.AuditMessageType(r.Type)
}

// canonical reads a decimal number, if it is written as %d writes it.
func canonical(s string) (n int, ok bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || digits[0] == '0' && s != "0" || digits[0] == '+' {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// keys adds the values of key= to the event's tags. The rule's own "key=" in front of one
// is of RHEL 5.
func (p *parser) keys(text string) {
	text = strings.TrimPrefix(text, "key=")
	for {
		key, rest, more := strings.Cut(text, "\x01")
		if key == "" || !p.e.addTag(key) {
			p.r.odd = true
		}
		if !more {
			return
		}
		text = rest
	}
}

// addTag adds a key that is not there yet; false says that there are too many.
func (e *Encoder) addTag(key string) bool {
	if slices.Contains(e.tags, key) {
		return true
	}
	if len(e.tags) == maxFields {
		return false
	}
	e.tags = append(e.tags, key)
	return true
}

// title returns a proctitle with blanks in the place of the NULs between its arguments, as
// auparse has it. Where the arguments could not be had back from that, they are kept.
func (e *Encoder) title(val []byte) string {
	exact := true // every blank stands for a NUL, and each argument has at least one byte
	nuls := 0
	for i, c := range val {
		switch {
		case c == ' ':
			exact = false
		case c == 0:
			nuls++
			exact = exact && i > 0 && val[i-1] != 0 && i < len(val)-1
		}
	}
	if !exact && e.doc.titleParts == nil {
		e.doc.titleParts = decode.AppendTitle(nil, val)
	}
	if nuls == 0 {
		return str(val)
	}
	from := len(e.text)
	for _, c := range val {
		if c == 0 {
			c = ' '
		}
		e.text = append(e.text, c)
	}
	return str(e.text[from:])
}

// finish does what needs the whole record.
func (p *parser) finish() {
	p.finishResult()
	p.finishSyscall()
	p.split("subj")
	if p.r.typ() == auparse.AUDIT_PATH {
		p.split("obj")
	}
}

// finishResult makes result of success= or, where there is none, of res=.
func (p *parser) finishResult() {
	said := p.success
	switch {
	case said != nil && p.res != nil:
		p.put("res", str(p.res), false)
	case said == nil:
		said = p.res
	}
	if said == nil {
		return
	}
	switch string(said) {
	case "yes", "1", "success":
		p.put("result", "success", false)
	case "no", "0", "failed":
		p.put("result", "fail", false)
	default:
		p.r.odd = true
		result := "fail"
		if strings.HasPrefix(strings.ToLower(string(said)), "suc") || strings.EqualFold(string(said), "yes") {
			result = "success"
		}
		p.put("result", result, false)
	}
}

// finishSyscall gives names to arch and system call: those of auparse's tables or, where
// these have none, those that auditd has added; then the number is kept beside it.
func (p *parser) finishSyscall() {
	if p.arch < 0 {
		return
	}
	arch := &p.e.fields[p.arch]
	if code, err := strconv.ParseUint(arch.val, 16, 32); err == nil && arch.val[0] != '0' && arch.val == strings.ToLower(arch.val) {
		if name, ok := auparse.AuditArchNames[auparse.AuditArch(code)]; ok {
			arch.val = name
		}
	}
	if p.sysno < 0 {
		return
	}
	call := &p.e.fields[p.sysno]
	nr, ok := canonical(call.val)
	if !ok {
		return
	}
	if name := auparse.AuditSyscalls[arch.val][nr]; name != "" {
		call.val = name
	} else if name, ok := p.r.Name(nil, []byte("syscall")); ok && isSyscallName(name) {
		number := call.val
		call.val = str(name)
		p.put("syscall_number", number, false)
	}
}

func isSyscallName(name []byte) bool {
	for _, c := range name {
		if c-'a' >= 26 && c-'0' >= 10 && c != '_' {
			return false
		}
	}
	return len(name) > 0 && name[0]-'0' >= 10
}

// split replaces the security context key by its parts, as auparse does.
func (p *parser) split(key string) {
	for i := p.r.from; i < len(p.e.fields); i++ {
		f := p.e.fields[i]
		if f.key != key || f.aside {
			continue
		}
		p.e.fields = append(p.e.fields[:i], p.e.fields[i+1:]...)
		rest := f.val
		for k, name := range contextNames[key] {
			val, after, more := strings.Cut(rest, ":")
			if k == len(contextNames[key])-1 {
				val, more = rest, false
			}
			p.put(name, val, false)
			if !more {
				return
			}
			rest = after
		}
	}
}

var contextNames = map[string][]string{
	"subj": {"subj_user", "subj_role", "subj_domain", "subj_level", "subj_category"},
	"obj":  {"obj_user", "obj_role", "obj_domain", "obj_level", "obj_category"},
}
