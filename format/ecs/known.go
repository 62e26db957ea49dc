package ecs

import (
	"strings"
	"sync"

	"audisp-relay/audit/record"
)

// row is a meaning in the form in which it is used for each event.
type row struct {
	action         string
	category, kind string // JSON strings with commas between
	what           string
	object         []key

	has                         key    // other: any event
	want                        string // the value that it has to have, "" for any
	actor, actor2, object2, how []key
	source                      key // other: none
	path                        int
}

// accepts reports whether the meaning is for records in which the field that it asks for has that value.
func (m *row) accepts(val string) bool { return m.want == "" || val == m.want }

func newRow(m *meaning, keys *allKeys) *row {
	r := &row{action: m.action, category: quoteWords(m.category), kind: quoteWords(m.kind), what: m.what, object: keys.list(m.object)}
	s := m.sources
	if s == nil {
		return r
	}
	name, want, _ := strings.Cut(s.has, "=")
	r.has, r.want, r.source = keys.one(name), want, keys.one(s.source)
	r.actor, r.actor2, r.object2, r.how = keys.list(s.actor), keys.list(s.actor2), keys.list(s.object2), keys.list(s.how)
	r.path = s.path
	return r
}

// quoteWords returns words as JSON strings with commas between.
func quoteWords(words string) string {
	if words == "" {
		return ""
	}
	return `"` + strings.Join(strings.Fields(words), `","`) + `"`
}

// known is a copy of the tables in a form that is fast to search.
type known struct {
	keys    *allKeys
	calls   map[string]*row // by the names of system calls, and of what else is no record type
	anyCall *row            // for a system call without a row
	types   []recordType    // the first is of all that are in no table
	places  [record.LastType - record.FirstType + 1]uint16
}

// recordType is what is known of the records of a type.
type recordType struct {
	rows []*row
	does roles
}

// of returns what is known of a type.
func (t *known) of(typ uint32) *recordType {
	if i := typ - record.FirstType; i < uint32(len(t.places)) {
		return &t.types[t.places[i]]
	}
	return &t.types[0]
}

// ofName returns what is known of the type of that name, to add to it.
func (t *known) ofName(name string) *recordType {
	place := &t.places[record.TypeNumber([]byte(name))-record.FirstType]
	if *place == 0 {
		*place = uint16(len(t.types))
		t.types = append(t.types, recordType{})
	}
	return &t.types[*place]
}

// tables is made with the first Encoder.
var tables = sync.OnceValue(func() *known {
	t := &known{keys: newAllKeys(), calls: make(map[string]*row), types: make([]recordType, 1)}
	for i := range meanings {
		m := newRow(&meanings[i], t.keys)
		for name := range strings.FieldsSeq(meanings[i].of) {
			if name[0]-'A' >= 26 {
				t.calls[name] = m
				continue
			}
			is := t.ofName(name)
			is.rows = append(is.rows, m)
		}
	}
	for i := range others {
		for name := range strings.FieldsSeq(others[i].calls) {
			t.calls[name] = t.calls[others[i].as]
		}
	}
	t.anyCall = t.calls["*"]
	for _, a := range accountRoles {
		for name := range strings.FieldsSeq(a.of) {
			t.ofName(name).does = a.does
		}
	}
	return t
})
