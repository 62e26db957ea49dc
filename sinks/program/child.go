package program

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How long a child may take to end: after the end of its input, after SIGTERM,
// after SIGKILL. Together they stay below the second that auditd gives us. When
// that is nearly over only hurryGrace is left between SIGTERM and SIGKILL.
const (
	eofGrace   = 250 * time.Millisecond
	termGrace  = 250 * time.Millisecond
	killGrace  = 150 * time.Millisecond
	hurryGrace = 100 * time.Millisecond
)

// hupAge is how old a child has to be for a SIGHUP: a younger one has just
// read its configuration, and might not yet be ready to survive the signal.
const hupAge = time.Second

// child is a running program. A goroutine of its own waits for it, so that it
// never becomes a zombie; all methods may be called from anywhere.
type child struct {
	proc  *os.Process
	stdin *os.File // our end; closed when the child has ended
	began time.Time

	done   chan struct{} // closed when the child is reaped; then the rest may be read
	end    time.Time
	status string
}

// watch waits for the child to end.
func (c *child) watch() {
	state, err := c.proc.Wait()
	c.end = time.Now()
	if err != nil {
		c.status = err.Error()
	} else {
		c.status = state.String()
	}
	// A Write that waits for a grandchild to read ends here.
	c.stdin.Close()
	close(c.done)
}

func (c *child) pid() int { return c.proc.Pid }

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// how says in which way an ended child has ended: "exit status 1", "signal: killed".
func (c *child) how() string { return c.status }

// age is how long an ended child has lived.
func (c *child) age() time.Duration { return c.end.Sub(c.began) }

// hangup sends SIGHUP. A child that has ended meanwhile gets none, nor does
// another process that has its pid now: os.Process sees to that.
func (c *child) hangup() {
	if time.Since(c.began) >= hupAge {
		_ = c.proc.Signal(unix.SIGHUP)
	}
}

// finish ends the child's input and then, when it does not take that as a reason
// to end within grace, the child. When hurry is closed it waits no longer than
// it must.
func (c *child) finish(grace time.Duration, hurry <-chan struct{}) error {
	if conn, err := c.stdin.SyscallConn(); err == nil {
		// Fails when the child has ended: then there is nothing to end.
		_ = conn.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
	if c.wait(grace, hurry) {
		return nil
	}
	return c.terminate(hurry)
}

// terminate ends the child, first kindly.
func (c *child) terminate(hurry <-chan struct{}) error {
	_ = c.proc.Signal(unix.SIGTERM) // fails when it has ended, as below
	if c.wait(termGrace-hurryGrace, hurry) || c.wait(hurryGrace, nil) {
		return nil
	}
	_ = c.proc.Signal(unix.SIGKILL)
	if c.wait(killGrace, nil) {
		return nil
	}
	return fmt.Errorf("pid %d does not end on SIGKILL: it hangs in the kernel, look at /proc/%d/stack", c.pid(), c.pid())
}

// wait waits for the child to end, for d or until hurry is closed.
func (c *child) wait(d time.Duration, hurry <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.done:
		return true
	case <-t.C:
	case <-hurry:
	}
	return c.ended()
}
