package sigma

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Section writes rules as the table [rules] of the relay's configuration.
type Section struct {
	used map[string]int // names, and how many rules wanted to have each
	text strings.Builder
}

// maxName is the most bytes that the configuration allows the name of a rule.
const maxName = 120

// Add adds a rule that has an expression. file is where it comes from; it names a rule without a title.
func (s *Section) Add(r Rule, file string) {
	if s.used == nil {
		s.used = make(map[string]int)
		s.text.WriteString("[rules]\n")
	}
	name := s.free(nameOf(r.Title))
	comment := printable(strings.Join(strings.Fields(file+" "+r.ID+" "+r.Level), " "))
	fmt.Fprintf(&s.text, "# %s\n%s = %s\n", comment, quoteTOML(name), quoteTOML(r.Expr))
}

// String returns the table, "" where nothing was added.
func (s *Section) String() string { return s.text.String() }

// free returns a name that no rule has: a title may be there twice.
func (s *Section) free(name string) string {
	unique := name
	for s.used[unique] > 0 {
		s.used[name]++
		unique = fmt.Sprintf("%s (%d)", name, s.used[name])
	}
	s.used[unique] = 1
	return unique
}

// nameOf returns a title as the name of a rule, with room for a number.
func nameOf(title string) string {
	name := strings.TrimSpace(printable(title))
	const room = len(" (1000000)")
	for len(name) > maxName-room {
		_, size := utf8.DecodeLastRuneInString(name)
		name = strings.TrimSpace(name[:len(name)-size])
	}
	if name == "" {
		return "untitled"
	}
	return name
}

// printable replaces what may drive a terminal or end a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// quoteTOML returns a text without control characters as a string of TOML: as it is, if it can be.
func quoteTOML(s string) string {
	if !strings.Contains(s, "'") {
		return "'" + s + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
