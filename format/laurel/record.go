package laurel

import (
	"strconv"

	"audisp-relay/audit/record"
)

// appendRecord appends the object of one record that is no EXECVE.
func (e *Encoder) appendRecord(dst []byte, r *record.Parsed) []byte {
	if r.Type == record.TypeSyscall {
		return e.appendObject(dst, r)
	}
	m, is := e.memoOf(r, 0)
	if is {
		return append(dst, m.json...)
	}
	from := len(dst)
	dst = e.appendObject(dst, r)
	if m != nil {
		m.keep(r, 0, dst[from:])
	}
	return dst
}

// appendObject appends the object of a record field by field.
func (e *Encoder) appendObject(dst []byte, r *record.Parsed) []byte {
	e.keys.reset()
	dst = append(dst, '{')
	var whole bool
	if r.Type == record.TypeSyscall {
		e.argv = e.argv[:0]
		dst, whole = e.appendCall(dst, r)
		dst = append(e.keys.appendKey(dst, keyArgv), '[')
		dst = append(append(dst, e.argv...), ']')
		dst = e.appendProcess(dst)
	} else {
		dst, whole = e.appendFields(dst, r)
	}
	if !whole {
		dst = e.appendRaw(dst, r)
	}
	return append(dst, '}')
}

// appendExecve appends what the event's EXECVE records say together; the kernel writes
// several when the arguments are long.
func (e *Encoder) appendExecve(dst []byte, b *record.Batch, k, j int) []byte {
	e.keys.reset()
	e.args.Reset()
	e.exec = execArgs{}
	dst = append(dst, '{')
	first, whole := k, true
	for ; k < j; k++ {
		if b.Recs[k].Type == record.TypeExecve && b.Recs[k].HasID() {
			r := record.Parse(b, k)
			e.args.Add(r.Body)
			var ok bool
			dst, ok = e.appendFields(dst, &r)
			whole = whole && ok
		}
	}

	dst, ok := e.appendArgs(dst)
	for k = first; !(whole && ok) && k < j; k++ {
		if b.Recs[k].Type == record.TypeExecve && b.Recs[k].HasID() {
			r := record.Parse(b, k)
			dst = e.appendRaw(dst, &r)
		}
	}
	return append(dst, '}')
}

// appendArgs appends the arguments of a program, null for those that no record has, up to
// the last one that is named. whole is false when the records have more bytes of arguments
// than are shown: for an argument that has its value, or pieces out of order.
func (e *Encoder) appendArgs(dst []byte) (out []byte, whole bool) {
	dst = append(e.keys.appendKey(dst, keyArgv), '[')
	shown := 0
	for i := range min(e.args.Len(), e.exec.end) {
		if i > 0 {
			dst = append(dst, ',')
		}
		if text, state := e.args.Arg(i); state == record.ArgMissing {
			dst = append(dst, "null"...)
		} else {
			dst = appendString(dst, text)
			shown += len(text)
		}
	}
	return append(dst, ']'), shown == e.exec.bytes
}

// execArgs is what the EXECVE records of an event name.
type execArgs struct {
	end   int // the highest number of an argument, and one
	bytes int // of all values
}

// addValue adds an argument with its key. ok is false when the value is no part of one.
func (x *execArgs) addValue(key []byte, v value) (ok bool) {
	if i, ok := parseNumber(key[1:1+record.CountDigits(key[1:])], 10); ok && i < 1<<31 {
		x.end = max(x.end, int(i)+1)
	}
	switch {
	case key[len(key)-1] == 'n': // a1_len
		return v.kind == isHexText || (v.kind == isText && record.CountDigits(v.of) == len(v.of))
	case v.kind == isHexText:
		x.bytes += len(v.of) / 2
	case v.kind == isText:
		x.bytes += len(v.of)
	default:
		return v.kind == isNull && v.of != nil // (null)
	}
	return true
}

// appendRaw appends the text of a record that laurel refuses: not all of it is in the
// fields.
func (e *Encoder) appendRaw(dst []byte, r *record.Parsed) []byte {
	dst = append(e.keys.appendKey(dst, keyRaw), '"')
	dst = appendText(dst, r.Body)
	if r.Twinned {
		dst = appendText(dst, r.Sep)
		dst = appendText(dst, r.Names)
	}
	return append(dst, '"')
}

// appendFields appends the fields of a record. whole is false when it has other text too.
func (e *Encoder) appendFields(dst []byte, r *record.Parsed) (out []byte, whole bool) {
	key, perms, body := readPrefix(r.Type, r.Body)
	dst, whole = e.appendRun(dst, r, body)
	dst, ok := e.appendRun(dst, r, r.Names)
	switch {
	case perms != nil:
		dst = append(e.keys.appendKey(dst, key), '[')
		for perm, rest := record.NextPerm(perms); len(perm) > 0; perm, rest = record.NextPerm(rest) {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			dst = appendString(dst, perm)
		}
		dst = append(dst, ']')
	case key != nil:
		dst = append(e.keys.appendKey(dst, key), "null"...)
	}
	return dst, whole && ok
}

// appendRun appends the fields in text, a part of r.
func (e *Encoder) appendRun(dst []byte, r *record.Parsed, text []byte) (out []byte, whole bool) {
	whole = true
	ends := lookFor(text)
	for {
		for len(text) > 0 && is[text[0]]&endsWord != 0 {
			text = text[1:]
		}
		if r.Flags&record.Marker == 0 {
			var n int
			dst, n = e.appendQuick(dst, r.Type, text)
			text = text[n:]
		}
		if len(text) == 0 {
			return dst, whole
		}

		ok, k := true, 0
		if text[0] == 'a' && (r.Type == record.TypeSyscall || r.Type == record.TypeExecve) {
			k = argKeyLen(text, r.Type)
		}
		if k > 0 {
			text, ok = e.takeArg(r.Type, text[:k], text[k+1:], &ends)
		} else if k := keyLen(text); k > 0 && !isOwn(r.Type, text[:k]) {
			dst, text, ok = e.appendField(dst, r, text[:k], text[k+1:], &ends)
		} else {
			_, n := looseValue(text, &ends)
			text, ok = text[n:], false
		}
		whole = whole && ok
	}
}

// appendField appends the field with this key, whose value text begins with, and
// returns the text after it. ok is false when laurel would refuse the value.
func (e *Encoder) appendField(dst []byte, r *record.Parsed, key, text []byte, ends *look) (out, rest []byte, ok bool) {
	isTitle := r.Type == record.TypeProctitle && string(key) == "proctitle"
	c := classOf(key)
	if r.Flags&record.Marker != 0 {
		c = decimal // laurel would take first=12 for hex; but it never saw one of these
	}
	v, n := readField(r.Type, key, text, c, ends)
	if ok = n >= 0; !ok {
		v, n = looseValue(text, ends)
	}
	if isTitle && v.kind != isNull {
		dst = e.appendTitle(e.keys.appendKey(dst, keyArgv), v)
	} else {
		dst = e.appendValue(e.keys.appendKey(dst, key), v)
	}
	return dst, text[n:], ok
}

// takeArg takes an argument with its key, and returns the text after it.
func (e *Encoder) takeArg(t uint32, key, text []byte, ends *look) (rest []byte, ok bool) {
	class := encoded
	if t == record.TypeSyscall {
		class = hexadecimal
	}
	v, n := readValue(text, class, ends)
	if n < 0 {
		v, n = looseValue(text, ends)
	}
	if t == record.TypeExecve {
		return text[n:], e.exec.addValue(key, v)
	}
	if len(e.argv) > 0 {
		e.argv = append(e.argv, ',')
	}
	e.argv = e.appendValue(e.argv, v)
	return text[n:], true
}

// appendTitle appends a process title as an array, as laurel cuts it at NULs: one that
// begins an argument is left in it, so that an empty argument is the NUL of the next.
func (e *Encoder) appendTitle(dst []byte, v value) []byte {
	title := e.decode(v)
	dst = append(dst, '[')
	for from, i := 0, 0; i <= len(title); i++ {
		if (i == len(title) || title[i] == 0) && i > from {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			dst = appendString(dst, title[from:i])
			from = i + 1
		}
	}
	return append(dst, ']')
}

// decode returns the text of a value. It is valid until the next call.
func (e *Encoder) decode(v value) []byte {
	if v.kind != isHexText {
		return v.of
	}
	e.text, _ = record.AppendUnhex(e.text[:0], v.of)
	return e.text
}

func (e *Encoder) appendValue(dst []byte, v value) []byte {
	switch v.kind {
	case isText, isHexText:
		return appendString(dst, e.decode(v))
	case isBraces:
		dst = append(dst, '"', '{')
		return append(appendText(dst, v.of), '}', '"')
	case isDec:
		if v.neg && v.num > 0 {
			dst = append(dst, '-')
		}
		return strconv.AppendUint(dst, v.num, 10)
	case isHex:
		dst = append(dst, '"', '0', 'x')
		return append(strconv.AppendUint(dst, v.num, 16), '"')
	case isOct:
		dst = append(dst, '"', '0', 'o')
		return append(strconv.AppendUint(dst, v.num, 8), '"')
	}
	return append(dst, "null"...)
}
