package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"

	"audisp-relay/format/json"
	"audisp-relay/format/jsontext"
	"audisp-relay/format/laurel"
	"audisp-relay/format/ocsf"
)

// maxLine is the longest line of events that is read. An event has 1 MiB of records at most
// (event.DefaultMaxEventBytes), and one record more; in JSON a byte may be six.
const maxLine = 16 << 20

// eventLines makes a string stream of lines of events, in the formats json, laurel and ocsf: the records that these
// were made of. A line that is no event is reported, counted and skipped.
type eventLines struct {
	name  string
	in    *bufio.Reader
	wrong func(error) // is called with why a line is no event
	line  int         // number of the last line that was read
	bad   uint64
	err   error
	text  []byte // the line
	out   []byte // its records
	given int    // of out
}

// byteOrderMark is what editors of Windows put in front of a text.
const byteOrderMark = "\ufeff"

// maxBlank is how many blanks and newlines may stand in front of the first event.
const maxBlank = 4 << 10

// holdsEvents reports whether a stream is one of lines of events: they are JSON objects, and what auditd
// writes never begins so. It waits for no more than what says so.
func holdsEvents(in *bufio.Reader) bool {
	for n := 1; n <= maxBlank; n++ {
		start, err := in.Peek(n)
		if err != nil {
			return false
		}
		switch text := bytes.TrimPrefix(start, []byte(byteOrderMark)); {
		case len(text) == 0, strings.HasPrefix(byteOrderMark, string(text)):
		case text[len(text)-1] == '{':
			return true
		case bytes.IndexByte([]byte(" \t\r\n"), text[len(text)-1]) < 0:
			return false
		}
	}
	return false
}

// Read implements io.Reader.
func (l *eventLines) Read(p []byte) (n int, err error) {
	for l.given == len(l.out) {
		if l.err != nil {
			return 0, l.err
		}
		l.out, l.given = l.out[:0], 0
		l.next()
	}
	n = copy(p, l.out[l.given:])
	l.given += n
	return n, nil
}

// next reads a line and makes its records.
func (l *eventLines) next() {
	tooLong := l.readLine()
	text := l.text
	if l.line == 1 {
		text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 && !tooLong {
		return
	}
	err := fmt.Errorf("longer than %d bytes", maxLine)
	if !tooLong {
		l.out, err = appendRecords(l.out, text)
	}
	if err != nil {
		l.bad++
		l.wrong(fmt.Errorf("%s:%d: %w", l.name, l.line, err))
	}
}

// readLine reads the next line to l.text. One that is too long is read to its end and left out.
func (l *eventLines) readLine() (tooLong bool) {
	l.text = l.text[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		if tooLong = tooLong || len(l.text)+len(part) > maxLine; !tooLong {
			l.text = append(l.text, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		l.line++
		l.err = err
		if tooLong {
			l.text = l.text[:0]
		}
		return tooLong
	}
}

// appendRecords appends the records of an event's line.
func appendRecords(dst, line []byte) ([]byte, error) {
	event, err := jsontext.Parse(line)
	if err != nil {
		return dst, err
	}
	switch {
	case json.IsEvent(event):
		return json.AppendRecords(dst, event)
	case ocsf.IsEvent(event):
		return ocsf.AppendRecords(dst, event)
	case laurel.IsEvent(event):
		return laurel.AppendRecords(dst, event)
	}
	return dst, errors.New("no event of the formats json, ocsf and laurel: it has neither record_types nor class_uid nor ID")
}
