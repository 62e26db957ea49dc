package ocsf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/audit/audittest"
)

// schemaTable is what the schema (github.com/ocsf/ocsf-schema, tag 1.8.0: dictionary.json, events/, objects/,
// profiles/, extensions/linux/) says of the classes and objects that the format uses: of each all
// attributes that are required, and those that are written. "!" is a required one, "[]" a list, the
// numbers are those of an enumeration, the words what it has to be here; "any of" is the object's own constraint at_least_one.
// It asks for more than the schema in two things: no string is empty, and profiles are there, since without them
// most classes have no actor, no device and no ids of users.
const schemaTable = `
event        class_uid! int, category_uid! int, type_uid! long, severity_id! int 0 1 2 3 4 5 6 99, time! long, metadata! metadata,
             activity_name string, status_id int 0 1 2 99, status string, status_code string, status_detail string,
             raw_data string, unmapped object
base_event 0 0         activity_id! int 0 99, actor actor, device device
file_activity 1001 1   activity_id! int 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 99, actor! actor, device! device, file! file, file_result file
process_activity 1007 1 activity_id! int 0 1 2 3 4 5 99, actor! actor, device! device, process! process, launch_type_id int 0 1 2 3 99
kernel_extension_activity 1002 1 activity_id! int 0 1 2 99, actor! actor, device! device, driver! kernel_driver
kernel_driver file! file
group_management 3006 3 activity_id! int 0 1 2 3 4 5 6 7 8 99, actor actor, device device, group! group, user user, src_endpoint network_endpoint
account_change 3001 3  activity_id! int 0 1 2 3 4 5 6 7 8 9 10 11 12 99, actor actor, device device, user! user, src_endpoint network_endpoint
authentication 3002 3  activity_id! int 0 1 2 3 4 5 6 7 99, actor actor, device device, user! user, src_endpoint network_endpoint,
             dst_endpoint network_endpoint, session session, service service, any of service dst_endpoint
network_activity 4001 4 activity_id! int 0 1 2 3 4 5 6 7 99, actor actor, device device, src_endpoint network_endpoint,
             dst_endpoint network_endpoint, connection_info network_connection_info, any of dst_endpoint src_endpoint
metadata     product! product, version! string 1.8.0, profiles! string[] host linux/linux_users, extensions extension[], log_name string, event_code string, uid string,
             original_event_uid string, sequence int, labels string[]
product      name string, vendor_name string, any of name uid
extension    name string linux, uid string 1, version! string 1.8.0, any of name uid
actor        process process, user user, any of process user invoked_by session app_name app_uid
user         name string, uid string, any of account name uid
group        name string, uid string, any of name uid
session      uid string, terminal string
service      name string, uid string, any of name uid
device       type_id! int 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 99, hostname string, name string, os os,
             any of ip uid name hostname instance_uid interface_uid interface_name
os           name! string, type_id! int 0 99 100 101 200 201 300 301 302 400 401 402
file         name! string, type_id! int 0 1 2 3 4 5 6 7 8 99, path string, uid string, owner user, hashes fingerprint[]
fingerprint  algorithm_id! int 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 99, value! string
process      pid int, name string, cmd_line string, file file, parent_process process, session session, user user, working_directory string,
             auid int, euid int, egid int, group group, any of pid uid cpid
network_endpoint ip ip, port port, hostname string, name string,
             any of ip uid name hostname svc_name instance_uid interface_uid interface_name domain
network_connection_info direction_id! int 0 1 2 3 4 99, protocol_ver_id int 0 4 6 99
`

// attribute is one of an object.
type attribute struct {
	kind     string // string, int, long, ip, port, object of any kind, or one of the schema's
	list     bool
	required bool
	values   []string
}

// shape is a class or an object.
type shape struct {
	class, category string
	attributes      map[string]attribute
	anyOf           []string
}

var schema = readSchema()

// readSchema reads schemaTable.
func readSchema() map[string]*shape {
	shapes := map[string]*shape{}
	for line := range strings.Lines(strings.ReplaceAll(strings.TrimSpace(schemaTable), "\n             ", " ")) {
		s := &shape{attributes: map[string]attribute{}}
		words := strings.Fields(line)
		shapes[words[0]] = s
		rest := words[1:]
		if rest[0][0]-'0' < 10 {
			s.class, s.category = rest[0], rest[1]
			shapes[rest[0]] = s
			rest = rest[2:]
			for name, a := range shapes["event"].attributes {
				s.attributes[name] = a
			}
		}
		for def := range strings.SplitSeq(strings.Join(rest, " "), ", ") {
			if list, ok := strings.CutPrefix(def, "any of "); ok {
				s.anyOf = strings.Fields(list)
				continue
			}
			part := strings.Fields(def)
			name, required := strings.CutSuffix(part[0], "!")
			kind, list := strings.CutSuffix(part[1], "[]")
			s.attributes[name] = attribute{kind, list, required, part[2:]}
		}
	}
	return shapes
}

// validate reads a line and holds it against the schema.
func validate(line []byte) (map[string]any, error) {
	body, err := audittest.OneLine(line)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := readStrict(d)
	if err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("more than one value")
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("no object")
	}
	s := schema[fmt.Sprint(doc["class_uid"])]
	if s == nil || s.class == "" {
		return doc, fmt.Errorf("class_uid %v", doc["class_uid"])
	}
	if got := fmt.Sprint(doc["category_uid"]); got != s.category {
		return doc, fmt.Errorf("category_uid %s of class %s", got, s.class)
	}
	class, _ := strconv.Atoi(s.class)
	activity, _ := strconv.Atoi(fmt.Sprint(doc["activity_id"]))
	if got := fmt.Sprint(doc["type_uid"]); got != strconv.Itoa(class*100+activity) {
		return doc, fmt.Errorf("type_uid %s", got)
	}
	if _, named := doc["activity_name"]; named != (activity == other) {
		return doc, fmt.Errorf("activity_name %v with activity %d", doc["activity_name"], activity)
	}
	if _, named := doc["status"]; named != (fmt.Sprint(doc["status_id"]) == "99") {
		return doc, fmt.Errorf("status %v with status_id %v", doc["status"], doc["status_id"])
	}
	return doc, s.check("", doc)
}

// readStrict reads a value in which no object has two keys that are equal but for case.
func readStrict(d *json.Decoder) (any, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('{'):
		o, seen := map[string]any{}, map[string]bool{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name := key.(string)
			if seen[strings.ToLower(name)] {
				return nil, fmt.Errorf("key %q twice", name)
			}
			seen[strings.ToLower(name)] = true
			if o[name], err = readStrict(d); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readStrict(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return tok, nil
}

// check holds an object against its shape.
func (s *shape) check(path string, o map[string]any) error {
	for name, a := range s.attributes {
		if _, there := o[name]; a.required && !there {
			return fmt.Errorf("%s.%s is required", path, name)
		}
	}
	if s.anyOf != nil && !slices.ContainsFunc(s.anyOf, func(name string) bool { return o[name] != nil }) {
		return fmt.Errorf("%s has none of %v", path, s.anyOf)
	}
	for name, v := range o {
		a, known := s.attributes[name]
		if !known {
			return fmt.Errorf("%s.%s is not in the schema", path, name)
		}
		list, isList := v.([]any)
		if isList != a.list {
			return fmt.Errorf("%s.%s is %v", path, name, v)
		}
		if !a.list {
			list = []any{v}
		}
		for _, v := range list {
			if err := a.check(path+"."+name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// check holds a value against the type of an attribute.
func (a *attribute) check(path string, v any) error {
	n, isNumber := v.(json.Number)
	i, err := strconv.ParseInt(string(n), 10, 64)
	text, isText := v.(string)
	ok := true
	switch a.kind {
	case "object":
		_, ok = v.(map[string]any)
	case "string":
		ok = isText && text != "" && (len(a.values) == 0 || slices.Contains(a.values, text))
	case "int", "long":
		ok = isNumber && err == nil && (len(a.values) == 0 || slices.Contains(a.values, string(n)))
	case "port":
		ok = isNumber && err == nil && i >= 0 && i <= 65535
	case "ip":
		ip, err := netip.ParseAddr(text)
		ok = err == nil && ip.Zone() == "" && len(text) <= 40 // max_len
	default:
		o, isObject := v.(map[string]any)
		if isObject {
			return schema[a.kind].check(path, o)
		}
		ok = false
	}
	if !ok {
		return fmt.Errorf("%s is %v, want %s %v", path, v, a.kind, a.values)
	}
	return nil
}
