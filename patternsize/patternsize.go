// Package patternsize estimates how large regular expressions become when they are compiled.
package patternsize

import "regexp/syntax"

// Of estimates the instructions of an expression, as syntax.Parse returns it, limit+1 where there are more than limit. Package
// regexp writes repetitions out when it compiles: whoever takes expressions from others asks before that.
func Of(re *syntax.Regexp, limit int) int {
	n := 1 + len(re.Rune)/2
	for _, sub := range re.Sub {
		n = min(n+Of(sub, limit), limit+1)
	}
	if re.Op == syntax.OpRepeat {
		n = min(n*max(re.Min, re.Max, 1), limit+1)
	}
	return n
}
