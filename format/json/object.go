package json

import (
	"bytes"

	"audisp-relay/decode"
)

// maxExtra is how many fields that its type does not expect a record is shown with. No
// record of the kernel or of a program has as many.
const maxExtra = 256

// object is a record, or a program's text, while its fields are written.
type object struct {
	typ     uint32
	level   level
	steps   []step
	memo    int      // the step from which on a memo may tell the rest, -1 without
	next    int      // the step that is expected
	seen    uint64   // which of steps were there
	extra   [][]byte // the keys of other fields that were
	percent bool     // there is a '%' to encode
	// irregular: the fields as they are shown do not tell all of the record's bytes.
	irregular bool
	words     bool   // there is a member "words"
	keyless   bool   // no key= so far
	failed    bool   // there was success=no
	arch      uint32 // of the last arch=, for the name of the system call
	quoted    []byte // `,"dev","x"`: keys of values that stand in quotes against the rules
	// scan is at the next thing in the body and has read it, when scanned is set; field says
	// whether it is one.
	scan    decode.Scanner
	scanned bool
	field   bool
}

func (o *object) begin(typ uint32, l level, steps []step, memo int) {
	*o = object{typ: typ, level: l, steps: steps, memo: memo, extra: o.extra[:0], quoted: o.quoted[:0], keyless: true}
}

// appendRecord appends the members of a record, each with a comma in front.
func (e *Encoder) appendRecord(dst []byte, r *record, l level) []byte {
	o := &e.obj
	o.begin(r.typ, l, r.kind.steps, r.kind.memo)
	o.percent = e.percent && bytes.IndexByte(r.text, '%') >= 0
	e.twins = twins{rest: r.names}
	if r.typ == typeExecve { // args and argc of the event are its fields
		o.irregular = true
	} else {
		dst = e.appendFields(dst, o, r.body)
	}
	if r.odd || o.irregular || !e.twins.complete(r.twinned) {
		return e.appendString(append(dst, `,"raw":`...), r.text)
	}
	dst = appendQuoted(dst, o)
	if len(r.tail) > 0 {
		dst = e.appendString(append(dst, `,"tail":`...), r.tail)
	}
	return dst
}

func appendQuoted(dst []byte, o *object) []byte {
	if len(o.quoted) == 0 {
		return dst
	}
	dst = append(dst, `,"quoted":[`...)
	dst = append(dst, o.quoted[1:]...)
	return append(dst, ']')
}

// appendFields appends the members of the fields of body. A field that is the next its type
// expects, and whose value is what it should be, is written at once; all else with care.
func (e *Encoder) appendFields(dst []byte, o *object, body []byte) []byte {
	var m *memo
	from := 0
	for p := 0; p < len(body); {
		at := p
		if p > 0 {
			at++ // a field ends at a blank
		}
		if n := o.expected(body[at:]); n >= 0 {
			if n == o.memo {
				if m = e.memoOf(o, body[at:]); m != nil {
					if m.is(e, o, body[at:]) {
						return m.recall(e, o, dst)
					}
					from = len(dst)
					m.begin(e, o, body[at:])
				}
			}
			st := &o.steps[n]
			var end int
			if dst, end = e.appendExpected(dst, o, st, body, at+len(st.field.text)); end > 0 {
				o.seen |= 1 << n
				o.next, p = n+1, end
				o.scanned = false
				continue
			}
		}
		dst, p = e.appendOther(dst, o, body, p)
	}
	if m != nil {
		m.end(e, o, dst[from:])
	}
	return dst
}

// expected returns the step whose field text begins with: the next or one behind it, since
// some fields are not always there. It is -1 without.
func (o *object) expected(text []byte) int {
	for k := o.next; k < len(o.steps); k++ {
		if o.steps[k].field.begins(text) {
			return k
		}
	}
	return -1
}

// find returns the step of a key, -1 without.
func (o *object) find(key []byte) int {
	for i := range o.steps {
		if o.steps[i].key() == string(key) {
			return i
		}
	}
	return -1
}

// appendOther appends what stands at body[p:]: words, if there are any, and a field. It
// returns where that ends.
func (e *Encoder) appendOther(dst []byte, o *object, body []byte, p int) ([]byte, int) {
	if !o.scanned {
		o.scan, o.scanned = decode.Scan(body[p:]), true
		o.field = o.scan.Next()
	}
	gap, key, value := o.scan.Gap, o.scan.Key, o.scan.Value
	if g := string(gap); !o.field || p == 0 && g != "" || p > 0 && g != " " {
		dst = e.appendWords(dst, o, gap)
	}
	if !o.field {
		return dst, len(body)
	}
	from := p + len(gap) + len(key) + 1
	end := from + len(value)
	o.field = o.scan.Next()
	st, kind, ok := o.admit(key)
	if !ok {
		o.irregular = true
		return dst, end
	}
	if kind == kindPlain && !isQuoted(value) {
		end += o.wordsBehind()
	}
	return e.appendValue(dst, o, st, key, body[from:end], kind), end
}

// wordsBehind returns the length of the words that stand behind a bare value and in front
// of the next field. They belong to the value: op=adding user id=1001.
func (o *object) wordsBehind() int {
	n := len(o.scan.Gap)
	if o.field {
		n-- // the blank in front of the field
	}
	if n <= 0 || len(bytes.TrimLeft(o.scan.Gap[:n], " ")) == 0 {
		return 0
	}
	o.scan.Gap = o.scan.Gap[n:]
	return n
}

// admit returns how a field is shown and remembers its key. ok is false when it is not
// shown: its key is no key here, or was there already.
func (o *object) admit(key []byte) (st *step, k kind, ok bool) {
	if n := o.find(key); n >= 0 {
		if o.seen&(1<<n) != 0 {
			return nil, 0, false
		}
		o.seen |= 1 << n
		o.next = max(o.next, n+1)
		return &o.steps[n], o.steps[n].kind, true
	}
	if len(o.extra) >= maxExtra || isReserved(o.typ, o.level, key) || !validKey(key) {
		return nil, 0, false
	}
	for _, k := range o.extra {
		if string(k) == string(key) {
			return nil, 0, false
		}
	}
	o.extra = append(o.extra, key)
	return nil, kindOf(o.typ, o.level, key), true
}

// validKey reports whether key is made of lower-case letters, digits, '_' and '-', and
// does not begin with the last.
func validKey(key []byte) bool {
	for i, c := range key {
		if c-'a' >= 26 && c-'0' >= 10 && c != '_' && (c != '-' || i == 0) {
			return false
		}
	}
	return true
}

// isQuoted reports whether a value stands in quotes of either kind.
func isQuoted(v []byte) bool {
	n := len(v)
	return n > 1 && (v[0] == '"' || v[0] == '\'') && v[n-1] == v[0]
}

// isField reports whether a field begins text.
func isField(text []byte) bool {
	for i, c := range text {
		if notKey[c] {
			return c == '=' && i > 0
		}
	}
	return false
}

// notKey are the bytes that no key has (decode.Scanner), '=' among them.
var notKey = func() (t [256]bool) {
	for c := range t {
		t[c] = c <= ' ' || c >= 0x7F || c == '"' || c == '\'' || c == '='
	}
	return t
}()

// appendWords appends what stands between fields and is none. There is a place for it
// once.
func (e *Encoder) appendWords(dst []byte, o *object, gap []byte) []byte {
	if o.words || len(bytes.Trim(gap, " ")) == 0 {
		o.irregular = true
		return dst
	}
	o.words = true
	return e.appendString(append(dst, `,"words":`...), gap)
}
