package syslog

import (
	"context"
	"errors"
	"time"
)

// sendBuffer bounds what the kernel takes for a TCP peer before it is
// acknowledged, and so what has to be kept to be sent again.
const sendBuffer = 256 << 10

// streamConn sends messages one behind the other over a stream socket.
type streamConn struct {
	*link
	sent *unacked // TCP and TLS: what the peer has not acknowledged
	room int      // the largest window the peer has offered
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
		s.room = max(s.room, s.window())
	}
	return whole, err
}

// resend writes what an earlier connection had taken and not got acknowledged.
func (s *streamConn) resend(ctx context.Context) error {
	buf := s.sent.bytes()
	if len(buf) == 0 {
		return nil
	}
	n, err := s.write(ctx, buf)
	if err != nil {
		s.sent.settle(len(buf) - n + s.outstanding())
	}
	return err
}

// idle implements conn: it notices the peer's end before records are entrusted
// to it.
func (s *streamConn) idle() error {
	err := s.drain()
	if s.sent != nil && (err != nil || len(s.sent.ends) > 0) {
		s.sent.settle(s.outstanding())
	}
	return err
}

// What a server may hold of what it has read, in memory that is gone when it is
// killed: rsyslogd reads up to 128 KiB at a time. It is taken to have dealt with
// that after so long.
const (
	serverBuffer = 128 << 10
	serverTime   = 5 * time.Second
)

// unread returns how many bytes may be lost with the peer of those its kernel
// has acknowledged. Nobody tells, but a window is what is left of the room for
// them; the kernel opens it at about half (tcp(7), tcp_adv_win_scale).
func (s *streamConn) unread() int { return 2*s.room + serverBuffer }

// toll implements tolled. A peer that ends a connection with something unread
// resets it (tcp(7) and RFC 2525 section 2.17), and what it has read it tells it
// is done with by TLS only.
func (s *streamConn) toll(err error) (again, doubtful int) {
	if s.sent == nil {
		return 0, 0
	}
	again = len(s.sent.ends)
	switch {
	case again > 0 || !errors.Is(err, errPeerClosed) && !errors.Is(err, errCutOff):
		doubtful = s.sent.doubtful(s.unread())
	case s.tls != nil && errors.Is(err, errPeerClosed), time.Since(s.sent.last) > serverTime:
	default:
		doubtful = s.sent.doubtful(serverBuffer)
	}
	return again, doubtful
}

// close implements conn.
func (s *streamConn) close(orderly bool) error {
	if orderly && s.tls != nil {
		s.leave()
		return nil
	}
	return s.Close()
}
