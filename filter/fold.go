package filter

import "strings"

// Upper and lower case are the same to what searches with fold: of ASCII's letters. All other bytes, and so the letters of
// other alphabets, have to be equal: a record's text need not be UTF-8.

// searchMode is where in a text a word has to stand.
type searchMode uint8

const (
	within searchMode = iota
	atStart
	atEnd
	whole
)

// searchModes are those of operators and helpers.
var searchModes = map[string]searchMode{
	"contains": within, "startsWith": atStart, "endsWith": atEnd,
	"icontains": within, "istarts": atStart, "iends": atEnd, "iequals": whole,
}

// search looks for any of some words in a text.
type search struct {
	mode  searchMode
	exact bool     // upper and lower case differ
	words []string // folded unless exact
}

// in reports whether the text has one of the words.
func (s *search) in(text string) bool {
	for _, w := range s.words {
		if s.finds(text, w) {
			return true
		}
	}
	return false
}

func (s *search) finds(text, word string) bool {
	if len(text) < len(word) {
		return false
	}
	equal := equalFold
	if s.exact {
		equal = func(text, word string) bool { return text == word }
	}

	switch {
	case s.mode == whole:
		return len(text) == len(word) && equal(text, word)
	case s.mode == atStart:
		return equal(text[:len(word)], word)
	case s.mode == atEnd:
		return equal(text[len(text)-len(word):], word)
	case s.exact:
		return strings.Contains(text, word)
	}
	return containsFold(text, word)
}

// containsFold reports whether text contains a folded word.
func containsFold(text, word string) bool {
	for at := 0; at+len(word) <= len(text); at++ {
		if word == "" || (foldByte(text[at]) == word[0] && equalFold(text[at:at+len(word)], word)) {
			return true
		}
	}
	return false
}

// equalFold reports whether text, which is as long as a folded word, is that word.
func equalFold(text, word string) bool {
	for i := 0; i < len(word); i++ {
		if text[i] != word[i] && foldByte(text[i]) != word[i] {
			return false
		}
	}
	return true
}

func foldByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// foldText returns a text with ASCII's letters in lower case.
func foldText(s string) string {
	out := []byte(s)
	for i, c := range out {
		out[i] = foldByte(c)
	}
	return string(out)
}
