package program

import (
	"errors"
	"maps"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/sinks"
)

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

// duplicate makes a file with a descriptor of its own, for a child. It stays non-blocking if fd is: package os would
// make a blocking one of it otherwise.
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
	sinks.WardenSettings[Config]
}

func newWarden() sinks.Warden {
	w := new(warden)
	w.children = newChildren(func(string) (Config, bool) {
		cfg := w.Settings()
		return *cfg, cfg.Path != ""
	})
	return w
}

// Actions starts the programs of actions for a worker.
type Actions struct{ *children }

// NewActions returns one for the programs that allowed says an action names.
func NewActions(allowed func(path string) bool) *Actions {
	k := newChildren(func(path string) (Config, bool) { return Config{Path: path}, allowed(path) })
	k.noInput = true
	return &Actions{k}
}
