package syslog

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/sinks/local"
)

// localStream sends to a daemon of this machine over a stream socket. A message is delivered when the
// daemon has read it: what is in the socket when that ends is lost, and the kernel does not say how much
// it is. So all of a chunk is sent again on the next connection.
type localStream struct {
	conn *local.Conn
	file local.File  // that the address led to
	fail func(error) // says what is wrong with a connection that lasts

	waits  time.Time // since when the daemon has not read all
	silent bool      // that was said
	unsure int       // messages that are sent again and that it may have read
}

// newLocalStream takes over the socket of c, which it closes.
func newLocalStream(c net.Conn, file local.File, fail func(error)) (*localStream, error) {
	fd, err := detach(c)
	if err != nil {
		return nil, err
	}
	s := &localStream{file: file, fail: fail}
	if s.conn, err = local.New(fd, "syslog"); err != nil {
		return nil, err
	}
	s.conn.Idle = s.look
	return s, nil
}

// detach duplicates the socket of c, closes c, and returns the duplicate.
func detach(c net.Conn) (fd int, err error) {
	defer c.Close()
	raw, err := c.(rawConner).SyscallConn()
	if err != nil {
		return -1, err
	}
	if cerr := raw.Control(func(orig uintptr) {
		fd, err = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 3)
	}); cerr != nil {
		return -1, cerr
	}
	if err != nil {
		return -1, fmt.Errorf("duplicate socket: %w", err)
	}
	return fd, nil
}

// send implements conn: it returns when all is read.
func (s *localStream) send(ctx context.Context, c *chunk) (int, error) {
	s.unsure = 0
	if err := s.idle(); err != nil {
		return 0, err
	}
	s.waits, s.silent = time.Now(), false
	n, err := s.conn.Write(ctx, c.buf)
	if err == nil {
		err = s.conn.Wait(ctx)
	}
	if err == nil {
		return len(c.marks), nil
	}
	whole, end := c.whole(n)
	if s.unsure = whole; end < n {
		s.unsure++ // in part
	}
	return 0, err
}

// look is called while the daemon does not read. One that hangs keeps its connection, since it may still
// read what is in that, unless another daemon has taken its place.
func (s *localStream) look() error {
	if time.Since(s.waits) < stallLimit {
		return nil
	}
	if s.file.Replaced() {
		return local.ErrReplaced
	}
	if !s.silent {
		s.silent = true
		s.fail(errUnread)
	}
	return nil
}

// idle implements conn.
func (s *localStream) idle() error { return s.conn.Ended() }

// cost implements costly.
func (s *localStream) cost(error) (resent, maybeLost int) { return s.unsure, 0 }

// close implements conn. The daemon reads what it has not read yet, and then the end.
func (s *localStream) close(bool) error {
	s.conn.Close()
	return nil
}
