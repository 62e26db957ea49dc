package program

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
	"audisp-relay/sinks"
)

// process is a program that was started, and leads a process group. It is reaped once.
type process interface {
	pid() int
	await()                    // its end; it is not reaped yet, so that its number is no other's
	signal(unix.Signal)        // to it alone
	signalGroup(s unix.Signal) // to all that it has started, too
	hasMembers() bool          // others of its group are alive; to be asked when it has ended
	reap() (status string)
}

// launch starts a program, or has the monitor start the one that item names.
func launch(item string, cfg *Config, stdin, stderr *os.File) (process, error) {
	if m := broker.Monitor(); m != nil {
		return askStart(m, item, cfg.Path, stdin, stderr)
	}
	return startProgram(cfg, stdin, stderr)
}

// startProgram starts a program of this process. It keeps neither file.
func startProgram(cfg *Config, stdin, stderr *os.File) (*ownProcess, error) {
	if err := runnable.MayStart(cfg.Path); err != nil {
		return nil, fmt.Errorf("program is not started: %w", err)
	}
	sys := &syscall.SysProcAttr{Setpgid: true}
	if cfg.User != "" {
		a, err := account(cfg.User)
		if err != nil {
			return nil, fmt.Errorf("program %s is not started: user: %w", cfg.Path, err)
		}
		if a.UID != uint32(os.Geteuid()) {
			sys.Credential = &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: a.Groups}
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, startError(cfg.Path, err)
	}
	defer null.Close()
	if stderr == nil {
		stderr = null
	}
	argv := append([]string{cfg.Path}, cfg.Args...)
	p, err := startProcess(cfg.Path, argv, &os.ProcAttr{Dir: "/", Env: []string{}, Files: []*os.File{stdin, null, stderr}, Sys: sys})
	if err != nil {
		return nil, startError(cfg.Path, err)
	}
	// Ours may be protected; the child's death costs less than ours. Raising
	// the score is always allowed, and the pid was not waited for yet.
	_ = os.WriteFile("/proc/"+strconv.Itoa(p.Pid)+"/oom_score_adj", []byte("0"), 0)
	return &ownProcess{p: p}, nil
}

// ownProcess is a child of this process. Its methods may be called from several goroutines: in a monitor the worker decides when.
type ownProcess struct {
	p *os.Process

	mu     sync.Mutex // guards reaped, and is held while its number is used
	reaped bool       // the number may be another process's, or another group's
}

func (o *ownProcess) pid() int { return o.p.Pid }

// unreaped calls do while the number is surely that of the process, if it still is.
func (o *ownProcess) unreaped(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.reaped {
		do()
	}
}

func (o *ownProcess) signal(sig unix.Signal) {
	o.unreaped(func() { _ = o.p.Signal(sig) }) // one that has ended needs none
}

func (o *ownProcess) signalGroup(sig unix.Signal) {
	o.unreaped(func() { signalGroup(o.p, sig) })
}

func (o *ownProcess) hasMembers() (any bool) {
	o.unreaped(func() { any = hasMembers(o.p.Pid) })
	return any
}

func (o *ownProcess) await() {
	for {
		// WNOWAIT leaves it unreaped.
		if err := unix.Waitid(unix.P_PID, o.p.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return
		}
	}
}

// reap is to be called when await has returned.
func (o *ownProcess) reap() (status string) {
	status = "its end is not known"
	o.unreaped(func() {
		o.reaped = true
		if state, err := o.p.Wait(); err == nil {
			status = state.String()
		}
	})
	return status
}

// end ends what has been left: its stdin has ended, and it has as long as a sink would have given it. It returns when all of its
// group has ended, or was killed.
func (o *ownProcess) end() {
	c := &child{proc: o, done: make(chan struct{})}
	go func() {
		o.await()
		close(c.done)
	}()
	for _, step := range []struct {
		sig   unix.Signal
		grace time.Duration
	}{{unix.SIGTERM, eofGrace}, {unix.SIGKILL, termGrace}} {
		if c.wait(step.grace, nil) {
			break
		}
		o.signalGroup(step.sig)
	}
	if c.wait(killGrace, nil) {
		o.reap()
		return
	}
	go func() { // it hangs in the kernel
		<-c.done
		o.reap()
	}()
}

// ActionItem is what a worker calls the programs of actions ("exec PATH") when it asks its monitor for one.
const ActionItem = "action"

// What a worker asks for. All but the first name a program that was started.
const (
	opStart   = "start"
	opAwait   = "await"
	opSignal  = "signal"
	opMembers = "members"
	opReap    = "reap"
)

// asked are the arguments.
type asked struct {
	Handle uint64
	Path   string // opStart of ActionItem
	Signal int
	Group  bool
}

// started is what opStart gives.
type started struct {
	Handle uint64
	Pid    int
}

// askedProcess is a child of the monitor. If that has gone its end is not known, and this process ends, too.
type askedProcess struct {
	m    *broker.Client
	item string
	is   started
}

func askStart(m *broker.Client, item, path string, stdin, stderr *os.File) (process, error) {
	p := &askedProcess{m: m, item: item}
	fds := []int{int(stdin.Fd())}
	if stderr != nil {
		fds = append(fds, int(stderr.Fd()))
	}
	if _, err := m.Call(item, opStart, asked{Path: path}, &p.is, 0, fds...); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *askedProcess) pid() int { return p.is.Pid }
func (p *askedProcess) await()   { _ = p.m.Do(p.item, opAwait, asked{Handle: p.is.Handle}, nil) }

func (p *askedProcess) signal(sig unix.Signal) {
	_ = p.m.Do(p.item, opSignal, asked{Handle: p.is.Handle, Signal: int(sig)}, nil)
}

func (p *askedProcess) signalGroup(sig unix.Signal) {
	_ = p.m.Do(p.item, opSignal, asked{Handle: p.is.Handle, Signal: int(sig), Group: true}, nil)
}

func (p *askedProcess) hasMembers() (any bool) {
	_ = p.m.Do(p.item, opMembers, asked{Handle: p.is.Handle}, &any)
	return any
}

func (p *askedProcess) reap() string {
	var status string
	if p.m.Do(p.item, opReap, asked{Handle: p.is.Handle}, &status) != nil {
		return "its end is not known"
	}
	return status
}

const (
	// maxChildren is how many programs a sink, or all actions, may have at a time: one that hangs in the kernel stays.
	maxChildren = 64
	// startsPerSecond is how many they may start in the long run. A sink whose program ends at once waits, twice as long each time.
	startsPerSecond = 4
)

// children are the programs that a monitor has started for one item.
type children struct {
	allowed func(path string) (Config, bool) // what is started; path is what the worker says
	noInput bool                             // the programs read nothing, whatever the worker gives them
	starts  broker.Handler                   // start, as often as a sink starts one

	mu   sync.Mutex // guards all below
	last uint64
	all  map[uint64]*ownProcess
}

func newChildren(allowed func(path string) (Config, bool)) *children {
	k := &children{allowed: allowed, all: make(map[uint64]*ownProcess)}
	k.starts = broker.Limit(maxChildren, startsPerSecond, k.serveStart)
	return k
}

// Serve does what the worker asks for.
func (k *children) Serve(c *broker.Call) (a broker.Answer, err error) {
	if c.Op == opStart {
		return k.starts(c)
	}
	var args asked
	if err := c.Args(&args); err != nil {
		return a, err
	}
	k.mu.Lock()
	p := k.all[args.Handle]
	k.mu.Unlock()
	if p == nil {
		return a, c.Unknown()
	}
	switch sig := unix.Signal(args.Signal); c.Op {
	case opAwait:
		p.await()
	case opMembers:
		a.Result = p.hasMembers()
	case opReap:
		p.await() // who asks too early, and goes, leaves it to Close
		a.Result = p.reap()
		k.forget(args.Handle)
	case opSignal:
		if sig != unix.SIGHUP && sig != unix.SIGTERM && sig != unix.SIGKILL {
			return a, c.Unknown()
		}
		if args.Group {
			p.signalGroup(sig)
		} else {
			p.signal(sig)
		}
	default:
		return a, c.Unknown()
	}
	return a, nil
}

func (k *children) serveStart(c *broker.Call) (a broker.Answer, err error) {
	var args asked
	if err := c.Args(&args); err != nil {
		return a, err
	}
	a.Result, err = k.start(c, &args)
	return a, err
}

func (k *children) start(c *broker.Call, args *asked) (s started, err error) {
	cfg, ok := k.allowed(args.Path)
	if !ok || len(c.FDs) == 0 {
		return s, c.Unknown()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.all) >= maxChildren {
		return s, errors.New("too many programs of this sink have not ended")
	}
	// They are closed with the request: files of their own.
	stdin, err := k.input(c.FDs[0])
	if err != nil {
		return s, startError(cfg.Path, err)
	}
	defer stdin.Close()
	var stderr *os.File
	if len(c.FDs) > 1 {
		if stderr, err = duplicate(c.FDs[1]); err != nil {
			return s, startError(cfg.Path, err)
		}
		defer stderr.Close()
	}
	p, err := startProgram(&cfg, stdin, stderr)
	if err != nil {
		return s, err
	}
	k.last++
	k.all[k.last] = p
	return started{k.last, p.pid()}, nil
}

// forget lets go of one that was reaped.
func (k *children) forget(handle uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, handle)
}

// input returns the stdin of a program that is started.
func (k *children) input(fd int) (*os.File, error) {
	if k.noInput {
		return os.Open(os.DevNull)
	}
	return duplicate(fd)
}

// duplicate makes a file of its own of a descriptor, for a child. One that does not block stays so: package os makes one that
// blocks of what did not when the file was made.
func duplicate(fd int) (*os.File, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	flags, err := unix.FcntlInt(uintptr(own), unix.F_GETFL, 0)
	if err == nil {
		err = unix.SetNonblock(own, false)
	}
	if err != nil {
		unix.Close(own)
		return nil, err
	}
	f := os.NewFile(uintptr(own), "")
	if flags&unix.O_NONBLOCK != 0 {
		err = unix.SetNonblock(own, true)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close ends what a worker that has gone has left, and waits until that has ended or was killed: this process may be about to end,
// too, or to execute another program.
func (k *children) Close() {
	k.mu.Lock()
	left := slices.Collect(maps.Values(k.all))
	clear(k.all)
	k.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range left {
		wg.Go(p.end)
	}
	wg.Wait()
}

// warden is the sinks.Warden of a sink.
type warden struct {
	*children
	mu  sync.Mutex // guards cfg
	cfg Config
}

func newWarden() sinks.Warden {
	w := new(warden)
	w.children = newChildren(func(string) (Config, bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.cfg, w.cfg.Path != ""
	})
	return w
}

// Configure implements sinks.Warden.
func (w *warden) Configure(cfg config.Sink) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg = *cfg.Settings.(*Config)
}

// Retire implements sinks.Warden.
func (w *warden) Retire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg = Config{}
}

// Actions starts the programs of actions for a worker.
type Actions struct{ *children }

// NewActions returns one for the programs that allowed says an action names.
func NewActions(allowed func(path string) bool) *Actions {
	k := newChildren(func(path string) (Config, bool) { return Config{Path: path}, allowed(path) })
	k.noInput = true
	return &Actions{k}
}
