package decode

import (
	"bytes"

	"audisp-relay/stream"
)

// Separator is the byte auditd puts between a record and the names it adds to
// it with log_format ENRICHED (AUDIT_INTERP_SEPARATOR in libaudit.h). Behind it
// stand, in the order of the record's fields and with a blank between, copies in
// upper case of the fields that are ids, arch, syscall or saddr (auditd-event.c,
// format_enrich): AUID="root", the name in upper-case hex where it holds a quote or a
// byte that is not printable; ARCH=x86_64; SADDR={ saddr_fam=inet laddr=.. lport=.. }, in
// which the path of a unix socket stands as it is, whatever bytes it has. A copy that
// finds no room in auditd's buffer is left out, so there may be none behind the separator.
const Separator = 0x1D

// maxCandidates bounds the search for the separator in a text that is full of them.
const maxCandidates = 16

// separator returns where the names that auditd has added begin, -1 when there
// are none.
//
// The kernel writes in hex whatever might hold the byte, so the first one is
// auditd's, except in the records of programs: there the kernel puts their text between
// msg=' and ' as it came (kernel/audit.c, audit_receive_msg), with quotes and separators in
// it, and forged names too. auditd's separator stands behind the closing quote, and
// nothing but names is behind it: of several the last for which that holds is taken. A RAW
// record ends with the quote and so has none.
func separator(typ uint32, body []byte) int {
	first := bytes.IndexByte(body, Separator)
	if first < 0 || !fromProgram(typ) || !bytes.Contains(body, []byte("msg='")) {
		return first
	}
	last := -1
	for end, n := len(body), 0; n < maxCandidates; n++ {
		k := bytes.LastIndex(body[:end], []byte{'\'', Separator})
		if k < 0 {
			break
		}
		if areNames(body[k+2:]) {
			return k + 1
		}
		last, end = max(last, k+1), k+1
	}
	switch {
	case body[len(body)-1] == '\'':
		return -1 // all of it is the program's
	case last >= 0:
		return last
	}
	return first
}

// fromProgram reports whether records of that type carry the text of a program
// (linux/audit.h: AUDIT_USER, AUDIT_FIRST_USER_MSG, AUDIT_FIRST_USER_MSG2). Of a type that
// has no number nobody knows: it may.
func fromProgram(typ uint32) bool {
	return typ >= 1100 && typ <= 1199 || typ >= 2100 && typ <= 2999 || typ == 1005 || typ >= stream.NamedType
}

// areNames reports whether text is what auditd puts behind its separator.
func areNames(text []byte) bool {
	for first := true; len(text) > 0; first = false {
		if !first {
			if text[0] != ' ' {
				return false
			}
			text = text[1:]
		}
		n := bytes.IndexByte(text[:min(len(text), maxUpper)], '=')
		if n <= 0 || !isUpper(text[:n]) {
			return false
		}
		text = text[n+1:]
		n = nameLen(text)
		if n == 0 || !isName(text[:n]) {
			return false
		}
		text = text[n:]
	}
	return true
}

// isName reports whether a value can be one that auditd puts behind its separator.
func isName(v []byte) bool {
	switch last := v[len(v)-1]; v[0] {
	case '{':
		return last == '}'
	case '"':
		return len(v) > 1 && last == '"' && !NeedsHex(v[1:len(v)-1])
	}
	return isWord(v)
}

// isUpper reports whether key is a field's name in upper case.
func isUpper(key []byte) bool {
	for _, c := range key {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// isWord reports whether a value may stand without quotes behind the separator:
// hex, the name of an arch or a system call, and what auditd says of one it does not know
// ("unknown-syscall(500)").
func isWord(v []byte) bool {
	for _, c := range v {
		if c <= ' ' || c > '~' || c == '"' || c == '\'' || c == '{' || c == '}' {
			return false
		}
	}
	return true
}

// nameLen returns the length of the value that text, of names, begins with: a quoted one
// ends with the quote, SADDR's with the last brace that ends a value, since a path
// may have braces in it and no other value has.
func nameLen(text []byte) int {
	if len(text) > 0 && text[0] == '{' {
		for end := len(text); ; {
			k := bytes.LastIndexByte(text[:end], '}')
			if k < 0 {
				return len(text) // cut
			}
			if ends(text, k+1) {
				return k + 1
			}
			end = k
		}
	}
	return valueEnd(text, 0)
}

// Bounds of the search for a name, so that a record full of fields and names costs no
// more than its length: how many names are passed over for one field, and how many fields
// may be without one before the rest is taken to have none.
const maxSkipped, maxMissed = 16, 16

// maxUpper is the longest field whose name auditd adds (auditd-event.c, NAME_SIZE).
const maxUpper = 64

// Names goes through the names of a record, to be asked for them in the order
// of its fields (those with HasTwin): that costs no search.
type Names struct {
	rest   []byte
	missed int
}

// NameCursor returns a cursor at the first of r's names.
func (r *Record) NameCursor() Names { return Names{rest: r.Names} }

// Name returns the name of the field with that key, AUID="root" for auid, and steps
// behind it: unquoted, appended to dst[:0] where it stands in hex. ok is false, and the
// cursor where it was, when no name from here on is of that key. Fields of the same key get
// their names one after the other.
func (n *Names) Name(dst, key []byte) (name []byte, ok bool) {
	text := n.rest
	if len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	if k := len(key); k > 0 && len(text) > k && text[k] == '=' && isTwin(text[:k], key) {
		v := text[k+1:]
		v = v[:nameLen(v)]
		n.rest = text[k+1+len(v):]
		return unname(dst, v), true
	}
	for range maxSkipped {
		k, v, rest := cutName(text)
		if k != nil && isTwin(k, key) {
			n.rest = rest
			return unname(dst, v), true
		}
		if text = rest; len(text) == 0 {
			break
		}
	}
	if n.missed++; n.missed == maxMissed {
		n.rest = nil
	}
	return nil, false
}

// Name returns the first name that ENRICHED has added for a field, as Names.Name does.
func (r *Record) Name(dst, key []byte) (name []byte, ok bool) {
	n := Names{rest: r.Names}
	return n.Name(dst, key)
}

// cutName cuts the first word off text; key is nil when it is no name.
func cutName(text []byte) (key, value, rest []byte) {
	for len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	if n := bytes.IndexByte(text[:min(len(text), maxUpper)], '='); n > 0 && isUpper(text[:n]) {
		v := nameLen(text[n+1:])
		return text[:n], text[n+1 : n+1+v], text[n+1+v:]
	}
	return nil, nil, text[find(text, 0, ' '):]
}

// isTwin reports whether upper is key in upper case.
func isTwin(upper, key []byte) bool {
	if len(upper) != len(key) {
		return false
	}
	for i, c := range key {
		if c-'a' < 26 {
			c -= 'a' - 'A'
		}
		if upper[i] != c {
			return false
		}
	}
	return true
}

// unname returns what the value of a name stands for. An arch or system call
// is neither quoted nor hex; SADDR stays as it is.
func unname(dst, v []byte) []byte {
	if len(v) > 0 && v[0] == '{' {
		return v
	}
	name, _ := Unquote(dst, v)
	return name
}
