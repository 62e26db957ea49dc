package filter

import (
	"regexp"
	"regexp/syntax"
)

// Limits of a regular expression. Matching takes at most some multiple of pattern
// size times text length, so the size is what has to be bounded.
const (
	maxPattern      = 4096 // bytes
	maxInstructions = 5000
)

// compilePattern compiles a regular expression of bounded size. message is empty when
// it could.
func compilePattern(text string) (re *regexp.Regexp, message string) {
	if len(text) > maxPattern {
		return nil, "the regular expression is too long"
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, oneLine(err.Error())
	}
	// Repetitions are written out when they are compiled: count before.
	if instructions(parsed) > maxInstructions {
		return nil, "the regular expression is too large: its repetitions multiply"
	}
	re, err = regexp.Compile(text)
	if err != nil {
		return nil, oneLine(err.Error())
	}
	return re, ""
}

// instructions estimates the size of the compiled program.
func instructions(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)/2
	for _, sub := range re.Sub {
		n = min(n+instructions(sub), maxInstructions+1)
	}
	if re.Op == syntax.OpRepeat {
		n = min(n*max(re.Min, re.Max, 1), maxInstructions+1)
	}
	return n
}
