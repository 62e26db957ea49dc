// Package ecs writes events in the shape of the Elastic Common Schema, as auditbeat's
// auditd module does. What an event means (action, category, actor, object) is said by the table of
// meanings; what of the records the schema has no place for is put beside it (docs/ecs.md).
package ecs

import (
	"slices"
	"time"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/format"
)

// Options are those of all formats of events.
type Options = format.Options

// Encoder writes events. It belongs to one goroutine and keeps nothing between
// events but memory.
type Encoder struct {
	opts    Options
	now     func() time.Time
	known   *known
	process process.Context // what is known of the event's process
	line    []byte          // a command line, or an id

	// What follows is of the event at hand. Strings are made of the batch's and of
	// text's memory without a copy, see record.Alias, and are forgotten with it.
	recs   []parsedRecord
	fields []field
	twins  []pair
	text   []byte // decoded values
	names  []byte // of the records' types
	args   record.Args
	execve bool // there is an EXECVE record
	tags   []string
	doc    document
	data   []pair // auditd.data
	socket []pair // auditd.data.socket
	paths  []int  // records that are auditd.paths
	pairs  []pair // of these
	ids    []identity
	sorted []string
	w      writer
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
	e.doc = document{}
	e.recs, e.fields, e.twins, e.tags = emptied(e.recs), emptied(e.fields), emptied(e.twins), emptied(e.tags)
	e.data, e.socket, e.pairs, e.ids = emptied(e.data), emptied(e.socket), emptied(e.pairs), emptied(e.ids)
	e.paths, e.sorted = emptied(e.paths), emptied(e.sorted)
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

// pair is a member of an object of the document.
type pair struct {
	key, val string
	unset    bool // an id that is not set: for the summary only
}

// get returns the value under key.
func get(list []pair, key string) (val string, ok bool) {
	for i := range list {
		if list[i].key == key {
			return list[i].val, true
		}
	}
	return "", false
}

func has(list []pair, key string) bool {
	_, ok := get(list, key)
	return ok
}

// maxKeys is how many members an object has at most, so that a hostile event costs no more than its
// length: a search goes through all. What it has beyond is in its text.
const maxKeys = 2 * maxFields

// put adds a member, if there is none of that name and not too many.
func put(list *[]pair, p pair) bool {
	if len(*list) >= maxKeys || has(*list, p.key) {
		return false
	}
	*list = append(*list, p)
	return true
}

// drop takes the value under key out.
func drop(list *[]pair, key string) {
	*list = slices.DeleteFunc(*list, func(p pair) bool { return p.key == key })
}
