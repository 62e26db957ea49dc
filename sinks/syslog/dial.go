package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout bounds an attempt to connect, look-up of the name included.
const dialTimeout = 10 * time.Second

// conn is a connected socket of one kind. It belongs to one goroutine.
type conn interface {
	// send hands c's messages to the kernel, in order, and returns how many,
	// from the first on. It waits for a receiver that is slow, not longer than
	// ctx lives.
	send(ctx context.Context, c *chunk) (n int, err error)
	// idle returns the error that has come up since the last call.
	idle() error
	close() error
}

// dial connects to the server.
func (w *writer) dial(ctx context.Context) (c conn, err error) {
	switch w.cfg.Transport {
	case "udp":
		c, err = w.dialUDP(ctx)
	case "tcp":
		c, err = w.dialTCP(ctx)
	default:
		c, err = w.dialLocal(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to syslog (%s): %w: %s", w.cfg.Transport, err, w.hint())
	}
	return c, nil
}

func (w *writer) hint() string {
	if w.cfg.Transport == "local" {
		return "start the syslog daemon or correct address"
	}
	return "check the server, the way to it and address"
}

// dialLocal connects to the local daemon as syslog(3) does: most have a datagram
// socket, some (syslog-ng, old sysklogd) a stream socket.
func (w *writer) dialLocal(ctx context.Context) (conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	c, err := dialer.DialContext(ctx, "unixgram", w.cfg.Address)
	if err == nil {
		w.render.framing = perDatagram
		return newDatagrams(c, false)
	}
	if !errors.Is(err, unix.EPROTOTYPE) {
		return nil, err
	}
	if c, err = dialer.DialContext(ctx, "unix", w.cfg.Address); err != nil {
		return nil, err
	}
	w.render.framing = nulEnd
	return newStreamConn(c, w.timeout, nil)
}

func (w *writer) dialUDP(ctx context.Context) (conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	c, err := dialer.DialContext(ctx, "udp", w.cfg.Address)
	if err != nil {
		return nil, err
	}
	return newDatagrams(c, true)
}

func (w *writer) dialTCP(ctx context.Context) (conn, error) {
	dialer := net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3},
		Control: func(_, _ string, raw syscall.RawConn) (err error) {
			cerr := raw.Control(func(fd uintptr) {
				err = errors.Join(
					os.NewSyscallError("TCP_USER_TIMEOUT", unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP,
						unix.TCP_USER_TIMEOUT, int(w.timeout.Milliseconds()))),
					os.NewSyscallError("SO_SNDBUF", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)))
			})
			return errors.Join(cerr, err)
		},
	}
	c, err := dialer.DialContext(ctx, "tcp", w.cfg.Address)
	if err != nil {
		return nil, err
	}
	s, err := newStreamConn(c, w.timeout, &w.sent)
	if err != nil {
		return nil, err
	}
	if err := s.resend(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("send again what was not acknowledged: %w", err)
	}
	return s, nil
}
