package json

import (
	stdjson "encoding/json"
	"fmt"
	"strings"
)

// What follows rebuilds the records from the line of an event by the rules of
// docs/json.md, "Rebuilding", and the tables that stand there. It shares nothing with the
// encoder.

// rebuilder has the event and how far its arrays have been used.
type rebuilder struct {
	doc       *docTables
	event     members
	twins     []string // names of the record at hand
	separator string   // in front of them
	paths     int
	addrs     int
	others    int
}

// rebuild returns the records of an event's line.
func rebuild(doc *docTables, line []byte) (records []string, err error) {
	o, err := parseStrict(line)
	if err != nil {
		return nil, err
	}
	if o.has("encoding") {
		o = unpercent(o).(members)
	}
	r := &rebuilder{doc: doc, event: o}
	var types []string
	for _, t := range o.get("record_types").([]any) {
		s, _ := t.(string)
		types = append(types, s)
	}
	main := mainOf(types)
	first := map[string]int{"CWD": 0, "PROCTITLE": 0, "EXECVE": 0, "EOE": 0}
	for _, t := range types {
		if _, ok := first[t]; ok {
			first[t]++
		}
	}
	for _, v := range r.array("other_records") {
		if t := v.(members).text("type"); first[t] > 0 {
			first[t]--
		}
	}
	for i, t := range types {
		var rec string
		switch {
		case i == main:
			rec = r.record(t, "event", o)
		case t == "PATH":
			rec = r.record(t, "paths", r.next("paths", &r.paths))
		case t == "SOCKADDR":
			rec = r.record(t, "sockaddrs", r.next("sockaddrs", &r.addrs))
		case first[t] > 0:
			first[t]--
			rec = r.placed(t)
		default:
			rec = r.record(t, "other_records", r.next("other_records", &r.others))
		}
		records = append(records, rec)
	}
	if r.paths != len(r.array("paths")) || r.addrs != len(r.array("sockaddrs")) || r.others != len(r.array("other_records")) {
		return nil, fmt.Errorf("objects are left over")
	}
	return records, nil
}

func mainOf(types []string) int {
	main := -1
	for i, t := range types {
		switch t {
		case "SYSCALL":
			return i
		case "PATH", "SOCKADDR", "CWD", "EXECVE", "PROCTITLE", "EOE":
		default:
			if main < 0 {
				main = i
			}
		}
	}
	// An earlier one of another type gives way to a SYSCALL, which was looked for above.
	return main
}

func (r *rebuilder) array(key string) []any { a, _ := r.event.get(key).([]any); return a }

func (r *rebuilder) next(key string, n *int) members {
	*n++
	return r.array(key)[*n-1].(members)
}

// frame puts the parts of a record together.
func (r *rebuilder) frame(typ, body, tail string) string {
	head, end := "", "\n"
	frame, framed := r.event.get("frame").(stdjson.Number)
	if framed {
		end = ""
	}
	if frame != "0" {
		if node, ok := r.event.get("node").(string); ok && !r.event.has("node_source") {
			head = "node=" + node + " "
		}
		head += "type=" + typ + " msg="
	}
	if body != "" {
		body = " " + body
	}
	if len(r.twins) > 0 && r.event.text("names") == "auditd" {
		body += r.separator + strings.Join(r.twins, " ")
	}
	return head + "audit(" + r.event.text("id") + "):" + body + tail + end
}

func (r *rebuilder) record(typ, place string, o members) string {
	if raw, ok := o.get("raw").(string); ok {
		return raw
	}
	r.twins, r.separator = nil, "\x1d"
	if o.has("separator") {
		r.separator = o.text("separator")
	}
	return r.frame(typ, r.fields(typ, place, o), o.text("tail"))
}

// placed rebuilds a record that stands in a member of the event.
func (r *rebuilder) placed(typ string) string {
	r.twins = nil
	var b strings.Builder
	switch typ {
	case "CWD":
		b.WriteString("cwd=" + asText(r.event.get("cwd")))
	case "PROCTITLE":
		b.WriteString("proctitle=")
		if list, ok := r.event.get("proctitle").([]any); ok {
			b.WriteString(asText(join(list, "\x00")))
		} else {
			b.WriteString("(null)")
		}
	case "EXECVE":
		args := r.array("args")
		fmt.Fprintf(&b, "argc=%d", len(args))
		for i, a := range args {
			fmt.Fprintf(&b, " a%d=%s", i, asText(a))
		}
	}
	tail := ""
	if frame, _ := r.event.get("frame").(stdjson.Number); typ == "EOE" && frame != "1" && r.event.text("names") != "auditd" {
		tail = " "
	}
	return r.frame(typ, b.String(), tail)
}

func join(list []any, sep string) string {
	var s []string
	for _, v := range list {
		s = append(s, v.(string))
	}
	return strings.Join(s, sep)
}

// asText is a value of the class Text.
func asText(v any) string {
	s, ok := v.(string)
	if !ok {
		return "(null)"
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E || s[i] == '"' {
			return strings.ToUpper(fmt.Sprintf("%x", s))
		}
	}
	return `"` + s + `"`
}

// fields returns the fields of an object.
func (r *rebuilder) fields(typ, place string, o members) string {
	quoted := map[string]bool{}
	if list, ok := o.get("quoted").([]any); ok {
		for _, k := range list {
			quoted[k.(string)] = true
		}
	}
	literal, _ := o.get("literal").(members)
	spelled, _ := o.get("spelled").(members)
	blanks := map[string]string{}
	if list, ok := o.get("blanks").([]any); ok {
		for _, k := range list {
			blanks[k.(string)] += " "
		}
	}
	var b strings.Builder
	blank := ""
	for i, m := range o {
		if m.key == "words" {
			b.WriteString(m.value.(string))
			blank = ""
			continue
		}
		if m.key == "seresult" && i+1 < len(o) && o[i+1].key == "seperms" {
			continue
		}
		if r.doc.own[place][m.key] || r.doc.own["everywhere"][m.key] || (m.key == "errno" && (typ == "SYSCALL" || typ == "URINGOP")) {
			if m.key != "keys" || place == "sockaddrs" || place == "paths" || place == "msg" {
				continue
			}
		}
		key, value, ok := r.field(typ, place, o, i, quoted[m.key], spelled.text(m.key))
		if !ok {
			continue
		}
		if literal.has(m.key) {
			value = literal.text(m.key)
		}
		b.WriteString(blank + blanks[m.key] + key + "=" + value)
		blank = " "
	}
	return b.String() + blanks[""]
}

// field returns the key and the value of member i, and adds its name to r.twins.
func (r *rebuilder) field(typ, place string, o members, i int, quoted bool, spelled string) (key, value string, ok bool) {
	m := o[i]
	m.key = strings.TrimSuffix(m.key, "_")
	if spelled != "" {
		_, value, ok = r.fieldOf(typ, place, o, i, member{m.key, m.value}, quoted, spelled[strings.LastIndex(spelled, " ")+1:])
		return spelled, value, ok
	}
	return r.fieldOf(typ, place, o, i, m, quoted, m.key)
}

// fieldOf is field for the member m, of which auditd calls the field name.
func (r *rebuilder) fieldOf(typ, place string, o members, i int, m member, quoted bool, name string) (key, value string, ok bool) {
	if own := o[i].key; (own == "keys" && (place == "event" || place == "other_records")) || (own == "key" && place == "event") {
		list, is := r.ruleKeys(place, o, i)
		if !is {
			return "", "", false
		}
		if len(list) == 0 {
			return "key", "(null)", true
		}
		return "key", asText(join(list, "\x01")), true
	}
	if s, is := m.value.(string); is && quoted {
		return m.key, `"` + s + `"`, true
	}
	after := member{}
	if i+1 < len(o) {
		after = o[i+1]
	}
	switch {
	case m.key == "success" && m.value == true:
		return m.key, "yes", true
	case m.key == "success" && m.value == false:
		return m.key, "no", true
	case m.key == "arch":
		s := m.value.(string)
		if code, is := r.doc.arches[s]; is {
			r.twin("arch", s)
			return m.key, code, true
		}
		return m.key, strings.TrimPrefix(s, "0x"), true
	case m.key == "syscall":
		if s, is := m.value.(string); is {
			r.twin("syscall", s)
		} else {
			r.twin("syscall", fmt.Sprintf("unknown-syscall(%v)", after.value))
		}
		return m.key, fmt.Sprint(after.value), true
	case m.key == "uring_op" && after.key == "uring_op_name":
		r.twin("uring_op", after.value.(string))
	case m.key == "msg" && place != "msg":
		if in, is := m.value.(members); is {
			return m.key, "'" + r.fields(typ, "msg", in) + "'", true
		}
	case m.key == "saddr" && place == "sockaddrs":
		r.addrTwin(o)
		return m.key, m.value.(string), true
	}
	return m.key, r.byClass(typ, m, after, name), true
}

func (r *rebuilder) twin(key, value string) {
	r.twins = append(r.twins, strings.ToUpper(key)+"="+value)
}

func (r *rebuilder) byClass(typ string, m, after member, name string) string {
	class := r.doc.classOf(typ, m.key)
	switch v := m.value.(type) {
	case stdjson.Number:
		if class == "UserID" && after.key == r.doc.nameOf(m.key) {
			r.twin(name, asText(after.value))
		}
		return string(v)
	case nil:
		switch class {
		case "Text":
			return "(null)"
		case "UserID":
			r.twin(name, `"unset"`)
		}
		return "4294967295"
	case string:
		switch class {
		case "Text":
			return asText(v)
		case "Hex":
			return strings.TrimPrefix(v, "0x")
		}
		return v
	}
	panic(fmt.Sprintf("%s is %v", m.key, m.value))
}

// ruleKeys returns the keys of the record o, the event itself or one of the others.
func (r *rebuilder) ruleKeys(place string, o members, i int) (list []any, ok bool) {
	if place == "other_records" {
		return o[i].value.([]any), true
	}
	if place != "event" || o[i].key != "key" {
		return nil, false
	}
	if o[i+1].key != "keys" { // it stood in front: the record has none
		return nil, false
	}
	all, n := o.get("keys").([]any), 0
	for _, v := range r.array("other_records") {
		keys, _ := v.(members).get("keys").([]any)
		n += len(keys)
	}
	return all[:len(all)-n], true
}

func (r *rebuilder) addrTwin(o members) {
	num := func(key string) string { n, _ := o.get(key).(stdjson.Number); return string(n) }
	s := ""
	switch o.text("family") {
	case "unix":
		if !o.has("path") {
			return
		}
		s = "local path=" + o.text("path")
	case "inet", "inet6":
		if !o.has("addr") {
			return
		}
		s = o.text("family") + " laddr=" + o.text("addr") + " lport=" + num("port")
	case "netlink":
		if !o.has("pid") {
			return
		}
		s = "netlink nlnk-fam=16 nlnk-pid=" + num("pid")
	default:
		return
	}
	r.twin("saddr", "{ saddr_fam="+s+" }")
}
