package ecs

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The numbers of keys are in the order of their names, and each is found by its name: at the end of the
// memory that it lies in, and in front of something else.
func TestKeysAreFoundByTheirNames(t *testing.T) {
	keys := tables().keys
	if names := keyNames[other+1:]; !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("not in their order, or twice: %q", names)
	}
	for k := other + 1; k < keyCount; k++ {
		name := keyNames[k]
		if !plainKey([]byte(name)) {
			t.Errorf("%s cannot be a key of auditd.data", name)
		}
		upper := strings.ToUpper(name)
		for _, after := range []string{"", "=", "=value of some length"} {
			text, capitals := []byte(name+after), []byte(upper+after)
			if got := keys.names.find(text[:len(name)]); got != k {
				t.Errorf("%s followed by %q is %q", name, after, keyNames[got])
			}
			if got := keys.capitals.find(capitals[:len(name)]); got != k {
				t.Errorf("%s followed by %q is %q", upper, after, keyNames[got])
			}
		}
	}
}

// What is in no table is other.
func TestOtherNamesAreOther(t *testing.T) {
	known := slices.Clone(keyNames[other+1:])
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringMatching(`[a-z0-9_-]{0,20}`), rapid.Custom(func(t *rapid.T) string {
			name := []byte(rapid.SampledFrom(known).Draw(t, "name") + "\x00"[:rapid.IntRange(0, 1).Draw(t, "NUL")])
			name[rapid.IntRange(0, len(name)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			return string(name[:rapid.IntRange(0, len(name)).Draw(t, "length")])
		})).Draw(t, "name")
		want := slices.Contains(known, name)
		if got := tables().keys.find(name); (got != other) != want || (want && keyNames[got] != name) {
			t.Errorf("%q is %q", name, keyNames[got])
		}
	})
}

// Members are those that a map has, and are written in the order of their names.
func TestMembersAreAMap(t *testing.T) {
	names := rapid.SampledFrom(append([]string{"zz", "a", "aa", "_", "key2", "-", "m1", "m2"}, keyNames[keyOp:]...))
	rapid.Check(t, func(t *rapid.T) {
		e, want := New(Options{}), map[string]string{}
		for step := range rapid.IntRange(0, 60).Draw(t, "steps") {
			name, val := names.Draw(t, "name"), strconv.Itoa(step)
			k := e.known.keys.find(name)
			if k != other && rapid.IntRange(0, 3).Draw(t, "drop") == 0 {
				e.data.drop(k)
				delete(want, name)
				continue
			}
			_, isThere := want[name]
			if put := e.putNew(&e.data, k, name, val); put == isThere {
				t.Fatalf("put of %s: %v", name, put)
			}
			if !isThere {
				want[name] = val
			}
		}

		for k := other + 1; k < keyCount; k++ {
			got, ok := e.get(&e.data, k)
			if val, isThere := want[keyNames[k]]; got != val || ok != isThere {
				t.Errorf("%s is %q", keyNames[k], got)
			}
		}
		text := "{"
		for _, name := range slices.Sorted(maps.Keys(want)) {
			text += `"` + name + `":"` + want[name] + `",`
		}
		e.w.Buf = []byte("{")
		e.writeMembers(&e.data, keySet{})
		if got := string(e.w.Buf); got != strings.TrimSuffix(text, ",") || e.data.n != len(want) {
			t.Errorf("%d members %s, want %s", e.data.n, got, text)
		}
	})
}
