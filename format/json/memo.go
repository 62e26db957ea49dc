package json

import (
	"bytes"
	"hash/maphash"
	"math"
)

// A process makes many events, and what its records say of it and of the files it works with is
// the same in each. So how a part of a record was written, from the first field on that tends
// to repeat, is kept and copied when another record has that part in the same bytes.

const (
	memoCount   = 256
	maxMemoText = 512 // bytes of a part; what is longer seldom repeats

	noMemo = math.MaxInt // a step that there is none of
)

// memo is a part of a record and what it was written as.
type memo struct {
	valid  bool
	typ    uint32
	level  level
	auditd bool // Encoder.auditd
	named  bool // a name was taken in front of names
	text   []byte
	names  []byte
	json   []byte
	// first is the step that it begins with, seen are those that it has. next, keyless and taken are
	// object.next, object.keyless and enrichedNames.taken after it.
	first, next    int
	seen           uint64
	keyless, taken bool
}

// partEnd returns where the part of body ends that begins at body[at:] and that a memo may hold. It searches for a key and not for
// the blank in front, as blanks are everywhere.
func (o *object) partEnd(body []byte, at int) int {
	if len(o.until) > 0 {
		if k := bytes.Index(body[at:], o.until); k > 0 && body[at+k-1] == ' ' {
			return at + k - 1
		}
	}
	return len(body)
}

// memoOf returns the memo for a part of a record, or nil when how it is written depends on more than
// memo.is compares: what a '%' has to become, of which the bytes may be in hex; names that are looked up.
func (e *Encoder) memoOf(text []byte) *memo {
	if e.percent || e.lookup || len(text) > maxMemoText || len(e.names.rest) > maxMemoText {
		return nil
	}
	return &e.memos[maphash.Bytes(e.seed, text)%memoCount]
}

// is reports whether m is of a part with that text, in front of which there were regular fields of o, and
// with the names that are left.
func (m *memo) is(e *Encoder, o *object, text []byte) bool {
	return m.valid && m.typ == o.typ && m.level == o.level && m.auditd == e.auditd && m.named == e.names.taken &&
		(m.keyless || !e.keysMatter(o)) && string(m.text) == string(text) && string(m.names) == string(e.names.rest)
}

// recall appends what m remembers.
func (m *memo) recall(e *Encoder, o *object, dst []byte) []byte {
	e.names = enrichedNames{taken: m.taken}
	o.next, o.keyless, o.scanned = m.next, m.keyless, false
	o.seen |= m.seen
	return append(dst, m.json...)
}

// begin notes what is about to be written, from step first on. m may be nil.
func (m *memo) begin(e *Encoder, o *object, first int, text []byte) {
	if m == nil {
		return
	}
	m.valid, m.typ, m.level, m.auditd, m.named, m.first = false, o.typ, o.level, e.auditd, e.names.taken, first
	m.text = append(m.text[:0], text...)
	m.names = append(m.names[:0], e.names.rest...)
}

// end notes what it was written as, all fields being those expected and in their order. It does not where there is more
// to it: bytes that cannot be restored from that, names that are left, keys for the event, what a record has once at most. A quote
// in a part that ends before the record does might have its end after it.
func (m *memo) end(e *Encoder, o *object, json []byte) {
	switch {
	case e.bad > 0, o.irregular, o.words, o.isOdd, len(o.extra) > 0, len(e.names.rest) > 0:
	case !o.keyless && e.keysMatter(o):
	case len(o.until) > 0 && (bytes.IndexByte(m.text, '"') >= 0 || bytes.IndexByte(m.text, '\'') >= 0):
	default:
		m.json = append(m.json[:0], json...)
		m.next, m.seen = o.next, o.seen&^(1<<m.first-1)
		m.keyless, m.taken, m.valid = o.keyless, e.names.taken, true
	}
}
