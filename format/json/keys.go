package json

import (
	"bytes"

	"audisp-relay/audit/record"
)

// appendKeys appends the keys of rules. Those of the main record are "key" and, with
// the keys of all records, "keys"; in another record they are its "keys".
func (e *Encoder) appendKeys(dst []byte, o *object, v []byte) []byte {
	own := e.mainKeys[:0]
	if o.level == other {
		own = e.keys
	}
	from := len(own)
	if string(v) != "(null)" {
		text, ok := e.unquote(v)
		if !ok {
			name := "key"
			if o.level == other {
				name = "keys"
			}
			e.literally(o, []byte(name), v)
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
		dst = append(dst, `,"keys":[`...)
		if len(own) > from {
			dst = append(dst, own[from+1:]...)
		}
		return append(dst, ']')
	}
	e.mainKeys = append(own, e.keys...)
	dst = append(dst, `,"key":`...)
	dst = appendFirst(dst, e.mainKeys)
	dst = append(dst, `,"keys":[`...)
	if len(e.mainKeys) > 0 {
		dst = append(dst, e.mainKeys[1:]...)
	}
	return append(dst, ']')
}

// appendKeyless appends the keys of an event whose main record has no field key=: "keys"
// stands before "key" then.
func (e *Encoder) appendKeyless(dst []byte) []byte {
	dst = append(dst, `,"keys":[`...)
	if len(e.keys) > 0 {
		dst = append(dst, e.keys[1:]...)
	}
	dst = append(dst, `],"key":`...)
	return appendFirst(dst, e.keys)
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
