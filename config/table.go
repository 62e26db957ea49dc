package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"audisp-relay/filter"
	"audisp-relay/suggest"
)

// document is a TOML file while it is turned into a Config: it collects what
// is wrong instead of stopping at the first error.
type document struct {
	file  string
	lines keyLines
	errs  Errors
	warns []string
	// stateDir is the key state_dir, which some sinks need.
	stateDir string
	// rules are those that filters can ask for.
	rules *filter.RuleSet
	// asksProcesses says that a filter or a rule asks who has started a process.
	asksProcesses bool
	// labels are those that processes get.
	labels []string
	// badSinks names the sinks that have an error; "" means all of them.
	badSinks map[string]bool
	// global are the keys in front of all tables, nil until they are needed.
	global []string
}

// parseDocument reads TOML. What is wrong with the syntax is the one error in
// the result.
func parseDocument(file string, data []byte) (*document, map[string]any, Errors) {
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

// Table gives typed access to one TOML table. Each getter leaves its target
// alone when the key is absent or wrong, so that targets hold the defaults,
// and notes the key as one that is allowed.
type Table struct {
	doc   *document
	path  toml.Key
	vals  map[string]any
	known []string
}

// key gives the full path of a key of the table.
func (t *Table) key(name string) toml.Key {
	return append(slices.Clone(t.path), name)
}

// get gives the value of a key, its TOML type being T.
func get[T any](t *Table, name, want string) (T, bool) {
	t.known = append(t.known, name)
	raw, there := t.vals[name]
	val, ok := raw.(T)
	if there && !ok {
		t.Errorf(name, "is %s, must be %s", typeName(raw), want)
	}
	return val, ok
}

// Has reports whether the key is there.
func (t *Table) Has(name string) bool {
	_, there := t.vals[name]
	return there
}

// Empty reports whether a key is absent or "".
func (t *Table) Empty(name string) bool { return !t.Has(name) || t.vals[name] == "" }

// Quoted returns the value of a key as messages show it.
func (t *Table) Quoted(name string) string {
	if s, ok := t.vals[name].(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(t.vals[name])
}

// Errorf reports what is wrong with a key.
func (t *Table) Errorf(name, format string, args ...any) { t.doc.errorf(t.key(name), format, args...) }

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

// Str reads a string that check, if any, has no objection to.
func (t *Table) Str(name string, dst *string, check func(string) error) {
	t.word(name, "a string", dst, check)
}

// word is Str for what has a form of its own, which want names.
func (t *Table) word(name, want string, dst *string, check func(string) error) {
	val, ok := get[string](t, name, want)
	if !ok {
		return
	}
	if check != nil {
		if err := check(val); err != nil {
			t.Errorf(name, "%v", err)
			return
		}
	}
	*dst = val
}

// dir is Str for a directory, which may end with a slash.
func (t *Table) dir(name string, dst *string, check func(string) error) {
	if t.Str(name, dst, check); *dst != "" {
		*dst = filepath.Clean(*dst)
	}
}

// Required reports a key that has no default and is not there.
func (t *Table) Required(name, what string) {
	if !t.Has(name) {
		t.doc.errorf(t.path, "%s is missing, must be %s", name, what)
	}
}

// OneOf reads a string that is one of the words.
func (t *Table) OneOf(name string, dst *string, words ...string) {
	t.word(name, quoted(words), dst, OneOf(words...))
}

func (t *Table) Boolean(name string, dst *bool) {
	if val, ok := get[bool](t, name, "true or false"); ok {
		*dst = val
	}
}

// Integer reads a number within bounds, both included.
func (t *Table) Integer(name string, dst *int, low, high int) {
	want := fmt.Sprintf("an integer from %d to %d", low, high)
	val, ok := get[int64](t, name, want)
	switch {
	case !ok:
	case val < int64(low) || val > int64(high):
		t.Errorf(name, "%d is out of range, must be %s", val, want)
	default:
		*dst = int(val)
	}
}

// Size reads a Size from low to maxSize.
func (t *Table) Size(name string, dst *Size, low Size) { t.size(name, dst, low, false) }

// SizeOrZero reads a Size that is 0, or from low to maxSize.
func (t *Table) SizeOrZero(name string, dst *Size, low Size) { t.size(name, dst, low, true) }

func (t *Table) size(name string, dst *Size, low Size, zero bool) {
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
		t.Errorf(name, "%v %v", t.Quoted(name), err)
	case val < low && !(zero && val == 0):
		t.Errorf(name, "%v is too small, must be %sat least %q", t.Quoted(name), map[bool]string{true: `"0" or `}[zero], low.String())
	case val > maxSize:
		t.Errorf(name, "%v is too large, must be at most %q", t.Quoted(name), maxSize.String())
	default:
		*dst = val
	}
}

// Mode reads permission bits.
func (t *Table) Mode(name string, dst *uint32) {
	text, ok := get[string](t, name, `octal digits in quotes like "0660"`)
	if !ok {
		return
	}
	val, err := parseMode(text)
	if err != nil {
		t.Errorf(name, "%v", err)
		return
	}
	*dst = val
}

// list reads an array whose members are all of type T and pass the check; each is a want.
func list[T any](t *Table, name, want string, check func(T) error) ([]T, bool) {
	vals, ok := get[[]any](t, name, "an array of "+want+"s")
	if !ok {
		return nil, false
	}
	var out []T // stays nil for an empty array, as in the defaults
	for i, raw := range vals {
		val, ok := raw.(T)
		if !ok {
			t.Errorf(name, "member %d is %s, must be a %s", i+1, typeName(raw), want)
			return nil, false
		}
		if err := check(val); err != nil {
			t.Errorf(name, "member %d: %v", i+1, err)
			return nil, false
		}
		out = append(out, val)
	}
	return out, true
}

// Strings reads what execve can pass on as arguments.
func (t *Table) Strings(name string, dst *[]string) {
	vals, ok := list(t, name, "string", func(s string) error {
		if strings.ContainsRune(s, 0) {
			return errors.New("must not hold a NUL byte")
		}
		return nil
	})
	if ok {
		*dst = vals
	}
}

// Paths reads a table of files that have values: absolute paths under names that check has no
// objection to.
func (t *Table) Paths(name string, dst *map[string]string, check func(name string) error) {
	inner := t.table(name)
	if inner == nil {
		return
	}
	paths := make(map[string]string)
	for _, key := range slices.Sorted(maps.Keys(inner.vals)) {
		path := ""
		if err := check(key); err != nil {
			inner.Errorf(key, "%v", err)
		} else if inner.Str(key, &path, SecretPath); path != "" {
			paths[key] = path
		}
	}
	if len(paths) > 0 { // else it stays nil, as in the defaults
		*dst = paths
	}
}

// StateDir returns the configuration's state_dir.
func (t *Table) StateDir() string { return t.doc.stateDir }

// UIDs reads an array of user ids.
func (t *Table) UIDs(name string, dst *[]int) {
	vals, ok := list(t, name, "user id", func(n int64) error {
		if n < 0 || n > maxUID || n > math.MaxInt {
			return fmt.Errorf("%d is not a user id, must be 0 to %d", n, min(int64(maxUID), math.MaxInt))
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
func (t *Table) table(name string) *Table {
	vals, ok := get[map[string]any](t, name, "a table")
	if !ok {
		return nil
	}
	return &Table{doc: t.doc, path: t.key(name), vals: vals}
}

// within has read take all keys of a table inside this one, where there is one.
func (t *Table) within(name string, read func(*Table)) {
	if inner := t.table(name); inner != nil {
		read(inner)
		inner.finish(nil)
	}
}

// isGlobal reports whether a key with a value may stand in front of all tables.
func (d *document) isGlobal(name string) bool {
	if d.global == nil {
		t := &Table{doc: new(document)}
		t.globals(globals())
		d.global = slices.DeleteFunc(t.known, func(name string) bool {
			return slices.Contains([]string{"spool", "recovery", "log", "metrics", "process_labels"}, name) // tables themselves
		})
	}
	return slices.Contains(d.global, name)
}

// maxUnknown is how many unknown keys of a table are reported one by one. There may be a hundred thousand: each would be a line of the
// log, and to find what was meant takes a while for each.
const maxUnknown = 20

// finish reports every key that no getter asked for. elsewhere says what is
// wrong with a key and its value that have their place, but not here; it may be nil.
func (t *Table) finish(elsewhere func(name string, val any) string) {
	slices.Sort(t.known)
	unknown := slices.DeleteFunc(slices.Sorted(maps.Keys(t.vals)), func(name string) bool { return slices.Contains(t.known, name) })
	more := max(len(unknown)-maxUnknown, 0)
	if more > 0 {
		unknown = unknown[:maxUnknown]
	}

	for _, name := range unknown {
		msg := "unknown key"
		if guess := suggest.Nearest(name, t.known); guess != "" {
			msg += fmt.Sprintf(", did you mean %q?", guess)
		}
		why := ""
		if elsewhere != nil {
			why = elsewhere(name, t.vals[name])
		}
		if why == "" && len(t.path) > 0 && t.doc.isGlobal(name) {
			why = "is a key of the whole file: put it in front of the first table"
		}
		msg = cmp.Or(why, msg)
		t.Errorf(name, "%s; allowed: %s", msg, strings.Join(t.known, ", "))
	}
	if more > 0 {
		t.doc.errorf(t.path, "has %d more unknown keys", more)
	}
}
