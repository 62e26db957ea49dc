package process

import (
	"math"
	"math/bits"
	"sync/atomic"

	"audisp-relay/audit/record"
)

// Current is the table in use, if there is one. Another one may replace it at any time. Any goroutine may use it, and
// a nil pointer.
type Current struct{ table atomic.Pointer[Table] }

// Set makes t the table in use, nil for none.
func (c *Current) Set(t *Table) { c.table.Store(t) }

// Table returns the table in use, nil without.
func (c *Current) Table() *Table {
	if c == nil {
		return nil
	}
	return c.table.Load()
}

// Of is Table.Of.
func (c *Current) Of(x *Context, b *record.Batch, i, j int) (known bool) {
	return c.Table().Of(x, b, i, j)
}

// MaxAncestors is how many ancestors of the parent a Context has at most.
const MaxAncestors = 6

// Context is what a table knows of the process that made a system call. Fields that are nil are not known.
type Context struct {
	// Self is what the process ran when the call ended: of an execve the new program.
	Self *Process
	// Parent is what its parent ran, and PPID the parent's number, 0 for none.
	Parent *Process
	PPID   int
	// SpawnedBy is who has made the process what it is: the program that it ran before it executed this
	// one, or the one that its parent ran where it has forked it, for that or to run the same.
	SpawnedBy *Process
	// Ancestors[:Depth] are the parent's parent and so on, each as it was when its child became what it is.
	Ancestors [MaxAncestors]*Process
	Depth     int
	// Entry is the entry leader of Self, as it was when what it has started began, and EntryType the way in which it came onto the
	// host: a word of ECS (process.entry_meta.type). They are found only where WantsEntry asks for them, which Of leaves as it is.
	Entry      *Process
	EntryType  string
	WantsEntry bool
	// IsExec says that the event is the exec with which Self began.
	IsExec bool

	labels uint64 // of Self
	names  []string
	place  *place
	hash   *Hash
}

// Hash returns the hash of the program that Self runs, nil where that is not known.
func (c *Context) Hash() *Hash { return c.hash }

// Unit returns the unit of the host's service manager that Self is in, Container the id of its container; "" where that is not
// known, or it is in none.
func (c *Context) Unit() string {
	if c.place == nil {
		return ""
	}
	return c.place.unit
}

// Container: see Unit.
func (c *Context) Container() string {
	if c.place == nil {
		return ""
	}
	return c.place.container
}

// Labels yields the labels of Self that are certain.
func (c *Context) Labels(yield func(label string) bool) {
	for set := c.labels; set != 0; set &= set - 1 {
		if !yield(c.names[bits.TrailingZeros64(set)]) {
			return
		}
	}
}

// Of fills c with what is known of the event that records i to j-1 of b are. known is false where that
// is nothing, as for an event without a system call or an operation of io_uring. A nil table knows nothing.
func (t *Table) Of(c *Context, b *record.Batch, i, j int) (known bool) {
	*c = Context{WantsEntry: c.WantsEntry}
	if t == nil {
		return false
	}
	if i = whoIn(b, i, j); i < 0 {
		return false
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun || !t.isLocal(b, i) {
		return false
	}
	ppid, pid, _, ok := cutPIDs(b.Body(i))
	if !ok {
		return false
	}
	c.PPID = int(ppid)
	m := Moment{b.Recs[i].Millis, b.Recs[i].Serial}
	c.Self, c.Parent = t.at(pid, m), t.at(ppid, m)
	if c.Self != nil {
		c.SpawnedBy = t.spawner(c.Self)
		c.IsExec = c.Self.from == fromExec && c.Self.at() == m
		c.labels, c.names = t.labelsOf(c.Self)
		c.place, c.hash = t.placeOf(c.Self, 0), t.hashOf(c.Self)
		if c.WantsEntry {
			e := t.entryOf(c.Self)
			c.Entry, c.EntryType = e.leader, e.way
		}
	}
	t.addAncestors(c)
	return c.Self != nil || c.Parent != nil
}

// whoIn returns the record that says which process an event is of: that of its system call or, where a thread of the kernel's has done an operation
// of io_uring for the process, of that; -1 without.
func whoIn(b *record.Batch, i, j int) (who int) {
	who = -1
	for ; i < j; i++ {
		r := &b.Recs[i]
		switch {
		case r.Flags&flawed != 0:
		case r.Type == record.TypeSyscall:
			return i
		case r.Type == record.TypeUring && who < 0:
			who = i
		}
	}
	return who
}

// spawner returns who has made p what it is.
func (t *Table) spawner(p *Process) *Process {
	switch p.from {
	case fromFork, unsureFork, unsureClone:
		return t.at(p.ppid, p.at())
	case fromExec:
	default:
		return nil
	}
	was := p.prev
	if was == nil || was.from == fromFork || was.from.isUnsure() || was.from == ended || !t.holds(was, p.at(), math.MaxInt64) {
		return t.at(p.ppid, p.at())
	}
	return was
}

// addAncestors adds the parent's ancestors. It ends at a process that is its own ancestor, which no kernel has.
func (t *Table) addAncestors(c *Context) {
	for p := c.Parent; p != nil && p.PPID() != 0 && c.Depth < MaxAncestors; {
		next := t.at(p.ppid, p.at())
		if next == nil || next == p {
			return
		}
		c.Ancestors[c.Depth] = next
		c.Depth++
		p = next
	}
}
