package plugin

import (
	"errors"
	"net"
	"sync"
	"time"
)

// maxMetricsConns is how many clients may read metrics at a time at one place: Prometheus makes one
// connection, and a few people look. More wait in the kernel.
const maxMetricsConns = 16

// limitedListener admits so many clients at a time.
type limitedListener struct {
	net.Listener
	slots  chan struct{} // an element for each connection, and for the one that is waited for
	closed chan struct{}
	once   sync.Once
}

func limitConns(ln net.Listener) *limitedListener {
	return &limitedListener{Listener: ln, slots: make(chan struct{}, maxMetricsConns), closed: make(chan struct{})}
}

// acceptPause is the pause after an error of accept(2).
const acceptPause = 100 * time.Millisecond

// Accept implements net.Listener. It fails only when the listener is closed: accept(2) may return
// errors of the network on one connection, or of memory that is short for a while, and a server of
// net/http would end with these.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			return &limitedConn{Conn: conn, of: l}, nil
		}
		if errors.Is(err, net.ErrClosed) {
			<-l.slots
			return nil, err
		}
		awaitFor(acceptPause, l.closed)
	}
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// wait waits until all clients are gone, but not longer than d.
func (l *limitedListener) wait(d time.Duration) {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	for range cap(l.slots) {
		select {
		case l.slots <- struct{}{}:
		case <-timeout.C:
			return
		}
	}
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn
	of   *limitedListener
	once sync.Once
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.of.slots })
	return err
}
