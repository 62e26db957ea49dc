package json

import (
	"bytes"

	"audisp-relay/audit/record"
)

// maxExtra is how many fields that its type does not expect a record is shown with. No
// record of the kernel or of a program has as many.
const maxExtra = 256

// object is a record, or a program's text, while its fields are written.
type object struct {
	typ     uint32
	level   level
	steps   []step
	memo    int      // from which step on a memo may know what follows; noMemo: none may, or it was asked
	until   []byte   // the key and '=' of the first field that it does not hold; empty: it holds the rest
	next    int      // the step that is expected
	seen    uint64   // which of steps were there
	extra   [][]byte // the keys of other fields that were
	percent bool     // there is a '%' to encode
	// irregular: all of the record's bytes cannot be restored from the fields as they are shown.
	irregular bool
	words     bool   // there is a member "words"
	keyless   bool   // no key= so far
	failed    bool   // there was success=no
	arch      uint32 // of the last arch=, for the name of the system call
	verdict   bool   // there are "seresult" and "seperms"
	isOdd     bool   // there is something in odd
	odd       *odd
	// scan is at the next thing in the body and has read it, when scanned is set; field says
	// whether it is one.
	scan    record.Scanner
	scanned bool
	field   bool
}

// beginObject clears all but scan, which is made when scanned is not set: that is half of it, and
// there is an object for each record.
func (o *object) beginObject(typ uint32, l level, t *recordType) {
	if o.isOdd {
		o.odd.reset()
	}
	o.typ, o.level, o.steps, o.memo, o.until = typ, l, t.steps, t.memo, t.until
	o.next, o.seen, o.extra, o.arch = 0, 0, o.extra[:0], 0
	o.percent, o.irregular, o.words, o.verdict, o.isOdd, o.keyless, o.failed = false, false, false, false, false, true, false
	o.scanned, o.field = false, false
}

// appendRecord appends the members of a record, each with a comma in front.
func (e *Encoder) appendRecord(dst []byte, r *parsedRecord, l level) []byte {
	o := &e.obj
	o.beginObject(r.typ, l, r.kind)
	o.percent = e.percent && bytes.IndexByte(r.text, '%') >= 0
	e.names = enrichedNames{rest: r.names}
	if r.typ == record.TypeExecve { // args and argc of the event are its fields
		o.irregular = true
	} else {
		dst = e.appendFields(dst, o, r.body)
	}
	if r.odd || o.irregular || !e.names.complete(r.twinned) {
		if o.isOdd {
			e.bad -= o.odd.bad // it is not shown
		}
		return e.appendString(append(dst, `,"raw":`...), r.text)
	}

	if o.isOdd {
		dst = o.odd.append(dst)
	}
	if r.twinned && string(r.sep) != separator {
		dst = e.appendString(append(dst, `,"separator":`...), r.sep)
	}
	if len(r.tail) > 0 {
		dst = e.appendString(append(dst, `,"tail":`...), r.tail)
	}
	return dst
}

// appendFields appends the members of the fields of body. A field that is the next its type
// expects, and whose value is what it should be, is written at once; all else with care.
func (e *Encoder) appendFields(dst []byte, o *object, body []byte) []byte {
	var m *memo       // is to hold the part at hand,
	from, end := 0, 0 // which begins there in dst and ends there in body
	for p := 0; p < len(body); {
		at := p
		if p > 0 {
			at++ // a field ends at a blank
		}
		n := o.expected(body[at:])
		if n >= o.memo {
			end, o.memo = o.partEnd(body, at), noMemo
			if m = e.memoOf(body[at:end]); m != nil && m.is(e, o, body[at:end]) {
				dst, p, m = m.recall(e, o, dst), end, nil
				continue
			}
			from = len(dst)
			m.begin(e, o, n, body[at:end])
		}

		next := -1
		if n >= 0 {
			st := &o.steps[n]
			dst, next = e.appendExpected(dst, o, st, body, at+len(st.field.text))
		}
		if next < 0 {
			dst, p = e.appendOther(dst, o, body, p)
			m = nil
			continue
		}
		o.seen |= 1 << n
		o.next, o.scanned, p = n+1, false, next
		if m != nil && p >= end {
			if p == end {
				m.end(e, o, dst[from:])
			}
			m = nil
		}
	}
	return dst
}

// expected returns the step whose field text begins with: the next or one after it, since
// some fields are not always there. It is -1 without.
func (o *object) expected(text []byte) int {
	for k := o.next; k < len(o.steps); k++ {
		if o.steps[k].field.begins(text) {
			return k
		}
	}
	return -1
}

// findStep returns the step of a key, -1 without.
func (o *object) findStep(key []byte) int {
	for i := range o.steps {
		if string(o.steps[i].key) == string(key) {
			return i
		}
	}
	return -1
}

// appendOther appends what stands at body[p:]: words, if there are any, and a field. It
// returns where that ends.
func (e *Encoder) appendOther(dst []byte, o *object, body []byte, p int) ([]byte, int) {
	if !o.scanned {
		o.scan, o.scanned = record.Scan(body[p:]), true
		o.field = o.scan.Next()
	}
	gap, key, value := o.scan.Gap, o.scan.Key, o.scan.Value
	if !o.field {
		dst, blanks := e.appendGap(dst, o, gap)
		o.noteBlanks(nil, blanks)
		return dst, len(body)
	}

	from := p + len(gap) + len(key) + 1
	end := from + len(value)
	name, words, renamed := o.loginKey(gap, key)
	o.field = o.scan.Next()
	dst, blanks := e.appendGap(dst, o, gap[:len(gap)-words])
	st, name, kind, ok := o.admit(name)
	if blanks -= min(p, 1); blanks > 0 { // one stands in front of each field but the first
		shown := name
		if kind == kindKey && o.level == other {
			shown = []byte("keys")
		}
		o.noteBlanks(shown, blanks)
	}
	if !ok {
		o.irregular = true
		return dst, end
	}

	if kind == kindPlain && !isQuoted(value) {
		end += o.wordsAfter()
	}
	if renamed {
		o.odd.spelled = append(appendName(o.odd.spelled, name), ':', '"')
		o.odd.spelled = append(append(o.odd.spelled, body[from-1-len(key)-words:from-1]...), '"')
		e.called = key
	}
	dst = e.appendValue(dst, o, st, name, body[from:end], kind)
	e.called = nil
	return dst, end
}

// loginKey returns the name that a field is shown under, and how many bytes of the gap belong
// to what the record calls it: of a LOGIN that has another name for it.
func (o *object) loginKey(gap, key []byte) (name []byte, words int, renamed bool) {
	if o.typ != record.TypeLogin || o.level == message {
		return key, 0, false
	}
	present, words := record.LoginKey(gap, key)
	if present == "" {
		return key, 0, false
	}
	o.isOdd = true
	o.odd.name = append(o.odd.name[:0], present...)
	return o.odd.name, words, true
}

// wordsAfter returns the length of the words that stand after a bare value and in front
// of the next field. They belong to the value: op=adding user id=1001.
func (o *object) wordsAfter() int {
	gap := o.scan.Gap
	if o.typ == record.TypeLogin {
		_, words := record.LoginKey(gap, o.scan.Key)
		gap = gap[:len(gap)-words]
	}
	n := len(bytes.TrimRight(gap, " "))
	o.scan.Gap = o.scan.Gap[n:]
	return n
}

// admit returns how a field is shown and remembers its key. ok is false when it is not
// shown: its key is no key here, or was there already. A field whose key the format has
// itself is shown under a name with '_' after it, which no other field has.
func (o *object) admit(key []byte) (st *step, name []byte, k kind, ok bool) {
	if n := o.findStep(key); n >= 0 {
		if o.seen&(1<<n) != 0 {
			return nil, key, 0, false
		}
		o.seen |= 1 << n
		o.next = max(o.next, n+1)
		return &o.steps[n], key, o.steps[n].kind, true
	}
	if len(o.extra) >= maxExtra || !validKey(key) || o.hadExtra(string(key)) {
		return nil, key, 0, false
	}

	o.extra = append(o.extra, key)
	k = kindOf(o.typ, o.level, key)
	if isReserved(o.typ, o.level, key) || (o.verdict && string(key) == "seresult") {
		o.isOdd = true
		o.odd.name = append(append(o.odd.name[:0], key...), '_')
		key = o.odd.name
	}
	return nil, key, k, true
}

// validKey reports whether key is made of lower-case letters, digits, '_' and '-', and
// does not begin with '-' or end with '_'.
func validKey(key []byte) bool {
	if key[len(key)-1] == '_' {
		return false
	}
	for i, c := range key {
		if c-'a' >= 26 && c-'0' >= 10 && c != '_' && (c != '-' || i == 0) {
			return false
		}
	}
	return true
}
