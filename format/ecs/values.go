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
func (p *parser) addField(k key, name, token []byte) {
	p.token = nil
	if k == other && !plainKey(name) {
		p.r.odd = true
		return
	}
	if isNothing(token) {
		return
	}
	if p.noted.memo != nil {
		p.noted.note(k)
	}

	is, class := p.e.known.keys.describe(p.r.Type, k, name)
	quoted := len(token) > 1 && (token[0] == '"' || token[0] == '\'') && token[len(token)-1] == token[0]
	val := token
	switch {
	case quoted:
		val = token[1 : len(token)-1]
	case class != record.Text:
	case token[0] == '"': // the record ends in the middle of it
		val, p.r.odd = token[1:], true
	default:
		val = record.UnhexUpper(&p.e.text, token)
	}

	f := field{key: k, name: record.Alias(name), val: record.Alias(val), is: is}
	at := p.interpret(&f, val, quoted)
	if quoted || at < 0 {
		return
	}
	switch k {
	case keySubj, keyObj:
		p.token, p.context = token, true
	case keyOp, keyText:
		p.token, p.context = token, false
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

// interpret adds a field in the form in which auditbeat shows it: results, names of errors, ...
// val is its value. It returns where the field is, -1 when it was not added as such.
func (p *parser) interpret(f *field, val []byte, quoted bool) int {
	if !quoted && f.is&maybeUnset != 0 && record.IsUnset(val) {
		return p.addUnset(f)
	}
	if p.misleads(f) {
		f.aside = true
		return p.put(f)
	}

	typ := p.r.Type
	switch f.key {
	case keySuccess:
		return p.noteResult(&p.success, val)
	case keyRes:
		return p.noteResult(&p.res, val)
	case keyResult: // as programs of RHEL 4 and 5 have it
		return p.noteResult(&p.result, val)
	case keyKey:
		p.noted.noteTags(f.val)
		p.addTags(f.val)
		return -1
	case keyExit:
		if n, ok := record.ParseInt(val); ok && n < 0 {
			f.val = cmp.Or(record.ErrnoNameOn(p.code, -n), f.val)
		}
	case keySig:
		if n, ok := record.ParseInt(val); ok && typ == record.TypeSeccomp {
			f.val = cmp.Or(unix.SignalName(syscall.Signal(min(max(n, 0), 1<<10))), f.val)
		}
	case keyArch, keySyscall:
		return p.addCall(f, val)
	case keyProctitle:
		if typ != record.TypeProctitle {
			p.r.odd = true
			break
		}
		f.val = p.e.joinTitle(val)
	}

	// A file may be called "?". Elsewhere such a text is put aside, because an actor or an
	// object that is called so would say something else than "not known".
	f.aside = quoted && isNothing(val) && f.key != keyName && f.key != keyCWD
	return p.put(f)
}

// addCall adds the arch or the number of a system call, and notes those that finishSyscall gives names to.
func (p *parser) addCall(f *field, val []byte) int {
	at := p.put(f)
	switch {
	case at < 0 || (p.r.Type != record.TypeSyscall && p.r.Type != record.TypeSeccomp):
	case f.key == keyArch:
		p.arch = at
		p.code, _ = record.ParseArch(val)
	default:
		p.sysno = at
	}
	return at
}

// addUnset adds a field that says that an id is not set, if that says something: who has no
// login id is not the same as who is not known.
func (p *parser) addUnset(f *field) int {
	switch f.key {
	case keyAUID, keyDashOldAUID, keyOldAUID, keySes:
		f.val = "0" // an id, so that only a program's is misleading
		if !p.misleads(f) {
			f.val, f.unset = "unset", true
			return p.put(f)
		}
	}
	return -1
}

// misleads reports whether a field would be taken for what it is not: what a program says for what
// the kernel says of it, a word for an id, any other field for a part of a security context or an id.
func (p *parser) misleads(f *field) bool {
	switch {
	case f.is&(ofProcess|ofObject|ofKernel|likeID|ofSubject|ofLabel) == 0:
		return false
	case f.is&ofProcess != 0:
		return p.nested || !isNumber(f.val)
	case f.is&ofObject != 0:
		return !isNumber(f.val)
	case f.is&ofKernel != 0 && p.nested:
		return true
	}
	return f.is&(likeID|ofSubject) != 0 || (f.is&ofLabel != 0 && p.r.Type == record.TypePath)
}

// isNumber reports whether an id is one.
func isNumber(val string) bool {
	_, ok := record.ParseID([]byte(val))
	return ok
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
	p.splitContext(keySubj, &subjParts)
	if p.r.Type == record.TypePath {
		p.splitContext(keyObj, &objParts)
	}
}

// finishResult makes result of success= or, where there is none, of res= or result=.
func (p *parser) finishResult() {
	said := p.success
	switch {
	case said != nil && p.res != nil:
		p.putNew(keyRes, record.Alias(p.res))
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
	p.putNew(keyResult, result)
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
		p.putNew(keySyscallNumber, number)
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

// splitContext replaces the security context under a key by its parts. The last has all that is left.
func (p *parser) splitContext(k key, parts *[5]key) {
	if !p.seen.has(k) {
		return
	}
	at := int(p.e.where[k])
	f := p.e.fields[at]
	if f.aside {
		return
	}
	p.e.fields = slices.Delete(p.e.fields, at, at+1)
	p.seen.remove(k)
	for i := at; i < len(p.e.fields); i++ {
		if where := &p.e.where[p.e.fields[i].key]; *where == int32(i+1) {
			*where-- // all that follow have moved
		}
	}

	val, more := f.val, true
	for i := 0; more && i < len(parts); i++ {
		part := val
		if i < len(parts)-1 {
			part, val, more = strings.Cut(val, ":")
		}
		p.put(&field{key: parts[i], name: keyNames[parts[i]], val: part, is: p.e.known.keys.infos[parts[i]].is, context: true})
	}
}

// subjParts and objParts are the parts of the security context of a process and of a file, in their order.
var (
	subjParts = [...]key{keySubjUser, keySubjRole, keySubjDomain, keySubjLevel, keySubjCategory}
	objParts  = [...]key{keyObjUser, keyObjRole, keyObjDomain, keyObjLevel, keyObjCategory}
)
