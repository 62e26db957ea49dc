package process

import (
	"math"
	"sync"
	"time"

	"audisp-relay/host/athand"
)

// DefaultMaxBytes bounds what a Table holds: some 30 000 processes with the command lines of a
// usual host.
const DefaultMaxBytes = 8 << 20

// Bounds of what is kept of one process.
const (
	maxExe  = 4106 // PATH_MAX (linux/limits.h) and 11 without the NUL (kernel/audit.c, audit_log_d_path)
	maxComm = 15   // TASK_COMM_LEN without its NUL (linux/sched.h)
	maxArgs = 1024
	// maxPrograms is how many programs are kept of one pid, and leftPrograms how many are left when
	// there would be more.
	maxPrograms, leftPrograms = 32, 8
)

// Options are what a Table is made of.
type Options struct {
	// MaxBytes bounds the memory; 0 is DefaultMaxBytes.
	MaxBytes int
	// Live says that the stream is of this host and of now. Then NewTable reads /proc, Follow is to
	// run, and a pid that may have been used again since gives nothing. Of a stored stream
	// nobody knows how many pids there were, and only what it says itself counts.
	Live bool
	// IsLocal reports whether a record with that node=, empty without one, is of this host. Nil:
	// the first record says which host the stream is of.
	IsLocal func(node []byte) bool
	// Labels say which labels processes get; nil: they get none.
	Labels *Labels
	// Hashed is up to which size, in bytes, programs get a hash; 0: none do. Hash is to run then.
	Hashed int64
	// Places says in which units and containers processes are; nil: that is not known.
	Places Finder
	// AtHand is where the event is noted that Note reads; nil: nowhere.
	AtHand *athand.Page
}

// Table knows the processes of one host. Note, Lost, LostBetween and Follow let it know what happens; Of asks it.
// All of them may be called from any goroutine: one lock guards all of it, and none holds it for
// longer than a batch takes, some 0.1 ms.
type Table struct {
	o       Options
	follows bool // there is something for Follow to do; does not change
	// wonder has the processes of which Follow is to find out the pid namespace.
	wonder chan *Process

	mu    sync.Mutex
	read  func() (sample, error) // gives a sample at once, an error if one was just taken; may be nil
	byPID map[int32]*Process     // the program that came last, of each pid
	depth map[int32]int          // how many programs a pid has, where that is more than one
	bytes int
	// All there are, in the order of eviction.
	oldest, newest *Process

	node  []byte // of the stream's host, where Options.IsLocal is nil
	named bool   // node is known
	max   uint32 // the highest serial so far
	begun bool   // there was a record, so that max is known

	// started are those of /proc; they come in with the first record, which gives them a serial.
	started []*Process
	since   int64 // ms: what was before says nothing; 0 for a stored stream
	clock   int64 // ms: the latest time of a record

	doubts doubts
	holes  holes
	reuse  reuse
	fresh  []*Process // programs that came after the last sample, so that their given is notYet
	waits  int        // bytes of fresh, which may be gone from the table
	calls  calls
	execs  [8]pendingExec // the last execs, of which records are still to come; a ring
	exec   int            // where the next one goes in execs
	args   argReader

	scripts int // how many of execs await PATH records

	labels *Labels
	hashed int64            // programs of up to so many bytes get a hash; 0: none do
	asked  chan hashRequest // for Hash

	find   Finder // nil: nothing asks where processes are
	looked budget
	places map[place]*place
	now    func() time.Time

	entries *entries // nil: they were not asked for

	// changes are what paths do to labels, to save the expressions; keys are the paths of one subject. outcomes are what
	// arguments do, each once, and outcome is where in it: see Process.outcome.
	changes  [subjects]map[string]change
	outcomes []change
	outcome  map[change]uint16
	line     []byte // the arguments of one process
	tried    budget // of expressions on arguments

	// late says that something became known later than usual. Then the labels of all that is not before lateFrom, a
	// serial, are to be found out again.
	late     bool
	lateFrom uint32
}

// NewTable returns a table. With Live it reads /proc, for scanTime at most, as the process
// that is about to read the stream; the path of a program in there only root with CAP_SYS_PTRACE may read.
func NewTable(o Options) *Table {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	t := &Table{o: o, wonder: make(chan *Process, 256), labels: o.Labels, now: time.Now, hashed: o.Hashed, asked: make(chan hashRequest, maxAsked)}
	t.forget()
	if o.Live {
		t.begin()
	} else {
		t.find = o.Places
	}
	return t
}

// forget begins again with nothing.
func (t *Table) forget() {
	for p := t.oldest; p != nil; p = p.newer {
		p.state |= gone // Follow may be about to find out more
	}
	t.byPID, t.depth = make(map[int32]*Process), make(map[int32]int)
	t.bytes, t.oldest, t.newest = 0, nil, nil
	t.max, t.begun, t.clock, t.late = 0, false, 0, false
	t.forgetEntries()
	t.started, t.fresh, t.waits, t.execs, t.scripts, t.doubts, t.holes = nil, nil, 0, [8]pendingExec{}, 0, doubts{}, holes{}
}

// insert puts p among the programs of its pid, at its place by serial, and evicts others where there
// is no room. A record that comes twice adds nothing.
func (t *Table) insert(p *Process) (added bool) {
	place := t.byPID[p.pid]
	var after *Process
	for place != nil && serialBefore(p.serial, place.serial) {
		after, place = place, place.prev
	}
	if place != nil && place.serial == p.serial && place.from == p.from {
		return false
	}
	p.prev = place
	if after != nil {
		after.prev = p
	} else {
		t.byPID[p.pid] = p
	}
	if place != nil || after != nil {
		t.depth[p.pid] = max(t.depth[p.pid], 1) + 1
	}

	if t.o.Live && p.given == 0 {
		t.reuse.settle(p)
	}
	t.await(p)
	t.bytes += p.size()
	t.append(p)
	if t.depth[p.pid] > maxPrograms {
		t.shorten(p.pid)
	}
	t.shrink()
	return true
}

// shrink evicts processes while there is no room, but never the last one.
func (t *Table) shrink() {
	for t.bytes > t.o.MaxBytes && t.oldest != t.newest {
		t.evict()
	}
}

func (p *Process) size() int { return processSize + (len(p.text)+15)&^15 }

// replace puts p in the place of old, which has the same pid and moment.
func (t *Table) replace(old, p *Process) {
	if old.state&gone != 0 {
		return
	}
	p.prev, p.state = old.prev, old.state
	if top := t.byPID[p.pid]; top == old {
		t.byPID[p.pid] = p
	} else {
		for top.prev != old {
			top = top.prev
		}
		top.prev = p
	}

	t.unlink(old)
	old.state |= gone
	t.bytes += p.size() - old.size()
	t.append(p)
	t.await(p)
	t.shrink()
}

// maxFresh bounds how many processes wait for a sample: it may never come. Together they have MaxBytes at most.
const maxFresh = 8192

// await waits for the next sample, if p needs one, to say from where on p counts.
func (t *Table) await(p *Process) {
	switch {
	case p.given != notYet:
	case len(t.fresh) < maxFresh && t.waits < t.o.MaxBytes:
		t.fresh = append(t.fresh, p)
		t.waits += p.size()
	default:
		p.given = never
	}
}

// remove takes one program out of those of its pid.
func (t *Table) remove(p *Process) {
	switch top := t.byPID[p.pid]; {
	case top != p:
		for top.prev != p {
			top = top.prev
		}
		top.prev = p.prev
	case p.prev != nil:
		t.byPID[p.pid] = p.prev
	default:
		delete(t.byPID, p.pid)
		delete(t.depth, p.pid)
	}

	if n := t.depth[p.pid]; n > 1 {
		t.depth[p.pid] = n - 1
	}
	p.prev = nil
	t.bytes -= p.size()
	p.state |= gone
	t.unlink(p)
}

// shorten leaves the newest programs of a pid.
func (t *Table) shorten(pid int32) {
	p := t.byPID[pid]
	for range leftPrograms - 1 {
		p = p.prev
	}
	t.cut(&p.prev)
	p.state |= cutOff
	t.depth[pid] = leftPrograms
}

// cut drops the program at link and all before it in its process.
func (t *Table) cut(link **Process) {
	for p := *link; p != nil; p = p.prev {
		t.bytes -= p.size()
		p.state |= gone
		t.unlink(p)
	}
	*link = nil
}

// evict drops the process that was not asked for longest, roughly: one that was asked for since it came
// to the front goes to the end once more, so that daemons, which are old, stay. What a pid ran before goes
// with it, as that must not count for what it ran later.
func (t *Table) evict() {
	p := t.oldest
	if p.state&used != 0 {
		p.state &^= used
		t.unlink(p)
		t.append(p)
		return
	}

	if t.byPID[p.pid] == p {
		link := p
		t.cut(&link)
		delete(t.byPID, p.pid)
		delete(t.depth, p.pid)
		return
	}

	after, n := t.byPID[p.pid], 1
	for after.prev != p {
		after, n = after.prev, n+1
	}
	t.cut(&after.prev)
	after.state |= cutOff
	t.depth[p.pid] = n
}

// append puts p at the end of the order of eviction.
func (t *Table) append(p *Process) {
	p.older, p.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = p
	} else {
		t.oldest = p
	}
	t.newest = p
}

func (t *Table) unlink(p *Process) {
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		t.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		t.newest = p.older
	}
	p.older, p.newer = nil, nil
}

// maxForks is how many forks without an event of the child may have led to a process.
const maxForks = 16

// at returns the program that a process ran at a moment, nil where that is not certain.
func (t *Table) at(pid int32, m Moment) *Process { return t.look(pid, m, math.MaxInt64, 0) }

// look is at, but only holes count that were seen until a time. forks counts the steps from a child to its parent that led here.
func (t *Table) look(pid int32, m Moment, until int64, forks int) *Process {
	return t.lookBack(t.byPID[pid], m, until, forks)
}

// lookBack is look for p and the programs before it in its process.
func (t *Table) lookBack(p *Process, m Moment, until int64, forks int) *Process {
	for p != nil && !m.notBefore(p.at()) {
		if !serialBefore(m.Serial, p.serial) {
			return nil // after it by serial and before it by clock: of another boot, or the clock was set
		}
		p = p.prev
	}

	if p == nil || p.from == ended || !t.holds(p, m, until) {
		return nil
	}
	if p.from.isUnsure() {
		parent := (*Process)(nil)
		if forks < maxForks {
			parent = t.look(p.ppid, p.at(), until, forks+1)
		}
		if parent == nil || parent.state&hostPIDs == 0 {
			return nil
		}
	}
	p.state |= used
	return p
}

// holds reports whether nothing can have happened between p and m that the table does not know.
func (t *Table) holds(p *Process, m Moment, until int64) bool {
	since := Moment{p.millis, p.base}
	if t.doubts.between(since, m) || t.holes.between(since.Serial, m.Serial, until) {
		return false
	}
	return !t.o.Live || t.keepsNumber(p, m.Millis)
}

// refresh takes a sample before its time, where one may decide.
func (t *Table) refresh() bool {
	if t.read == nil {
		return false
	}
	s, err := t.read()
	if err != nil || t.reuse.isSetBack(s) { // Follow deals with that
		return false
	}
	t.reuse.noteExtra(s)
	t.settle()
	return true
}

// settle has a new sample say from where on those count that waited for it.
func (t *Table) settle() {
	left := t.fresh[:0]
	t.waits = 0
	for _, p := range t.fresh {
		if t.reuse.settle(p); p.given == notYet { // by a clock that is a little ahead
			left = append(left, p)
			t.waits += p.size()
		}
	}
	clear(t.fresh[len(left):])
	t.fresh = left
}
