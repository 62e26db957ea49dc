package config

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// The TOML library says at which line the syntax is wrong, but not where a key
// that it could read stands. keyLines finds that out with one pass over the
// text. It knows just enough of TOML 1.0 and 1.1 to tell keys from values; on
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

// keyLines holds the line of every key of a document.
type keyLines struct {
	lines  map[string]int  // by joined path
	header map[string]bool // the line is that of a [table] header
}

// pathOf joins the parts of a key to an index of the map.
func pathOf(key []string) string { return strings.Join(key, "\x00") }

// of gives the line of a key, or of the innermost table around it that has
// one, or 0.
func (k *keyLines) of(key ...string) int {
	for n := len(key); n > 0; n-- {
		if line, ok := k.lines[pathOf(key[:n])]; ok {
			return line
		}
	}
	return 0
}

// note records where a key stands. Its first place counts, but a table's own
// header counts more than a mention on the way to a table inside it.
func (k *keyLines) note(key []string, line int, header bool) {
	for n := 1; n <= len(key); n++ {
		path := pathOf(key[:n])
		own := header && n == len(key)
		if _, seen := k.lines[path]; !seen || own && !k.header[path] {
			k.lines[path] = line
			k.header[path] = own
		}
	}
}

// findLines scans a document. The error is only about the bounds above.
func findLines(file, text string) (*keyLines, *Error) {
	s := &lineScanner{
		text: strings.TrimPrefix(text, "\ufeff"),
		line: 1,
		keys: &keyLines{lines: map[string]int{}, header: map[string]bool{}},
	}
	s.document()
	if s.bound != "" {
		return nil, &Error{File: file, Line: s.line, Msg: s.bound}
	}
	return s.keys, nil
}

type lineScanner struct {
	text  string // what is left of the document
	line  int    // of text[0]
	keys  *keyLines
	bound string // which bound was broken; ends the scan
}

// document scans statements until the end or until it is lost.
func (s *lineScanner) document() {
	var table []string
	for {
		s.blank(true)
		if s.text == "" {
			return
		}
		ok := false
		if s.skip("[") {
			double := s.skip("[")
			line := s.line
			if table, ok = s.key(nil); ok {
				s.keys.note(table, line, true)
				ok = s.skip("]") && (!double || s.skip("]"))
			}
		} else {
			ok = s.keyValue(table)
		}
		if !ok {
			return
		}
		s.blank(false)
		if s.text != "" && !strings.HasPrefix(s.text, "\n") {
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

// key scans a dotted key and gives the whole path. It leaves the text at the
// first character that is not part of it.
func (s *lineScanner) key(path []string) ([]string, bool) {
	key := append([]string(nil), path...) // paths are kept, so never share them
	for {
		s.blank(false)
		part, ok := s.keyPart()
		if !ok {
			return nil, false
		}
		key = append(key, part)
		if len(part) > maxKeyLen {
			s.bound = fmt.Sprintf("a key of %d bytes, allowed are %d", len(part), maxKeyLen)
			return nil, false
		}
		if s.tooDeep(len(key)) {
			return nil, false
		}
		s.blank(false)
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

// keyPart scans one bare or quoted part of a key.
func (s *lineScanner) keyPart() (string, bool) {
	if raw, ok := s.quotedString(); ok {
		return unquoteKey(raw), !strings.Contains(raw, "\n")
	}
	// Generous: whatever the library may take for a bare key.
	n := strings.IndexAny(s.text, " \t\r\n.=[]{},#\"'")
	if n < 0 {
		n = len(s.text)
	}
	part := s.text[:n]
	s.text = s.text[n:]
	return part, part != ""
}

// unquoteKey takes the quotes off a key. Escapes are rare enough in keys to
// leave them to the library.
func unquoteKey(raw string) string {
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
	s.blank(false)
	switch {
	case s.text == "":
		return false
	case s.text[0] == '[':
		return s.list("[", "]", depth, func() bool { return s.value(path, depth+1) })
	case s.text[0] == '{':
		return s.list("{", "}", depth, func() bool { return s.keyValue(path) })
	}
	if s.text[0] == '"' || s.text[0] == '\'' {
		_, ok := s.quotedString()
		return ok
	}
	n := strings.IndexAny(s.text, ",]}#\r\n")
	if n < 0 {
		n = len(s.text)
	}
	s.text = s.text[n:]
	return n > 0
}

// list scans what stands between two brackets, separated by commas. New lines
// and comments may be anywhere in it.
func (s *lineScanner) list(open, end string, depth int, item func() bool) bool {
	s.skip(open)
	if s.tooDeep(depth + 1) {
		return false
	}
	for {
		s.blank(true)
		if s.skip(end) {
			return true
		}
		if !item() {
			return false
		}
		s.blank(true)
		if !s.skip(",") {
			return s.skip(end)
		}
	}
}

// quotedString scans any of the four kinds of string and gives it with its
// quotes. Not a string, or one without an end: false and nothing is scanned.
func (s *lineScanner) quotedString() (string, bool) {
	if s.text == "" || s.text[0] != '"' && s.text[0] != '\'' {
		return "", false
	}
	quote := s.text[:1]
	end3 := strings.Repeat(quote, 3)
	multi := strings.HasPrefix(s.text, end3)
	closing := quote
	if multi {
		closing = end3
	}
	for i := len(closing); i < len(s.text); i++ {
		switch {
		case s.text[i] == '\\' && quote == `"`:
			i++ // whatever follows does not end the string
		case s.text[i] == '\n' && !multi:
			return "", false
		case strings.HasPrefix(s.text[i:], closing):
			end := i + len(closing)
			// Up to two more quotes may stand right before the closing three.
			for n := 0; multi && n < 2 && end < len(s.text) && s.text[end:end+1] == quote; n++ {
				end++
			}
			raw := s.text[:end]
			s.advance(end)
			return raw, true
		}
	}
	return "", false
}

// blank skips blanks, and with newlines also line ends and comments. Without,
// a comment is skipped too, but not the end of its line.
func (s *lineScanner) blank(newlines bool) {
	for s.text != "" {
		switch c := s.text[0]; {
		case c == ' ' || c == '\t' || c == '\r':
			s.text = s.text[1:]
		case c == '#':
			n := strings.IndexByte(s.text, '\n')
			if n < 0 {
				n = len(s.text)
			}
			s.text = s.text[n:]
		case c == '\n' && newlines:
			s.advance(1)
		default:
			return
		}
	}
}

// skip scans the given text if it is next.
func (s *lineScanner) skip(text string) bool {
	rest, ok := strings.CutPrefix(s.text, text)
	s.text = rest
	return ok
}

// advance moves on n bytes, counting the lines in them.
func (s *lineScanner) advance(n int) {
	s.line += strings.Count(s.text[:n], "\n")
	s.text = s.text[n:]
}
