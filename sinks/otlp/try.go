package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/remote"
)

// trial is a sinks.Trial of this type of sink, with connections of its own.
type trial struct {
	*sinks.Trial
	w      *writer
	client *client
	addrs  []netip.AddrPort // of the receiver, or of the proxy, in the order of the resolver
	conn   net.Conn
	key    string // key of the configuration that names the server which is connected to
	server string // host:port of that server
}

// try implements sinks.Kind.Try: each step uses what a request of the sink uses, but the last one
// sends no log record.
func try(ctx context.Context, t *sinks.Trial) {
	w := newWriter(t.Sink, format.Encoder{Format: format.String})
	y := &trial{Trial: t, w: w, key: "url", server: address(w.cfg.URL)}
	if w.cfg.Proxy != "" {
		y.key, y.server = "proxy", address(w.cfg.Proxy)
	}
	defer y.close()
	if !t.Do(ctx, "name resolution", y.resolve) || !t.Do(ctx, "connect", y.connect) {
		return
	}

	// Through a proxy the session is made by the request.
	if w.cfg.tls() && w.cfg.Proxy == "" && (!t.Do(ctx, "tls", y.startTLS) || !t.Do(ctx, "authentication", y.authenticate)) {
		return
	}
	t.Do(ctx, "acknowledgement", y.export)
}

func (y *trial) close() {
	if y.Hung() { // a step uses it yet
		return
	}
	if y.conn != nil {
		y.conn.Close()
	}
	y.w.disconnect()
}

func (y *trial) resolve(ctx context.Context, s *sinks.Step) (err error) {
	y.addrs, err = remote.Resolve(ctx, s, y.server, y.key, net.DefaultResolver.LookupNetIP)
	return err
}

func (y *trial) connect(ctx context.Context, s *sinks.Step) error {
	explain := func(addr string, err error) error { return remote.ExplainConnect(addr, y.key, err) }
	return remote.Connect(ctx, s, y.addrs, y.Timeout, y.connectTo, explain)
}

// connectTo connects to one address, and returns from which.
func (y *trial) connectTo(ctx context.Context, addr string) (net.Addr, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	y.conn = c
	return c.LocalAddr(), nil
}

// startTLS makes a session, and notes what was agreed upon and which server it is.
func (y *trial) startTLS(ctx context.Context, s *sinks.Step) (err error) {
	if y.client, err = newClient(y.w.cfg); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(y.server)
	session := tls.Client(y.conn, y.client.http.TLSClientConfig)
	if err := session.HandshakeContext(ctx); err != nil {
		return y.w.cfg.files().ExplainTLS(err, y.client.asked.Load(), "url")
	}
	st := session.ConnectionState()
	y.w.cfg.files().DescribeTLS(s, &st, host)
	y.conn = session
	return nil
}

// authenticate says what became of the client's certificate; in TLS 1.3 the server may refuse it yet.
func (y *trial) authenticate(_ context.Context, s *sinks.Step) error {
	st := y.conn.(*tls.Conn).ConnectionState()
	return y.w.cfg.files().DescribeOwn(s, y.client.asked.Load(), st.Version < tls.VersionTLS13)
}

// export sends a request without log records, so that nothing is written at the receiver.
func (y *trial) export(ctx context.Context, s *sinks.Step) error {
	y.conn.Close() // the request makes its own
	y.conn = nil
	y.w.timeout = y.Timeout - y.Timeout/10 // what it says at its end says more than the end of the step
	y.w.message.request.ResourceLogs = nil
	began := time.Now()
	a, err := y.w.request(ctx)
	if err != nil {
		return err
	}
	s.Fact("status", "%d", a.status)

	switch a.outcome() {
	case taken:
		s.Text = fmt.Sprintf("the receiver has taken a request without log records (%d %s) in %v", a.status, http.StatusText(a.status), time.Since(began).Round(time.Millisecond))
		return nil
	case busy, misled:
		return a.explain()
	}
	return remote.Advise(errors.New(a.describe("the receiver refuses a request without log records")), "see its log; of records that it refuses a copy is kept in dead_letter_dir")
}
