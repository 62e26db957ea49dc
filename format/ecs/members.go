package ecs

import (
	"math/bits"
	"slices"
	"strings"
)

// members are the members of an object of the document: fields, which lie in Encoder.fields, under their names.
type members struct {
	known  keySet
	at     [keyCount]int32 // where the field of a key is that is in known
	others []int32         // where those are whose names are in no table
	n      int             // how many there are
}

// maxKeys is how many members an object has at most, so that a hostile event costs no more than its
// length: a search goes through all others. What it has beyond is in its text.
const maxKeys = 2 * maxFields

// reset takes all members out.
func (m *members) reset() {
	m.known, m.n = keySet{}, 0
	if m.others = m.others[:0]; cap(m.others) > 4*maxKeys {
		m.others = nil
	}
}

// drop takes the member of a key out.
func (m *members) drop(k key) {
	if m.known.has(k) {
		m.known.remove(k)
		m.n--
	}
}

// get returns the value under a key.
func (e *Encoder) get(m *members, k key) (val string, ok bool) {
	if !m.known.has(k) {
		return "", false
	}
	return e.fields[m.at[k]].val, true
}

// dataOf returns the value under a key in the event's data, "" without.
func (e *Encoder) dataOf(k key) string {
	val, _ := e.get(&e.data, k)
	return val
}

// place returns where the member is that has the name of f, -1 without.
func (e *Encoder) place(m *members, f *field) int32 {
	if f.key != other {
		if m.known.has(f.key) {
			return m.at[f.key]
		}
		return -1
	}
	for _, at := range m.others {
		if e.fields[at].name == f.name {
			return at
		}
	}
	return -1
}

// valueOf returns the value of the member that has the name of f, "" without.
func (e *Encoder) valueOf(m *members, f *field) string {
	if at := e.place(m, f); at >= 0 {
		return e.fields[at].val
	}
	return ""
}

// put adds the field that lies there, if there is no member of its name and not too many of all.
func (e *Encoder) put(m *members, at int) bool {
	f := &e.fields[at]
	if m.n >= maxKeys || e.place(m, f) >= 0 {
		return false
	}
	if f.key != other {
		m.known.add(f.key)
		m.at[f.key] = int32(at)
	} else {
		m.others = append(m.others, int32(at))
	}
	m.n++
	return true
}

// putNew adds a member that is no record's field.
func (e *Encoder) putNew(m *members, k key, name, val string) bool {
	e.fields = append(e.fields, field{key: k, name: name, val: val})
	return e.put(m, len(e.fields)-1)
}

// writeMembers writes members in the order of their names, but for those in skip.
func (e *Encoder) writeMembers(m *members, skip keySet) {
	w, others := &e.w, m.others
	if len(others) > 1 {
		slices.SortFunc(others, func(a, b int32) int { return strings.Compare(e.fields[a].name, e.fields[b].name) })
	}
	for i, set := range m.known.without(skip) {
		for ; set != 0; set &= set - 1 {
			k := key(i*64 + bits.TrailingZeros64(set))
			for len(others) > 0 && e.fields[others[0]].name < keyNames[k] {
				w.Str(e.fields[others[0]].name, e.fields[others[0]].val)
				others = others[1:]
			}
			w.Member(e.known.keys.infos[k].json, e.fields[m.at[k]].val)
		}
	}
	for _, at := range others {
		w.Str(e.fields[at].name, e.fields[at].val)
	}
}
