package json

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/jsontext"
)

// IsEvent reports whether an object may be an event as this package writes it.
func IsEvent(o jsontext.Object) bool { return o.Has("record_types") }

// AppendRecords appends the records of an event that this package has written, by the rules of
// docs/json.md, "Rebuilding": as the format string has them, a line each. It changes event.
func AppendRecords(dst []byte, event jsontext.Object) (out []byte, err error) {
	if event.Has("encoding") {
		if _, err := jsontext.Unpercent(event); err != nil {
			return dst, err
		}
	}

	r := restorer{out: dst, limit: len(dst) + jsontext.MaxRecords, event: event, id: event.Text("id"), enriched: event.Text("names") == "auditd", frame: -1}
	switch n, _ := event.Get("frame").(stdjson.Number); n {
	case "0":
		r.frame = 0
	case "1":
		r.frame = 1
	}

	if node, ok := event.Get("node").(string); ok && !event.Has("node_source") {
		r.node = "node=" + node + " "
	}
	r.isHeader = strings.Count(r.node, " ") < 2 && !strings.Contains(r.id, " ") // else what follows could be another

	if err := r.records(); err != nil {
		return dst, err
	}
	if n := len(r.out); n > len(dst) && r.out[n-1] != '\n' { // a line that was cut
		r.out = append(r.out, '\n')
	}
	return r.out, nil
}

// restorer makes the records of one event.
type restorer struct {
	out      []byte
	limit    int // of the bytes in out
	event    jsontext.Object
	id       string
	node     string // "node=NAME ", or nothing
	isHeader bool   // id and node may be those of a header
	frame    int    // -1 for lines
	enriched bool

	lists map[string][]any // the event's arrays that are asked for each record: it may have a million members
	cwd   any
	used  map[string]int // how many objects of the arrays have been used
	typ   uint32         // of the record at hand
	body  []byte
	names []byte // of the record at hand, each with a blank in front
}

// records goes through record_types.
func (r *restorer) records() error {
	types := r.event.List("record_types")
	r.lists, r.used = make(map[string][]any), make(map[string]int)
	for _, list := range append(placesOf[:], "args", "proctitle") {
		r.lists[list] = r.event.List(list)
	}
	r.cwd = r.event.Get("cwd")
	main, missing := mainRecord(types), r.countPlaced(types)
	for i, t := range types {
		name, isName := t.(string)
		if t != nil && !isName {
			return fmt.Errorf("record_types has %v", t)
		}
		var err error
		switch {
		case i == main:
			err = r.record(name, top, r.event)
		case name == "PATH":
			err = r.next(name, "paths", path)
		case name == "SOCKADDR":
			err = r.next(name, "sockaddrs", sockaddr)
		case missing[name] > 0:
			missing[name]--
			err = r.placed(name)
		default:
			err = r.next(name, "other_records", other)
		}
		if err == nil && len(r.out) > r.limit {
			err = jsontext.ErrTooLarge
		}
		if err != nil {
			return fmt.Errorf("record %d (%s): %w", i+1, name, err)
		}
	}

	for _, list := range placesOf {
		if n := len(r.lists[list]); n != r.used[list] {
			return fmt.Errorf("%s has %d objects, record_types says %d", list, n, r.used[list])
		}
	}
	return nil
}

// placesOf are the arrays of objects of records.
var placesOf = [...]string{"paths", "sockaddrs", "other_records"}

// mainRecord returns which of the records is the main one, as record.MainOf does.
func mainRecord(types []any) int {
	first := -1
	for i, t := range types {
		name, _ := t.(string)
		switch n := record.TypeNumber([]byte(name)); {
		case n == record.TypeSyscall:
			return i
		case first < 0 && !record.IsPart(n):
			first = i
		}
	}
	return first
}

// countPlaced returns how many records of some types stand in members of the event: the first of their type.
func (r *restorer) countPlaced(types []any) map[string]int {
	n := map[string]int{"CWD": 0, "PROCTITLE": 0, "EXECVE": 0, "EOE": 0}
	for _, t := range types {
		if name, _ := t.(string); slices.Contains([]string{"CWD", "PROCTITLE", "EXECVE", "EOE"}, name) {
			n[name]++
		}
	}
	for _, v := range r.lists["other_records"] {
		o, _ := v.(jsontext.Object)
		n[o.Text("type")]--
	}
	return n
}

// next rebuilds a record from the next object of an array.
func (r *restorer) next(typ, list string, l level) error {
	objects, n := r.lists[list], r.used[list]
	if n >= len(objects) {
		return fmt.Errorf("%s has no object for it", list)
	}
	r.used[list]++
	o, ok := objects[n].(jsontext.Object)
	if !ok {
		return fmt.Errorf("%s has %v", list, objects[n])
	}
	if named := o.Text("type"); l == other && named != typ {
		return fmt.Errorf("%s has one of type %q in its place", list, named)
	}
	return r.record(typ, l, o)
}

// record rebuilds a record from its object.
func (r *restorer) record(typ string, l level, o jsontext.Object) (err error) {
	if raw, ok := o.Get("raw").(string); ok {
		return r.raw(typ, raw)
	}
	r.begin(typ)
	if r.body, err = r.appendFields(r.body, l, o); err != nil {
		return err
	}
	separator := string(rune(record.Separator))
	if s, ok := o.Get("separator").(string); ok {
		separator = s
	}
	return r.end(typ, separator, o.Text("tail"))
}

// raw adds a record that is there as it came.
func (r *restorer) raw(typ, text string) error {
	if r.frame < 0 {
		text, ended := strings.CutSuffix(text, "\n")
		switch inner := strings.Contains(text, "\n"); {
		case inner && typ != "":
			return errors.New("raw has a newline in it")
		case inner: // what stood between frames and was no record
			text = strings.ReplaceAll(text, "\n", " ")
		}
		r.out = append(r.out, text...)
		if ended {
			r.out = append(r.out, '\n')
		}
		return nil
	}

	if typ == "" {
		typ = "UNKNOWN[0]"
	}
	if strings.Contains(typ, "\n") { // no type has it, and what follows would be a record
		return errors.New("there is a newline in its type")
	}

	if r.frame == 0 && !strings.HasPrefix(text, "type=") && !strings.HasPrefix(text, "node=") {
		r.out = append(append(append(r.out, "type="...), typ...), " msg="...)
	}
	r.out = append(r.out, strings.ReplaceAll(text, "\n", " ")...)
	r.out = append(r.out, '\n')
	return nil
}

// begin begins a record that is made of its parts.
func (r *restorer) begin(typ string) {
	r.typ, r.body, r.names = record.TypeNumber([]byte(typ)), r.body[:0], r.names[:0]
}

// end puts the parts together.
func (r *restorer) end(typ, separator, tail string) error {
	from := len(r.out)
	r.out = append(r.out, r.node...)
	r.out = append(append(append(r.out, "type="...), typ...), " msg=audit("...)
	r.out = append(append(r.out, r.id...), "):"...)
	if len(r.body) > 0 {
		r.out = append(append(r.out, ' '), r.body...)
	}
	if len(r.names) > 0 && r.enriched {
		r.out = append(append(r.out, separator...), r.names[1:]...)
	}
	r.out = append(r.out, tail...)

	line := r.out[from:]
	if r.frame >= 0 { // as the format string has frames
		format.BlankNewlines(line)
	}
	var rec record.Record
	var h record.HeaderReader
	switch h.Read(&rec, line); {
	case !rec.HasID() || !r.isHeader:
		return errors.New("it has no readable node, type and id, and no raw")
	case bytes.IndexByte(line, '\n') >= 0:
		return errors.New("there is a newline in it")
	}
	r.out = append(r.out, '\n')
	return nil
}

// placed rebuilds a record that stands in a member of the event.
func (r *restorer) placed(typ string) error {
	r.begin(typ)
	tail := ""
	switch typ {
	case "CWD":
		r.body = appendTextValue(append(r.body, "cwd="...), r.cwd)
	case "PROCTITLE":
		r.body = append(r.body, "proctitle="...)
		if list := r.lists["proctitle"]; list != nil {
			r.body = appendTextValue(r.body, joinTexts(list, "\x00"))
		} else {
			r.body = append(r.body, "(null)"...)
		}
	case "EXECVE":
		list := r.lists["args"]
		r.body = fmt.Appendf(r.body, "argc=%d", len(list))
		for i, a := range list {
			r.body = appendTextValue(fmt.Appendf(r.body, " a%d=", i), a)
		}
	case "EOE":
		if r.frame != 1 && !r.enriched {
			tail = " "
		}
	}
	return r.end(typ, "", tail)
}

// joinTexts puts strings together; values that are no strings are left out.
func joinTexts(list []any, separator string) string {
	var texts []string
	for _, v := range list {
		s, _ := v.(string)
		texts = append(texts, s)
	}
	return strings.Join(texts, separator)
}

// appendTextValue appends a value of the class Text as the kernel writes it.
func appendTextValue(dst []byte, v any) []byte {
	s, ok := v.(string)
	switch {
	case !ok:
		return append(dst, "(null)"...)
	case record.NeedsHex([]byte(s)):
		return fmt.Appendf(dst, "%X", s)
	}
	return append(append(append(dst, '"'), s...), '"')
}
