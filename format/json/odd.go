package json

import (
	"bytes"
	"slices"

	"audisp-relay/audit/record"
)

// odd is what the members after the fields of an object say of the record's bytes, because
// the fields do not. Each list is JSON and has a comma in front of every element.
type odd struct {
	quoted  []byte // `,"dev","x"`: names of values that stand in quotes against the rules
	literal []byte // `,"vm":"?"`: values as they stand, where the rules would give others
	blanks  []byte // `,"exe"`: names of fields with one blank more in front of them
	spelled []byte // `,"auid":"new auid"`: fields of a LOGIN that have other names now
	many    int    // blanks
	bad     int    // how many bytes of literal are percent-encoded
	name    []byte // of the field at hand, where it is not shown under its key
}

// maxBlanks is how many blanks too many are noted in an object. In hundreds of public records there
// are two at most.
const maxBlanks = 16

func (d *odd) reset() {
	*d = odd{quoted: d.quoted[:0], literal: d.literal[:0], blanks: d.blanks[:0], spelled: d.spelled[:0], name: d.name[:0]}
}

// append appends the members.
func (d *odd) append(dst []byte) []byte {
	for _, m := range [...]struct {
		begin string
		list  []byte
		end   byte
	}{
		{`,"quoted":[`, d.quoted, ']'}, {`,"literal":{`, d.literal, '}'}, {`,"blanks":[`, d.blanks, ']'}, {`,"spelled":{`, d.spelled, '}'},
	} {
		if len(m.list) > 0 {
			dst = appendList(dst, m.begin, m.list, m.end)
		}
	}
	return dst
}

// appendName appends a member's name in quotes.
func appendName(list, name []byte) []byte {
	return append(append(append(list, ',', '"'), name...), '"')
}

// noteQuotes notes that the value of a field stands in double quotes.
func (o *object) noteQuotes(key []byte) {
	o.isOdd = true
	o.odd.quoted = appendName(o.odd.quoted, key)
}

// noteLiteral notes what stands in the record for the value of a field.
func (e *Encoder) noteLiteral(o *object, key, v []byte) {
	o.isOdd = true
	bad := e.bad
	o.odd.literal = e.appendString(append(appendName(o.odd.literal, key), ':'), v)
	o.odd.bad += e.bad - bad
}

// appendGap appends what stands in front of a field, or at the end: words, or nothing where
// it is that many blanks.
func (e *Encoder) appendGap(dst []byte, o *object, gap []byte) (out []byte, blanks int) {
	if len(bytes.TrimLeft(gap, " ")) > 0 {
		return e.appendWords(dst, o, gap), 0
	}
	return dst, len(gap)
}

// noteBlanks notes that there are n blanks too many in front of a field, or after the last.
func (o *object) noteBlanks(name []byte, n int) {
	if n <= 0 {
		return
	}
	o.isOdd = true
	if o.odd.many += n; o.odd.many > maxBlanks {
		o.irregular = true
		return
	}
	for range n {
		o.odd.blanks = appendName(o.odd.blanks, name)
	}
}

// appendWords appends words between fields, and the verdict of SELinux in them.
// There is a place for it once.
func (e *Encoder) appendWords(dst []byte, o *object, words []byte) []byte {
	if o.words {
		o.irregular = true
		return dst
	}
	o.words = true
	dst = e.appendString(append(dst, `,"words":`...), words)
	if !record.HasVerdict(o.typ) || o.hadExtra("seresult") {
		return dst
	}
	v, ok := record.ReadVerdict(words)
	if !ok {
		return dst
	}

	o.verdict = true
	dst = e.appendString(append(dst, `,"seresult":`...), v.Result)
	dst = append(dst, `,"seperms":[`...)
	from := len(dst)
	for perm, perms := record.NextPerm(v.Perms); len(perm) > 0; perm, perms = record.NextPerm(perms) {
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = e.appendString(dst, perm)
	}
	return append(dst, ']')
}

// hadExtra reports whether there was a field of a key that its type does not expect.
func (o *object) hadExtra(key string) bool {
	return slices.ContainsFunc(o.extra, func(k []byte) bool { return string(k) == key })
}
