package process

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
)

// image is what a process of the model runs.
type image struct {
	exe    string
	args   []string
	exec   Moment // its exec's; zero where there was none
	labels []string
}

// inherit sets the labels of what a process runs now, of which the ones before are passed on, as testLabels says.
func (i *image) inherit(before []string, key string) {
	i.labels = nil
	for _, label := range []string{"soft", "one", "two", "web"} {
		has := (label == "soft" || label == "one") && slices.Contains(before, label)
		switch label {
		case "soft":
			has = has || key == label
		case "one":
			has = (has || strings.HasSuffix(i.exe, "tool 1")) && !strings.HasSuffix(i.exe, "tool 3")
		case "two":
			has = strings.HasSuffix(i.exe, "tool 2")
		case "web":
			has = slices.Contains(i.args, "-Dweb") && !slices.Contains(i.args, "--visible")
		}
		if has {
			i.labels = append(i.labels, label)
		}
	}
}

// task is a process of the model. Those in a container have another number for each other.
type task struct {
	pid, local int
	parent     *task
	image      image
	container  bool
	entry      int // pid of the daemon that has started it; 0 for a child of process 1
}

// world is a host: its processes, how it gives out pids, and what is audited of it.
type world struct {
	r     *rand.Rand
	t     *Table
	now   Moment
	ran   int64 // ms
	max   int   // of pids
	last  int   // pid
	forks uint64
	used  map[int]bool
	tasks []*task
	local int // the last number in a container

	forksAudited, exitsAudited, containers, reorders bool
	loses                                            int // of 1000 events

	sampled int64
	held    *event // that comes late
	heldAsk question
	asked   []question
	right   int // answers that were

	labelled        bool // labels are compared, too
	labels, missing int  // those that were right, and that were not there
	entries, lacks  int  // leaders that were right, and that were not said

	without int
	why     map[string]int
}

// question is an event and what was true of it.
type question struct {
	m            Moment
	ppid, pid    int
	self, parent image
	entry        int
}

func newWorld(seed uint64, max int, labels *Labels) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 1)), max: max, last: firstPID + 9, used: map[int]bool{}, why: map[string]int{}, now: Moment{1_700_000_000_000, 100}}
	w.t = NewTable(Options{Labels: labels})
	w.t.o.Live, w.t.follows = true, true
	w.t.now = func() time.Time { return time.UnixMilli(w.now.Millis) } // a busy machine must not use up argsTime
	w.t.since = w.now.Millis
	root := &task{pid: 1, image: image{exe: "/sbin/init", args: []string{"init"}}}
	w.tasks = []*task{root}
	for i := range 5 {
		w.tasks = append(w.tasks, &task{pid: firstPID + i, entry: firstPID + i, parent: root, image: image{exe: fmt.Sprintf("/usr/sbin/daemon%d", i), args: []string{"daemon", fmt.Sprint(i)}}})
	}
	for _, p := range w.tasks {
		w.used[p.pid] = true
		ppid := 0
		if p.parent != nil {
			ppid = p.parent.pid
		}
		text := appendProgram(nil, []byte(p.image.exe), []byte(comm(p.image.exe)))
		for _, arg := range p.image.args {
			text = append(append(text, arg...), 0)
		}
		w.t.started = append(w.t.started, &Process{text: string(text), exeLen: uint16(len(p.image.exe)), millis: w.now.Millis, pid: int32(p.pid), ppid: int32(ppid), from: fromProc, state: used | known | noSession})
	}
	w.sample()
	for _, p := range w.t.started {
		w.t.reuse.settle(p)
	}
	w.t.read = func() (sample, error) { return w.takeSample(), nil }
	return w
}

func (w *world) sample() {
	w.sampled = w.now.Millis
	w.t.sample(w.takeSample())
}

func (w *world) takeSample() sample {
	return (sample{Millis: w.now.Millis, Ran: w.ran, Last: int64(w.last), Forks: w.forks, Max: int64(w.max)})
}

// nextPID gives out a pid as the kernel does.
func (w *world) nextPID() int {
	for {
		if w.last++; w.last >= w.max {
			w.last = firstPID
		}
		if !w.used[w.last] {
			w.used[w.last] = true
			w.forks++
			return w.last
		}
	}
}

// tick lets time pass, and returns the next event's moment.
func (w *world) tick() Moment {
	ms := w.r.Int64N(6)
	w.now.Millis += ms
	w.ran += ms
	w.now.Serial++
	if pause := w.now.Millis - w.sampled; pause >= 1000 || (pause >= 100 && w.max < smallCircle) {
		w.sample()
	}
	return w.now
}

// write gives an event to the table, or loses it.
func (w *world) write(m Moment, p *task, bodies ...string) {
	q := question{m: m, pid: p.pid, self: p.image, entry: p.entry}
	if p.parent != nil {
		q.ppid, q.parent = p.parent.pid, p.parent.image
	}
	if w.r.IntN(1000) < w.loses {
		if w.r.IntN(2) == 0 { // else nobody says so
			w.t.Lost("", m.Serial, m.Serial)
		}
		return
	}
	e := &event{}
	for i, body := range bodies {
		e.add([]uint32{record.TypeSyscall, record.TypeExecve}[i], m, "", body)
	}
	if w.held == nil && w.reorders && w.r.IntN(20) == 0 { // it comes after the next one
		w.held, w.heldAsk = e, q
		return
	}
	w.t.Note(&e.Batch)
	w.asked = append(w.asked, q)
	if w.held != nil {
		w.t.Note(&w.held.Batch)
		w.asked = append(w.asked, w.heldAsk)
		w.held = nil
	}
}

func (w *world) pidOf(p *task, by *task) int {
	if by.container {
		return p.local
	}
	return p.pid
}

func ppidOf(p *task) int {
	if p.parent == nil {
		return 0
	}
	return p.parent.pid
}

// fork makes a child, which may execute something before the fork returns.
func (w *world) fork(p *task) {
	child := &task{pid: w.nextPID(), parent: p, image: p.image, container: p.container, entry: p.entry}
	before := p.image.labels
	if p.pid == 1 {
		before = nil
	}
	child.image.inherit(before, "")
	if w.containers && w.r.IntN(10) == 0 {
		child.container = true
	}
	if child.container {
		w.local++
		child.local = firstPID + w.local%200 // such as others have on the host
	}
	// The time of an event is that of its begin, its serial that of its end.
	began := w.now.Millis
	w.tasks = append(w.tasks, child)
	if w.r.IntN(4) == 0 {
		w.exec(child)
	}
	if w.forksAudited {
		m := w.tick()
		m.Millis = began
		nr, flags := sysClone, uint64(0x1200011)
		if w.r.IntN(2) == 0 {
			nr, flags = sysClone3, 0x7fff1234
		}
		w.write(m, p, syscall(nr, w.pidOf(child, p), flags, ppidOf(p), p.pid, p.image.exe))
	}
}

// thread makes a thread, which takes a pid and is no process.
func (w *world) thread(p *task) {
	tid := w.nextPID()
	if w.forksAudited {
		m := w.tick()
		exit := tid
		if p.container {
			w.local++
			exit = firstPID + w.local%200
		}
		w.write(m, p, syscall(sysClone, exit, 0x3d0f00, ppidOf(p), p.pid, p.image.exe))
	}
	delete(w.used, tid)
}

func (w *world) exec(p *task) {
	m := w.tick()
	n := w.r.IntN(30)
	before := p.image.labels
	p.image = image{exe: fmt.Sprintf("/usr/bin/tool %d", n), args: []string{fmt.Sprint("tool", n), fmt.Sprint(m.Serial), "", "it's"}, exec: m}
	for _, arg := range []string{"-Dweb", "--visible"} {
		if w.r.IntN(4) == 0 {
			p.image.args = append(p.image.args, arg)
		}
	}
	key, body := "", syscall(sysExec, 0, 1, ppidOf(p), p.pid, p.image.exe)
	if w.r.IntN(20) == 0 {
		key, body = "soft", withKey(body, `"soft"`)
	}
	p.image.inherit(before, key)
	w.write(m, p, body, execve(p.image.args...))
}

func (w *world) call(p *task) {
	w.write(w.tick(), p, syscall(sysOpen, w.r.IntN(5)-2, 1, ppidOf(p), p.pid, p.image.exe))
}

func (w *world) exit(p *task) {
	if p.pid < firstPID+5 {
		return
	}
	if w.exitsAudited {
		w.write(w.tick(), p, syscall(sysExit, 0, 0, ppidOf(p), p.pid, p.image.exe))
		w.asked = w.asked[:max(0, len(w.asked)-1)] // who has ended may be known or not
	}
	w.tasks = slices.DeleteFunc(w.tasks, func(o *task) bool { return o == p })
	for _, o := range w.tasks {
		if o.parent == p {
			o.parent = w.tasks[0]
		}
	}
	delete(w.used, p.pid)
}

func (w *world) step() {
	p := w.tasks[w.r.IntN(len(w.tasks))]
	switch n := w.r.IntN(100); {
	case n < 25 && len(w.tasks) < 60:
		w.fork(p)
	case n < 30:
		w.thread(p)
	case n < 45:
		w.exec(p)
	case n < 65:
		w.exit(p)
	default:
		w.call(p)
	}
}

// look answers what the table wonders about, as /proc does.
func (w *world) look() {
	for {
		select {
		case p := <-w.t.wonder:
			for _, o := range w.tasks {
				if o.pid == int(p.pid) && !o.container {
					w.t.tellHost(p, w.now.Millis)
				}
			}
		default:
			return
		}
	}
}

// answer holds the table's answers to some of the questions, late ones too, against the truth.
func (w *world) answer(t *testing.T) {
	for k := len(w.asked) - 1; k >= 0; k -= 1 + w.r.IntN(20) {
		q := w.asked[k]
		c := Context{WantsEntry: true}
		askInto(&c, w.t, q.m, q.ppid, q.pid)
		w.compare(t, q, "self", c.Self, q.self)
		w.compareLabels(t, q, &c)
		w.compareEntry(t, q, &c)
		w.compare(t, q, "parent", c.Parent, q.parent)
	}
	if n := len(w.asked); n > 600 {
		w.asked = slices.Delete(w.asked, 0, n-400)
	}
}

// compareLabels holds the labels against the truth, where forks are audited and so nobody is taken for the child of what its
// parent runs later.
func (w *world) compareLabels(t *testing.T, q question, c *Context) {
	if !w.labelled || c.Self == nil {
		return
	}
	got := slices.Collect(c.Labels)
	for _, label := range got {
		if !slices.Contains(q.self.labels, label) {
			t.Fatalf("pid %d (parent %d) at %v runs %q and has the labels %q, want %q", q.pid, q.ppid, q.m, c.Self.Exe(), got, q.self.labels)
		}
	}
	w.labels += len(got)
	w.missing += len(q.self.labels) - len(got)
}

// compareEntry holds the entry leader against the truth. Children of process 1 are in a login session here, as are all but the daemons.
func (w *world) compareEntry(t *testing.T, q question, c *Context) {
	switch {
	case c.Entry == nil:
		if c.Self != nil && q.entry != 0 {
			w.lacks++
		}
	case c.Entry.PID() != q.entry || c.EntryType != byInit:
		t.Fatalf("pid %d (parent %d) at %v was entered by %s of %d, %q; not by %d", q.pid, q.ppid, q.m, c.EntryType, c.Entry.PID(), c.Entry.Exe(), q.entry)
	default:
		w.entries++
	}
}

func (w *world) compare(t *testing.T, q question, what string, got *Process, want image) {
	t.Helper()
	if want.exe == "" {
		return
	}
	if got == nil {
		w.why[what+" not known"]++
		w.without++
		return
	}
	w.right++
	exec, known := got.Exec()
	if got.Exe() != want.exe || (got.HasArgs() && !isArgs(got, want.args...)) || (known && exec != want.exec) {
		t.Fatalf("%s of pid %d (parent %d) at %v: %q %q from %v, want %+v", what, q.pid, q.ppid, q.m, got.Exe(), argsOf(got), got.from, want)
	}
	if !got.HasArgs() {
		w.why[fmt.Sprint(what, " without arguments, from ", got.from)]++
		w.without++
		w.right--
	}
}

// TestNothingIsWrong: whatever is audited and lost, in containers and when pids are used again, what
// the table says of a process is true; and where all is audited and nothing lost, it says nearly all.
func TestNothingIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                               string
		forks, exits, containers, reorders bool
		loses, max                         int
		known                              float64 // the least share of answers
		labels                             float64 // and of labels; 0: they are not compared
	}{
		{"all is audited", true, true, false, false, 0, 1 << 22, 0.999, 0.999},
		{"events come in another order", true, true, false, true, 0, 1 << 22, 0.95, 0.95},
		{"in containers", true, true, true, true, 0, 1 << 22, 0.8, 0},
		{"execs alone", false, false, false, true, 0, 1 << 22, 0.6, 0},
		{"execs and forks", true, false, true, true, 0, 1 << 22, 0.8, 0},
		{"pids come again", true, true, true, true, 0, 1300, 0.3, 0},
		{"pids come again, execs alone", false, false, true, true, 0, 1300, 0.3, 0},
		{"records are lost", true, true, true, true, 5, 1 << 22, 0.3, 0},
		{"all of it", false, false, true, true, 1, 1300, 0.3, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			right, without, labels, missing, entries, lacks := 0, 0, 0, 0, 0, 0
			for seed := range uint64(4) {
				w := newWorld(seed, tt.max, testLabels(t))
				w.forksAudited, w.exitsAudited, w.containers, w.reorders, w.loses = tt.forks, tt.exits, tt.containers, tt.reorders, tt.loses
				w.labelled = tt.labels > 0
				for n := range 6000 {
					w.step()
					w.look()
					if n%50 == 0 {
						w.answer(t)
					}
				}
				checkTable(t, w.t)
				if tt.known > 0.99 {
					t.Log(w.why)
				}
				right, without = right+w.right, without+w.without
				labels, missing = labels+w.labels, missing+w.missing
				entries, lacks = entries+w.entries, lacks+w.lacks
			}
			share := float64(right) / float64(right+without)
			t.Logf("%d answers, %.4f of the questions; %d entry leaders, %d not said", right, share, entries, lacks)
			if entries < 50 || (tt.known > 0.99 && lacks > entries/100) {
				t.Errorf("%d entry leaders, %d not said", entries, lacks)
			}
			if share < tt.known {
				t.Errorf("%.4f of the questions are answered, want %v", share, tt.known)
			}
			if share := float64(labels) / float64(labels+missing); tt.labels > 0 && (share < tt.labels || labels < 1000) {
				t.Errorf("%d labels, %.4f of them, want %v", labels, share, tt.labels)
			}
		})
	}
}
