package program

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/sinks/local"
)

// startChild starts a program as auditd starts a plugin (audispd.c, safe_exec): a
// socket as stdin (stock plugins peek at it with MSG_PEEK, which a pipe
// refuses), no environment, cwd /. Other than there it is the leader of a process
// group, by which it is ended with all that it has started; stdout goes to /dev/null, of
// stderr the last line is kept. Signals are as at login: none blocked, none ignored.
//
// The child gets no parent-death signal: that is tied to the thread that
// forked, and Go ends threads. When we die it reads the end of its input.
//
// item is what the monitor knows the program by, where there is one.
func startChild(item string, cfg Config) (*child, error) {
	c, err := newChild()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Path, err)
	}
	if err := c.start(item, &cfg); err != nil {
		c.stdin.Close()
		c.release()
		return nil, err
	}
	return c, nil
}

// newChild makes the two ends of a child's stdin.
func newChild() (*child, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	stdin, err := local.New(fds[0], "stdin of the program")
	if err != nil {
		unix.Close(fds[1])
		return nil, err
	}
	return &child{stdin: stdin, theirs: fds[1], done: make(chan struct{})}, nil
}

func (c *child) start(item string, cfg *Config) error {
	var errs *os.File
	if l, theirs, err := newLastLine(); err == nil { // without /proc there is none
		defer theirs.Close()
		c.stderr, errs = l, theirs
	}

	// Not os.NewFile of c.theirs itself: the file would own it.
	stdin, err := duplicate(c.theirs)
	if err != nil {
		return startError(cfg.Path, err)
	}
	defer stdin.Close()
	c.began = time.Now()
	c.proc, err = launch(item, cfg, stdin, errs)
	if err != nil {
		return err
	}
	go c.watch()
	return nil
}

// startProcess is os.StartProcess with signals as they are by default. Go
// undoes its own handlers, but what we were started with passes through: auditd
// starts plugins with signals ignored or blocked (auditd.c, main; audispd.c, outbound_thread_main).
func startProcess(path string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	if err := catchIgnored(); err != nil {
		return nil, err
	}
	// A child inherits the mask of the thread that forks it. A blocked signal
	// that is pending comes through here, as it would on any other thread that
	// the runtime has unblocked it on.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &old); err != nil {
		return nil, fmt.Errorf("unblock signals: %w", err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	return os.StartProcess(path, argv, attr)
}

// caught takes the signals that catchIgnored catches; it is never read.
var caught = make(chan os.Signal, 1)

// libcSignals are 32 and 33, which a C library keeps for its threads: what it
// finds there it sets itself (signal(7)). posix_spawn(3) leaves them ignored.
const libcSignals = 1<<31 | 1<<32

// catchIgnored makes this process catch and drop the signals that it was
// started to ignore. To it that is the same, but exec resets what is caught and
// keeps what is ignored.
func catchIgnored() error {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return err
	}
	defer f.Close()

	for s := bufio.NewScanner(f); s.Scan(); {
		hex, ok := strings.CutPrefix(s.Text(), "SigIgn:")
		if !ok {
			continue
		}
		ignored, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err != nil {
			return fmt.Errorf("ignored signals in /proc/self/status: %w", err)
		}
		ignored &^= libcSignals
		for sig := 1; sig <= 64; sig++ {
			if ignored&(1<<(sig-1)) != 0 {
				signal.Notify(caught, syscall.Signal(sig))
			}
		}
		return nil
	}
	return errors.New("no SigIgn in /proc/self/status")
}

func startError(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("start %s: %w: install it or correct path", path, err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("start %s: %w: it is no program for this machine, or a script without a #! line", path, err)
	}
	return fmt.Errorf("start %s: %w", path, err)
}
