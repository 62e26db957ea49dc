package bundle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxDepth is how deep what is redacted is nested; what is deeper is left out.
const maxDepth = 20

// JSON redacts a value: all strings in it, and the keys that are not words of the program's.
func (r *redactor) JSON(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var plain any
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	if err := dec.Decode(&plain); err != nil {
		return nil, err
	}
	return marshal(r.value(plain, maxDepth))
}

// value redacts what JSON or TOML is made of.
func (r *redactor) value(v any, depth int) any {
	if depth == 0 {
		return "..."
	}

	switch v := v.(type) {
	case map[string]any:
		clean := make(map[string]any, len(v))
		for key, item := range v {
			switch {
			case isSecret(key):
				item = r.name("secret", "")
			case key == "filter": // of the report: the user's text, as in the configuration
				item = r.name(key, fmt.Sprint(item))
			default:
				item = r.value(item, depth-1)
			}
			clean[r.key(key)] = item
		}
		return clean
	case []map[string]any: // a TOML array of tables
		list := make([]any, 0, len(v))
		for _, item := range v {
			list = append(list, r.value(item, depth-1))
		}
		return list
	case []any:
		list := make([]any, 0, len(v))
		for _, item := range v {
			list = append(list, r.value(item, depth-1))
		}
		return list
	case string:
		return r.Text(v)
	case json.Number, int64, float64, bool, nil:
		return v
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	}
	return r.name("value", "") // of a type that neither has
}

// key keeps a key that is made of the program's words.
func (r *redactor) key(key string) string {
	if isWords(key) {
		return key
	}
	return r.name("key", key)
}

// hiddenKeys are the keys of the configuration that have the user's own texts. Not even the words in them
// stay.
var hiddenKeys = readWords("address servers url proxy args server_name name tag owner group user filter")

// config redacts a document of the configuration.
func (r *redactor) config(v any, depth int) any {
	table, ok := v.(map[string]any)
	if !ok || depth == 0 {
		return r.value(v, depth)
	}

	clean := make(map[string]any, len(table))
	for key, item := range table {
		switch {
		case key == "sinks":
			clean[key] = r.sinkTables(item, depth-1)
		case key == "rules":
			clean[key] = r.rules(item)
		case hiddenKeys[key], isSecret(key), strings.Contains(key, "header"), strings.Contains(key, "url"), strings.Contains(key, "endpoint"), strings.Contains(key, "server"):
			clean[key] = r.hidden(key, item)
		case !isWords(key): // a key that the program does not have: its value may be anything
			clean[r.key(key)] = r.name("value", "")
		default:
			clean[r.key(key)] = r.config(item, depth-1)
		}
	}
	return clean
}

// rules replaces the names of rules and hides their expressions.
func (r *redactor) rules(v any) any {
	table, ok := v.(map[string]any)
	if !ok {
		return r.hidden("rules", v)
	}
	clean := make(map[string]any, len(table))
	for name, expression := range table {
		clean[r.name("rule", name)] = r.hidden("filter", expression)
	}
	return clean
}

// sinkTables replaces the names of sinks.
func (r *redactor) sinkTables(v any, depth int) any {
	tables, ok := v.(map[string]any)
	if !ok {
		return r.value(v, depth)
	}
	clean := make(map[string]any, len(tables))
	for name, table := range tables {
		clean[r.sink(name)] = r.config(table, depth-1)
	}
	return clean
}

// sink keeps a sink's name that is a word of the program's, as "local" is.
func (r *redactor) sink(name string) string {
	if isWords(name) && r.known[strings.ToLower(name)] == "" {
		return name
	}
	return r.name("sink", name)
}

// hidden returns what a bundle shows in place of a value that the user has set.
func (r *redactor) hidden(key string, v any) any {
	switch v := v.(type) {
	case string:
		switch {
		case v == "":
			return ""
		case key == "address":
			return r.address(v)
		case key == "server_name":
			return r.host(v)
		}
		if (key == "owner" || key == "group" || key == "user") && slices.Contains(public, v) {
			return v
		}
		return r.name(kindOf(key), v)
	case []any:
		return map[string]any{"left_out": len(v)}
	}
	return r.name(key, "")
}

// kindOf is the kind of placeholder for a key's value.
func kindOf(key string) string {
	switch key {
	case "owner", "user":
		return "user"
	case "name":
		return "host"
	}
	return key
}

// address keeps the port, and whether a host is an address or a name.
func (r *redactor) address(v string) string {
	if strings.HasPrefix(v, "/") {
		return r.Path(v)
	}
	if m := hostPort().FindStringSubmatch(v); m != nil {
		return r.host(m[1]) + ":" + m[2]
	}
	return r.host(v)
}

// host is what stands before a port: an address, a name of a host even where it is a word, or a file
// with the number of a line.
func (r *redactor) host(v string) string {
	switch {
	case r.known[strings.ToLower(v)] != "":
		return r.known[strings.ToLower(v)]
	case isAddress(v):
		return r.name("addr", v)
	case strings.Contains(v, "/"):
		return r.Path(v)
	case fileName().MatchString(v) && isWords(v), slices.Contains(public, v), number().MatchString(v):
		return v
	}
	return r.name("host", v)
}
