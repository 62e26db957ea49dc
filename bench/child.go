package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/test/lab"
)

// child is a plugin as auditd starts it, with the bench in auditd's place: a
// socket pair on its stdin, /dev/null elsewhere, no environment.
type child struct {
	t       *scope
	cmd     *exec.Cmd
	feed    *os.File // our end
	started time.Time
	ended   bool
}

// startChild runs a plugin; first is written before it starts, so that it
// finds something to read.
func startChild(t *scope, first []byte, argv ...string) *child {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lab.Check(t, err, "socket pair")
	// Plain blocking descriptors: the runtime's poller would cost CPU and leave
	// the child a non-blocking stdin, which auditd does not.
	theirs := os.NewFile(uintptr(fds[1]), "stdin")
	c := &child{t: t, feed: os.NewFile(uintptr(fds[0]), "feed"), cmd: exec.Command(argv[0], argv[1:]...)}
	t.Cleanup(c.kill)
	if len(first) > 0 {
		if _, err := c.feed.Write(first); err != nil {
			t.Fatalf("write to %s: %v", argv[0], err)
		}
	}
	c.cmd.Stdin = theirs
	c.cmd.Env = []string{}
	c.started = time.Now()
	err = c.cmd.Start()
	theirs.Close()
	lab.Check(t, err, "start %s", argv[0])
	return c
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// write feeds a file in pieces of 64 KiB.
func (c *child) write(path string) {
	f, err := os.Open(path)
	lab.Check(c.t, err, "bulk stream")
	defer f.Close()
	// Wrapped, because os.File would hand over to sendfile and splice.
	if _, err := io.CopyBuffer(struct{ io.Writer }{c.feed}, struct{ io.Reader }{f}, make([]byte, 64<<10)); err != nil {
		c.t.Fatalf("feed %s: %v", c.cmd.Path, err)
	}
}

// unread is how many bytes the child has not read yet, by what the kernel
// charges for them: 0 means none.
func (c *child) unread() int {
	n, err := unix.IoctlGetInt(int(c.feed.Fd()), unix.SIOCOUTQ)
	lab.Check(c.t, err, "ask for unread bytes")
	return n
}

// awaitRead returns when the child has read all there is.
func (c *child) awaitRead(limit, pause time.Duration) {
	for deadline := time.Now().Add(limit); c.unread() > 0; {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s left %d bytes unread for %v", c.cmd.Path, c.unread(), limit)
		}
		time.Sleep(pause)
	}
}

// finish closes stdin, as a stopping auditd does, waits for the child to end
// and returns the CPU time it has used.
func (c *child) finish(limit time.Duration) time.Duration {
	c.feed.Close()
	timer := time.AfterFunc(limit, func() { _ = c.cmd.Process.Kill() })
	err := c.cmd.Wait()
	c.ended = true
	if !timer.Stop() {
		c.t.Fatalf("%s did not end within %v of EOF", c.cmd.Path, limit)
	}
	// Some peers say goodbye with an exit code; that is theirs.
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		c.t.Fatalf("wait for %s: %v", c.cmd.Path, err)
	}
	return usage(c.cmd)
}

// usage is user and system time of a process that ended, and of the
// children it has waited for.
func usage(cmd *exec.Cmd) time.Duration {
	ru := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func (c *child) kill() {
	c.feed.Close()
	if c.ended || c.cmd.Process == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	c.ended = true
}
