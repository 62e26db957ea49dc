package syslog

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// writeTimeout is how long a receiver may take nothing before its connection
// is given up. TCP_USER_TIMEOUT is the same: no acknowledgement for so long and
// the peer is dead.
const writeTimeout = 30 * time.Second

// sendBuffer bounds what the kernel takes for a TCP peer before it is
// acknowledged, and so what has to be kept to be sent again.
const sendBuffer = 256 << 10

var errPeerClosed = errors.New("the receiver has closed the connection")

// rawConner is what the connections of package net have besides net.Conn.
type rawConner interface {
	SyscallConn() (syscall.RawConn, error)
}

// streamConn sends over a connected stream socket.
type streamConn struct {
	net.Conn
	raw     syscall.RawConn
	timeout time.Duration
	sent    *unacked // TCP only: what the peer has not acknowledged
	junk    [4096]byte
}

func newStreamConn(c net.Conn, timeout time.Duration, sent *unacked) (*streamConn, error) {
	raw, err := c.(rawConner).SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	return &streamConn{Conn: c, raw: raw, timeout: timeout, sent: sent}, nil
}

// send implements conn. After an error the connection is of no use: the message
// it broke in is to be sent again whole on another.
func (s *streamConn) send(ctx context.Context, c *chunk) (int, error) {
	if err := s.idle(); err != nil {
		return 0, err
	}
	n, err := s.write(ctx, c.buf)
	whole, end := c.whole(n)
	if s.sent != nil {
		s.sent.add(c, whole)
		s.sent.settle(s.outstanding() - (n - end))
	}
	return whole, err
}

// resend writes what an earlier connection had taken and not got acknowledged.
func (s *streamConn) resend(ctx context.Context) error {
	buf := s.sent.bytes()
	n, err := s.write(ctx, buf)
	if err != nil {
		s.sent.settle(len(buf) - n + s.outstanding())
	}
	return err
}

// write writes all of buf. It ends when ctx does or when the receiver takes
// nothing for the timeout, and returns how much the kernel has taken.
func (s *streamConn) write(ctx context.Context, buf []byte) (n int, err error) {
	stop := context.AfterFunc(ctx, func() { s.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	for n < len(buf) {
		if err := s.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil { // it may have ended before the line above
			return n, err
		}
		k, err := s.Write(buf[n:])
		n += k
		if err != nil && (k == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return n, err
		}
	}
	return n, nil
}

// idle implements conn: it reads away what the peer says, which means nothing,
// and notices its end before records are entrusted to it.
func (s *streamConn) idle() error {
	var n int
	var err error
	for range 16 { // a peer that talks faster is read on next time
		if rerr := s.raw.Read(func(fd uintptr) bool {
			n, _, err = unix.Recvfrom(int(fd), s.junk[:], unix.MSG_DONTWAIT)
			return true
		}); rerr != nil {
			return rerr
		}
		switch {
		case err == unix.EAGAIN:
			if s.sent != nil && len(s.sent.ends) > 0 {
				s.sent.settle(s.outstanding())
			}
			return nil
		case err == unix.EINTR:
		case err != nil:
			return s.lost(err)
		case n == 0:
			return s.lost(errPeerClosed)
		}
	}
	return nil
}

// lost settles what the peer had acknowledged when its connection ended.
func (s *streamConn) lost(err error) error {
	if s.sent != nil {
		s.sent.settle(s.outstanding())
	}
	return err
}

// outstanding returns how many of the bytes written the peer's kernel has not
// acknowledged (tcp(7), SIOCOUTQ), also when the connection has ended.
func (s *streamConn) outstanding() (n int) {
	_ = s.raw.Control(func(fd uintptr) {
		if out, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = out
		}
	})
	return n
}

// close implements conn. What the kernel has taken it goes on sending.
func (s *streamConn) close() error { return s.Close() }
