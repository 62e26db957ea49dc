package json

import (
	"bytes"
	"strconv"

	"audisp-relay/audit/record"
)

// appendKey begins a member: of an expected field, or of another with that key.
func appendKey(dst []byte, st *step, key []byte) []byte {
	if st != nil {
		return putChunk(dst, &st.json)
	}
	return append(appendName(dst, key), ':')
}

// appendValue appends the member of a field. A value that cannot be restored by the rules of
// docs/json.md makes the object irregular.
func (e *Encoder) appendValue(dst []byte, o *object, st *step, key, v []byte, k kind) []byte {
	switch k {
	case kindID:
		return e.appendID(dst, o, st, key, v)
	case kindSyscall:
		return e.appendSyscall(dst, o, v)
	case kindKey:
		return e.appendKeys(dst, o, v)
	case kindSaddr:
		return e.appendSaddr(dst, o, v)
	}

	dst = appendKey(dst, st, key)
	switch {
	case k == kindText:
		return e.appendText(dst, o, key, v)
	case !isQuoted(v):
	case v[0] == '"' && bytes.IndexByte(v[1:len(v)-1], '"') < 0, v[0] == '\'' && k != kindMsg && k != kindArch:
		return e.appendBare(dst, o, key, v)
	}

	switch k {
	case kindMsg:
		return e.appendMsg(dst, o, v)
	case kindArch:
		return e.appendArch(dst, o, v)
	case kindUring:
		return e.appendUring(dst, o, v)
	case kindHex:
		return e.appendHex(dst, o, key, v)
	case kindSession:
		if record.IsUnset(v) {
			return e.appendUnset(dst, o, key, v)
		}
		fallthrough
	case kindInt:
		if isNumber(v) {
			return append(dst, v...)
		}
	case kindExit:
		if isNumber(v) {
			return appendExit(dst, o, v)
		}
	case kindSuccess:
		switch string(v) {
		case "yes":
			return append(dst, "true"...)
		case "no":
			o.failed = true
			return append(dst, "false"...)
		}
	}
	return e.appendString(dst, v)
}

// appendBare appends a value that is not what its class has, without the quotes that it
// stands in.
func (e *Encoder) appendBare(dst []byte, o *object, key, v []byte) []byte {
	if !isQuoted(v) {
		return e.appendString(dst, v)
	}
	if v[0] == '"' {
		o.noteQuotes(key)
	} else {
		e.noteLiteral(o, key, v)
	}
	return e.appendString(dst, v[1:len(v)-1])
}

// appendExit appends the exit code, and the name of the error.
func appendExit(dst []byte, o *object, v []byte) []byte {
	dst = append(dst, v...)
	if v[0] != '-' || !o.failed || len(v) > 5 || (o.typ != record.TypeSyscall && o.typ != record.TypeUring) {
		return dst
	}
	n, _ := strconv.Atoi(string(v[1:]))
	if name := record.ErrnoNameOn(o.arch, int64(n)); name != "" {
		return appendWord(append(dst, `,"errno":`...), name)
	}
	return dst
}

// appendWord appends a string that JSON has in the same bytes.
func appendWord(dst []byte, word string) []byte {
	return append(append(append(dst, '"'), word...), '"')
}

// appendText appends a value of the class Text.
func (e *Encoder) appendText(dst []byte, o *object, key, v []byte) []byte {
	if string(v) == "(null)" {
		return append(dst, "null"...)
	}
	text, ok := e.unquote(v)
	switch {
	case ok:
	case isQuoted(v) && v[0] == '"':
		o.noteQuotes(key)
	default:
		e.noteLiteral(o, key, v)
	}
	return e.appendString(dst, text)
}

// unquote returns a Text value without quotes and out of hex; ok says that the kernel would
// write it so. It is valid until the next call.
func (e *Encoder) unquote(v []byte) (text []byte, ok bool) {
	if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
		text = v[1 : len(v)-1]
		return text, !record.NeedsHex(text)
	}
	text, isHex := record.AppendUnhex(e.scratch[:0], v)
	if !isHex || len(v) == 0 {
		text, _ = record.Unquote(nil, v)
		return text, false
	}
	e.scratch = text[:0]
	return text, record.NeedsHex(text) && !bytes.ContainsAny(v, "abcdef")
}

// appendUnset appends an id or a session that is not set.
func (e *Encoder) appendUnset(dst []byte, o *object, key, v []byte) []byte {
	if v[0] == '-' {
		e.noteLiteral(o, key, v)
	}
	return append(dst, "null"...)
}

// appendHex appends a number that the kernel writes in hex without 0x.
func (e *Encoder) appendHex(dst []byte, o *object, key, v []byte) []byte {
	if record.IsHex(v) {
		return append(append(append(dst, `"0x`...), v...), '"')
	}
	if record.HasPrefix(v, "0x") {
		e.noteLiteral(o, key, v)
	}
	return e.appendString(dst, v)
}

// appendArch appends the name of an arch.
func (e *Encoder) appendArch(dst []byte, o *object, v []byte) []byte {
	key := []byte("arch")
	name := e.archName(o, v)
	if name == "" {
		_, isName := record.ArchCode(string(v))
		o.irregular = o.irregular || isName
		return e.appendHex(dst, o, key, v)
	}

	if !e.arch.canonical {
		e.noteLiteral(o, key, v)
	}
	if e.auditd && !e.names.take(key, name) {
		o.irregular = true
	}
	return appendWord(dst, name)
}

// lastArch is the arch that was looked up last: a host has one or two.
type lastArch struct {
	text      []byte
	code      uint32
	name      string
	canonical bool // text is the number as the kernel's %x writes it
}

// archName returns the name of an arch and notes its number in o.
func (e *Encoder) archName(o *object, v []byte) string {
	l := &e.arch
	if len(v) == 0 || string(v) != string(l.text) {
		code, ok := record.ParseArch(v)
		if !ok {
			return ""
		}
		*l = lastArch{append(l.text[:0], v...), code, record.ArchName(code), isCanonicalHex(v, code)}
	}
	o.arch = l.code
	return l.name
}

// isCanonicalHex reports whether v is n as the kernel's %x writes it.
func isCanonicalHex(v []byte, n uint32) bool {
	var b [8]byte
	return string(strconv.AppendUint(b[:0], uint64(n), 16)) == string(v)
}

// unknownCall begins what auditd writes for the name of a system call that it does not know:
// unknown-syscall(469).
const unknownCall = "unknown-syscall("

// appendSyscall appends the name and the number of a system call.
func (e *Encoder) appendSyscall(dst []byte, o *object, v []byte) []byte {
	dst = append(dst, `,"syscall":`...)
	number := isNumber(v) && v[0] != '-'
	twin, ok := e.names.word("syscall")
	name := ""
	if !ok && !e.auditd && number {
		nr, _ := record.ParseInt(v)
		name = record.SyscallName(o.arch, nr)
	}

	switch {
	case len(twin) > len(unknownCall) && record.HasPrefix(twin, unknownCall): // auditd is older than the kernel
		n := len(twin) - 1
		if twin[n] != ')' || string(twin[len(unknownCall):n]) != string(v) {
			o.irregular = true
		}
		dst = append(dst, "null"...)
	case ok:
		dst = e.appendString(dst, twin)
	case name != "":
		dst = appendWord(dst, name)
	default:
		o.irregular = o.irregular || e.auditd
		dst = append(dst, "null"...)
	}

	dst = append(dst, `,"syscall_number":`...)
	if number {
		return append(dst, v...)
	}
	return e.appendString(dst, v)
}

// appendUring appends the number of an io_uring operation, and its name where auditd gives it.
func (e *Encoder) appendUring(dst []byte, o *object, v []byte) []byte {
	if isNumber(v) {
		dst = append(dst, v...)
	} else {
		dst = e.appendString(dst, v)
	}
	if twin, ok := e.names.word("uring_op"); ok && bytes.HasPrefix(twin, []byte("unknown-")) {
		o.irregular = true
	} else if ok {
		dst = e.appendString(append(dst, `,"uring_op_name":`...), twin)
	}
	return dst
}

// appendMsg appends the text of a program as an object of its fields.
func (e *Encoder) appendMsg(dst []byte, o *object, v []byte) []byte {
	if len(v) == 0 || v[0] != '\'' {
		return e.appendString(dst, v)
	}
	in := &e.inner
	in.beginObject(o.typ, message, &messageType)
	in.percent = o.percent
	end := len(v) - 1
	if end == 0 || v[end] != '\'' {
		in.irregular = true // the record was cut
		end++
	}
	from := len(dst)
	dst = e.appendFields(dst, in, v[1:end])
	if in.isOdd {
		dst = in.odd.append(dst)
	}
	dst = openObject(dst, from)
	o.irregular = o.irregular || in.irregular
	return append(dst, '}')
}
