// Package laurel writes events in the shape that laurel 0.5.1 gives them with its
// default configuration, so that what was built on laurel's log keeps working.
// docs/laurel.md lists what differs and why.
//
// What laurel writes was found by giving it records and looking at its output. Wherever it is
// installed, the tests compare it again.
package laurel

import (
	"hash/maphash"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/format"
)

// Options are those of all formats of events.
type Options = format.Options

// Encoder writes events. It belongs to one goroutine. What it keeps between calls saves work and does not
// show: an event is written as a new Encoder would write it.
type Encoder struct {
	node      []byte
	processes *process.Current
	process   process.Context // what is known of the event's process
	top       keySet          // the keys of the event's object
	keys      keySet          // the keys of the record's object
	args      record.Args
	argv      []byte   // the arguments of a SYSCALL, in the order they come in
	exec      execArgs // what the keys of the EXECVE records name
	text      []byte   // out of hex digits
	names     []byte   // of the event's record types

	// What records before were written as.
	memos [memoCount]memo
	seed  maphash.Seed
}

// New returns an Encoder.
func New(o Options) *Encoder {
	return &Encoder{node: []byte(o.Node), processes: o.Processes, seed: maphash.MakeSeed()}
}

// AppendEvent appends the line of the event that records i to j-1 of b are, its newline
// included.
func (e *Encoder) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	e.top.reset()
	e.names = e.names[:0]
	e.processes.Of(&e.process, b, i, j)
	dst = append(dst, '{')
	dst = appendID(e.top.appendKey(dst, keyID), b, i, j)
	if node := e.nodeOf(b, i, j); len(node) > 0 {
		dst = appendString(e.top.appendKey(dst, keyNode), node)
	}

	for k := i; k < j; k++ {
		if !b.Recs[k].HasID() || e.hasOwnType(b, k) {
			dst = appendString(e.top.appendKey(dst, keyRaw), record.TrimEnd(b.Bytes(k)))
			continue
		}
		if !hasType(b, i, k) { // else it stands with the first of its type
			dst = e.appendType(dst, b, k, j)
		}
	}

	if id := e.process.Container(); id != "" {
		dst = append(append(e.top.appendKey(dst, keyContainer), `{"ID":"`...), id...)
		dst = append(dst, `"}`...)
	}
	return append(dst, '}', '\n')
}

// hasOwnType reports whether record k is of a type whose name is taken by a member of ours.
func (e *Encoder) hasOwnType(b *record.Batch, k int) bool {
	if record.HasTypeName(b.Recs[k].Type) {
		return false
	}
	from := len(e.names)
	e.names = b.AppendType(e.names, k)
	return isOwnType(string(e.names[from:]))
}

// appendID appends the id as laurel writes it, null when no record has one.
func appendID(dst []byte, b *record.Batch, i, j int) []byte {
	for ; i < j; i++ {
		r := &b.Recs[i]
		if !r.HasID() {
			continue
		}
		return append(record.AppendEventID(append(dst, '"'), r.Millis, r.Serial), '"')
	}
	return append(dst, "null"...)
}

// nodeOf returns the event's node, or the one that is configured.
func (e *Encoder) nodeOf(b *record.Batch, i, j int) []byte {
	for ; i < j; i++ {
		if node := b.Node(i); len(node) > 0 {
			return node
		}
	}
	return e.node
}

// hasType reports whether a record of record k's type is among records i to k-1. It looks
// at the last one first: a long event is long by records of one type.
func hasType(b *record.Batch, i, k int) bool {
	for n := k - 1; n >= i; n-- {
		if isLike(b, n, k) {
			return true
		}
	}
	return false
}

// isLike reports whether record n has an id and the type of record k.
func isLike(b *record.Batch, n, k int) bool { return b.Recs[n].HasID() && b.SameType(n, k) }

// appendType appends what the event has of record k's type: one object or an array of
// objects, whatever their number.
func (e *Encoder) appendType(dst []byte, b *record.Batch, k, j int) []byte {
	typ := b.Recs[k].Type
	from := len(e.names)
	e.names = b.AppendType(e.names, k)
	name := e.names[from:] // stays as it is if names has to move
	if typ == record.TypeExecve {
		return e.appendExecve(e.top.appendKey(dst, name), b, k, j)
	}

	list := inList(typ)
	if list {
		dst = append(e.top.appendKey(dst, name), '[')
	}
	for n := k; n < j; n++ {
		if !isLike(b, n, k) {
			continue
		}
		r := record.Parse(b, n)
		switch {
		case typ == record.TypeEOE && len(r.Body) == 0: // laurel has no EOE. One with fields, which no kernel writes, is shown
			continue
		case !list:
			dst = e.top.appendKey(dst, name)
		case n > k:
			dst = append(dst, ',')
		}
		dst = e.appendRecord(dst, &r)
	}
	if list {
		dst = append(dst, ']')
	}
	return dst
}
