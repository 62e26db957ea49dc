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
)

// sendBuffer is the wanted size of the child's socket: some batches, so that a
// reader of single records is not switched to for each. What a child has not
// read when it dies is lost: so no more.
const sendBuffer = 512 << 10

// startChild starts path as auditd starts a plugin (audispd.c, safe_exec): a
// socket as stdin (stock plugins peek at it with MSG_PEEK, which a pipe
// refuses), no environment, cwd /, our process group. Signals are as at login:
// none blocked, none ignored. Output goes to /dev/null.
//
// The child gets no parent-death signal: that is tied to the thread that
// forked, and Go ends threads. When we die it reads the end of its input.
func startChild(path string, args []string) (*child, error) {
	if err := checkBinary(path); err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	defer null.Close()
	argv := append([]string{path}, args...)
	proc, err := startProcess(path, argv, &os.ProcAttr{Dir: "/", Env: []string{}, Files: []*os.File{theirs, null, null}})
	if err != nil {
		ours.Close()
		return nil, startError(path, err)
	}
	// Ours may be protected; the child's death costs less than ours. Raising
	// the score is always allowed, and nobody has waited for the pid yet.
	_ = os.WriteFile("/proc/"+strconv.Itoa(proc.Pid)+"/oom_score_adj", []byte("0"), 0)
	c := &child{proc: proc, stdin: ours, began: time.Now(), done: make(chan struct{})}
	go c.watch()
	return c, nil
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

// caught takes the signals that catchIgnored catches; nobody reads it.
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

// checkBinary refuses what auditd refuses to start.
func checkBinary(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return startError(path, err)
	}
	refuse := func(why, todo string) error {
		return fmt.Errorf("program %s is not started: %s: %s %s", path, why, todo, path)
	}
	mode := st.Mode()
	switch {
	case !mode.IsRegular():
		return fmt.Errorf("program %s is not started: it is not a regular file: name the program itself", path)
	case mode.Perm()&0o111 == 0:
		return refuse("it is not executable", "chmod 0750")
	case mode.Perm()&0o022 != 0:
		return refuse("others than its owner can write to it", "chmod go-w")
	case os.Geteuid() == 0 && st.Sys().(*syscall.Stat_t).Uid != 0:
		return refuse("it does not belong to root", "chown root")
	}
	return nil
}

func startError(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("start %s: %w: install it or mend path", path, err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("start %s: %w: it is no program for this machine, or a script without a #! line", path, err)
	}
	return fmt.Errorf("start %s: %w", path, err)
}

// socketPair returns our end, for the poller, and the child's, which blocks.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	if unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		// Not privileged: as much as net.core.wmem_max allows.
		_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "stdin of the program"), os.NewFile(uintptr(fds[1]), "stdin"), nil
}
