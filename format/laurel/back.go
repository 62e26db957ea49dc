package laurel

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/jsontext"
)

// IsEvent reports whether an object may be an event in laurel's shape.
func IsEvent(o jsontext.Object) bool { return o.Has("ID") }

// AppendRecords appends the records of an event in laurel's shape, as the format string has them, a line
// each, as far as the shape has what they said: docs/laurel.md, "Back to records". It changes event.
func AppendRecords(dst []byte, event jsontext.Object) (out []byte, err error) {
	if _, err := jsontext.Unpercent(event); err != nil {
		return dst, err
	}
	r := restorer{id: event.Text("ID"), node: event.Text("NODE"), limit: len(dst) + jsontext.MaxRecords}
	if strings.Contains(r.id, " ") || strings.Contains(r.node, " ") { // after it another header could stand
		return dst, errors.New("there is a blank in ID or NODE")
	}
	out = dst

	for _, m := range event {
		name, _, _ := strings.Cut(m.Key, "#")
		switch {
		case name == "RAW":
			out, err = appendTexts(out, m.Value)
		case isOwnType(name):
			continue
		case record.TypeNumber([]byte(name)) == 0:
			err = errors.New("not the name of a record type")
		default:
			out, err = r.appendType(out, name, m.Value)
		}
		if err != nil {
			return dst, fmt.Errorf("member %q: %w", m.Key, err)
		}
	}
	return out, nil
}

// appendTexts appends lines that are there as they came: one, or an array.
func appendTexts(dst []byte, v any) ([]byte, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, v := range list {
		text, ok := v.(string)
		if !ok {
			return dst, fmt.Errorf("%v is no line", v)
		}
		dst = append(dst, text...)
		format.BlankNewlines(dst[len(dst)-len(text):])
		dst = append(dst, '\n')
	}
	return dst, nil
}

// restorer makes the records of an event.
type restorer struct {
	id, node string
	limit    int // of the bytes of all records, and of what stands before them
}

// appendType appends the records of one type: an object, or an array of objects.
func (r *restorer) appendType(dst []byte, name string, v any) ([]byte, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}

	for _, v := range list {
		o, ok := v.(jsontext.Object)
		if !ok {
			return dst, fmt.Errorf("%v is no object", v)
		}
		b := builder{typ: record.TypeNumber([]byte(name)), object: o}
		if err := b.read(); err != nil {
			return dst, err
		}

		for _, body := range b.bodies() {
			var err error
			if dst, err = r.appendRecord(dst, name, body); err != nil {
				return dst, err
			}
		}
	}
	return dst, nil
}

// appendRecord appends a record. A newline in it was in a frame: it becomes a blank, as in the format string.
func (r *restorer) appendRecord(dst []byte, name, body string) ([]byte, error) {
	from := len(dst)
	if from+len(r.node)+len(name)+len(r.id)+len(body) > r.limit {
		return dst, jsontext.ErrTooLarge
	}
	if r.node != "" {
		dst = append(append(append(dst, "node="...), r.node...), ' ')
	}
	dst = append(append(append(dst, "type="...), name...), " msg=audit("...)
	dst = append(append(append(dst, r.id...), "): "...), body...)
	format.BlankNewlines(dst[from:])

	var rec record.Record
	var h record.HeaderReader
	if h.Read(&rec, dst[from:]); !rec.HasID() {
		return dst[:from], fmt.Errorf("%.200q is no record", dst[from:])
	}
	return append(dst, '\n'), nil
}

// builder makes a record's text of its object.
type builder struct {
	typ    uint32
	object jsontext.Object
	front  string   // what stands before the fields: avc:  denied  { read } for
	fields []byte   // each with a blank in front
	names  []byte   // the same: what auditd has added
	raw    []string // texts that laurel's shape could not hold
}

// bodies returns the texts after the headers: several for the EXECVE records of an event.
func (b *builder) bodies() []string {
	if len(b.raw) > 0 {
		return b.raw
	}
	text := b.front + strings.TrimPrefix(string(b.fields), " ")
	if len(b.names) > 0 {
		text += string(rune(record.Separator)) + string(b.names[1:])
	}
	return []string{text}
}

// read goes through the members.
func (b *builder) read() error {
	if b.typ == record.TypeMACLoad {
		b.front = "policy loaded "
	}
	args := b.object.List("ARGV")

	for _, m := range b.object {
		key, _, _ := strings.Cut(m.Key, "#")
		if b.typ == record.TypeSyscall && (key == "SCRIPT" || key == "EXE_HASH") { // of no record: what is known of the process
			continue
		}
		switch v := m.Value.(type) {
		case jsontext.Object: // PID, PPID and others that laurel adds
			if key == "msg" {
				if err := b.addMessage(v); err != nil {
					return err
				}
			}
			continue
		case []any:
			if key == "denied" || key == "granted" {
				b.front = "avc:  " + key + "  { " + words(v) + " } for  "
			}
			continue
		case string:
			if key == "RAW" {
				b.raw = append(b.raw, v)
				continue
			}
		}

		if key == "netlabel" && m.Value == nil {
			b.front = "netlabel: "
			continue
		}
		if key == "" || strings.ContainsAny(key, " =\n") {
			return fmt.Errorf("%q cannot be a field", m.Key)
		}
		if b.typ == record.TypeSyscall && key == "items" {
			b.addArgs(args)
			args = nil
		}
		if err := b.add(key, m.Value); err != nil {
			return err
		}
	}
	b.addArgs(args)
	return nil
}

// addMessage adds what a program has said, of which laurel 0.8 makes an object.
func (b *builder) addMessage(o jsontext.Object) error {
	in := builder{typ: b.typ, object: o}
	if err := in.read(); err != nil {
		return err
	}
	text := strings.TrimPrefix(string(in.fields)+string(in.names), " ")
	b.fields = appendField(b.fields, "msg", "'"+text+"'")
	return nil
}

// words puts the strings of a list together.
func words(list []any) string {
	var all []string
	for _, v := range list {
		s, _ := v.(string)
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

// addArgs adds what stands under ARGV: a system call's arguments, a program's, or the title of one.
func (b *builder) addArgs(list []any) {
	switch {
	case len(list) == 0:
	case b.typ == record.TypeProctitle:
		var args []string
		for _, v := range list {
			s, _ := v.(string)
			args = append(args, s)
		}
		b.fields = appendField(b.fields, "proctitle", quoted(strings.Join(args, "\x00")))
	default:
		for i, v := range list {
			s, ok := v.(string)
			if b.typ == record.TypeExecve {
				if s = quoted(s); !ok {
					continue // no record had it
				}
			} else if s = strings.TrimPrefix(s, "0x"); !ok {
				s = fmt.Sprint(v)
			}
			b.fields = appendField(b.fields, fmt.Sprintf("a%d", i), s)
		}
	}
}

// add adds a field: to the record's own or, in upper case, to what auditd has added.
func (b *builder) add(key string, v any) error {
	isName := key == strings.ToUpper(key) && key != strings.ToLower(key)
	isText := record.ClassIn(b.typ, []byte(key)) == record.Text
	value := ""
	switch v := v.(type) {
	case json.Number:
		value = v.String()
	case nil:
		if value = "?"; isText {
			value = "(null)"
		}
	case string:
		value = textOf(key, v, isName, isText)
	default:
		return fmt.Errorf("member %q: %v is nothing that a field becomes", key, v)
	}
	if isName {
		b.names = appendField(b.names, key, value)
	} else {
		b.fields = appendField(b.fields, key, value)
	}
	return nil
}

// textOf returns a string as it stood in the record.
func textOf(key, s string, isName, isText bool) string {
	switch {
	case key == "msg":
		return "'" + s + "'"
	case isName && strings.HasPrefix(s, "{"): // SADDR
		return "{ " + strings.TrimSpace(strings.TrimSuffix(s[1:], "}")) + " }"
	case isName && (key == "ARCH" || key == "SYSCALL" || key == "URING_OP"):
		return s
	case isName || isText:
		return quoted(s)
	case strings.HasPrefix(s, "0x"):
		return s[len("0x"):]
	case strings.HasPrefix(s, "0o"):
		return "0" + s[len("0o"):]
	case key == "saddr" || record.NeedsHex([]byte(s)): // it was hex that laurel has decoded
		return fmt.Sprintf("%X", s)
	}
	return s
}

// quoted returns a text as the kernel writes it.
func quoted(s string) string {
	if record.NeedsHex([]byte(s)) {
		return fmt.Sprintf("%X", s)
	}
	return `"` + s + `"`
}

func appendField(dst []byte, key, value string) []byte {
	return append(append(append(append(dst, ' '), key...), '='), value...)
}
