package filter

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"audisp-relay/audit/record"
)

// unset is an id that is not set or not there. It does not fit an int of 32 bits, nor do times:
// numbers are int64 on every machine.
const unset = int64(record.Unset)

// maxList bounds a list, but for that of arguments (loadArgs). Of an event with more, which no kernel makes, no part is
// asked: that is an error, and the event is kept.
const maxList = 16384

var errLongList = errors.New("filter: the event has more than " + strconv.Itoa(maxList) + " paths or keys")

// body is a record cut up for a search of fields.
type body struct {
	text  []byte // fields of kernel or auditd, each after a blank or at the beginning
	msg   []byte // of a program's record: what stands in msg='...'
	names []byte // what ENRICHED added; with blanks at the end
	twins bool   // the record is of an ENRICHED stream
}

// ofSyscall reports whether a type is one of the kernel's for system calls, 13xx. All that a user
// may have chosen is in quotes or in hex in them, so that " key=" is found where the field is and nowhere else
// (kernel/audit.c, audit_log_untrustedstring); but see mayHoldBlanks. Records of programs are
// not so, nor is NETFILTER_CFG, in which the name of a table stands as it is.
func ofSyscall(typ uint32) bool { return typ >= 1300 && typ <= 1399 && typ != record.TypeNetfilterCfg }

// mainBody returns the main record, cut up.
func (m *Matcher) mainBody() *body {
	if !m.mainCut {
		m.cutRecord(&m.mainRec, m.main)
		m.mainCut = true
	}
	return &m.mainRec
}

// cutRecord cuts record k into p.
func (m *Matcher) cutRecord(p *body, k int) {
	rec := &m.b.Recs[k]
	if ofSyscall(rec.Type) && rec.HasID() {
		// The header may stay: no field of those that are searched for is in it, and
		// the blank after it stands before the first. To look for its end and for the
		// body's takes a tenth of what a filter of two fields does.
		text := m.b.Bytes(k)
		if n := len(text) - 1; n >= 0 && text[n] == '\n' {
			text = text[:n]
		}
		p.msg = nil
		if end, names := record.FindNames(rec.Type, text); names >= 0 {
			p.text, p.names, p.twins = text[:end], text[names:], true
		} else {
			p.text, p.names, p.twins = record.TrimEnd(text), nil, false
		}
		return
	}

	r := record.Parse(m.b, k)
	*p = body{text: r.Body, names: r.Names, twins: r.Twinned}

	const open = "msg='"
	at := bytes.Index(p.text, []byte(open))
	if at > 0 && mayHoldBlanks(rec.Type, p.text[:at]) {
		at = messageAt(p.text)
	}
	if at == 0 || (at > 0 && p.text[at-1] == ' ') {
		p.msg = p.text[at+len(open):]
		p.text = p.text[:at]
		if n := len(p.msg); n > 0 && p.msg[n-1] == '\'' {
			p.msg = p.msg[:n-1]
		}
	}
}

// messageAt returns where the first field msg= in text is, -1 without or if it has no quotes.
func messageAt(text []byte) int {
	from := 0
	for s, more := record.Scan(text), true; more; {
		more = s.Next()
		if from += len(s.Gap); more && string(s.Key) == "msg" {
			if len(s.Value) > 0 && s.Value[0] == '\'' {
				return from
			}
			return -1
		}
		from += len(s.Key) + len("=") + len(s.Value)
	}
	return -1
}

// pattern is a key to search for.
type pattern struct {
	key    string
	needle string // " key="
	rare   int    // the place in needle of the byte that is rarest in SYSCALL records
	head   uint64 // the first bytes of needle, as many as mask has
	mask   uint64
	class  record.Class
}

// sample is what byte frequencies are taken from.
const sample = `type=SYSCALL msg=audit(1795298317.824:1730569): arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffc9c5b0440 a2=80000 a3=0 ` +
	`items=1 ppid=15722 pid=15741 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="cat" exe="/usr/bin/cat" subj=unconfined key="fim"`

func newPattern(key string) pattern {
	p := pattern{key: key, needle: " " + key + "=", class: record.ClassOf([]byte(key))}
	for i := 1; i < len(p.needle)-1; i++ {
		if n := bytes.Count([]byte(sample), []byte{p.needle[i]}); p.rare == 0 || n < bytes.Count([]byte(sample), []byte{p.needle[p.rare]}) {
			p.rare = i
		}
	}
	for i := range min(8, len(p.needle)) {
		p.head |= uint64(p.needle[i]) << (8 * i)
		p.mask |= 0xFF << (8 * i)
	}
	return p
}

// find returns the value of the pattern's key in text, nil when it is not there. Nothing in text
// may have blanks within quotes.
func (p *pattern) find(text []byte) []byte {
	at := p.valueStart(text)
	if at < 0 {
		return nil
	}
	return p.readValue(text[at:])
}

// valueStart returns where the value of the key begins, -1 when it is not there.
func (p *pattern) valueStart(text []byte) int {
	if n := len(p.needle) - 1; len(text) >= n && string(text[:n]) == p.needle[1:] {
		return n
	}
	return p.search(text, 0)
}

// findInRecord returns the value of the pattern's key in the text of a record of some type, nil
// when it is not there. What looks like a field within the quotes of another does not count.
func (p *pattern) findInRecord(typ uint32, text []byte) []byte {
	if typ == record.TypeLogin {
		return p.findInText(text, true)
	}
	at := p.valueStart(text)
	switch {
	case at < 0:
		return nil
	case mayHoldBlanks(typ, text[:at]):
		return p.findInText(text, false)
	}
	return p.readValue(text[at:])
}

// mayHoldBlanks reports whether a value in the text of a record of some type may have blanks in
// it, and so what looks like fields. Those of a system call have them in single quotes only: device mapper's
// error_msg='...'.
func mayHoldBlanks(typ uint32, text []byte) bool {
	return typ == record.TypeNetfilterCfg || bytes.IndexByte(text, '\'') >= 0 || (!ofSyscall(typ) && bytes.IndexByte(text, '"') >= 0)
}

// findNear is find for the text of a SYSCALL record, in which a key stands once and where it
// stood in the record before, give or take a few bytes: that is where to look first.
func (p *pattern) findNear(text []byte, hint *int) []byte {
	at := -1
	if from := *hint - len(p.needle) - 16; from > 0 && from < len(text) {
		at = p.search(text, from)
	}
	if at < 0 {
		at = p.valueStart(text)
	}
	if at < 0 {
		return nil
	}
	*hint = at
	return p.readValue(text[at:])
}

// search returns where the value of the key begins, looking from a place in text on; -1
// when it is not there. It looks for one rare byte, which is several times as quick as
// looking for all.
func (p *pattern) search(text []byte, from int) int {
	c := p.needle[p.rare]
	for at := from + p.rare; at < len(text); at++ {
		k := bytes.IndexByte(text[at:], c)
		if k < 0 {
			return -1
		}
		at += k
		if p.beginsAt(text[at-p.rare:]) {
			return at - p.rare + len(p.needle)
		}
	}
	return -1
}

// beginsAt reports whether text begins with the needle.
func (p *pattern) beginsAt(text []byte) bool {
	if len(text) >= 8 && binary.LittleEndian.Uint64(text)&p.mask != p.head {
		return false
	}
	return len(text) >= len(p.needle) && ((len(text) >= 8 && len(p.needle) <= 8) || string(text[:len(p.needle)]) == p.needle)
}

// readValue returns the value that text begins with; never nil. A quoted one ends with the next quote,
// whatever follows: where the next record has run into it, the filter still finds what it asks for.
func (p *pattern) readValue(text []byte) []byte {
	if len(text) > 1 && text[0] == '"' {
		if k := bytes.IndexByte(text[1:], '"'); k >= 0 {
			return text[: k+2 : k+2]
		}
	}
	n := record.WordEnd(text, 0)
	if p.class == record.Plain && n < len(text) && !record.StartsField(text[n+1:]) {
		s := record.Scan(text[n:])
		s.Next()
		n += len(bytes.TrimRight(s.Gap, " "))
	}
	return text[:n:n]
}

// findInText returns the value of a key in any text, nil without. In a LOGIN record older kernels have
// other names for some fields.
func (p *pattern) findInText(text []byte, login bool) []byte {
	s := record.Scan(text)
	for s.Next() {
		name := record.Alias(s.Key)
		if login {
			today, _ := record.LoginKey(s.Gap, s.Key)
			name = cmp.Or(today, name)
		}
		if name == p.key {
			return withWords(&s, p.class, login)
		}
	}
	return nil
}

// withWords returns the value that s is at. The words after a bare one that are no
// field belong to it, as in "op=adding user id=1", but not those that belong to the next field
// of a LOGIN. It moves s.
func withWords(s *record.Scanner, class record.Class, login bool) []byte {
	v := s.Value
	if class != record.Plain || len(v) == 0 || v[0] == '"' || v[0] == '\'' {
		return v
	}
	s.Next()
	gap := s.Gap // it lies after the value
	if login {
		_, words := record.LoginKey(gap, s.Key)
		gap = gap[:len(gap)-words]
	}
	return v[:len(v)+len(bytes.TrimRight(gap, " "))]
}

// find returns the value of a key in the main record, else in the first other that
// has it, nil when none does. hint is where it stood last time.
func (m *Matcher) find(p *pattern, hint *int) []byte {
	v, _ := m.findIn(p, hint)
	return v
}

// findIn is find, and says in which record.
func (m *Matcher) findIn(p *pattern, hint *int) ([]byte, *body) {
	main := m.mainBody()
	if m.b.Recs[m.main].Type == record.TypeSyscall {
		if v := p.findNear(main.text, hint); v != nil {
			return v, main
		}
	} else if v := p.findInRecord(m.b.Recs[m.main].Type, main.text); v != nil {
		return v, main
	}
	if main.msg != nil {
		if v := p.findInText(main.msg, false); v != nil {
			return v, main
		}
	}

	for k := m.i; k < m.j; k++ {
		if k == m.main || closed(m.b.Recs[k].Type) {
			continue
		}
		r := &m.other
		m.cutRecord(r, k)
		if v := p.findInRecord(m.b.Recs[k].Type, r.text); v != nil {
			return v, r
		}
		if v := p.findInText(r.msg, false); v != nil {
			return v, r
		}
	}
	return nil, main
}

// closed reports whether records of a type have fields of their own only, which are
// asked for by type (kernel/auditsc.c), and so neither keys nor a subject.
func closed(typ uint32) bool { return typ-1300 < uint32(len(closedTypes)) && closedTypes[typ-1300] }

var closedTypes = func() (t [100]bool) {
	for _, typ := range []uint32{
		record.TypePath, record.TypeIPC, record.TypeSocketcall, record.TypeSockaddr, record.TypeCWD, record.TypeExecve,
		record.TypeFDPair, record.TypeEOE, record.TypeBprmFcaps, record.TypeCapset, record.TypeMmap, record.TypeProctitle,
	} {
		t[typ-1300] = true
	}
	for typ := record.TypeIPCSet; typ <= record.TypeMQGetset; typ++ { // IPC_SET_PERM, MQ_OPEN and so on
		t[typ-1300] = true
	}
	return t
}()

// text returns the value of a text field without quotes and out of hex. (null) is absent.
func (m *Matcher) text(class record.Class, v []byte) string {
	switch {
	case len(v) == 0:
		return ""
	case v[0] == '"' || v[0] == '\'':
		out, _ := record.Unquote(nil, v)
		return record.Alias(out)
	case class != record.Text:
		return record.Alias(v)
	case string(v) == "(null)":
		return ""
	}
	if out, ok := record.AppendUnhex(m.scratch, v); ok {
		return m.holdText(out)
	}
	return record.Alias(v)
}

// holdText returns what has been appended to the scratch as text of this event.
func (m *Matcher) holdText(appended []byte) string {
	text := appended[len(m.scratch):]
	m.scratch = appended
	return record.Alias(text)
}

// parseInt reads a decimal number of 64 bits with a sign, which may have zeros in front.
func parseInt(v []byte) (n int64, ok bool) {
	digits := v
	if len(v) > 0 && v[0] == '-' {
		digits = v[1:]
	}
	isNegative := len(digits) < len(v)
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	abs, rest, ok := record.ReadDigits(digits, len("9223372036854775808"))
	switch {
	case !ok || len(rest) > 0:
	case isNegative && abs <= 1<<63:
		return -int64(abs), true
	case !isNegative && abs <= math.MaxInt64:
		return int64(abs), true
	}
	return 0, false
}

// parseID reads an id; other text counts as unset.
func parseID(v []byte) int64 {
	if n, ok := parseInt(v); ok && n != -1 {
		return n
	}
	return unset
}

// readNumber reads an id or, of the class Int, a number that is 0 where there is none.
func readNumber(class record.Class, v []byte) int64 {
	if class != record.Int {
		return parseID(v)
	}
	n, _ := parseInt(v)
	return n
}

func flagNumber(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// typeName returns the name of record k's type, "" when it has none.
func (m *Matcher) typeName(k int) string {
	if m.b.Recs[k].Type == 0 {
		return ""
	}
	return m.holdText(m.b.AppendType(m.scratch, k))
}
