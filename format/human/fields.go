package human

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

// addedByLibaudit is how what libaudit adds to a message begins (audit_log_user_message).
const addedByLibaudit = " exe="

// find returns the value of a key in a record: of its own fields, else of those in
// msg='...'. nil means there is none.
func find(r *record.Parsed, key string) []byte {
	s := record.Scan(r.Body)
	var inner []byte
	for s.Next() {
		switch {
		case string(s.Key) == key:
			return s.Value
		case string(s.Key) == "msg":
			inner = inside(s.Value)
		}
	}

	if r.Type == record.TypeUser { // what anyone has written, and then libaudit
		inner = inner[max(bytes.LastIndex(inner, []byte(addedByLibaudit)), 0):]
	}
	s = record.Scan(inner)
	for s.Next() {
		if string(s.Key) == key {
			return s.Value
		}
	}
	return nil
}

// inside returns what stands between the single quotes of a program's text, the second of
// which a record that was cut lacks.
func inside(value []byte) []byte {
	value = bytes.TrimPrefix(value, []byte{'\''})
	return bytes.TrimSuffix(value, []byte{'\''})
}

// isEmpty reports whether a value says that there is none.
func isEmpty(value []byte) bool {
	switch string(value) {
	case "", "?", `"?"`, "(none)", "(null)", `""`:
		return true
	}
	return false
}

// textOf returns the text of a value of a class; what is decoded is valid until the next
// call.
func (p *Printer) textOf(class record.Class, value []byte) []byte {
	if class == record.Text {
		text, ok := record.Unquote(p.word, value)
		if ok && (len(value) == 0 || value[0] != '"') {
			p.word = text
		}
		return text
	}
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}

// appendID appends the name of an id of record k, or else its number; "unset" where it is
// not set.
func (p *Printer) appendID(dst []byte, r *record.Parsed, k int, key, value []byte) []byte {
	if record.IsUnset(value) {
		return append(dst, "unset"...)
	}
	if name := p.nameOf(r, k, key, value); len(name) > 0 {
		return appendWord(dst, name)
	}
	return appendWord(dst, value)
}

// nameOf returns the name of an id: the one that auditd added, else what Users knows.
func (p *Printer) nameOf(r *record.Parsed, k int, key, value []byte) []byte {
	if r.Twinned {
		name, ok := r.NameOf(p.name, key, countBefore(r.Body, key, value))
		if !ok || bytes.HasPrefix(name, []byte("unknown(")) {
			return nil
		}
		return name
	}
	id, ok := record.ParseID(value)
	switch {
	case !ok || p.o.Users == nil || !users.Local(p.b.Node(k), p.o.Local):
		return nil
	case bytes.HasSuffix(key, []byte("gid")):
		return []byte(p.o.Users.Group(id))
	}
	return []byte(p.o.Users.User(id))
}

// countBefore returns how many fields with that key a text has before the one with this value, which
// is a part of the text.
func countBefore(text, key, value []byte) int {
	n, at := 0, cap(text)-cap(value) // where value begins in text
	for s := record.Scan(text); s.Next() && cap(text)-cap(s.Value) < at; {
		switch {
		case bytes.Equal(s.Key, key):
			n++
		case string(s.Key) == "msg":
			n += countBefore(inside(s.Value), key, value)
		}
	}
	return n
}

// fieldWriter writes the fields of one record.
type fieldWriter struct {
	p     *Printer
	r     *record.Parsed
	k     int                          // the record's number in the batch
	hide  func(key, value []byte) bool // what was shown already; nil: nothing
	join  bool                         // all into the part that was begun; else a part for each that says something
	any   bool                         // something was written
	inner bool                         // in a program's text, which has none in it
	call  *string                      // the name of the system call, once it was looked up
	ids   int                          // how many ids have been given names
}

// maxIDs is how many ids of a record are given their names, so that a record full of ids costs
// little more than its length; further ones are numbers. The kernel's records have a dozen.
const maxIDs = 256

// write writes the fields in a text, and what stands between them.
func (w *fieldWriter) write(text []byte) {
	s := record.Scan(text)
	for s.Next() {
		gap, key := s.Gap, s.Key
		if w.r.Type == record.TypeLogin {
			if name, words := record.LoginKey(gap, key); name != "" {
				gap, key = gap[:len(gap)-words], []byte(name)
			}
		}

		w.loose(gap)
		switch {
		case !w.inner && string(key) == "msg" && len(s.Value) > 0 && s.Value[0] == '\'':
			w.inner = true
			w.write(inside(s.Value))
			w.inner = false
		case w.hide != nil && w.hide(key, s.Value), !w.join && isEmpty(s.Value):
		default:
			w.begin()
			w.p.text = append(AppendText(w.p.text, key), '=')
			w.label()
			w.value(key, s.Value)
			w.end()
		}
	}
	w.loose(s.Gap)
}

// loose writes words that belong to no key. They continue the field before them.
func (w *fieldWriter) loose(gap []byte) {
	words := bytes.Trim(gap, " ")
	if len(words) == 0 {
		return
	}
	last := len(w.p.parts) - 1
	if w.any && !w.join {
		w.p.text = append(w.p.text, ' ')
		w.p.text = AppendText(w.p.text, words)
		w.p.parts[last].to = len(w.p.text)
		return
	}
	w.begin()
	w.p.text = AppendText(w.p.text, words)
	w.end()
}

// begin begins a field: a part of its own, or a word in the part there is.
func (w *fieldWriter) begin() {
	if !w.join {
		w.p.begin("")
	} else if w.any {
		w.p.text = append(w.p.text, ' ')
	}
	w.any = true
}

func (w *fieldWriter) label() {
	if !w.join {
		w.p.parts[len(w.p.parts)-1].label = len(w.p.text)
	}
}

func (w *fieldWriter) end() {
	if !w.join {
		w.p.end("")
	}
}

// value writes the value of a key as what it means.
func (w *fieldWriter) value(key, value []byte) {
	p := w.p
	class := record.ClassIn(w.r.Type, key)
	switch string(key) {
	case "saddr":
		if record.HasTwin(w.r.Type, key) && p.appendAddress(value) {
			return
		}
	case "syscall":
		if w.call == nil { // a hostile record has the field a thousand times
			name := p.callName(w.r)
			w.call = &name
		}
		if *w.call != "" {
			p.text = append(p.text, *w.call...)
			return
		}
	case "sig":
		if n, ok := record.ParseInt(value); ok && n >= 0 {
			if name := unix.SignalName(unix.Signal(min(n, 1<<10))); name != "" {
				p.text = append(p.text, name...)
				return
			}
		}
	}

	switch {
	case class == record.UserID && w.ids < maxIDs:
		w.ids++
		p.text = p.appendID(p.text, w.r, w.k, key, value)
	case class == record.Session && record.IsUnset(value):
		p.text = append(p.text, "unset"...)
	default:
		p.text = appendWord(p.text, p.textOf(class, value))
	}
}

// callName returns the name of the system call that a record is about, "" without.
func (p *Printer) callName(r *record.Parsed) string {
	nr, ok := record.ParseInt(find(r, "syscall"))
	arch, known := record.ParseArch(find(r, "arch"))
	if !ok || !known || nr < 0 {
		return ""
	}
	return record.SyscallName(arch, nr)
}

// addFields adds the fields in body, of the main record, but those hidden, each as a part.
func (p *Printer) addFields(r *record.Parsed, body []byte, hide func(key, value []byte) bool) {
	w := fieldWriter{p: p, r: r, k: p.head, hide: hide}
	w.write(body)
}

// addRecord adds record k of the batch as one part: its type and all its fields.
func (p *Printer) addRecord(k int) {
	r := record.Parse(p.b, k)
	p.begin("")
	p.text = AppendText(p.text, p.b.AppendType(nil, k))
	p.text = append(p.text, ' ')
	p.parts[len(p.parts)-1].label = len(p.text)
	w := fieldWriter{p: p, r: &r, k: k, join: true}
	w.write(r.Body)
	p.end("")
}

// appendNumber appends key and number to the text.
func (p *Printer) appendNumber(key string, n int64) {
	p.text = strconv.AppendInt(append(p.text, key...), n, 10)
}
