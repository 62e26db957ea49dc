package program

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
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

// unreaped calls do while the number can only be that of the process, if the process is still there.
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

// askedProcess is a child of the monitor. If the monitor has gone, the end of the child is not known; but then this
// process ends, too.
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
