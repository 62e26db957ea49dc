package json

import (
	stdjson "encoding/json"
	"fmt"
	"strings"

	"audisp-relay/audit/record"
	"audisp-relay/format/jsontext"
)

// oddities are what an object says of how its fields differ from what the rules give, by the
// member that a field is. They are asked for each field, and a record may have ten thousand.
//
// A member that is there twice, which this package never writes, is an error: a remark on it would be written for each.
type oddities struct {
	quoted, blanks   map[string]int // how often a member is in the list
	literal, spelled map[string]string
}

func odditiesOf(o jsontext.Object) (oddities, error) {
	seen := make(map[string]struct{}, len(o))
	for i := range o {
		seen[o[i].Key] = struct{}{}
		if len(seen) <= i {
			return oddities{}, fmt.Errorf("member %q is there twice", o[i].Key)
		}
	}
	return oddities{
		quoted:  countNames(o.List("quoted")),
		blanks:  countNames(o.List("blanks")),
		literal: textsOf(o.Get("literal")),
		spelled: textsOf(o.Get("spelled")),
	}, nil
}

// countNames returns how often each name is in a list.
func countNames(list []any) map[string]int {
	n := make(map[string]int, len(list))
	for _, v := range list {
		if name, ok := v.(string); ok {
			n[name]++
		}
	}
	return n
}

// textsOf returns the texts of an object by their members; of anything else none.
func textsOf(v any) map[string]string {
	o, _ := v.(jsontext.Object)
	texts := make(map[string]string, len(o))
	for _, m := range o {
		if s, ok := m.Value.(string); ok {
			texts[m.Key] = s
		}
	}
	return texts
}

// appendFields appends the fields of an object as they stand in a record.
func (r *restorer) appendFields(dst []byte, l level, o jsontext.Object) ([]byte, error) {
	d, err := odditiesOf(o)
	if err != nil {
		return dst, err
	}
	isFirst := true
	for i, m := range o {
		if m.Key == "words" {
			s, _ := m.Value.(string)
			dst, isFirst = append(dst, s...), true // the blanks around it are in it
			continue
		}
		if !r.isField(l, o, i) {
			continue
		}
		if !isFirst {
			dst = append(dst, ' ')
		}
		isFirst = false
		for range d.blanks[m.Key] {
			dst = append(dst, ' ')
		}
		if dst, err = r.appendField(dst, l, o, i, &d); err != nil {
			return dst, err
		}
	}

	for range d.blanks[""] {
		dst = append(dst, ' ')
	}
	return dst, nil
}

// isField reports whether member i is a field.
func (r *restorer) isField(l level, o jsontext.Object, i int) bool {
	next := ""
	if i+1 < len(o) {
		next = o[i+1].Key
	}
	switch key := o[i].Key; {
	case key == "seresult" && next == "seperms", key == "@timestamp" && l == top:
		return false
	case key == "keys" && l == other:
		return true
	case key == "key" && l == top:
		return next == "keys" // else keys stands in front: the record has none
	default:
		return !isReserved(r.typ, l, []byte(key))
	}
}

// appendField appends the field that member i is, and notes the name that auditd has added for it.
func (r *restorer) appendField(dst []byte, l level, o jsontext.Object, i int, d *oddities) ([]byte, error) {
	m := o[i]
	name := strings.TrimSuffix(m.Key, "_")
	if l == other && m.Key == "keys" {
		name = "key"
	}
	if name == "" || !validKey([]byte(name)) {
		return dst, fmt.Errorf("%q cannot be a field", m.Key)
	}
	spelled := name
	if s := d.spelled[m.Key]; s != "" {
		spelled = s
	}

	dst = append(append(dst, spelled...), '=')
	at := len(dst)
	dst, err := r.appendValue(dst, l, o, i, name, spelled[strings.LastIndexByte(spelled, ' ')+1:], d.quoted[m.Key] > 0)
	if err != nil {
		return dst, fmt.Errorf("member %q: %w", m.Key, err)
	}
	if s, ok := d.literal[m.Key]; ok {
		dst = append(dst[:at], s...)
	}
	return dst, nil
}

// appendValue appends the value of member i, the field name, whose name by auditd begins with own.
func (r *restorer) appendValue(dst []byte, l level, o jsontext.Object, i int, name, own string, quoted bool) ([]byte, error) {
	m, next := o[i], jsontext.Member{}
	if i+1 < len(o) {
		next = o[i+1]
	}
	k := kindOf(r.typ, l, []byte(name))
	if k == kindKey {
		return r.appendRuleKeys(dst, l, m)
	}
	s, isText := m.Value.(string)
	if isText && quoted {
		return append(append(append(dst, '"'), s...), '"'), nil
	}

	switch k {
	case kindSuccess:
		if is, ok := m.Value.(bool); ok && is {
			return append(dst, "yes"...), nil
		} else if ok {
			return append(dst, "no"...), nil
		}
	case kindArch:
		if code, ok := record.ArchCode(s); ok {
			r.name(own, s)
			return fmt.Appendf(dst, "%x", code), nil
		}
		return append(dst, strings.TrimPrefix(s, "0x")...), checkText(m.Value)
	case kindSyscall:
		return r.appendCall(dst, own, m.Value, next)
	case kindUring:
		if name, ok := next.Value.(string); ok && next.Key == "uring_op_name" {
			r.name(own, name)
		}
	case kindMsg:
		if in, ok := m.Value.(jsontext.Object); ok {
			dst, err := r.appendFields(append(dst, '\''), message, in)
			return append(dst, '\''), err
		}
	case kindSaddr:
		r.nameAddress(o)
	}
	return r.appendOfClass(dst, k, m.Value, next, name, own)
}

// checkText says that a value is no string.
func checkText(v any) error {
	if _, ok := v.(string); !ok {
		return fmt.Errorf("%v is no string", v)
	}
	return nil
}

// appendOfClass appends a value as its class says.
func (r *restorer) appendOfClass(dst []byte, k kind, v any, next jsontext.Member, name, own string) ([]byte, error) {
	switch v := v.(type) {
	case stdjson.Number:
		if text, ok := next.Value.(string); ok && k == kindID && next.Key == nameKey(name) {
			r.nameText(own, text)
		}
		return append(dst, v...), nil
	case nil:
		switch k {
		case kindText:
			return append(dst, "(null)"...), nil
		case kindID:
			r.name(own, `"unset"`)
			return fmt.Appendf(dst, "%d", uint32(record.Unset)), nil
		case kindSession:
			return fmt.Appendf(dst, "%d", uint32(record.Unset)), nil
		}
	case string:
		switch k {
		case kindText:
			return appendTextValue(dst, v), nil
		case kindHex:
			v = strings.TrimPrefix(v, "0x")
		}
		return append(dst, v...), nil
	}
	return dst, fmt.Errorf("%v is nothing that a field of its class becomes", v)
}

// nameKey returns the member that has the name of the id key.
func nameKey(key string) string {
	n, insert := splitID([]byte(key))
	return key[:n] + insert
}

// name notes the name that auditd has added for a field.
func (r *restorer) name(field, name string) {
	r.names = append(append(append(r.names, ' '), strings.ToUpper(field)...), '=')
	r.names = append(r.names, name...)
}

func (r *restorer) nameText(field, name string) {
	r.name(field, "")
	r.names = appendTextValue(r.names, name)
}

// appendCall appends the number of a system call.
func (r *restorer) appendCall(dst []byte, own string, called any, number jsontext.Member) ([]byte, error) {
	if number.Key != "syscall_number" {
		return dst, fmt.Errorf("there is no syscall_number after it")
	}
	if s, ok := called.(string); ok {
		r.name(own, s)
	} else {
		r.name(own, fmt.Sprintf("%s%v)", unknownCall, number.Value))
	}
	return fmt.Append(dst, number.Value), nil
}

// appendRuleKeys appends the keys of a record: in the event's "keys" those of other records follow.
func (r *restorer) appendRuleKeys(dst []byte, l level, m jsontext.Member) ([]byte, error) {
	own, ok := m.Value.([]any)
	if l == top {
		own, ok = r.event.List("keys"), true
		n := 0
		for _, v := range r.lists["other_records"] {
			o, _ := v.(jsontext.Object)
			n += len(o.List("keys"))
		}
		if n > len(own) {
			return dst, fmt.Errorf("there are fewer keys than in other_records")
		}
		own = own[:len(own)-n]
	}

	switch {
	case !ok:
		return dst, fmt.Errorf("%v is no array", m.Value)
	case len(own) == 0:
		return append(dst, "(null)"...), nil
	}
	return appendTextValue(dst, joinTexts(own, string(rune(record.KeySeparator)))), nil
}

// nameAddress notes what auditd says of a socket address: it is made of the members that are made of saddr.
func (r *restorer) nameAddress(o jsontext.Object) {
	number := func(key string) string { n, _ := o.Get(key).(stdjson.Number); return n.String() }
	says := ""
	switch family := o.Text("family"); {
	case family == "unix" && o.Has("path"):
		says = "local path=" + o.Text("path")
	case (family == "inet" || family == "inet6") && o.Has("addr"):
		says = family + " laddr=" + o.Text("addr") + " lport=" + number("port")
	case family == "netlink" && o.Has("pid"):
		says = "netlink nlnk-fam=16 nlnk-pid=" + number("pid")
	default:
		return
	}
	r.name("saddr", "{ saddr_fam="+says+" }")
}
