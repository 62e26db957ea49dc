package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/sinks/local"
	"audisp-relay/sinks/remote"
)

// dialTimeout bounds an attempt to connect, look-up of the name included, and
// then the opening of a TLS or RELP session.
const dialTimeout = 10 * time.Second

// conn is a connection of one kind. It belongs to one goroutine.
type conn interface {
	// send delivers c's messages, in order, and returns how many, from the first
	// on: those the kernel has taken or, with RELP, the server has acknowledged.
	// It waits for a receiver that is slow, not longer than ctx lives.
	send(ctx context.Context, c *chunk) (n int, err error)
	// idle returns the error that has come up since the last call.
	idle() error
	// close ends it; in an orderly way where that takes something and ought to be tried.
	close(orderly bool) error
}

// costly is a conn that can say what its end by err costs: how many messages are sent
// again, so that they may come twice, and how many that it had delivered may not have
// been read.
type costly interface {
	cost(err error) (resent, maybeLost int)
}

// dial connects to the server.
func (w *writer) dial(ctx context.Context) (c conn, err error) {
	switch w.cfg.Transport {
	case "udp":
		c, err = w.dialUDP(ctx)
	case "tcp", "tls":
		c, err = w.dialStream(ctx)
	case "relp":
		c, err = w.dialRELP(ctx)
	default:
		c, err = w.dialLocal(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to syslog (%s %s): %w: %s", w.cfg.Transport, w.cfg.Address, err, w.hint(err))
	}
	return c, nil
}

// advise puts to err what to do about it.
func advise(err error, format string, args ...any) error { return remote.Advise(err, format, args...) }

// hint says what to do about err.
func (w *writer) hint(err error) string {
	advice, ok := remote.AdviceOf(err)
	switch {
	case ok:
		return advice
	case w.cfg.Transport == "local":
		return "start the syslog daemon or correct address"
	}
	return "check the server, the way to it and address"
}

// dialLocal connects to the local daemon as syslog(3) does: most have a datagram
// socket, some (rsyslog's imptcp, syslog-ng's unix-stream) a stream socket. There
// syslog(3) ends a message with NUL, which imptcp does not read; a newline both do.
func (w *writer) dialLocal(ctx context.Context) (conn, error) {
	c, err := w.dialUnix(ctx, "unixgram")
	w.journal.look(w.cfg.Address)
	if err == nil {
		w.render.framing = perDatagram
		return newDatagrams(c, false)
	}
	if !errors.Is(err, unix.EPROTOTYPE) {
		return nil, err
	}
	file := local.Look(w.cfg.Address)
	if c, err = w.dialUnix(ctx, "unix"); err != nil {
		return nil, err
	}
	w.render.framing = newlineEnd
	return newLocalStream(c, file, func(err error) { w.fail(w.failure(err)) })
}

func (w *writer) dialUDP(ctx context.Context) (conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	c, err := dialer.DialContext(ctx, "udp", w.cfg.Address)
	if err != nil {
		return nil, err
	}
	w.name.at, w.name.looked = c.RemoteAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), time.Now()
	return newDatagrams(c, true)
}

// lookEvery is how often the name of a UDP server is looked up again: unlike a connection
// it does not end when the server has moved. lookWithin bounds that.
const (
	lookEvery  = 5 * time.Minute
	lookWithin = 2 * time.Second
)

// namedServer is what is known of a UDP server's name.
type namedServer struct {
	at     netip.Addr // where messages go
	looked time.Time
	lookUp func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// follow closes a UDP socket if the server's name leads elsewhere now; the next write makes another. While the name
// cannot be looked up nothing changes.
func (w *writer) follow(ctx context.Context) {
	host, _, err := net.SplitHostPort(w.cfg.Address)
	if w.conn == nil || err != nil || time.Since(w.name.looked) < lookEvery {
		return
	}
	w.name.looked = time.Now()
	if _, err := netip.ParseAddr(host); err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	found, err := w.name.lookUp(ctx, "ip", host)
	if err != nil || len(found) == 0 || slices.ContainsFunc(found, func(a netip.Addr) bool { return a.Unmap() == w.name.at }) {
		return
	}
	w.log.Info("the syslog server's name has another address", zap.String("address", w.cfg.Address), zap.Stringer("was", w.name.at))
	w.disconnect(true)
}

func (w *writer) dialStream(ctx context.Context) (conn, error) {
	l, err := w.dialTCP(ctx)
	if err != nil {
		return nil, err
	}
	w.sent.fresh()
	s := &streamConn{link: l, sent: &w.sent}
	if err := s.resend(ctx); err != nil {
		w.account(s, err)
		s.Close()
		return nil, fmt.Errorf("send again what was not acknowledged: %w", err)
	}
	return s, nil
}

func (w *writer) dialRELP(ctx context.Context) (conn, error) {
	l, err := w.dialTCP(ctx)
	if err != nil {
		return nil, err
	}
	r := &relpConn{link: l}
	if err := r.open(ctx, w.opening); err != nil {
		l.Close()
		return nil, err
	}
	return r, nil
}

// dialTCP connects and, where that is configured, makes the TLS session.
func (w *writer) dialTCP(ctx context.Context) (*link, error) {
	l, err := w.connectTCP(ctx, w.cfg.Address)
	if err != nil || !w.cfg.TLS() {
		return l, err
	}
	if err := w.startTLS(ctx, l); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// connectTCP connects to address.
func (w *writer) connectTCP(ctx context.Context, address string) (*link, error) {
	dialer := net.Dialer{
		Timeout:         w.opening,
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

	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newLink(c, w.timeout)
}
