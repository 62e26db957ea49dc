package record

import "bytes"

// Separator is the byte auditd puts between a record and the names it adds to
// it with log_format ENRICHED (AUDIT_INTERP_SEPARATOR in libaudit.h). After it
// stand, in the order of the record's fields and with a blank between, copies in
// upper case of the fields that are ids, arch, syscall or saddr (auditd-event.c,
// format_enrich): AUID="root", the name in upper-case hex where it holds a quote or a
// byte that is not printable; ARCH=x86_64; SADDR={ saddr_fam=inet laddr=.. lport=.. }, in
// which the path of a unix socket stands as it is, whatever bytes it has. A copy that
// finds no room in auditd's buffer is left out, so there may be none after the separator.
const Separator = 0x1D

// maxCandidates bounds the search for the separator in a text that is full of them.
const maxCandidates = 16

// FindNames returns where the names that auditd has added to a record begin, names, and
// where its own text ends, end: between them stands the Separator. names is -1 when there
// are none. Everything that reads records has to ask this function, so that all agree on
// which bytes are the record's and which are auditd's.
//
// The kernel writes in hex nearly all that might hold the byte, so the first one is
// auditd's, but for what findOwn says, and in the records of programs: there the kernel puts their text between
// msg=' and ' as it came (kernel/audit.c, audit_receive_msg), with quotes and separators in
// it, and forged names too. auditd's separator stands after the closing quote, and
// nothing but names is after it: of several the last for which that holds is taken. A RAW
// record ends with the quote and so has none; where its end was cut, what a program wrote
// after a separator of its own stays the program's, so that it hides nothing.
//
// A record without the byte may have lost it on its way: see findLost.
func FindNames(typ uint32, body []byte) (end, names int) {
	switch first := bytes.IndexByte(body, Separator); {
	case first >= 0 && typ-1300 < 100 && typ != TypeNetfilterCfg: // nearly all
		return first, first + 1
	case first >= 0:
		return findLast(typ, body)
	case typ == TypeProctitle || typ == TypeCWD || typ == TypeExecve:
		return len(body), -1 // no field of these gets one
	}

	// The quick answer for RAW records: the last field's key is in capitals if it is a name.
	n := len(body)
	for i := n - 1; i > 0 && i >= n-maxNameLen; i-- {
		if body[i] == '=' {
			if body[i-1]-'A' < 26 {
				return findLost(typ, body)
			}
			break
		}
	}
	if n > 0 && body[n-1] == '}' { // SADDR={ .. }
		return findLost(typ, body)
	}
	return n, -1
}

// findLast is FindNames for a record that has the byte, and may have it more than once.
func findLast(typ uint32, body []byte) (end, names int) {
	if !fromProgram(typ) || !bytes.Contains(body, []byte("msg='")) {
		return findOwn(body)
	}
	cut := -1
	for to, n := len(body), 0; n < maxCandidates; n++ {
		k := bytes.LastIndex(body[:to], []byte{'\'', Separator})
		if k < 0 {
			break
		}
		switch all, begun := readNames(body[k+2:]); {
		case all:
			return k + 1, k + 2
		case begun && cut < 0 && bytes.IndexByte(body[k+2:], Separator) < 0:
			cut = k + 1
		}
		to = k + 1
	}

	if cut >= 0 && body[len(body)-1] != '\'' {
		return cut, cut + 1
	}
	return len(body), -1 // all of it is the program's
}

// findOwn is findLast for a record without the text of a program. A few of these have a name in them that any user may choose in a
// network namespace of their own, and the kernel writes it as it is: of a device (net/core/dev.c, dev_valid_name: any byte but
// blanks, '/' and ':') in dev= of ANOM_PROMISCUOUS and netif= of an AVC, of a table of nftables in NETFILTER_CFG. Fields of the
// kernel's follow it, and nothing but names follows auditd's separator, which is the last one: in an address, where a user
// may have put another, it would not be, but only SOCKADDR has one.
func findOwn(body []byte) (end, names int) {
	last := bytes.LastIndexByte(body, Separator)
	if hasField(body[last+1:]) {
		return len(body), -1
	}
	return last, last + 1
}

// hasField reports whether a field stands after a blank in text: auditd's names are in upper case, all fields have a small letter.
func hasField(text []byte) bool {
	for {
		k := bytes.IndexByte(text, ' ')
		if k < 0 {
			return false
		}
		text = text[k+1:]
		if end := keyEnd(text, 0); end > 0 && !isUpper(text[:end]) {
			return true
		}
	}
}

// fromProgram reports whether records of that type may carry the text of a program: so may a
// type that no table has.
func fromProgram(typ uint32) bool { return OfProgram(typ) || typ >= 3000 || typ == 0 }

// maxNameLen is the longest name of a user or group that is looked for without a separator,
// in hex: they have 32 bytes at most (useradd(8)).
const maxNameLen = 72

// escaped is what rsyslog makes of the separator ($EscapeControlCharactersOnReceive).
const escaped = "#035"

// findLost is FindNames for a record that has no separator: one that was copied from a
// terminal, or came through a syslog that takes control characters out or replaces them
// with a blank. Names are taken for auditd's only where no program can have written them:
// the first is that of the record's first field that has one, nothing but names is after
// it up to the end of the record, and a program's text has been closed. What a user may
// have chosen stands in quotes or in hex, so a quote follows on any names within it; a RAW
// record of a program ends with the quote that closes its text.
func findLost(typ uint32, body []byte) (end, names int) {
	var upper [maxUpper + 1]byte
	name := appendUpperTwin(upper[:0], typ, body)
	for from, n := 0, 0; len(name) > 0 && n < maxCandidates; n++ {
		k := bytes.Index(body[from:], name)
		if k < 0 {
			break
		}
		from += k
		if end := lostEnd(body[:from]); end > 0 && isClosed(typ, body[:end]) {
			if all, _ := readNames(body[from:]); all {
				return end, from
			}
		}
		from++
	}
	return len(body), -1
}

// appendUpperTwin appends "AUID=" for the first field of a body that auditd adds a name for.
func appendUpperTwin(dst []byte, typ uint32, body []byte) []byte {
	s := Scan(body)
	for s.Next() {
		if len(s.Key) >= maxUpper || !HasTwin(typ, s.Key) {
			continue
		}
		for _, c := range s.Key {
			if c-'a' < 26 {
				c -= 'a' - 'A'
			}
			dst = append(dst, c)
		}
		return append(dst, '=')
	}
	return dst
}

// lostEnd returns where the record's own text ends when names follow on text, 0 when they
// cannot.
func lostEnd(text []byte) int {
	text = bytes.TrimSuffix(text, []byte(escaped))
	if n := len(text); n > 1 && text[n-1] == ' ' {
		return n - 1
	} else if n > 0 && text[n-1] != '_' && text[n-1] != '-' && text[n-1] != '=' {
		return n
	}
	return 0
}

// isClosed reports whether what a user may have chosen has ended where text does: the text of
// a program with the quote that closes it, the last field of the kernel with its own.
func isClosed(typ uint32, text []byte) bool {
	const msg = "msg='"
	if k := bytes.Index(text, []byte(msg)); k >= 0 && fromProgram(typ) {
		return len(text) > k+len(msg) && text[len(text)-1] == '\''
	}
	last := text[bytes.LastIndexByte(text, ' ')+1:]
	return bytes.Count(last, []byte{'"'})%2 == 0
}

// readNames reports whether text is what auditd puts after its separator, or at least looks
// like it: begun is true when the last name is cut, or has bytes that auditd writes in hex.
func readNames(text []byte) (all, begun bool) {
	odd := false
	for first := true; len(text) > 0; first = false {
		if !first {
			if text[0] != ' ' {
				return false, false
			}
			text = text[1:]
		}
		n := bytes.IndexByte(text[:min(len(text), maxUpper)], '=')
		if n <= 0 || !isUpper(text[:n]) {
			return false, len(text) < maxUpper && isUpper(text)
		}
		text = text[n+1:]
		if n = nameLen(text); n == 0 {
			return false, len(text) == 0
		}
		switch v := text[:n]; {
		case isName(v):
		case v[0] == '"' && n > 1 && v[n-1] == '"':
			odd = true
		default:
			return false, n == len(text) && v[0] == '"' && !NeedsHex(v[1:])
		}
		text = text[n:]
	}
	return !odd, true
}

// isName reports whether a value can be one that auditd puts after its separator.
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

// isWord reports whether a value may stand without quotes after the separator:
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
	return ValueEnd(text, 0)
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

// Name returns the name of the field with that key, AUID="root" for auid, and steps
// past it: unquoted, appended to dst[:0] where it stands in hex. ok is false, and the
// cursor where it was, when no name from here on is of that key. Fields of the same key get
// their names one after the other.
func (n *Names) Name(dst, key []byte) (name []byte, ok bool) {
	text := n.rest
	for range maxSkipped {
		k, v, rest := cutName(text)
		if k != nil && IsNameOf(k, key) {
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
func (r *Parsed) Name(dst, key []byte) (name []byte, ok bool) { return r.NameOf(dst, key, 0) }

// NameOf is Name for the field with that key which has so many of the same key before it, those of
// a program's text among them: auditd names them one after the other.
func (r *Parsed) NameOf(dst, key []byte, before int) (name []byte, ok bool) {
	n := Names{rest: r.Names}
	for ; before >= 0; before-- {
		if name, ok = n.Name(dst, key); !ok {
			return nil, false
		}
	}
	return name, true
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

// IsNameOf reports whether upper is key in upper case.
func IsNameOf(upper, key []byte) bool {
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

// unname returns the value of a name without quotes and out of hex. An arch or system call
// is neither quoted nor hex; SADDR stays as it is.
func unname(dst, v []byte) []byte {
	if len(v) > 0 && v[0] == '{' {
		return v
	}
	name, _ := Unquote(dst, v)
	return name
}
