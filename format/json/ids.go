package json

import (
	"bytes"
	"encoding/binary"

	"audisp-relay/audit/record"
)

// twins goes along the names that auditd has added to a record, which stand in the
// order of its fields.
type twins struct {
	rest  []byte
	taken bool // one at least
}

var twinArch, twinSyscall, twinUring, twinAddr = newPrefix("ARCH="), newPrefix("SYSCALL="), newPrefix("URING_OP="), newPrefix("SADDR=")

// at returns what stands behind "AUID=" if that is the next of the names.
func (t *twins) at(twin *prefix) (rest []byte, ok bool) {
	if rest, ok = t.next(); !ok || !twin.begins(rest) {
		return nil, false
	}
	return rest[len(twin.text):], true
}

// next returns what is left from the next name on.
func (t *twins) next() (rest []byte, ok bool) {
	if !t.taken {
		return t.rest, true
	}
	if len(t.rest) == 0 || t.rest[0] != ' ' {
		return nil, false
	}
	return t.rest[1:], true
}

// atKey is at for a field that its record's type does not expect.
func (t *twins) atKey(key []byte) (rest []byte, ok bool) {
	if rest, ok = t.next(); !ok || len(rest) <= len(key) || rest[len(key)] != '=' {
		return nil, false
	}
	for i, c := range key {
		if c-'a' < 26 {
			c -= 'a' - 'A'
		}
		if rest[i] != c {
			return nil, false
		}
	}
	return rest[len(key)+1:], true
}

// twinOf is twins.at or twins.atKey for a field.
func (e *Encoder) twinOf(st *step, key []byte) (rest []byte, ok bool) {
	if st != nil && e.called == nil {
		return e.twins.at(&st.twin)
	}
	return e.twins.atKey(e.ownKey(st, key))
}

// ownKey returns what the record calls a field.
func (e *Encoder) ownKey(st *step, key []byte) []byte {
	if e.called != nil {
		return e.called
	}
	return bytes.TrimSuffix(nameOf(st, key), []byte("_"))
}

// step goes behind a name that ends where rest begins.
func (t *twins) step(rest []byte) { t.rest, t.taken = rest, true }

// take takes the next name if it is exactly that.
func (t *twins) take(twin *prefix, value string) bool {
	rest, ok := t.at(twin)
	return ok && t.takeValue(rest, value)
}

// takeValue takes a name whose value begins rest if it is that. If more of it is there than
// that, no other name can be taken, and the record is not complete.
func (t *twins) takeValue(rest []byte, value string) bool {
	if len(rest) < len(value) || string(rest[:len(value)]) != value {
		return false
	}
	t.step(rest[len(value):])
	return true
}

// word takes the next name if it is of that field: all up to a blank.
func (t *twins) word(twin *prefix) (value []byte, ok bool) {
	rest, ok := t.at(twin)
	if !ok {
		return nil, false
	}
	end := tokenEnd(rest, 0)
	t.step(rest[end:])
	return rest[:end], true
}

// complete reports whether all names have been taken, and there is no separator without
// any.
func (t *twins) complete(twinned bool) bool { return len(t.rest) == 0 && t.taken == twinned }

// lastName is the name that auditd gave last, in its quotes, if it is short: most of a
// record's are the same.
type lastName struct {
	text       chunk
	want, mask uint64
}

// set notes rest[:end].
func (l *lastName) set(rest []byte, end int) {
	if end <= 8 && len(rest) >= 8 {
		l.text = newChunk(string(rest[:end]))
		l.mask = 1<<(8*end) - 1
		l.want = binary.LittleEndian.Uint64(rest) & l.mask
	}
}

// same reports whether rest begins with that name.
func (l *lastName) same(rest []byte) bool {
	return l.mask != 0 && len(rest) >= 8 && binary.LittleEndian.Uint64(rest)&l.mask == l.want
}

// lookedUp is the id whose name was looked up last, since most ids of a record are the same.
type lookedUp struct {
	known bool
	id    uint32
	name  string
}

// appendExpectedID is appendExpected for an id that is a number, as nearly all are.
func (e *Encoder) appendExpectedID(dst []byte, o *object, st *step, body []byte, at int) ([]byte, int) {
	id, end := uint64(0), at
	for end < len(body) && body[end]-'0' < 10 {
		id = id*10 + uint64(body[end]-'0')
		end++
	}
	if n := end - at; n == 0 || n > 10 || id >= record.Unset || body[at] == '0' && n > 1 || end < len(body) && body[end] != ' ' {
		if end = numberEnd(body, at); end > 0 {
			dst = e.appendID(dst, o, st, nil, body[at:end])
		}
		return dst, end
	}
	dst = putPart(put(dst, &st.json), body, at, end)
	if e.auditd {
		if rest, ok := e.twins.at(&st.twin); ok && !o.percent && e.lastName.same(rest) {
			e.twins.step(rest[e.lastName.text.n:])
			return put(put(dst, &st.name), &e.lastName.text), end
		}
		dst = e.appendTwin(dst, o, st, nil)
	} else if e.lookup {
		dst = e.appendLookedUp(dst, st, nil, uint32(id))
	}
	return dst, end
}

// appendID appends an id and its name: of the field st, or of another with that key.
func (e *Encoder) appendID(dst []byte, o *object, st *step, key, v []byte) []byte {
	dst = appendKey(dst, st, key)
	id, ok := idOf(v)
	switch {
	case record.IsUnset(v):
		if v[0] == '-' {
			e.literally(o, st, key, v)
		}
		if e.auditd && !e.takeUnset(st, key) {
			o.irregular = true
		}
		return append(dst, "null"...)
	case !ok:
		return e.appendBare(dst, o, st, key, v)
	}
	dst = putPart(dst, v, 0, len(v))
	if e.auditd {
		return e.appendTwin(dst, o, st, key)
	}
	if e.lookup {
		return e.appendLookedUp(dst, st, key, id)
	}
	return dst
}

// idOf returns the id that v is, in canonical form.
func idOf(v []byte) (id uint32, ok bool) {
	if len(v) == 0 || len(v) > 10 || v[0] == '0' && len(v) > 1 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range v {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return uint32(n), n < record.Unset
}

// takeUnset takes the name that auditd gives to an id that is not set.
func (e *Encoder) takeUnset(st *step, key []byte) bool {
	rest, ok := e.twinOf(st, key)
	return ok && e.twins.takeValue(rest, `"unset"`)
}

// appendTwin appends the name that auditd has given to an id.
func (e *Encoder) appendTwin(dst []byte, o *object, st *step, key []byte) []byte {
	rest, ok := e.twinOf(st, key)
	if !ok {
		return e.appendStrayTwin(dst, o, st, key)
	}
	if end := quotedEnd(rest, 0); end > 0 && !o.percent {
		e.twins.step(rest[end:])
		e.lastName.set(rest, end)
		return putPart(appendNameKey(dst, st, key), rest, 0, end)
	}
	end := tokenEnd(rest, 0)
	if len(rest) > 0 && rest[0] == '"' {
		if k := bytes.IndexByte(rest[1:], '"'); k >= 0 {
			end = k + 2
		}
	}
	e.twins.step(rest[end:])
	text, ok := e.unquote(rest[:end])
	if !ok || string(text) == "(null)" {
		o.irregular = true
	}
	return e.appendString(appendNameKey(dst, st, key), text)
}

// appendStrayTwin appends the name of an id if it stands elsewhere than it should.
func (e *Encoder) appendStrayTwin(dst []byte, o *object, st *step, key []byte) []byte {
	if len(e.twins.rest) == 0 {
		return dst
	}
	r := record.Parsed{Names: e.twins.rest}
	name, ok := r.Name(e.scratch, e.ownKey(st, key))
	if !ok {
		return dst
	}
	o.irregular = true
	return e.appendString(appendNameKey(dst, st, key), name)
}

// appendNameKey begins the member of an id's name.
func appendNameKey(dst []byte, st *step, key []byte) []byte {
	if st != nil {
		return put(dst, &st.name)
	}
	key = bytes.TrimSuffix(key, []byte("_"))
	n, insert := splitID(key)
	dst = append(dst, ',', '"')
	dst = append(dst, key[:n]...)
	dst = append(dst, insert...)
	return append(dst, '"', ':')
}

// appendLookedUp appends the name that the host has for an id.
func (e *Encoder) appendLookedUp(dst []byte, st *step, key []byte, id uint32) []byte {
	group := st != nil && st.group || st == nil && isGroup(key)
	last := &e.uid
	if group {
		last = &e.gid
	}
	if !last.known || last.id != id {
		*last = lookedUp{known: true, id: id}
		if group {
			last.name = e.opts.Users.Group(id)
		} else {
			last.name = e.opts.Users.User(id)
		}
	}
	if last.name == "" {
		return dst
	}
	e.looked = true
	dst = appendNameKey(dst, st, key)
	e.scratch = append(e.scratch[:0], last.name...)
	return e.appendString(dst, e.scratch)
}
