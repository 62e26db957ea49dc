// Package ecs writes events in the shape of the Elastic Common Schema, as auditbeat's
// auditd module does. What an event means (action, category, actor, object) is said by the table of
// meanings; what of the records the schema has no place for is put beside it (docs/ecs.md).
package ecs

import (
	"time"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/jsontext"
)

// Options are those of all formats of events.
type Options = format.Options

// Encoder writes events. It belongs to one goroutine. Between events it keeps memory, and what parts of
// records were read and written as.
type Encoder struct {
	opts    Options
	now     func() time.Time
	known   *known
	process process.Context // what is known of the event's process
	line    []byte          // a command line, or an id
	users   [userMemos]userMemo

	memos, nameMemos [memoCount]memo
	event            uint64 // how many there were

	// What follows is of the event at hand. Strings are made of the batch's and of
	// text's memory without a copy, see record.Alias, and are forgotten with it.
	batch  *record.Batch
	from   int // its first record
	recs   []parsedRecord
	fields []field         // of all records, and members that are of none
	where  [keyCount]int32 // where the fields of the record are that is being read: see parser.seen
	twins  []twin
	text   []byte // decoded values
	args   record.Args
	execve bool // there is an EXECVE record
	tags   []string
	doc    document
	data   members   // auditd.data
	socket members   // auditd.data.socket
	paths  []members // auditd.paths

	ids      keySet           // fields of the main record that name a user or a group
	entities [keyCount]entity // the users and groups that they name
	sorted   []string
	stamp    jsontext.Stamp
	w        writer
}

// New returns an Encoder.
func New(o Options) *Encoder {
	return &Encoder{opts: o, now: time.Now, known: tables(), process: process.Context{WantsEntry: true}}
}

// AppendEvent appends the line of the event that records i to j-1 of b are.
func (e *Encoder) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	e.readRecords(b, i, j)
	e.joinRecords()
	e.completeEvent(b, i)
	e.opts.Processes.Of(&e.process, b, i, j)
	dst = e.appendLine(dst)
	e.forgetEvent()
	return dst
}

// forgetEvent drops what holds on to the event's memory, or to more than a usual event needs.
func (e *Encoder) forgetEvent() {
	e.batch, e.doc = nil, document{}
	e.recs, e.fields, e.twins, e.tags = emptied(e.recs), emptied(e.fields), emptied(e.twins), emptied(e.tags)
	e.sorted = emptied(e.sorted)
	e.data.reset()
	e.socket.reset()
	if e.paths = e.paths[:0]; cap(e.paths) > 64 { // they are large, and hold on to nothing
		e.paths = nil
	}
	for k := range e.ids.all {
		e.entities[k] = entity{}
	}
	e.ids = keySet{}
	if cap(e.text) > 256<<10 {
		e.text = nil
	}
	e.text = e.text[:0]
	if cap(e.line) > 256<<10 {
		e.line = nil
	}
}

// emptied returns s without elements, nothing at all when an unusual event made it large.
func emptied[T any](s []T) []T {
	if cap(s) > 4096 {
		return nil
	}
	clear(s)
	return s[:0]
}
