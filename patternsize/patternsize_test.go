package patternsize

import (
	"regexp/syntax"
	"strings"
	"testing"
)

// TestOf: repetitions count as often as they are written out, and multiply, up to the limit.
func TestOf(t *testing.T) {
	const limit = 1000
	for expr, want := range map[string][2]int{ // the least and the most
		"":                        {1, 1},
		"abc":                     {1, 4},
		"a{100}":                  {100, 200},
		"(a{10}){10}":             {100, 400},
		"(a{30}){30}b":            {900, limit + 1},
		"(a{1000}|b{1000})":       {limit + 1, limit + 1},
		strings.Repeat("(a)", 99): {99, 400},
	} {
		re, err := syntax.Parse(expr, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if n := Of(re, limit); n < want[0] || n > want[1] {
			t.Errorf("%.20s: %d, want %d to %d", expr, n, want[0], want[1])
		}
	}
}
