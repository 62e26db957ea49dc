package json

import (
	"bytes"

	"audisp-relay/audit/record"
)

// valueEnd returns where the value of a field of some kind ends that begins at body[at:], if it is in
// double quotes, or bare and a field or nothing follows; -1 otherwise. It agrees with record.Scanner.
func valueEnd(body []byte, at int, k kind) int {
	if at < len(body) && body[at] == '\'' {
		if n := len(body); k == kindMsg && n-at > 1 && body[n-1] == '\'' {
			return n
		}
		return -1
	}
	end := record.ValueEnd(body, at)
	if k == kindPlain && end < len(body) && !record.StartsField(body[end+1:]) {
		return -1 // words may follow that belong to it
	}
	return end
}

// appendPlain does what appendValue does, in half the time, for a value that JSON has in the same bytes, as
// it has most. It returns where the value that begins at body[at:] ends, -1 when it is not such a one.
func (e *Encoder) appendPlain(dst []byte, o *object, st *step, body []byte, at int) (out []byte, end int) {
	end = at
	switch st.kind {
	case kindPlain:
		if end = record.PlainEnd(body, at); end < len(body) && !record.StartsField(body[end+1:]) || at < end && body[at] == '\'' {
			return dst, -1
		}
	case kindText:
		if end = quotedEnd(body, at); end < 0 {
			return dst, -1
		}
	case kindHex:
		for end < len(body) && record.IsHexDigit(body[end]) {
			end++
		}
	case kindInt, kindID, kindSession:
		for end < len(body) && record.IsDigit(body[end]) {
			end++
		}
		if n := end - at; n > len("999999999") || (n > 1 && body[at] == '0') { // longer ones may be no number, or unset
			return dst, -1
		}
	default:
		return dst, -1
	}
	if end == at || (end < len(body) && body[end] != ' ') || o.percent {
		return dst, -1
	}

	dst = putPart(put(dst, &st.begin), body, at, end)
	switch st.kind {
	case kindPlain, kindHex:
		dst = append(dst, '"')
	case kindID:
		dst = e.appendIDName(dst, o, st, st.key, body[at:end])
	}
	return dst, end
}

// quotedEnd returns where the "..." at text[at:] ends, if it is a whole value and JSON writes it just
// so; -1 otherwise.
func quotedEnd(text []byte, at int) int {
	if at >= len(text) || text[at] != '"' {
		return -1
	}
	end := record.PlainEnd(text, at+1)
	if end < len(text) && text[end] == '"' && (end+1 == len(text) || text[end+1] == ' ') {
		return end + 1
	}
	return -1
}

// isNumber reports whether a value is a decimal number of which JSON has the same digits, and every
// reader makes the same.
func isNumber(v []byte) bool {
	n, ok := record.ParseInt(v)
	return ok && n > -1<<53 && n < 1<<53
}

// isQuoted reports whether a value stands in quotes of either kind.
func isQuoted(v []byte) bool {
	n := len(v)
	return n > 1 && (v[0] == '"' || v[0] == '\'') && v[n-1] == v[0]
}

// isHexNumber reports whether v is an 0x number, which would be taken for one without the 0x.
func isHexNumber(v []byte) bool { return bytes.HasPrefix(v, []byte("0x")) }
