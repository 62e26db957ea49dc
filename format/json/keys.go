package json

import (
	"bytes"

	"audisp-relay/audit/record"
)

// appendKeys appends the keys of rules. Those of the main record are "key" and, with
// the keys of all records, "keys"; in another record they are its "keys".
func (e *Encoder) appendKeys(dst []byte, o *object, v []byte) []byte {
	if o.level != other && len(e.keys) == 0 && !e.percent {
		if quotedEnd(v, 0) == len(v) { // one key, which JSON has in the same bytes: most are so
			o.keyless = false
			dst = append(append(dst, `,"key":`...), v...)
			return append(append(append(dst, `,"keys":[`...), v...), ']')
		}
		if string(v) == "(null)" {
			o.keyless = false
			return append(dst, `,"key":null,"keys":[]`...)
		}
	}
	own, name := e.mainKeys[:0], "key"
	if o.level == other {
		own, name = e.keys, "keys"
	}
	from := len(own)
	if string(v) != "(null)" {
		text, ok := e.unquote(v)
		if !ok {
			e.noteLiteral(o, []byte(name), v)
		}
		for more := true; more; {
			var key []byte
			key, text, more = bytes.Cut(text, []byte{record.KeySeparator})
			own = e.appendString(append(own, ','), key)
		}
	}

	o.keyless = false
	if o.level == other {
		e.keys = own
		return appendList(dst, `,"keys":[`, own[from:], ']')
	}
	e.mainKeys = append(own, e.keys...)
	dst = appendFirst(append(dst, `,"key":`...), e.mainKeys)
	return appendList(dst, `,"keys":[`, e.mainKeys, ']')
}

// appendKeyless appends the keys of an event whose main record has no field key=: "keys"
// stands before "key" then.
func (e *Encoder) appendKeyless(dst []byte) []byte {
	dst = appendList(dst, `,"keys":[`, e.keys, ']')
	return appendFirst(append(dst, `,"key":`...), e.keys)
}

// appendList appends the elements in list, each of which has a comma in front, between begin and end.
func appendList(dst []byte, begin string, list []byte, end byte) []byte {
	dst = append(dst, begin...)
	if len(list) > 0 {
		dst = append(dst, list[1:]...)
	}
	return append(dst, end)
}

// appendFirst appends the first of the JSON strings in list, each of which has a comma in
// front, or null.
func appendFirst(dst, list []byte) []byte {
	if len(list) == 0 {
		return append(dst, "null"...)
	}
	end := 2
	for ; list[end] != '"'; end++ {
		if list[end] == '\\' {
			end++
		}
	}
	return append(dst, list[1:end+1]...)
}

// keysMatter reports whether there are keys of other records to show with the record's own.
func (e *Encoder) keysMatter(o *object) bool { return len(e.keys) > 0 && o.level&(top|other) != 0 }
