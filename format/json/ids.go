package json

import (
	"bytes"

	"audisp-relay/audit/record"
)

// enrichedNames goes along the names that auditd has added to a record, which stand in the
// order of its fields.
type enrichedNames struct {
	rest  []byte
	taken bool // one at least
}

// at returns what stands after "AUID=" if that is the next of the names, for the field auid.
func (t *enrichedNames) at(key []byte) (rest []byte, ok bool) {
	rest = t.rest
	if t.taken {
		if len(rest) == 0 || rest[0] != ' ' {
			return nil, false
		}
		rest = rest[1:]
	}
	n := len(key)
	if len(rest) <= n || rest[n] != '=' || !record.IsNameOf(rest[:n], key) {
		return nil, false
	}
	return rest[n+1:], true
}

// ownKey returns what the record calls a field that is shown as key.
func (e *Encoder) ownKey(key []byte) []byte {
	if e.called != nil {
		return e.called
	}
	return bytes.TrimSuffix(key, []byte("_"))
}

// step continues after a name that ends where rest begins.
func (t *enrichedNames) step(rest []byte) { t.rest, t.taken = rest, true }

// take takes the next name if it is that of a field and begins with value. If it is longer, no other
// name can be taken, and the record is not complete.
func (t *enrichedNames) take(key []byte, value string) bool {
	rest, ok := t.at(key)
	if !ok || !record.HasPrefix(rest, value) {
		return false
	}
	t.step(rest[len(value):])
	return true
}

// word takes the next name if it is of that field: all up to a blank.
func (t *enrichedNames) word(key string) (value []byte, ok bool) {
	rest, ok := t.at([]byte(key))
	if !ok {
		return nil, false
	}
	end := record.WordEnd(rest, 0)
	t.step(rest[end:])
	return rest[:end], true
}

// complete reports whether all names have been taken, and there is no separator without
// any.
func (t *enrichedNames) complete(twinned bool) bool { return len(t.rest) == 0 && t.taken == twinned }

// lookedUp is the id whose name was looked up last, since most ids of a record are the same.
type lookedUp struct {
	known bool
	id    uint32
	name  string
}

// appendID appends an id and its name.
func (e *Encoder) appendID(dst []byte, o *object, st *step, key, v []byte) []byte {
	dst = appendKey(dst, st, key)
	_, ok := record.ParseID(v)
	switch {
	case record.IsUnset(v):
		if e.auditd && !e.names.take(e.ownKey(key), `"unset"`) {
			o.irregular = true
		}
		return e.appendUnset(dst, o, key, v)
	case !ok:
		return e.appendBare(dst, o, key, v)
	}

	return e.appendIDName(append(dst, v...), o, st, key, v)
}

// appendIDName appends the name of the id that v is.
func (e *Encoder) appendIDName(dst []byte, o *object, st *step, key, v []byte) []byte {
	switch {
	case e.auditd:
		return e.appendEnrichedName(dst, o, st, key)
	case e.lookup:
		id, _ := record.ParseID(v)
		return e.appendLookedUp(dst, st, key, id)
	}
	return dst
}

// appendEnrichedName appends the name that auditd has given to an id.
func (e *Encoder) appendEnrichedName(dst []byte, o *object, st *step, key []byte) []byte {
	rest, ok := e.names.at(e.ownKey(key))
	if !ok {
		return e.appendMisplacedName(dst, o, st, key)
	}
	if end := quotedEnd(rest, 0); end > 0 && !o.percent {
		e.names.step(rest[end:])
		return putPart(appendNameKey(dst, st, key), rest, 0, end)
	}

	end := record.WordEnd(rest, 0)
	if len(rest) > 0 && rest[0] == '"' {
		if k := bytes.IndexByte(rest[1:], '"'); k >= 0 {
			end = k + 2
		}
	}
	e.names.step(rest[end:])
	text, ok := e.unquote(rest[:end])
	if !ok || string(text) == "(null)" {
		o.irregular = true
	}
	return e.appendString(appendNameKey(dst, st, key), text)
}

// appendMisplacedName appends the name of an id if it stands elsewhere than it should.
func (e *Encoder) appendMisplacedName(dst []byte, o *object, st *step, key []byte) []byte {
	if len(e.names.rest) == 0 {
		return dst
	}
	r := record.Parsed{Names: e.names.rest}
	name, ok := r.Name(e.scratch, e.ownKey(key))
	if !ok {
		return dst
	}
	o.irregular = true
	return e.appendString(appendNameKey(dst, st, key), name)
}

// appendNameKey begins the member of an id's name.
func appendNameKey(dst []byte, st *step, key []byte) []byte {
	if st != nil {
		return putChunk(dst, &st.name)
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
	group := bytes.HasSuffix(key, []byte("gid"))
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
