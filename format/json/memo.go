package json

// A process makes many events, and what its records say of it and of the files it works with is
// the same in each. So how the rest of a record was written, from the first field on that tends
// to repeat, is kept and copied when the next record ends in the same bytes.

const (
	memoCount   = 64
	maxMemoText = 1024 // bytes of a record; what is longer seldom repeats
)

// memo is the rest of a record and what it was written as.
type memo struct {
	valid  bool
	typ    uint32
	level  level
	auditd bool // Encoder.auditd
	named  bool // a name was taken in front of names
	text   []byte
	names  []byte
	json   []byte
	// taken and keyless are enrichedNames.taken and object.keyless after it.
	taken, keyless bool
}

// memoOf returns the memo for what begins text and stands after regular fields in o, or nil
// when how it is written depends on more than memo.is compares: what a '%' has to become, of
// which the bytes may be in hex; names that are looked up; keys of other records.
func (e *Encoder) memoOf(o *object, text []byte) *memo {
	if e.percent || e.lookup || e.keysMatter(o) || len(text) > maxMemoText || len(e.names.rest) > maxMemoText {
		return nil
	}
	return &e.memos[(o.typ+uint32(len(text)))%memoCount]
}

// is reports whether m is of a record that ends in text and the names that are left.
func (m *memo) is(e *Encoder, o *object, text []byte) bool {
	return m.valid && m.typ == o.typ && m.level == o.level && m.auditd == e.auditd && m.named == e.names.taken &&
		string(m.text) == string(text) && string(m.names) == string(e.names.rest)
}

// recall appends what m remembers.
func (m *memo) recall(e *Encoder, o *object, dst []byte) []byte {
	e.names = enrichedNames{taken: m.taken}
	o.keyless = m.keyless
	return append(dst, m.json...)
}

// begin notes what is about to be written.
func (m *memo) begin(e *Encoder, o *object, text []byte) {
	m.valid, m.typ, m.level, m.auditd, m.named = false, o.typ, o.level, e.auditd, e.names.taken
	m.text = append(m.text[:0], text...)
	m.names = append(m.names[:0], e.names.rest...)
}

// end notes what it was written as, unless there is more to it: bytes that cannot be restored
// from that, names that are left, keys for the event, what a record has once at most.
func (m *memo) end(e *Encoder, o *object, json []byte) {
	if e.bad > 0 || o.irregular || o.words || o.isOdd || len(o.extra) > 0 || len(e.names.rest) > 0 || e.keysMatter(o) {
		return
	}
	m.json = append(m.json[:0], json...)
	m.taken, m.keyless, m.valid = e.names.taken, o.keyless, true
}
