package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Object is a JSON object whose members are in their order.
type Object []Member

// Member is one of an Object. Its Value is a string, json.Number, bool, nil, Object or []any of these.
type Member struct {
	Key   string
	Value any
}

// MaxRecords is how many bytes the records that are made of one event may have together: far more than an event has
// (event.DefaultMaxEventBytes). A name in front of each of many records makes of a line of a few MiB what no memory holds.
const MaxRecords = 16 << 20

// ErrTooLarge: the records of an event would have more than MaxRecords bytes.
var ErrTooLarge = fmt.Errorf("its records have more than %d bytes", MaxRecords)

// maxDepth is how many objects and arrays may be in each other: those of events are four.
const maxDepth = 16

// Parse reads a line that is one JSON object and nothing else. Of two members of one name Get has the first.
func Parse(line []byte) (Object, error) {
	if !utf8.Valid(line) { // the decoder would put another character there
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	o, ok := v.(Object)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON object")
	}
	return o, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	tok, err := nextToken(d)
	if err != nil {
		return nil, err
	}
	bracket, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	if depth == maxDepth {
		return nil, fmt.Errorf("more than %d objects and arrays in each other", maxDepth)
	}

	var o Object
	var list []any
	for d.More() {
		key := ""
		if bracket == '{' {
			if tok, err = nextToken(d); err != nil {
				return nil, err
			}
			key, _ = tok.(string)
		}
		v, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		if bracket == '{' {
			o = append(o, Member{key, v})
		} else {
			list = append(list, v)
		}
	}
	if _, err := nextToken(d); err != nil { // the closing one
		return nil, err
	}
	if bracket == '{' {
		return o, nil
	}
	return list, nil
}

// nextToken returns the next token of a value that is not at its end.
func nextToken(d *json.Decoder) (json.Token, error) {
	tok, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return tok, err
}

// Get returns the value of a member, nil without.
func (o Object) Get(key string) any {
	for i := range o {
		if o[i].Key == key {
			return o[i].Value
		}
	}
	return nil
}

// Has reports whether there is a member of that name.
func (o Object) Has(key string) bool {
	for i := range o {
		if o[i].Key == key {
			return true
		}
	}
	return false
}

// Text returns the value of a member that is a string, "" without.
func (o Object) Text(key string) string {
	s, _ := o.Get(key).(string)
	return s
}

// List returns the value of a member that is an array, nil without.
func (o Object) List(key string) []any {
	list, _ := o.Get(key).([]any)
	return list
}

// Unpercent undoes in all strings of v what AppendString with percent has done: %xx is a byte. It changes v.
func Unpercent(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return unpercent(v)
	case []any:
		for i := range v {
			item, err := Unpercent(v[i])
			if err != nil {
				return nil, err
			}
			v[i] = item
		}
		return v, nil
	case Object:
		for i := range v {
			value, err := Unpercent(v[i].Value)
			if err != nil {
				return nil, err
			}
			v[i].Value = value
		}
		return v, nil
	}
	return v, nil
}

func unpercent(s string) (any, error) {
	k := strings.IndexByte(s, '%')
	if k < 0 {
		return s, nil
	}
	out := append(make([]byte, 0, len(s)), s[:k]...)
	for ; k < len(s); k++ {
		if s[k] != '%' {
			out = append(out, s[k])
			continue
		}
		octet, err := strconv.ParseUint(s[min(k+1, len(s)):min(k+3, len(s))], 16, 8)
		if err != nil || k+2 >= len(s) {
			return nil, fmt.Errorf("%.20q is not percent-encoded", s[k:])
		}
		out = append(out, byte(octet))
		k += 2
	}
	return string(out), nil
}
