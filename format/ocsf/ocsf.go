// Package ocsf writes events in the shape of the Open Cybersecurity Schema Framework. docs/ocsf.md says
// what becomes of an event; the table of actions (actions.go) what its class and activity are.
//
// The facts about the schema are those of github.com/ocsf/ocsf-schema, tag 1.8.0.
package ocsf

import (
	"time"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/jsontext"
)

// Version of the schema.
const version = "1.8.0"

// Options are those of all formats of events.
type Options = format.Options

// Encoder writes events. It belongs to one goroutine and keeps nothing between events but memory.
type Encoder struct {
	opts    Options
	now     func() time.Time
	known   *known
	lines   format.Encoder  // makes raw_data
	process process.Context // what is known of the event's process

	// What follows is of the event at hand. Strings are made of the batch's and of text's memory
	// without a copy, see record.Alias, and are forgotten with it.
	recs   []parsedRecord
	fields []field
	text   []byte // decoded values, names
	args   record.Args
	execve bool   // there is an EXECVE record
	raw    []byte // the records as the format string has them
	ev     event
	w      jsontext.Writer
}

// New returns an Encoder.
func New(o Options) *Encoder { return &Encoder{opts: o, now: time.Now, known: tables()} }

// AppendEvent appends the line of the event that records i to j-1 of b are, its newline included.
func (e *Encoder) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	if i >= j {
		return dst
	}
	e.readRecords(b, i, j)
	e.readHeader(b, i, j)
	e.choose(record.MainOf(b.Recs[i:j]))
	e.opts.Processes.Of(&e.process, b, i, j)
	for k := i; k < j; k++ {
		e.raw = e.lines.Append(e.raw, *b, k)
	}
	dst = e.appendLine(dst)
	e.forgetEvent()
	return dst
}

// forgetEvent drops what holds on to the event's memory, or to more than a usual event needs.
func (e *Encoder) forgetEvent() {
	e.ev = event{}
	e.recs, e.fields = emptied(e.recs, 4096), emptied(e.fields, 4096)
	e.text, e.raw = emptied(e.text, 256<<10), emptied(e.raw, 256<<10)
}

// emptied returns s without elements, nothing at all when an unusual event made it larger than most.
func emptied[T any](s []T, most int) []T {
	if cap(s) > most {
		return nil
	}
	clear(s)
	return s[:0]
}

// appendLine appends the event's line. A string that is no UTF-8 has all of it written again, with
// percent signs.
func (e *Encoder) appendLine(dst []byte) []byte {
	from := len(dst)
	e.w = jsontext.Writer{Buf: dst}
	e.writeLine()
	if e.w.Bad {
		e.w = jsontext.Writer{Buf: e.w.Buf[:from], Percent: true}
		e.writeLine()
	}
	dst = append(e.w.Buf, '\n')
	e.w = jsontext.Writer{}
	return dst
}
