package syslog

import (
	"context"
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/sinks"
)

// opConnect is what a worker asks its monitor for: a connection to the local daemon, "unixgram" or "unix".
const opConnect = "connect"

// dialUnix connects to the local daemon. Most let everybody in; to one that does not the monitor connects.
func (w *writer) dialUnix(ctx context.Context, network string) (net.Conn, error) {
	c, err := dialUnix(ctx, network, w.cfg.Address)
	m := broker.Monitor()
	if m == nil || !errors.Is(err, unix.EACCES) {
		return c, err
	}
	fd, err := m.Open(w.item, opConnect, network, nil)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), w.cfg.Address)
	defer f.Close()
	return net.FileConn(f)
}

func dialUnix(ctx context.Context, network, path string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	return dialer.DialContext(ctx, network, path)
}

// warden is the sinks.Warden of a sink.
type warden struct{ sinks.WardenSettings[Config] }

func newWarden() sinks.Warden { return new(warden) }

// Close implements sinks.Warden.
func (w *warden) Close() {}

// Serve implements sinks.Warden.
func (w *warden) Serve(c *broker.Call) (a broker.Answer, err error) {
	cfg := w.Settings()
	var network string
	if err := c.Args(&network); err != nil {
		return a, err
	}
	if c.Op != opConnect || cfg.Transport != "local" || (network != "unixgram" && network != "unix") {
		return a, c.Unknown()
	}

	place, err := broker.Find(cfg.Address)
	if err != nil {
		return a, err
	}
	defer place.Close()
	conn, err := dialUnix(context.Background(), network, place.Path())
	if err != nil {
		return a, err
	}
	defer conn.Close()
	return broker.Give(conn.(*net.UnixConn).File())
}
