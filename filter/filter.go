// Package filter decides which events a consumer gets: an expression in the language
// of github.com/expr-lang/expr over the fields of an event, all of it checked when it
// is compiled. docs/filter.md has the fields and helpers.
//
// The parser of expr reads an expression; a checker of our own, which knows the fields, says
// what is wrong with it in their terms (check.go), and makes a closure of each part
// (operand.go): nearly all filters ask for a few fields, and a virtual machine would cost more
// than reading them.
package filter

import (
	"errors"
	"strconv"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

// Filter is a compiled expression. It may be shared among goroutines.
type Filter struct {
	src   string
	slots []*field // what the expression mentions; Matcher.vals has their values
	scans []*scan  // its searches for words; Matcher.scans has what they have found
	files []*List
	rules *RuleSet // that it asks for; nil: it asks for none
	root  *part    // nil for rules, which have one each

	warnings []*Error
	labels   []string
}

// Lists returns the lists that the expression has from files. Others than the filter may refresh them.
func (f *Filter) Lists() []*List { return f.files }

// Warnings are what is most likely wrong with the expression though it can be evaluated: the
// name of a system call that the tables do not have. A kernel that is newer than they are has
// more.
func (f *Filter) Warnings() []*Error { return f.warnings }

// String returns the expression as it was given.
func (f *Filter) String() string { return f.src }

// Matcher applies a Filter to events. One goroutine uses it.
type Matcher struct {
	// Users may be nil: then only the names that the records carry are known. Local is the
	// node= of this host's own records, where they have one: other hosts have other users.
	Users users.Names
	Local string
	// Processes may be nil: then nothing is known of the process's parent.
	Processes *process.Current

	f *Filter
	// The event.
	b       *record.Batch
	i, j    int
	main    int // the record whose fields come first
	mainCut bool
	mainRec body
	other   body // another record, which is being looked at

	// A value is read when it is asked for first. Those of this event have the present epoch.
	epoch uint64
	vals  []value
	scans []found
	// before is what scans have found in earlier parts of the event, by number; nil: there are none. Only rules have it.
	before [][]uint64
	rules  *Rules // that the filter asks for
	// elem is the value of # in any(LIST, ...): a predicate has no other inside.
	elem    string
	elemNum int64
	err     error  // the first of this event
	taken   int    // bytes that + and lists have taken for this event
	scratch []byte // decoded text of this event
	args    record.Args
	argsOf  uint64 // the epoch that args are of
	addr    []byte // bytes of a socket address
	hints   hints
	call    call
	places  places

	nameEnds nameEnds

	process      process.Context // of the event of epoch processEpoch
	processEpoch uint64
}

// value is the value of a field, in the member that the field's kind says.
type value struct {
	epoch uint64
	hint  int   // where it was in the SYSCALL record before
	n     int64 // number; flag: 0 or 1
	f     float64
	s     string
	texts []string
	nums  []int64
	err   error // why it is not all there; for each part that asks for it
}

// hints are where the fields that others are made of stood in the SYSCALL record before.
type hints struct {
	success, res, exit, arch, syscall, cwd, exe, addr int
	args                                              [4]int
}

// New returns a Matcher.
func (f *Filter) New() *Matcher {
	m := &Matcher{f: f, vals: make([]value, len(f.slots)), scans: make([]found, len(f.scans))}
	for i, s := range f.scans {
		m.scans[i].bits = make([]uint64, (s.groups+63)/64)
	}
	if f.rules != nil {
		m.rules = f.rules.New()
	}
	return m
}

// Filter returns what the Matcher applies.
func (m *Matcher) Filter() *Filter { return m.f }

// Renew returns a Matcher like m that remembers nothing: after a panic m cannot be trusted any more.
func (m *Matcher) Renew() *Matcher {
	next := m.f.New()
	next.Users, next.Local, next.Processes = m.Users, m.Local, m.Processes
	return next
}

// ErrUnread is Keep's error for a record without a readable header. It cannot be known what such
// a record is, so every filter keeps it.
var ErrUnread = errors.New("filter: the record has no type and id that can be read")

// Keep reports whether the filter keeps the event that records i..j-1 of b are. An
// event for which the expression cannot be evaluated is kept, and the error returned.
func (m *Matcher) Keep(b *record.Batch, i, j int) (bool, error) {
	if i >= j {
		return true, nil
	}
	if !b.Recs[i].HasID() {
		return true, ErrUnread
	}
	m.beginEvent(b, i, j)
	keep := m.f.root.test(m)
	if m.err != nil {
		return true, m.err
	}
	return keep, nil
}

// beginEvent turns to an event.
func (m *Matcher) beginEvent(b *record.Batch, i, j int) {
	m.b, m.i, m.j = b, i, j
	m.mainCut, m.err, m.taken = false, nil, 0
	m.epoch++
	if cap(m.scratch) > maxScratch {
		m.scratch = nil
	}
	m.scratch = m.scratch[:0]
	m.main = max(record.MainOf(b.Recs[i:j]), 0) + i
}

// maxScratch is what a Matcher keeps of the memory that a large event made it take.
const maxScratch = 256 << 10

// value returns the value of a slot.
func (m *Matcher) value(slot int) *value {
	v := &m.vals[slot]
	if v.epoch == m.epoch {
		if v.err != nil { // of rules that are asked together each fails by itself
			m.noteError(v.err)
		}
		return v
	}

	first := m.err
	m.err = nil
	v.epoch = m.epoch
	v.n, v.s, v.texts, v.nums = 0, "", v.texts[:0], v.nums[:0]
	m.f.slots[slot].load(m, v)
	if v.err = m.err; first != nil {
		m.err = first
	}
	return v
}

// noteError notes an error of this event.
func (m *Matcher) noteError(err error) {
	if m.err == nil {
		m.err = err
	}
}

var errTaken = errors.New("filter: the expression takes more than " + strconv.Itoa(maxTaken) + " bytes for the event")

// takeMemory reports whether an expression may take so much more memory for this event.
func (m *Matcher) takeMemory(bytes int) bool {
	if m.taken += bytes; m.taken <= maxTaken {
		return true
	}
	m.noteError(errTaken)
	return false
}
