package process

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
