package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// The TOML library says at which line the syntax is wrong, but not where a key
// that it could read stands. keyLines finds that out with one pass over the
// text. It knows just enough of TOML 1.0 and 1.1 to separate keys from values; on
// text that is not TOML it stops where it is lost, at or before the place
// where the library will.
//
// It also is the guard in front of the library, which takes quadratic time
// for deep paths (half a minute for 64 KB of nested inline tables) and keeps
// every key's full path: hence the two bounds.
const (
	maxKeyDepth = 8   // keys and brackets one inside another; ours need 3
	maxKeyLen   = 128 // bytes of one part of a key; sink names may have 64
)

// keyLines holds the line of every key of a document, by its joined path.
type keyLines map[string]int

// pathOf joins the parts of a key to an index of the map.
func pathOf(key []string) string { return strings.Join(key, "\x00") }

// of gives the line of a key, or of the innermost table around it that has
// one, or 0.
func (k keyLines) of(key ...string) int {
	for n := len(key); n > 0; n-- {
		if line, ok := k[pathOf(key[:n])]; ok {
			return line
		}
	}
	return 0
}

// note records where a key stands. Its first place counts, but the header of a table, which is
// there once, counts more than a mention on the way to a table inside it.
func (k keyLines) note(key []string, line int, header bool) {
	for n := 1; n <= len(key); n++ {
		path := pathOf(key[:n])
		if _, seen := k[path]; !seen || (header && n == len(key)) {
			k[path] = line
		}
	}
}

// findLines scans a document. The error is only about the bounds above.
func findLines(file, text string) (keyLines, *Error) {
	s := &lineScanner{
		rest: strings.TrimPrefix(text, "\ufeff"),
		line: 1,
		keys: keyLines{},
	}
	s.next()
	s.document()

	if s.bound != "" {
		return nil, &Error{File: file, Line: s.line, Msg: s.bound}
	}
	return s.keys, nil
}

// tokens are blanks and comments, which count for nothing, and after these a string of any of
// the four kinds, a word or a single character. A quote that opens no string is such a character.
// Words are generous: whatever the library may take for a bare key.
var tokens = regexp.MustCompile(`^(?:[ \t\r]|#[^\n]*)*` +
	`(?s:("""(?:\\.|[^\\])*?"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^ \t\r\n.=\[\]{},#"']+|.|$))`)

type lineScanner struct {
	token string // the next one, "" at the end
	rest  string // what comes after it
	line  int    // of the token
	keys  keyLines
	bound string // which bound was broken; ends the scan
}

func (s *lineScanner) next() {
	s.line += strings.Count(s.token, "\n")
	at := tokens.FindStringSubmatchIndex(s.rest)
	s.token, s.rest = s.rest[at[2]:at[3]], s.rest[at[3]:]
}

// skip passes a token if it is the next one.
func (s *lineScanner) skip(token string) bool {
	if s.token != token {
		return false
	}
	s.next()
	return true
}

func (s *lineScanner) skipNewlines() {
	for s.skip("\n") {
	}
}

// document scans statements until the end or until it is lost.
func (s *lineScanner) document() {
	var table []string
	for s.skipNewlines(); s.token != ""; s.skipNewlines() {
		ok := false
		if s.skip("[") {
			double := s.skip("[")
			line := s.line
			if table, ok = s.key(nil); ok {
				s.keys.note(table, line, !double)
				ok = s.skip("]") && (!double || s.skip("]"))
			}
		} else {
			ok = s.keyValue(table)
		}

		if !ok || (s.token != "" && s.token != "\n") {
			return
		}
	}
}

// keyValue scans "key = value", the key being inside the table at path.
func (s *lineScanner) keyValue(path []string) bool {
	line := s.line
	key, ok := s.key(path)
	if !ok {
		return false
	}
	s.keys.note(key, line, false)
	return s.skip("=") && s.value(key, len(key))
}

// key scans a dotted key and gives the whole path.
func (s *lineScanner) key(path []string) ([]string, bool) {
	key := slices.Clone(path) // paths are kept, so never share them
	for {
		if s.token == "" || strings.Contains(".=[]{},\"'", s.token) || strings.Contains(s.token, "\n") {
			return nil, false
		}
		part := unquoteKey(s.token)
		key = append(key, part)
		if len(part) > maxKeyLen {
			s.bound = fmt.Sprintf("a key of %d bytes, allowed are %d", len(part), maxKeyLen)
			return nil, false
		}
		if s.tooDeep(len(key)) {
			return nil, false
		}

		s.next()
		if !s.skip(".") {
			return key, true
		}
	}
}

func (s *lineScanner) tooDeep(depth int) bool {
	if depth > maxKeyDepth {
		s.bound = fmt.Sprintf("keys or brackets nested deeper than %d", maxKeyDepth)
	}
	return s.bound != ""
}

// unquoteKey takes the quotes off a key. Escapes are rare enough in keys to
// leave them to the library.
func unquoteKey(raw string) string {
	if raw[0] != '"' && raw[0] != '\'' {
		return raw
	}
	if raw[0] == '"' && strings.Contains(raw, `\`) {
		var doc struct{ K string }
		if toml.Unmarshal([]byte("k = "+raw), &doc) == nil {
			return doc.K
		}
	}
	return raw[1 : len(raw)-1]
}

// value scans a value; path is the key it belongs to and depth the number of
// keys and brackets around it.
func (s *lineScanner) value(path []string, depth int) bool {
	switch {
	case s.skip("["):
		return s.list("]", depth, func() bool { return s.value(path, depth+1) })
	case s.skip("{"):
		return s.list("}", depth, func() bool { return s.keyValue(path) })
	case len(s.token) > 1 && (s.token[0] == '"' || s.token[0] == '\''):
		s.next()
		return true
	}

	const ends = ",]}\n"
	if strings.Contains(ends, s.token) { // also at the end of the text
		return false
	}
	for !strings.Contains(ends, s.token) {
		if s.token[0] == '"' || s.token[0] == '\'' {
			return false // no TOML; and each look for the end of such a quote would cost the rest of the text
		}
		s.next()
	}
	return true
}

// list scans what stands between two brackets, separated by commas. New lines
// and comments may be anywhere in it.
func (s *lineScanner) list(end string, depth int, item func() bool) bool {
	if s.tooDeep(depth + 1) {
		return false
	}
	for {
		s.skipNewlines()
		if s.skip(end) {
			return true
		}
		if !item() {
			return false
		}
		s.skipNewlines()
		if !s.skip(",") {
			return s.skip(end)
		}
	}
}
