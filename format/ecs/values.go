package ecs

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// addField adds a field as it stands in a record, decoded. What could not be restored from that form
// is left as it is.
func (p *parser) addField(key, token []byte) {
	p.token = nil
	if !plainKey(key) {
		p.r.odd = true
		return
	}
	if isNothing(token) {
		return
	}

	name := record.Alias(key)
	quoted := len(token) > 1 && (token[0] == '"' || token[0] == '\'') && token[len(token)-1] == token[0]
	val := token
	switch {
	case quoted:
		val = token[1 : len(token)-1]
	case token[0] == '"' && record.ClassIn(p.r.Type, key) == record.Text: // the record ends in the middle of it
		val, p.r.odd = token[1:], true
	case record.ClassIn(p.r.Type, key) == record.Text:
		val = record.UnhexUpper(&p.e.text, token)
	}

	at := p.interpretField(name, val, quoted)
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

// interpretField adds a field in the form in which auditbeat shows it: results, names of errors, ...
// It returns where the field is, -1 when it was not added as such.
func (p *parser) interpretField(name string, val []byte, quoted bool) int {
	typ := p.r.Type
	kernel := typ == record.TypeSyscall || typ == record.TypeSeccomp
	text := record.Alias(val)
	if !quoted && record.IsUnset(val) && isID(p.r.Type, name) {
		return p.addUnset(name)
	}
	if p.misleads(name, text) {
		return p.putField(name, text, true)
	}

	switch name {
	case "success":
		return p.noteResult(&p.success, val)
	case "res":
		return p.noteResult(&p.res, val)
	case "result": // as programs of RHEL 4 and 5 have it
		return p.noteResult(&p.result, val)
	case "key":
		p.addTags(text)
		return -1
	case "exit":
		if n, ok := canonical(text); ok && n < 0 {
			text = cmp.Or(record.ErrnoNameOn(p.code, -n), text)
		}
	case "sig":
		if n, ok := canonical(text); ok && typ == record.TypeSeccomp {
			text = cmp.Or(unix.SignalName(syscall.Signal(min(max(n, 0), 1<<10))), text)
		}
	case "arch", "syscall":
		at := p.putField(name, text, false)
		switch {
		case !kernel || at < 0:
		case name == "arch":
			p.arch = at
			p.code, _ = record.ParseArch(val)
		default:
			p.sysno = at
		}
		return at
	case "proctitle":
		if typ != record.TypeProctitle {
			p.r.odd = true
			break
		}
		text = p.e.joinTitle(val)
	}

	// A file may be called "?". Elsewhere such a text is put aside, because an actor or an
	// object that is called so would say something else than "not known".
	aside := quoted && isNothing(val) && name != "name" && name != "cwd"
	return p.putField(name, text, aside)
}

// isID reports whether a field of that name is an id or a session, which is unset with a
// value of -1. Programs have names of their own for them.
func isID(typ uint32, name string) bool {
	switch record.ClassIn(typ, []byte(name)) {
	case record.UserID, record.Session:
		return true
	}
	return isUserID(name) || strings.HasSuffix(name, "-ses") || strings.HasSuffix(name, "_ses")
}

// isUserID reports whether a name is like those of the ids of users and groups.
func isUserID(name string) bool {
	return strings.HasSuffix(name, "uid") || strings.HasSuffix(name, "gid")
}

// addUnset adds a field that says that an id is not set, if that says something: who has no
// login id is not the same as who is not known.
func (p *parser) addUnset(name string) int {
	switch name {
	case "auid", "old-auid", "old_auid", "ses":
		if !p.misleads(name, "0") {
			return p.appendField(field{pair: pair{name, "unset", true}})
		}
	}
	return -1
}

// misleads reports whether a field would be taken for what it is not: what a program says for what
// the kernel says of it, a word for an id, any other field for a part of a security context or an id.
func (p *parser) misleads(name, val string) bool {
	switch {
	case isOfProcess(name):
		return p.nested || !isNumber(val)
	case isOfObject(name):
		return !isNumber(val)
	case p.nested && (name == "ses" || name == "subj" || name == "key"):
		return true
	}
	return isUserID(name) || strings.HasPrefix(name, "subj_") || (strings.HasPrefix(name, "obj_") && p.r.Type == record.TypePath)
}

// isNumber reports whether an id is one.
func isNumber(val string) bool {
	_, ok := record.ParseID([]byte(val))
	return ok
}

// isOfObject reports whether a name that ends as ids do is one of the audit system's for
// the id of a user or group that is not the process's own.
func isOfObject(name string) bool {
	switch name {
	case "ouid", "ogid", "oauid", "old-auid", "old_auid", "new_auid", "iuid", "igid", "inode_uid", "inode_gid", "sauid", "obj_uid", "obj_gid":
		return true
	}
	return false
}

// isOfProcess reports whether a name is that of an id which every process has.
func isOfProcess(name string) bool {
	switch name {
	case "auid", "uid", "gid", "euid", "egid", "suid", "sgid", "fsuid", "fsgid":
		return true
	}
	return false
}

// noteResult keeps a result for finishRecord.
func (p *parser) noteResult(result *[]byte, val []byte) int {
	switch {
	case isNothing(val): // in quotes
		p.r.odd = p.r.odd || len(val) > 0
	case *result == nil:
		*result = val
	default:
		p.r.odd = p.r.odd || string(*result) != string(val)
	}
	return -1
}

// canonical reads a decimal number, if it is written as %d writes it.
func canonical(s string) (n int64, ok bool) { return record.ParseInt([]byte(s)) }

// addTags adds the values of key= to the event's tags. The rule's own "key=" in front of one
// is of RHEL 5.
func (p *parser) addTags(text string) {
	for key := range strings.SplitSeq(strings.TrimPrefix(text, "key="), "\x01") {
		switch {
		case slices.Contains(p.e.tags, key):
		case key == "" || len(p.e.tags) == maxFields:
			p.r.odd = true
		default:
			p.e.tags = append(p.e.tags, key)
		}
	}
}

// joinTitle returns a proctitle with blanks in the place of the NULs between its arguments, as
// auditbeat has it. Where the arguments could not be restored from that, they are kept.
func (e *Encoder) joinTitle(val []byte) string {
	n := len(val) - 1
	exact := bytes.IndexByte(val, ' ') < 0 && (bytes.IndexByte(val, 0) < 0 || (val[0] != 0 && val[n] != 0 && !bytes.Contains(val, []byte{0, 0})))
	if !exact && e.doc.title == nil {
		e.doc.title = val
	}
	from := len(e.text)
	e.text = append(e.text, val...)
	text := e.text[from:]
	for i, c := range text {
		if c == 0 {
			text[i] = ' '
		}
	}
	return record.Alias(text)
}

// finishRecord does what needs the whole record.
func (p *parser) finishRecord() {
	p.finishResult()
	p.finishSyscall()
	p.splitContext("subj")
	if p.r.Type == record.TypePath {
		p.splitContext("obj")
	}
}

// finishResult makes result of success= or, where there is none, of res= or result=.
func (p *parser) finishResult() {
	said := p.success
	switch {
	case said != nil && p.res != nil:
		p.putField("res", record.Alias(p.res), false)
	case said == nil:
		said = p.res
	}

	switch {
	case said == nil:
		said = p.result
	case p.result != nil:
		p.r.odd = p.r.odd || string(p.result) != string(said)
	}
	if said == nil {
		return
	}

	result := "fail"
	switch string(said) {
	case "no", "0", "failed":
	case "yes", "1", "success":
		result = "success"
	default:
		p.r.odd = true
		if strings.HasPrefix(strings.ToLower(string(said)), "suc") || strings.EqualFold(string(said), "yes") {
			result = "success"
		}
	}
	p.putField("result", result, false)
}

// finishSyscall gives names to arch and system call: those of package record's tables or, where
// these have none, those that auditd has added; then the number is kept beside it.
func (p *parser) finishSyscall() {
	if p.arch < 0 {
		return
	}
	arch, code := &p.e.fields[p.arch], p.code
	if code == 0 {
		code, _ = record.ArchCode(arch.val)
	} else if arch.val[0] != '0' && arch.val == strings.ToLower(arch.val) {
		arch.val = cmp.Or(record.ArchName(code), arch.val)
	}

	if p.sysno < 0 {
		return
	}
	call := &p.e.fields[p.sysno]
	nr, ok := canonical(call.val)
	if !ok {
		return
	}
	if name := record.SyscallName(code, nr); name != "" {
		call.val = name
	} else if name, ok := p.r.Name(nil, []byte("syscall")); ok && isSyscallName(name) {
		number := call.val
		call.val = record.Alias(name)
		p.putField("syscall_number", number, false)
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

// splitContext replaces the security context key by its parts. The last has all that is left.
func (p *parser) splitContext(key string) {
	for i := p.r.from; i < len(p.e.fields); i++ {
		f := p.e.fields[i]
		if f.key != key || f.aside {
			continue
		}
		p.e.fields = slices.Delete(p.e.fields, i, i+1)
		parts := &subjParts
		if key == "obj" {
			parts = &objParts
		}
		val, more := f.val, true
		for k := 0; more && k < len(parts); k++ {
			part := val
			if k < len(parts)-1 {
				part, val, more = strings.Cut(val, ":")
			}
			p.appendField(field{pair: pair{key: parts[k], val: part}, context: true})
		}
		return
	}
}

// subjParts and objParts are the parts of the security context of a process and of a file, in their order.
var (
	subjParts = [...]string{"subj_user", "subj_role", "subj_domain", "subj_level", "subj_category"}
	objParts  = [...]string{"obj_user", "obj_role", "obj_domain", "obj_level", "obj_category"}
)
