package config

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// TestLineOfEveryKeyIsFound marks every key's own line with a comment "@path".
func TestLineOfEveryKeyIsFound(t *testing.T) {
	text := `a = 1 #@a
"b" = """
c = 1
[d]
\""" x = 2
""""" #-
b2 = 3 #@b2
'b.3' . "c\u0064" = '''
''c = 1''' #-
[ t . 'u' ] #@t.u
x.y = [ # [no]
  "]", # x = 1
  '''
  ]''', { in = 1, # }
  more = 2, }
] #-
z = { p = "}", q.r = [1, 2] , 's' = 5 } #@t.u.z
e = 07:32:00 #@t.u.e
f = 1979-05-27 07:32:00Z#@t.u.f

[[l]] #@l
n = 1 #@l.n
[[l]]
n = 2
m = 3 #@l.m
[s.k.v]
[s.k] #@s.k
[s] #@s
` + "\r\n\tlast = 'x' #@s.last\r\n"
	keys, bad := findLines("t", text)
	if bad != nil {
		t.Fatal(bad)
	}
	var md toml.MetaData
	var root map[string]any
	md, err := toml.Decode(text, &root)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range md.Keys() {
		if _, ok := keys[pathOf(key)]; !ok {
			t.Errorf("%v: no line", key)
		}
	}
	for n, line := range strings.Split(text, "\n") {
		if _, path, ok := strings.Cut(strings.TrimSpace(line), "#@"); ok {
			if got := keys.of(strings.Split(path, ".")...); got != n+1 {
				t.Errorf("%s: line %d, want %d", path, got, n+1)
			}
		}
	}
	for _, row := range []struct {
		line int
		key  []string
	}{
		{2, []string{"b"}}, {8, []string{"b.3", "cd"}}, {11, []string{"t", "u", "x", "y"}},
		{14, []string{"t", "u", "x", "y", "in"}}, {15, []string{"t", "u", "x", "y", "more"}},
		{17, []string{"t", "u", "z", "q", "r"}}, {17, []string{"t", "u", "z", "s"}},
		{10, []string{"t", "u", "absent", "deep"}}, {10, []string{"t"}}, {0, []string{"absent"}},
	} {
		if got := keys.of(row.key...); got != row.line {
			t.Errorf("%q: line %d, want %d", row.key, got, row.line)
		}
	}
}

// TestQuotesThatOpenNothing: on hostile text the scanner's work grows with its length, not with
// the square of it. If it did, these would take hours.
func TestQuotesThatOpenNothing(t *testing.T) {
	const size = 1 << 20
	pieces := []string{`\"`, `\'`, "a = b\\\"\"\"\n", "a = b'''\n", `"`, `"""`, `'''`, `= "\`, `["""`, "a\"b\n", `"" `, `""""`}
	for _, piece := range pieces {
		for _, begin := range []string{"", "x = y", "x = [", "[", "x = {"} {
			findLines("t.toml", begin+strings.Repeat(piece, size/len(piece)))
		}
	}
}
