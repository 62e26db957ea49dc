package ocsf

import (
	"bytes"
	"strings"

	"audisp-relay/audit/record"
)

// field is a field of a record, decoded. Strings are of the batch's or of Encoder.text's memory, see
// record.Alias.
type field struct {
	key, val string
	nested   bool // in a program's text, msg='...'
	placed   bool // the schema has a place for it, and so unmapped does not show it
}

// parsedRecord is one record of the event at hand. Its fields are Encoder.fields[from:to].
type parsedRecord struct {
	record.Parsed
	name     string // of its type, "" without
	from, to int
}

// maxFields is how many fields of a record are looked at: a kernel's record has at most 40. What a
// hostile one has beyond is in raw_data.
const maxFields = 256

// readRecords takes the records apart.
func (e *Encoder) readRecords(b *record.Batch, i, j int) {
	e.args.Reset()
	e.execve = false
	for ; i < j; i++ {
		e.recs = append(e.recs, parsedRecord{Parsed: record.Parse(b, i), from: len(e.fields)})
		r := &e.recs[len(e.recs)-1]
		if b.Recs[i].HasID() {
			from := len(e.text)
			e.text = b.AppendType(e.text, i)
			r.name = record.Alias(e.text[from:])
		}
		switch {
		case len(r.ID) == 0:
		case r.Type == record.TypeExecve:
			e.execve = true
			e.args.Add(r.Body)
		default:
			e.readFields(r, r.Body, false)
		}
		r.to = len(e.fields)
	}
}

// readFields reads the fields of a body or, inside of msg='...', of what a program has sent: these after
// the others, so that what the kernel says comes first.
func (e *Encoder) readFields(r *parsedRecord, body []byte, nested bool) {
	var msg, words []byte // words: the value that words after it belong to
	s := record.Scan(body)
	for s.Next() {
		key, gap := record.Alias(s.Key), s.Gap
		if r.Type == record.TypeLogin && !nested {
			if name, n := record.LoginKey(gap, s.Key); name != "" {
				key, gap = name, gap[:len(gap)-n]
			}
		}
		e.readGap(r, gap, words, nested)
		if words = nil; key == "msg" && !nested && msg == nil && len(s.Value) > 0 && s.Value[0] == '\'' {
			msg = bytes.TrimSuffix(s.Value[1:], []byte{'\''})
			continue
		}
		words = e.addField(r, key, s.Value, nested)
	}

	e.readGap(r, s.Gap, words, nested)
	if msg != nil {
		e.readFields(r, msg, true)
	}
}

// readGap deals with what stands between two fields: words that belong to the value before,
// op=adding user id=1000, or SELinux's verdict.
func (e *Encoder) readGap(r *parsedRecord, gap, words []byte, nested bool) {
	if string(gap) == " " || len(gap) == 0 {
		return
	}
	text := bytes.TrimRight(gap, " ")
	switch {
	case len(text) == 0:
	case words != nil: // the gap lies right after it
		e.fields[len(e.fields)-1].val = record.Alias(words[:len(words)+len(text)])
	case record.HasVerdict(r.Type):
		if v, ok := record.ReadVerdict(text); ok {
			e.putField(r, field{key: "seresult", val: record.Alias(v.Result), nested: nested})
			e.putField(r, field{key: "seperms", val: record.Alias(bytes.Trim(v.Perms, " ")), nested: nested})
		}
	}
}

// addField adds a field as it stands in a record, decoded. It returns the value if words after it belong
// to it.
func (e *Encoder) addField(r *parsedRecord, key string, token []byte, nested bool) (words []byte) {
	if !plainKey(key) || isNothing(token) {
		return nil
	}
	val := token
	class := record.ClassIn(r.Type, []byte(key))
	quoted := len(token) > 1 && (token[0] == '"' || token[0] == '\'') && token[len(token)-1] == token[0]
	switch {
	case quoted:
		val = token[1 : len(token)-1]
	case class == record.Text && token[0] == '"': // the record ends in the middle of it
		val = token[1:]
	case class == record.Text:
		val = record.UnhexUpper(&e.text, token)
	}

	if key == "proctitle" {
		val = e.joinTitle(val)
	}
	if !e.putField(r, field{key: key, val: record.Alias(val), nested: nested}) || quoted || class != record.Plain {
		return nil
	}
	return token
}

// putField adds a field. The first of a name counts, since what comes later in a record may be of a
// program's choice.
func (e *Encoder) putField(r *parsedRecord, add field) bool {
	if len(e.fields)-r.from == maxFields {
		return false
	}
	for i := r.from; i < len(e.fields); i++ {
		if f := &e.fields[i]; f.key == add.key && f.nested == add.nested {
			return false
		}
	}
	e.fields = append(e.fields, add)
	return true
}

// plainKey reports whether a key can be a member of unmapped: JSON has it as it is, and no two are equal
// but for case.
func plainKey(key string) bool {
	for i := range len(key) {
		if c := key[i]; c-'a' >= 26 && c-'0' >= 10 && c != '_' && c != '-' {
			return false
		}
	}
	return len(key) > 0
}

// isNothing reports whether a token is one of the audit system's words for the lack of a value. In
// quotes they are text.
func isNothing(token []byte) bool {
	switch string(token) {
	case "", "?", "(null)", "(none)":
		return true
	}
	return false
}

// joinTitle returns a proctitle with blanks in the place of the NULs between its arguments.
func (e *Encoder) joinTitle(val []byte) []byte {
	from := len(e.text)
	e.text = append(e.text, val...)
	title := e.text[from:len(e.text):len(e.text)]
	for i, c := range title {
		if c == 0 {
			title[i] = ' '
		}
	}
	return title
}

// find returns the field of that name which the kernel, or auditd, has written in record r; nil without.
func (e *Encoder) find(r *parsedRecord, key string) *field { return e.lookFor(r, key, false) }

// findSaid returns the field of that name in what a program says in record r, or, in a record without
// msg='...', of the record; nil without.
func (e *Encoder) findSaid(r *parsedRecord, key string) *field {
	if f := e.lookFor(r, key, true); f != nil {
		return f
	}
	return e.lookFor(r, key, false)
}

func (e *Encoder) lookFor(r *parsedRecord, key string, nested bool) *field {
	for i := r.from; i < r.to; i++ {
		if f := &e.fields[i]; f.nested == nested && f.key == key {
			return f
		}
	}
	return nil
}

// value returns what find does as a string, "" without; r may be nil.
func (e *Encoder) value(r *parsedRecord, key string) string {
	if r == nil {
		return ""
	}
	if f := e.find(r, key); f != nil {
		return f.val
	}
	return ""
}

// take returns the value of a field that gets its place with that, "" without.
func take(f *field) string {
	if f == nil {
		return ""
	}
	f.placed = true
	return f.val
}

// number returns the value of a field if it is a number from 0 to 2^32-1 as %u prints it, and so one to JSON; "" if not.
func number(f *field) string {
	if f == nil {
		return ""
	}
	if n, ok := record.ParseInt([]byte(f.val)); !ok || n < 0 || n >= 1<<32 {
		return ""
	}
	return take(f)
}

// baseName returns what follows the last slash of a path.
func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
