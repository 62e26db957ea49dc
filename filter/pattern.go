package filter

import (
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	"audisp-relay/patternsize"
)

// Limits of a regular expression. Matching takes at most some multiple of pattern
// size times text length, so the size is what has to be bounded.
const (
	maxPattern      = 4096 // bytes
	maxInstructions = 5000
)

// maxSteps bounds the instructions of all regular expressions that are compiled together.
const maxSteps = 200_000

// regex is a compiled regular expression.
type regex struct {
	*regexp.Regexp
	steps int // its instructions, as estimated
	least int // bytes of the shortest text that it matches, or fewer
	// words are such that each text that it matches has one of them, upper and lower case being the same; nil: there are none.
	words []string
}

// matches reports whether it matches some part of a text.
func (re *regex) matches(text string) bool { return len(text) >= re.least && re.MatchString(text) }

// compilePattern compiles a regular expression of bounded size. message is empty when
// it could.
func compilePattern(text string) (re regex, message string) {
	if len(text) > maxPattern {
		return re, "the regular expression is too long"
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return re, oneLine(err.Error())
	}
	if re.steps = patternsize.Of(parsed, maxInstructions); re.steps > maxInstructions {
		return re, "the regular expression is too large: its repetitions multiply"
	}
	re.Regexp, err = regexp.Compile(text)
	if err != nil {
		return re, oneLine(err.Error())
	}
	re.least, re.words = shortestMatch(parsed), neededWords(parsed)
	return re, ""
}

// shortestMatch returns how many characters a match has at least. Each has a byte or more.
func shortestMatch(re *syntax.Regexp) (n int) {
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n = 1
	case syntax.OpCapture, syntax.OpPlus:
		n = shortestMatch(re.Sub[0])
	case syntax.OpRepeat:
		n = re.Min * shortestMatch(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			n += shortestMatch(sub)
		}
	case syntax.OpAlternate:
		n = shortestMatch(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, shortestMatch(sub))
		}
	}
	return n
}

// Bounds of the words that a regular expression needs.
const (
	minNeeded = 3  // letters: shorter ones are in most texts
	maxNeeded = 32 // alternatives
)

// neededWords returns words of which each text that re matches has one; nil when it needs none that is long enough.
func neededWords(re *syntax.Regexp) (words []string) {
	switch re.Op {
	case syntax.OpLiteral:
		return literalWords(re)
	case syntax.OpCapture, syntax.OpPlus:
		return neededWords(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return neededWords(re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if w := neededWords(sub); w != nil && (words == nil || shortest(w) > shortest(words)) {
				words = w
			}
		}
		return words
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			w := neededWords(sub)
			if w == nil || len(words)+len(w) > maxNeeded {
				return nil
			}
			words = append(words, w...)
		}
		return words
	}
	return nil
}

// literalWords returns the longest piece of a literal whose letters have no other case than that of ASCII: with (?i) a k
// may be the sign of Kelvin, and an s the long one.
func literalWords(re *syntax.Regexp) []string {
	best, from := "", 0
	text := string(re.Rune)
	note := func(to int) {
		if to-from > len(best) {
			best = text[from:to]
		}
	}
	fold := re.Flags&syntax.FoldCase != 0
	for at, r := range text {
		// What is no UTF-8 matches as RuneError does, whatever it is.
		if r == utf8.RuneError || (fold && (r >= utf8.RuneSelf || r|0x20 == 'k' || r|0x20 == 's')) {
			note(at)
			from = at + utf8.RuneLen(r)
		}
	}

	if note(len(text)); len(best) < minNeeded {
		return nil
	}
	return []string{foldText(best)}
}

func shortest(words []string) int {
	n := len(words[0])
	for _, w := range words {
		n = min(n, len(w))
	}
	return n
}
