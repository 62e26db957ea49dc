// Package ecs writes events in the shape of the Elastic Common Schema, as auditbeat's
// auditd module does. What an event means (action, category, actor, object) is for
// go-libaudit's aucoalesce to say; what its records hold is read by package record and
// given to it as ready-made fields, because aucoalesce's own parser loses or invents
// some (docs/ecs.md has the list). What aucoalesce has no place for is put beside it.
package ecs

import (
	"time"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/record"
	"audisp-relay/format"
)

// Options are those of all formats of events.
type Options = format.Options

// Encoder writes events. It belongs to one goroutine and keeps nothing between
// events but memory.
type Encoder struct {
	opts     Options
	coalesce func([]*auparse.AuditMessage) (*aucoalesce.Event, error)
	now      func() time.Time
	panicked func(fault any) // says so of the event at hand

	// What follows is of the event at hand. Strings are made of the batch's and of
	// text's memory without a copy, see record.Alias, and are forgotten with it.
	recs   []parsedRecord
	fields []field
	twins  []field
	text   []byte // decoded values
	names  []byte // of the records' types
	args   record.Args
	execve bool // there is an EXECVE record
	tags   []string
	doc    document
	pool   messagePool
	list   []*auparse.AuditMessage // of pool
	sorted []string
	w      writer
}

// New returns an Encoder.
func New(o Options) *Encoder {
	return &Encoder{opts: o, coalesce: aucoalesce.CoalesceMessages, now: time.Now}
}

// AppendEvent appends the line of the event that records i to j-1 of b are.
func (e *Encoder) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	e.panicked = func(fault any) {
		if e.opts.Panicked != nil {
			e.opts.Panicked("aucoalesce", b, i, j, fault)
		}
	}
	e.readRecords(b, i, j)
	e.joinRecords()
	e.completeEvent(b, i)
	dst = e.appendLine(dst)
	e.forgetEvent()
	return dst
}

// forgetEvent drops what holds on to the event's memory, or to more than a usual event needs.
func (e *Encoder) forgetEvent() {
	e.doc = document{}
	e.pool.release()
	e.fields, e.twins, e.recs, e.tags = emptied(e.fields), emptied(e.twins), emptied(e.recs), emptied(e.tags)
	if cap(e.text) > 256<<10 {
		e.text = nil
	}
	e.text = e.text[:0]
}

// emptied returns s without elements, nothing at all when an unusual event made it large.
func emptied[T any](s []T) []T {
	if cap(s) > 4096 {
		return nil
	}
	clear(s)
	return s[:0]
}
