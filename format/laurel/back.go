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
	if strings.Contains(r.id, " ") || strings.Contains(r.node, " ") { // what follows a blank could be a forged header
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
	for _, v := range listOf(v) {
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

// listOf returns the elements of an array, or the value itself as the only one: laurel makes an array only of several.
func listOf(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

// restorer makes the records of an event.
type restorer struct {
	id, node string
	limit    int // how many bytes the output may have, with what was in it before
}

// appendType appends the records of one type: an object, or an array of objects.
func (r *restorer) appendType(dst []byte, name string, v any) ([]byte, error) {
	for _, v := range listOf(v) {
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

// appendRecord appends a record. A newline can only come from a binary frame, and becomes a blank, as in the format string.
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
	names  []byte   // the fields that auditd has added, likewise
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

// read makes fields of the members. Those with a system call's arguments stand before "items", as in the kernel's record.
func (b *builder) read() error {
	if b.typ == record.TypeMACLoad {
		b.front = "policy loaded "
	}
	args := b.object.List("ARGV")

	for _, m := range b.object {
		key, _, _ := strings.Cut(m.Key, "#")
		taken, err := b.readSpecial(key, m.Value)
		if err != nil {
			return err
		}
		if taken {
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

// readSpecial takes a member that does not become one field, and reports whether the member was one.
func (b *builder) readSpecial(key string, v any) (taken bool, err error) {
	if b.typ == record.TypeSyscall && (key == "SCRIPT" || key == "EXE_HASH") { // of no record: what is known of the process
		return true, nil
	}
	switch v := v.(type) {
	case jsontext.Object: // PID, PPID and others that laurel adds
		if key == "msg" {
			err = b.addMessage(v)
		}
		return true, err
	case []any:
		if key == "denied" || key == "granted" {
			b.front = "avc:  " + key + "  { " + strings.Join(texts(v), " ") + " } for  "
		}
		return true, nil
	case string:
		if key == "RAW" {
			b.raw = append(b.raw, v)
			return true, nil
		}
	case nil:
		if key == "netlabel" {
			b.front = "netlabel: "
			return true, nil
		}
	}
	return false, nil
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

// texts returns the strings of a list, "" for other values.
func texts(list []any) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i], _ = v.(string)
	}
	return all
}

// addArgs adds what stands under ARGV: a system call's arguments, a program's, or the title of one.
func (b *builder) addArgs(list []any) {
	if b.typ == record.TypeProctitle {
		if len(list) > 0 {
			b.fields = appendField(b.fields, "proctitle", quoted(strings.Join(texts(list), "\x00")))
		}
		return
	}

	for i, v := range list {
		arg, isText := v.(string)
		switch {
		case b.typ == record.TypeExecve && !isText:
			continue // no record had it
		case b.typ == record.TypeExecve:
			arg = quoted(arg)
		case isText:
			arg = strings.TrimPrefix(arg, "0x")
		default:
			arg = fmt.Sprint(v)
		}
		b.fields = appendField(b.fields, fmt.Sprintf("a%d", i), arg)
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
		return fmt.Errorf("member %q: %v cannot be the value of a field", key, v)
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
