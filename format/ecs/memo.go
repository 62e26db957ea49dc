package ecs

import (
	"encoding/binary"
	"slices"

	"audisp-relay/audit/record"
)

// A process makes many events, and what its records say of it and of the files that it works with is the same
// in each. So what the rest of a record was read as, from the first field on that tends to repeat, is kept, and
// used when another record ends in the same bytes. With the names that auditd has added it is the same.

const (
	memoCount = 64
	maxMemo   = 1024 // bytes of a record; what is longer seldom repeats
)

// memo is the result of reading a text. Its strings have memory of their own.
type memo struct {
	event  uint64 // the last that has used it: until that is written nothing may be changed
	typ    uint32
	text   []byte
	fields []field
	tags   string // of the field key, "" without
	keys   keySet // of all fields that were read
	twins  []twin
	odd    bool
	memory []byte
	shown  shownPath // of a PATH record
}

// memoStart returns the field with which that part of the records of a type begins, other for none.
func memoStart(typ uint32) key {
	switch typ {
	case record.TypeSyscall:
		return keyAUID
	case record.TypePath:
		return keyItem
	}
	return other
}

// memoOf returns the memo for text, nil for one that is too long or short.
func memoOf(memos *[memoCount]memo, typ uint32, text []byte) *memo {
	n := len(text)
	if n < 16 || n > maxMemo {
		return nil
	}
	h := uint64(typ) + uint64(n)
	for i := 1; i <= 4; i++ { // a part of it will do: names, inodes and sessions are where they may
		h = (h ^ binary.LittleEndian.Uint64(text[(n-8)*i/4:])) * spread
		h ^= h >> 32
	}
	return &memos[h%memoCount]
}

// is reports whether m is what text was read as, in a record of a type.
func (m *memo) is(typ uint32, text []byte) bool {
	return m.typ == typ && string(m.text) == string(text)
}

// begin makes m the memo of text, with memory for n bytes of strings.
func (m *memo) begin(typ uint32, text []byte, n int) {
	*m = memo{
		typ: typ, text: append(m.text[:0], text...), fields: m.fields[:0], twins: m.twins[:0], memory: slices.Grow(m.memory[:0], n),
		shown: shownPath{json: m.shown.json[:0], names: m.shown.names[:0]},
	}
}

// keep returns a copy of s in m's memory, for which there has to be room.
func (m *memo) keep(s string) string {
	from := len(m.memory)
	m.memory = append(m.memory, s...)
	return record.Alias(m.memory[from:])
}

// recall adds the fields that the rest of the record was read as before, if they are known. Otherwise it notes
// that they are to be kept.
func (p *parser) recall(rest []byte) bool {
	e := p.e
	m := memoOf(&e.memos, p.r.Type, rest)
	if m == nil {
		return false
	}
	if !m.is(p.r.Type, rest) || m.keys.without(p.seen) != m.keys || len(e.fields)-p.r.from+len(m.fields) >= maxFields {
		p.noted = noted{memo: m, rest: rest, from: len(e.fields), before: p.seen, odd: p.r.odd}
		p.r.odd = false
		return false
	}

	m.event = e.event
	if p.r.Type == record.TypePath && len(rest) == len(p.r.Body) {
		p.r.memo = m
	}
	for i := range m.fields {
		f := &m.fields[i]
		p.seen.add(f.key)
		e.where[f.key] = int32(len(e.fields) + i)
		p.r.asides = p.r.asides || f.aside
	}
	e.fields = append(e.fields, m.fields...)
	if m.tags != "" {
		p.addTags(m.tags)
	}
	p.r.odd = p.r.odd || m.odd
	return true
}

// noted is what is to be kept of the record that is being read.
type noted struct {
	memo   *memo
	rest   []byte
	from   int    // where its fields begin
	before keySet // of the fields in front of it
	keys   keySet // of its own
	tags   string
	mixed  bool // what is in front of it matters, too
	odd    bool // what is in front of it was odd
}

// keepNoted keeps what the rest of the record was read as, if that is the same whatever stands in front of it.
func (p *parser) keepNoted() {
	n := &p.noted
	odd, m := p.r.odd, n.memo
	p.r.odd = odd || n.odd
	n.memo = nil
	switch {
	case n.mixed || n.keys.without(n.before) != n.keys || len(p.e.fields)-p.r.from >= maxFields:
		return
	case odd && n.tags != "": // it may be for the tags of other records
		return
	case m.event == p.e.event:
		return
	}

	fields, size := p.e.fields[n.from:], len(n.tags)
	for i := range fields {
		size += len(fields[i].val)
	}
	m.begin(p.r.Type, n.rest, size)
	for i := range fields {
		f := fields[i]
		f.name, f.val = keyNames[f.key], m.keep(f.val)
		m.fields = append(m.fields, f)
	}
	m.tags, m.keys, m.odd = m.keep(n.tags), n.keys, odd
}

// note notes a field of the part that is to be kept.
func (n *noted) note(k key) {
	n.keys.add(k)
	switch k {
	case other, keySuccess, keyRes, keyResult, keyExit, keySig, keyArch, keySyscall, keyProctitle:
		n.mixed = true // it says something of the whole record, or may be there twice
	}
}

// noteTags notes the tags among them.
func (n *noted) noteTags(tags string) {
	n.mixed = n.mixed || n.tags != ""
	n.tags = tags
}

// recallNames adds the names of a text that was read before.
func (p *parser) recallNames(m *memo) {
	m.event = p.e.event
	for i := range m.twins {
		t := m.twins[i]
		t.at = p.find(t.key, t.name)
		p.e.twins = append(p.e.twins, t)
	}
	p.r.odd = p.r.odd || m.odd
}

// keepNames keeps what the names of the record were read as.
func (p *parser) keepNames(m *memo) {
	if m == nil || m.event == p.e.event {
		return
	}
	twins, size := p.e.twins[p.r.tfrom:], 0
	for i := range twins {
		if twins[i].key == other {
			return
		}
		size += len(twins[i].val)
	}
	m.begin(0, p.r.Names, size)
	for _, t := range twins {
		t.name, t.val = keyNames[t.key], m.keep(t.val)
		m.twins = append(m.twins, t)
	}
	m.odd = p.r.odd
}
