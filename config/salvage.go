package config

import (
	"bytes"
	"regexp"
	"sync"
)

// maxSyntaxErrors is how many errors of syntax are cut out of a file before it is given
// up: each costs another pass over it.
const maxSyntaxErrors = 8

// parseLenient is parseDocument for a file whose syntax may be wrong: what is wrong is
// noted in the document and cut out, and the rest is read, so that a quote that is missing
// in one sink costs that sink and nothing else. Of a sink all goes, since what is left of
// it might let in or write what it should not; of the other tables the line. It gives
// Errors and no document where that leads nowhere.
func parseLenient(file string, data []byte) (*document, map[string]any, error) {
	var errs Errors
	bad := map[string]bool{}
	for text := bytes.TrimPrefix(data, []byte("\ufeff")); ; {
		doc, vals, found := parseDocument(file, text)
		if found == nil {
			doc.errs, doc.badSinks = errs, bad
			return doc, vals, nil
		}
		errs = append(errs, found...)
		rest, ok := cutOut(text, found[0].Line, bad)
		if !ok || len(errs) >= maxSyntaxErrors {
			return nil, nil, errs[:1] // the others may come of the first
		}
		text = rest
	}
}

var (
	headerLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[ \t]*\[\[?[ \t]*["'A-Za-z0-9_-]`) })
	sinkHeader = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[ \t]*\[\[?[ \t]*["']?sinks["']?[ \t]*(?:\.[ \t]*["']?([^"'.\]\s]+))?`)
	})
	// sinkKey is where a key of a sink, or of all, stands in front of every table: "sinks.NAME.KEY = ...".
	sinkKey = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[ \t]*["']?sinks["']?[ \t]*(?:\.[ \t]*["']?([^"'.=\s]+)|[.=]|$)`)
	})
	// keyLine is a line that begins with a key, not with what belongs to a value above.
	keyLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[ \t]*(?:[A-Za-z_]|(?:"[^"]*"|'[^']*')[ \t]*[.=])`) })
)

// cutOut empties what is wrong around a line, which is counted from 1: the table of a
// sink; any table whose header is the line; else the line, in front of every table with what
// is above it of the same value. The lines keep their numbers. It notes in bad the sink that
// something is cut out of, "" where that may be any. It is not ok if nothing is left to cut.
func cutOut(text []byte, line int, bad map[string]bool) (rest []byte, ok bool) {
	lines := bytes.SplitAfter(text, []byte("\n"))
	at := min(line, len(lines)) - 1
	if at < 0 {
		return nil, false
	}
	for at > 0 && len(bytes.TrimSpace(lines[at])) == 0 { // the end of the file, for what has no end
		at--
	}

	begin, end := at, at+1
	for begin > 0 && !headerLine().Match(lines[begin]) {
		begin--
	}
	inSink := sinkHeader().FindSubmatch(lines[begin])
	switch {
	case inSink != nil || (begin == at && headerLine().Match(lines[at])):
		for end < len(lines) && !headerLine().Match(lines[end]) {
			end++
		}
	case headerLine().Match(lines[begin]):
		begin = at
	default: // in front of every table
		begin = keyOf(lines, at)
		inSink = sinkKey().FindSubmatch(lines[begin])
	}

	if inSink != nil {
		bad[string(inSink[1])] = true
	}
	for i := begin; i < end; i++ {
		empty := lines[i][:0]
		if bytes.HasSuffix(lines[i], []byte("\n")) {
			empty = []byte("\n")
		}
		ok = ok || len(bytes.TrimSpace(lines[i])) > 0
		lines[i] = empty
	}
	return bytes.Join(lines, nil), ok
}

// keyOf returns the line with the key that a line belongs to: itself, or one above where it is of a value of several lines.
func keyOf(lines [][]byte, at int) int {
	for i := at; i >= 0 && len(bytes.TrimSpace(lines[i])) > 0; i-- { // what was cut out before is empty
		if keyLine().Match(lines[i]) {
			return i
		}
	}
	return at
}
