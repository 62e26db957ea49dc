package program

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/sinks"
	"audisp-relay/sinks/local"
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

// groupLook is how often others of its group are looked for.
const groupLook = 10 * time.Millisecond

// child is a running program, the leader of a process group of its own. A goroutine waits
// for its end; it is reaped, so that its number may be given to another, only when its
// group has ended, too. All methods but for age and hangup belong to one goroutine.
type child struct {
	proc   process
	stdin  *local.Conn // our end; closed when the child has ended
	theirs int         // a duplicate of the child's end, to read back what it has not read
	stderr *lastLine   // nil: it has none
	began  time.Time

	dying  atomic.Bool   // what is in its socket may be taken back from now on
	done   chan struct{} // closed when the child has ended; then the rest may be read
	end    time.Time
	unread int // bytes that were not read

	status string // how it has ended; when it is reaped
}

// watch waits for the child to end.
func (c *child) watch() {
	c.proc.await()
	c.end = time.Now()
	c.dying.Store(true)
	// A Write that waits for the child to read ends here; and processes of its own that have
	// its stdin read the end of it.
	c.stdin.Close()
	c.unread = takeBack(c.theirs)
	close(c.done)
}

// takeBack reads what was not read and returns how much that was. Our end is closed by
// then, so nothing comes after it.
func takeBack(fd int) (n int) {
	buf := make([]byte, 32<<10)
	for {
		k, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
		case err != nil || k <= 0:
			return n
		default:
			n += k
		}
	}
}

func (c *child) pid() int { return c.proc.pid() }

func (c *child) ended() bool { return sinks.IsClosed(c.done) }

// waiting is how many bytes the child has not read yet.
func (c *child) waiting() int {
	n, _ := unix.IoctlGetInt(c.theirs, unix.SIOCINQ) // of an error 0
	return n
}

// closedStdin reports whether it is known that no process can read the child's stdin any more,
// though the child lives.
func (c *child) closedStdin() bool {
	var st unix.Stat_t
	if unix.Fstat(c.theirs, &st) != nil {
		return false
	}
	held, known := holdsSocket(c.pid(), uint32(st.Ino))
	return known && !held && !c.ended()
}

// how says how an ended child has ended: "exit status 1", "signal: killed", and the last line it wrote to stderr.
func (c *child) how() string {
	if c.stderr != nil {
		if line := c.stderr.String(); line != "" {
			return c.status + ", stderr " + line
		}
	}
	return c.status
}

// age is how long a child has lived.
func (c *child) age() time.Duration {
	if c.ended() {
		return c.end.Sub(c.began)
	}
	return time.Since(c.began)
}

// hangup sends SIGHUP, as auditd does: to the child alone. One that has ended gets none,
// nor does another process that has its pid: it is not reaped without our knowing.
func (c *child) hangup() {
	if !c.ended() && time.Since(c.began) >= hupAge {
		c.proc.signal(unix.SIGHUP)
	}
}

// finish ends the child's input and then, when it does not take that as a reason to end
// within grace, the child and its group. When hurry is closed it waits no longer than it
// must. Of a child that has ended it ends what is left of its group. It returns how many bytes
// were not read.
func (c *child) finish(grace time.Duration, hurry <-chan struct{}) (unread int, err error) {
	c.stdin.Shutdown()
	if !c.wait(grace, hurry) {
		c.proc.signalGroup(unix.SIGTERM)
		if !c.wait(termGrace-hurryGrace, hurry) && !c.wait(hurryGrace, nil) {
			c.proc.signalGroup(unix.SIGKILL)
			c.wait(killGrace, nil)
		}
	}

	if !c.ended() {
		c.dying.Store(true)
		unread = takeBack(c.theirs)
		go func() {
			<-c.done
			c.reap()
		}()
		return unread, fmt.Errorf("pid %d does not end on SIGKILL: it hangs in the kernel, look at /proc/%d/stack", c.pid(), c.pid())
	}
	c.reap()
	return c.unread, nil
}

// reap lets go of a child that has ended.
func (c *child) reap() {
	c.status = c.proc.reap()
	c.release()
}

// release closes what the relay holds of a child besides its stdin.
func (c *child) release() {
	unix.Close(c.theirs)
	if c.stderr != nil {
		c.stderr.close()
	}
}

// wait waits for the child and all of its group to end, for d or until hurry is closed.
func (c *child) wait(d time.Duration, hurry <-chan struct{}) bool {
	end := time.After(d)
	select {
	case <-c.done:
	case <-end:
		return false
	case <-hurry:
		if !c.ended() {
			return false
		}
	}

	for c.proc.hasMembers() {
		select {
		case <-time.After(groupLook):
		case <-end:
			return false
		case <-hurry:
			return !c.proc.hasMembers()
		}
	}
	return true
}
