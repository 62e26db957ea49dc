package syslog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/sinks"
	"audisp-relay/sinks/remote"
)

// sendBuffer bounds what the kernel takes for a TCP peer before it is
// acknowledged, and so what has to be kept to be sent again.
const sendBuffer = 256 << 10

// streamConn sends messages one after another over TCP, with TLS or without.
type streamConn struct {
	*link
	sent *unacked // what the peer has not acknowledged
	room int      // the largest window the peer has offered

	answer []byte    // the beginning of what the peer says: a syslog server says nothing
	acked  int64     // bytes on the wire that its kernel has acknowledged
	moved  time.Time // when that became more, or nothing was left to acknowledge
}

// maxAnswerKept is how much of a peer's answer is shown.
const maxAnswerKept = 64

var errTakesNothing = errors.New("the receiver has taken nothing")

// send implements conn. After an error the connection is of no use: the message
// it broke in is to be sent again whole on another.
func (s *streamConn) send(ctx context.Context, c *chunk) (int, error) {
	if err := s.idle(); err != nil {
		return 0, err
	}
	n, err := s.write(ctx, c.buf)
	whole, end := c.whole(n)
	s.sent.add(c, whole)
	out := s.outstanding()
	s.sent.settle(out - (n - end))
	s.room = max(s.room, s.window())
	s.progress(out)
	return whole, err
}

// progress notes how much is acknowledged when out bytes are not, and reports whether
// that has become more within the timeout.
func (s *streamConn) progress(out int) bool {
	if acked := s.wrote - int64(out); acked > s.acked || out == 0 || s.moved.IsZero() {
		s.acked, s.moved = acked, time.Now()
	}
	return time.Since(s.moved) <= s.timeout
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
// to it, and that the peer takes nothing of what is on its way.
func (s *streamConn) idle() (err error) {
	s.answer, err = s.drain(s.answer)
	if err == nil && len(s.sent.ends) == 0 {
		s.moved = time.Now() // nothing waits: what is sent next has all the time
		return nil
	}
	out := s.outstanding()
	s.sent.settle(out)
	if !s.progress(out) && err == nil {
		err = errTakesNothing
	}
	return err
}

// ackTime is how long the end of a connection waits until what was sent is acknowledged, within the time that a
// sink has to end; aloneTime how long where the plugin goes on, so that only the next sink waits for it.
const (
	ackTime   = 100 * time.Millisecond
	aloneTime = 2 * time.Second
	ackLook   = time.Millisecond
)

// await waits until the peer's kernel has acknowledged all, for d at most.
func (s *streamConn) await(d time.Duration) (err error) {
	for end := time.Now().Add(d); err == nil && len(s.sent.ends) > 0 && time.Now().Before(end); err = s.idle() {
		time.Sleep(ackLook)
	}
	return err
}

// explain says what err means of a TCP or TLS server, and what to do. fresh: the
// connection was a short one.
func (s *streamConn) explain(err error, cfg *Config, fresh bool) error {
	switch {
	case errors.As(err, new(sinks.Advised)):
	case errors.Is(err, errTakesNothing):
		return advise(fmt.Errorf("%w for %v", err, s.timeout), "see whether the server reads from this port and what blocks it")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return advise(fmt.Errorf("%w for %v: %w", errTakesNothing, s.timeout, err), "see the way to the server, whether it reads from this port and what blocks it")
	case !remote.IsEnd(err):
	case len(s.answer) > 1 && s.answer[0] == 0x15 && s.answer[1] == 3: // an alert of TLS
		return advise(fmt.Errorf("%w: it answered with a TLS alert", err), `the server wants TLS there: set transport = "tls" or correct the port in address`)
	case len(s.answer) > 0:
		return advise(fmt.Errorf("%w: it said %q, which no syslog server does", err, s.answer), "see what listens there and correct the port in address")
	case fresh:
		return advise(err, "see the server's log: it may expect TLS or the other framing than %q, or not admit this host", cfg.Framing)
	}
	return err
}

// What a server may hold of what it has read, in memory that is gone when it is
// killed: rsyslogd reads up to 128 KiB at a time. It is assumed to have dealt with
// that after so long.
const (
	serverBuffer = 128 << 10
	serverTime   = 5 * time.Second
)

// unread returns how many bytes may be lost with the peer of those its kernel
// has acknowledged. That is not known, but a window is what is left of the room for
// them; the kernel opens it at about half (tcp(7), tcp_adv_win_scale).
func (s *streamConn) unread() int { return 2*s.room + serverBuffer }

// cost implements costly. A peer that ends a connection with something unread resets it
// (tcp(7) and RFC 2525 section 2.17); that it is done with what it has read it says by
// TLS only.
func (s *streamConn) cost(err error) (resent, maybeLost int) {
	resent = len(s.sent.ends)
	switch {
	case resent > 0 || (!errors.Is(err, errPeerClosed) && !errors.Is(err, errCutOff)):
		maybeLost = s.sent.newest(s.unread())
	case s.tls != nil && errors.Is(err, errPeerClosed), time.Since(s.sent.last) > serverTime:
	default:
		maybeLost = s.sent.newest(serverBuffer)
	}
	return resent, maybeLost
}

func (s *streamConn) close(orderly bool) error {
	if orderly && s.tls != nil {
		s.leave()
		return nil
	}
	return s.Close()
}
