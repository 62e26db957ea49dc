package laurel

import (
	"bytes"
	"hash/maphash"

	"audisp-relay/audit/record"
)

// A process makes many events, and what its records say of it and of the files it works with is the same in each. So how a record
// was written, of a SYSCALL the part from the ids on, is kept and copied when another record of the type has it in the same bytes.

const (
	memoCount   = 256
	maxMemoText = 1024 // bytes of the record; what is longer seldom repeats
)

// memo is a record or the end of one, and what it was written as.
type memo struct {
	typ  uint32 // 0: the memo has nothing
	body int    // how much of text is the record's own
	sep  int
	text []byte
	json []byte

	// Of the end of a SYSCALL record: its keys, which stand in names, and their bits in keySet.filter.
	filter [4]uint64
	keys   [][]byte
	names  []byte
}

// endOf returns record r from body[at:] on, with the names.
func endOf(r *record.Parsed, at int) []byte { return r.Body[at : len(r.Body)+len(r.Sep)+len(r.Names)] }

// memoOf returns the memo for record r from body[at:] on, nil where there is to be none; is says whether it has that.
func (e *Encoder) memoOf(r *record.Parsed, at int) (m *memo, is bool) {
	text := endOf(r, at)
	if len(text) == 0 || len(text) > maxMemoText || r.Flags&record.Marker != 0 {
		return nil, false
	}
	m = &e.memos[maphash.Bytes(e.seed, text)%memoCount]
	return m, m.typ == r.Type && m.body == len(r.Body)-at && m.sep == len(r.Sep) && string(m.text) == string(text)
}

// keep notes as what r was written from body[at:] on.
func (m *memo) keep(r *record.Parsed, at int, json []byte) {
	m.typ, m.body, m.sep = r.Type, len(r.Body)-at, len(r.Sep)
	m.text, m.json = append(m.text[:0], endOf(r, at)...), append(m.json[:0], json...)
}

// keepKeys notes keys, which had not been in the object before, and their bits.
func (m *memo) keepKeys(keys [][]byte, filter [4]uint64) {
	m.filter, m.keys, m.names = filter, m.keys[:0], m.names[:0]
	for _, key := range keys {
		m.names = append(m.names, key...)
	}
	names := m.names
	for _, key := range keys {
		m.keys = append(m.keys, names[:len(key)])
		names = names[len(key):]
	}
}

// addAll adds the keys of m, if each of them is certainly new.
func (s *keySet) addAll(m *memo) bool {
	if len(s.times) > 0 || s.filter[0]&m.filter[0]|s.filter[1]&m.filter[1]|s.filter[2]&m.filter[2]|s.filter[3]&m.filter[3] != 0 {
		return false
	}
	for i := range s.filter {
		s.filter[i] |= m.filter[i]
	}
	s.fresh = append(s.fresh, m.keys...)
	return true
}

// appendCall appends the fields of a SYSCALL record. whole is false when it has other text too.
func (e *Encoder) appendCall(dst []byte, r *record.Parsed) (out []byte, whole bool) {
	at := bytes.Index(r.Body, []byte("auid=")) // not with the blank in front, as blanks are everywhere
	head := r.Body[:max(at-1, 0)]
	if at < 1 || r.Body[at-1] != ' ' || !record.HasPrefix(head, "arch=") || bytes.IndexByte(head, '"') >= 0 || bytes.IndexByte(head, '\'') >= 0 || bytes.IndexByte(head, '{') >= 0 {
		return e.appendFields(dst, r) // the ids may stand in a value
	}
	dst, whole = e.appendRun(dst, r, head)
	m, is := e.memoOf(r, at)
	if is && dst[len(dst)-1] != '{' && e.keys.addAll(m) {
		return append(dst, m.json...), whole
	}

	from, args, keys, filter := len(dst), len(e.argv), len(e.keys.fresh), e.keys.filter
	dst, ok := e.appendRun(dst, r, r.Body[at:])
	dst, all := e.appendRun(dst, r, r.Names)
	if m != nil && ok && all && dst[from-1] != '{' && len(e.argv) == args && len(e.keys.times) == 0 {
		for i := range filter {
			filter[i] ^= e.keys.filter[i] // what was added
		}
		m.keep(r, at, dst[from:])
		m.keepKeys(e.keys.fresh[keys:], filter)
	}
	return dst, whole && ok && all
}
