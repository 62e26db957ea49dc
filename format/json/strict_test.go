package json

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// member is a member of an object that was read.
type member struct {
	key   string
	value any // string, stdjson.Number, bool, nil, object, []any
}

type members []member

func (o members) get(key string) any {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

func (o members) has(key string) bool {
	for _, m := range o {
		if m.key == key {
			return true
		}
	}
	return false
}

func (o members) text(key string) string { s, _ := o.get(key).(string); return s }

// parseStrict reads one line as JSON: valid, UTF-8, no two keys of an object that are equal
// under case folding, one newline at its end.
func parseStrict(line []byte) (members, error) {
	if !utf8.Valid(line) {
		return nil, fmt.Errorf("not UTF-8")
	}
	if n := bytes.IndexByte(line, '\n'); n != len(line)-1 {
		return nil, fmt.Errorf("newline at %d of %d", n, len(line))
	}
	if !stdjson.Valid(line) {
		return nil, fmt.Errorf("not JSON")
	}
	d := stdjson.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	v, err := readValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the object")
	}
	o, ok := v.(members)
	if !ok {
		return nil, fmt.Errorf("no object")
	}
	return o, nil
}

func readValue(d *stdjson.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case stdjson.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case stdjson.Delim('{'):
		o := members{}
		folded := map[string]bool{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			key := k.(string)
			if f := strings.ToLower(strings.ToUpper(key)); folded[f] {
				return nil, fmt.Errorf("key %q twice", key)
			} else {
				folded[f] = true
			}
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}
			o = append(o, member{key, v})
		}
		_, err := d.Token()
		return o, err
	}
	return t, nil
}

// unpercent decodes every string value below v.
func unpercent(v any) any {
	switch v := v.(type) {
	case string:
		var b []byte
		for i := 0; i < len(v); i++ {
			if v[i] != '%' {
				b = append(b, v[i])
				continue
			}
			var c byte
			if _, err := fmt.Sscanf(v[i+1:i+3], "%02x", &c); err != nil {
				panic(err)
			}
			b = append(b, c)
			i += 2
		}
		return string(b)
	case []any:
		for i := range v {
			v[i] = unpercent(v[i])
		}
	case members:
		for i := range v {
			v[i].value = unpercent(v[i].value)
		}
	}
	return v
}
