// Package local is the sending end of a connection to a process of this machine, an AF_UNIX
// socket. What was sent through it counts when the other end has read it, not when the
// kernel has taken it: what a receiver has not read when it dies is lost.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// SendBuffer is the room for what is sent and not read, as SO_SNDBUF is given it: a
	// batch, so that the receiver is not switched to for each record. Every process may
	// have so much (net.core.wmem_max).
	SendBuffer = 128 << 10
	// MaxDatagram is how long a datagram may be, so that it always fits.
	MaxDatagram = 64 << 10
	// nothing is less than the kernel counts for any message that is waiting, but for the single
	// byte that it holds back while it gives one up (sock_wfree in net/core/sock.c).
	nothing = 128
	// Pauses after which Wait and Write look again without having been woken.
	minLook = 10 * time.Millisecond
	maxLook = time.Second
)

// ErrUnread is how a connection ends whose other end was closed before it had read
// all: how much of it, the kernel does not say.
var ErrUnread = errors.New("the receiver closed the connection before it had read all")

// ErrReplaced is why a connection is given up whose other end does not read.
var ErrReplaced = errors.New("another socket has taken the place of the one that was connected to")

// File is which socket a path led to. As long as the process that has bound that has it, the number is no other's.
type File struct {
	path     string
	dev, ino uint64 // both 0: not known
}

// Look notes where path leads, before it is connected to.
func Look(path string) File {
	f := File{path: path}
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil {
		f.dev, f.ino = uint64(st.Dev), st.Ino
	}
	return f
}

// Replaced reports whether the path leads to another file now. A socket that is only missing may be
// bound again by who had it.
func (f *File) Replaced() bool {
	now := Look(f.path)
	return f.ino != 0 && now.ino != 0 && (now.dev != f.dev || now.ino != f.ino)
}

// Conn is the sending end. It belongs to one goroutine, but for Close.
type Conn struct {
	// Idle, if not nil, is called now and then while the receiver does not read; its
	// error ends the call that waits.
	Idle func() error

	file     *os.File
	raw      syscall.RawConn
	datagram bool
}

// New makes a Conn of a connected socket, which it then owns.
func New(fd int, name string) (*Conn, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	setBuffer(fd, SendBuffer)
	c := &Conn{file: os.NewFile(uintptr(fd), name), datagram: kind == unix.SOCK_DGRAM}
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func setBuffer(fd, size int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size) }

// Datagram reports whether each Write is a message by itself.
func (c *Conn) Datagram() bool { return c.datagram }

// Write sends p, waiting for the receiver to make room, as long as ctx lives. It returns how
// much the kernel has taken.
func (c *Conn) Write(ctx context.Context, p []byte) (n int, err error) {
	for len(p) > n && err == nil {
		err = c.until(ctx, func(fd int) (bool, error) {
			k, err := unix.SendmsgN(fd, p[n:], nil, nil, unix.MSG_NOSIGNAL)
			if err == unix.EAGAIN {
				return false, nil
			}
			n += max(k, 0)
			return true, err
		})
	}
	return n, err
}

// Wait waits until the receiver has read all that was sent, as long as ctx lives. After
// any error but ctx's or Idle's the connection is of no use.
func (c *Conn) Wait(ctx context.Context) error {
	small := false
	err := c.until(ctx, func(fd int) (bool, error) {
		if unread(fd) < nothing {
			return true, c.reset(fd)
		}
		if !small {
			// The kernel wakes a sender when three quarters of the buffer are free
			// (unix_writable in net/unix/af_unix.c). Of the smallest buffer there is
			// that means: with the last message.
			small = true
			setBuffer(fd, 1)
			if unread(fd) < nothing {
				return true, c.reset(fd)
			}
		}
		return false, nil
	})

	if small {
		_ = c.raw.Control(func(fd uintptr) { setBuffer(int(fd), SendBuffer) })
	}
	return err
}

// until calls step when the socket may be written to, and now and then besides, until
// that is done.
func (c *Conn) until(ctx context.Context, step func(fd int) (done bool, err error)) error {
	stop := context.AfterFunc(ctx, func() { c.file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()

	for look := minLook; ; look = min(2*look, maxLook) {
		if err := c.file.SetWriteDeadline(time.Now().Add(look)); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil { // it may have ended before the line above
			return err
		}

		var failed error
		err := c.raw.Write(func(fd uintptr) (done bool) {
			for {
				done, failed = step(int(fd))
				if failed != unix.EINTR {
					return done || failed != nil
				}
			}
		})
		switch {
		case err == nil:
			return failed
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		// What the other end says is thrown away here, too: it may wait for that before it reads. That it
		// has closed its end step finds out; of a reset the kernel tells only the first of the two that asks.
		said, err := c.overhear()
		if err != nil && err != unix.EPIPE {
			return err
		}
		if said {
			look = minLook / 2 // it may say more
		}
		if c.Idle != nil {
			if err := c.Idle(); err != nil {
				return err
			}
		}
	}
}

// unread is about how much memory the messages take that were sent and not read.
func unread(fd int) int {
	n, _ := unix.IoctlGetInt(fd, unix.SIOCOUTQ) // of an error 0
	return n
}

// reset reports whether the other end was closed with something unread in it. The kernel says
// so before it throws that away (unix_release_sock).
func (c *Conn) reset(fd int) error {
	if e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && e != 0 {
		return fmt.Errorf("%w (%w)", ErrUnread, unix.Errno(e))
	}
	return nil
}

// Ended returns an error when the other end was closed; it does not wait. What the
// other end has sent is thrown away, it means nothing.
func (c *Conn) Ended() error {
	_, err := c.overhear()
	return err
}

// overhear is Ended, and reports whether the other end had sent something.
func (c *Conn) overhear() (said bool, err error) {
	cerr := c.raw.Control(func(fd uintptr) {
		var junk [4096]byte
		for range 16 {
			n, _, rerr := unix.Recvfrom(int(fd), junk[:], unix.MSG_DONTWAIT)
			said = said || n > 0
			switch {
			case rerr == unix.EINTR:
			case rerr == unix.EAGAIN:
				return
			case rerr != nil:
				err = rerr
				return
			case n == 0 && !c.datagram:
				if hungUp(int(fd)) {
					err = unix.EPIPE
				}
				return // otherwise it will only send no more
			}
		}
	})

	if cerr != nil {
		return said, cerr
	}
	return said, err
}

func hungUp(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
}

// Shutdown says that nothing more will be sent: the receiver reads what there is, and then
// the end.
func (c *Conn) Shutdown() {
	_ = c.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
}

// Inode is that of the socket.
func (c *Conn) Inode() (ino uint32, err error) {
	var st unix.Stat_t
	cerr := c.raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) })
	return uint32(st.Ino), errors.Join(cerr, err)
}

// Close ends the connection and every call that waits. It may be called from
// anywhere, more than once.
func (c *Conn) Close() { c.file.Close() }
