package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the CPU time, user and system, that all threads of a process
// have used so far, those that ended included. It reads the process's CPU
// clock (clock_getcpuclockid(3)), which counts nanoseconds where
// /proc/PID/stat counts ticks of 10 ms.
func CPU(pid int) (time.Duration, error) {
	const cpuclockSched = 2 // linux/posix-timers.h
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuclockSched), &ts); err != nil {
		return 0, fmt.Errorf("cpu clock of pid %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// OwnCPU returns the CPU time of this process: that of all goroutines, and so of the garbage collector's, which other
// programs do not disturb.
func OwnCPU(t TB) time.Duration {
	t.Helper()
	used, err := CPU(os.Getpid())
	if err != nil {
		t.Fatalf("%v", err)
	}
	return used
}

// RSS returns the resident memory of a process in bytes: now, and the highest
// since its exec (VmHWM). The rusage of a child is no substitute: its maximum
// includes the parent's memory from before the exec.
func RSS(pid int) (now, peak int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("memory of pid %d: %w", pid, err)
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		kib, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		switch key {
		case "VmRSS":
			now, err = strconv.ParseInt(kib, 10, 64)
		case "VmHWM":
			peak, err = strconv.ParseInt(kib, 10, 64)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("memory of pid %d: %s: %w", pid, key, err)
		}
	}
	if peak == 0 {
		return 0, 0, fmt.Errorf("memory of pid %d: it has ended", pid)
	}
	return now << 10, peak << 10, nil
}

// cmdline returns the argument vector of a process, nil when it has none.
func cmdline(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// Children lists the processes whose parent is pid.
func Children(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err != nil {
			continue // it ended meanwhile
		}
		// pid (comm) state ppid …; comm may hold anything but ends at the last ")".
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(pid) {
			out = append(out, child)
		}
	}
	return out, nil
}

// runs reports whether the process runs the program with these arguments:
// they follow each other in its argument vector, which for a script begins
// with the interpreter.
func runs(pid int, program string, args []string) bool {
	argv := cmdline(pid)
	i := slices.Index(argv, program)
	return i >= 0 && len(argv) >= i+1+len(args) && slices.Equal(argv[i+1:i+1+len(args)], args)
}

// waitExit waits until a process that need not be our child has ended. It
// reports false when limit passed first.
func waitExit(pidfd int, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for {
		left := time.Until(deadline)
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(left, 0).Milliseconds()))
		if n > 0 {
			return true
		}
		if left <= 0 || (err != nil && !errors.Is(err, unix.EINTR)) {
			return false
		}
	}
}

// Process is a helper program started by the lab.
type Process struct {
	t    TB
	name string
	cmd  *exec.Cmd
	out  *complaints   // its stderr
	done chan struct{} // closed when it has ended and been waited for
}

// StartProcess runs a helper in the background, for example socat. When the
// test ends it is stopped by its pid, and waited for.
func StartProcess(t TB, name string, args ...string) *Process {
	t.Helper()
	path, err := Tool(name)
	Check(t, err, "find a program")
	return startProcess(t, exec.Command(path, args...), nil)
}

func startProcess(t TB, cmd *exec.Cmd, stdout io.Writer) *Process {
	t.Helper()
	p := &Process{t: t, name: filepath.Base(cmd.Path), cmd: cmd, out: new(complaints), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = stdout, p.out
	Check(t, cmd.Start(), "start %s", p.name)
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the state is in cmd.ProcessState
	}()
	t.Cleanup(p.Stop)
	return p
}

// PID of the helper.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the helper has ended.
func (p *Process) Exited() <-chan struct{} { return p.done }

// Stderr is what the helper has complained about so far.
func (p *Process) Stderr() string { return p.out.text() }

// complaints is what a helper that may still run writes.
type complaints struct {
	mu  sync.Mutex // guards out
	out bytes.Buffer
}

func (c *complaints) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(data)
}

func (c *complaints) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// Signal sends a signal to the helper, for example SIGSTOP.
func (p *Process) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Errorf("signal %v to %s: %v", sig, p.name, err)
	}
}

// Stop ends the helper: TERM, and KILL when it does not listen.
func (p *Process) Stop() {
	select {
	case <-p.done:
		return
	default:
	}
	// Errors mean that it is gone already, which done will show.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}
