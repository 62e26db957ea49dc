package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"

	"audisp-relay/format/json"
	"audisp-relay/format/jsontext"
	"audisp-relay/format/laurel"
	"audisp-relay/format/ocsf"
)

// maxLine is the longest line of events that is read. An event has 1 MiB of records at most
// (event.DefaultMaxEventBytes), and one record more; in JSON a byte may be six.
const maxLine = 16 << 20

// eventLines makes a string stream of lines of events, in the formats json, laurel and ocsf: the records that these
// were made of. A line that is none is reported, counted and passed over.
type eventLines struct {
	name  string
	in    *bufio.Reader
	wrong func(error) // is called with why a line is none
	line  int         // number of the last line that was read
	bad   uint64
	err   error
	text  []byte // the line
	out   []byte // its records
	given int    // of out
}

// holdsEvents reports whether a stream is one of lines of events: they are JSON objects, and what auditd
// writes never begins so.
func holdsEvents(in *bufio.Reader) bool {
	start, _ := in.Peek(1)
	return len(start) > 0 && start[0] == '{'
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
	text := bytes.TrimSpace(l.text)
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
