package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// document is a TOML file while it is turned into a Config: it collects what
// is wrong instead of stopping at the first error.
type document struct {
	file  string
	lines *keyLines
	errs  Errors
	warns []string
	// badSinks names the sinks that have an error; "" stands for all of them.
	badSinks map[string]bool
}

// parseDocument reads TOML. What is wrong with the syntax is the one error in
// the result.
func parseDocument(file string, data []byte) (*document, map[string]any, error) {
	lines, bad := findLines(file, string(data))
	if bad != nil {
		return nil, nil, Errors{bad}
	}
	var root map[string]any
	if _, err := toml.Decode(string(data), &root); err != nil {
		e := &Error{File: file, Msg: err.Error()}
		if pe, ok := err.(toml.ParseError); ok {
			e.Line, e.Msg = pe.Position.Line, "not valid TOML: "+pe.Message
		}
		return nil, nil, Errors{e}
	}
	return &document{file: file, lines: lines, badSinks: map[string]bool{}}, root, nil
}

func (d *document) errorf(key toml.Key, format string, args ...any) {
	d.errs = append(d.errs, &Error{
		File: d.file,
		Line: d.lines.of(key...),
		Key:  key.String(),
		Msg:  fmt.Sprintf(format, args...),
	})
	switch {
	case len(key) == 0 || key[0] != "sinks":
	case len(key) == 1:
		d.badSinks[""] = true
	default:
		d.badSinks[key[1]] = true
	}
}

func (d *document) warnf(key toml.Key, format string, args ...any) {
	e := Error{File: d.file, Line: d.lines.of(key...), Key: key.String(), Msg: fmt.Sprintf(format, args...)}
	d.warns = append(d.warns, e.Error())
}

// table gives typed access to one TOML table. Each getter leaves its target
// alone when the key is absent or wrong, so that targets hold the defaults,
// and notes the key as one that is allowed.
type table struct {
	doc   *document
	path  toml.Key
	vals  map[string]any
	known []string
}

// key gives the full path of a key of the table.
func (t *table) key(name string) toml.Key {
	return append(slices.Clone(t.path), name)
}

// get gives the value of a key, its TOML type being T.
func get[T any](t *table, name, want string) (T, bool) {
	t.known = append(t.known, name)
	raw, there := t.vals[name]
	val, ok := raw.(T)
	if there && !ok {
		t.doc.errorf(t.key(name), "is %s, must be %s", typeName(raw), want)
	}
	return val, ok
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	default:
		return "a date or time"
	}
}

// str reads a string that check, if any, has no objection to.
func (t *table) str(name string, dst *string, check func(string) error) {
	val, ok := get[string](t, name, "a string")
	if !ok {
		return
	}
	if check != nil {
		if err := check(val); err != nil {
			t.doc.errorf(t.key(name), "%v", err)
			return
		}
	}
	*dst = val
}

// required reports a key that has no default and is not there.
func (t *table) required(name, what string) {
	if _, there := t.vals[name]; !there {
		t.doc.errorf(t.path, "%s is missing, must be %s", name, what)
	}
}

// oneOf reads a string that is one of the words.
func (t *table) oneOf(name string, dst *string, words ...string) {
	t.str(name, dst, func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("%q is not allowed, must be %s", s, quoted(words))
	})
}

func (t *table) boolean(name string, dst *bool) {
	if val, ok := get[bool](t, name, "true or false"); ok {
		*dst = val
	}
}

// integer reads a number within bounds, both included.
func (t *table) integer(name string, dst *int, low, high int) {
	want := fmt.Sprintf("an integer from %d to %d", low, high)
	val, ok := get[int64](t, name, want)
	switch {
	case !ok:
	case val < int64(low) || val > int64(high):
		t.doc.errorf(t.key(name), "%d is out of range, must be %s", val, want)
	default:
		*dst = int(val)
	}
}

// size reads a Size from low to maxSize; with zero, 0 is allowed too.
func (t *table) size(name string, dst *Size, low Size, zero bool) {
	var val Size
	var err error
	if n, isInt := t.vals[name].(int64); isInt {
		t.known = append(t.known, name)
		if val = Size(n); n < 0 {
			err = errSize
		}
	} else {
		text, ok := get[string](t, name, `a size like "64MiB" or a number of bytes`)
		if !ok {
			return
		}
		val, err = parseSize(text)
	}
	switch {
	case err != nil:
		t.doc.errorf(t.key(name), "%v %v", quoteValue(t.vals[name]), err)
	case val < low && !(zero && val == 0):
		t.doc.errorf(t.key(name), "%v is too small, must be %sat least %q", quoteValue(t.vals[name]), map[bool]string{true: `"0" or `}[zero], low.String())
	case val > maxSize:
		t.doc.errorf(t.key(name), "%v is too large, must be at most %q", quoteValue(t.vals[name]), maxSize.String())
	default:
		*dst = val
	}
}

func quoteValue(v any) string {
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(v)
}

// mode reads permission bits.
func (t *table) mode(name string, dst *uint32) {
	text, ok := get[string](t, name, `octal digits in quotes like "0660"`)
	if !ok {
		return
	}
	val, err := parseMode(text)
	if err != nil {
		t.doc.errorf(t.key(name), "%v", err)
		return
	}
	*dst = val
}

// list reads an array whose members are all of type T and pass the check.
func list[T any](t *table, name, want string, check func(T) error) ([]T, bool) {
	vals, ok := get[[]any](t, name, "an array: "+want)
	if !ok {
		return nil, false
	}
	var out []T // stays nil for an empty array, as in the defaults
	for i, raw := range vals {
		val, ok := raw.(T)
		if !ok {
			t.doc.errorf(t.key(name), "member %d is %s, must be %s", i+1, typeName(raw), want)
			return nil, false
		}
		if err := check(val); err != nil {
			t.doc.errorf(t.key(name), "member %d: %v", i+1, err)
			return nil, false
		}
		out = append(out, val)
	}
	return out, true
}

// uids reads an array of user ids.
func (t *table) uids(name string, dst *[]int) {
	vals, ok := list(t, name, "user ids", func(n int64) error {
		if n < 0 || n > maxUID || n > math.MaxInt {
			return fmt.Errorf("%d is not a user id, must be 0 to %d", n, int64(maxUID))
		}
		return nil
	})
	if !ok {
		return
	}
	*dst = nil
	for _, n := range vals {
		*dst = append(*dst, int(n))
	}
}

// table gives a table inside this one, or nil when there is none.
func (t *table) table(name string) *table {
	vals, ok := get[map[string]any](t, name, "a table")
	if !ok {
		return nil
	}
	return &table{doc: t.doc, path: t.key(name), vals: vals}
}

// finish reports every key that no getter asked for. elsewhere says what is
// wrong with a key that exists, but not here; it may be nil.
func (t *table) finish(elsewhere func(name string) string) {
	slices.Sort(t.known)
	for _, name := range slices.Sorted(maps.Keys(t.vals)) {
		if slices.Contains(t.known, name) {
			continue
		}
		msg := "unknown key"
		if guess := nearest(name, t.known); guess != "" {
			msg += fmt.Sprintf(", did you mean %q?", guess)
		}
		if elsewhere != nil {
			if why := elsewhere(name); why != "" {
				msg = why
			}
		}
		t.doc.errorf(t.key(name), "%s; allowed: %s", msg, strings.Join(t.known, ", "))
	}
}
