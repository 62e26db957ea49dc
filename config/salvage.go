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
	for text := data; ; {
		doc, vals, found := parseDocument(file, text)
		if found == nil {
			doc.errs = errs
			for sink := range bad {
				doc.badSinks[sink] = true
			}
			return doc, vals, nil
		}
		errs = append(errs, found...)
		rest, sink, ok := cutOut(text, found[0].Line)
		if !ok || len(errs) >= maxSyntaxErrors {
			return nil, nil, errs[:1] // the others may come of the first
		}
		if sink != "" {
			bad[sink] = true
		}
		text = rest
	}
}

var (
	headerLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[ \t]*\[\[?[ \t]*["'A-Za-z0-9_-]`) })
	sinkHeader = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[ \t]*\[\[?[ \t]*["']?sinks["']?[ \t]*(?:\.[ \t]*["']?([^"'.\]\s]+))?`)
	})
)

// cutOut empties what is wrong around a line, which is counted from 1: the table of a
// sink, whose name it gives; any table whose header is the line; else the line. The lines
// keep their numbers. It is not ok if nothing is left to cut.
func cutOut(text []byte, line int) (rest []byte, sink string, ok bool) {
	lines := bytes.SplitAfter(text, []byte("\n"))
	at := min(line, len(lines)) - 1
	if at < 0 {
		return nil, "", false
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
	default:
		begin = at
	}

	if inSink != nil {
		sink = string(inSink[1])
	}
	for i := begin; i < end; i++ {
		empty := lines[i][:0]
		if bytes.HasSuffix(lines[i], []byte("\n")) {
			empty = []byte("\n")
		}
		ok = ok || len(bytes.TrimSpace(lines[i])) > 0
		lines[i] = empty
	}
	return bytes.Join(lines, nil), sink, ok
}
