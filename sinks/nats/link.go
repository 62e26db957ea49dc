package nats

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/sinks"
)

// times are those of a connection.
type times struct {
	dial time.Duration // until a server has greeted
	ping time.Duration // between pings: after maxPings without an answer the connection is given up
	ask  time.Duration // until a question is answered
	// ack is how long an acknowledgement may take: a stream that chooses a new leader does not
	// answer for some seconds.
	ack time.Duration
	// minReconnect and maxReconnect bound the pause after all servers were tried: it doubles, and
	// a random part of it is what keeps the hosts of a fleet from coming back at one moment.
	minReconnect, maxReconnect time.Duration
}

func defaultTimes() times {
	return times{dial: 5 * time.Second, ping: 20 * time.Second, ask: 5 * time.Second, ack: 10 * time.Second,
		minReconnect: 500 * time.Millisecond, maxReconnect: 30 * time.Second}
}

const maxPings = 2

// dialer is the net.Dialer of a connection, which keeps why it failed last: nats.go does not say.
type dialer struct {
	net.Dialer
	ctx    context.Context // of the sink: its end is not to wait for a server
	failed atomic.Pointer[error]
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	c, err := d.DialContext(d.ctx, network, address)
	if err != nil {
		d.failed.Store(&err)
		return nil, err
	}
	return &bound{Conn: c, free: context.AfterFunc(d.ctx, func() { c.Close() })}, nil
}

// bound is a connection that ends with a context.
type bound struct {
	net.Conn
	free func() bool
}

func (b *bound) Close() error {
	b.free()
	return b.Conn.Close()
}

// connect makes the connection, with all that the files say now.
func (p *place) connect(ctx context.Context) error {
	auth, err := p.cfg.auth()
	if err != nil {
		return err
	}
	d := &dialer{Dialer: net.Dialer{Timeout: p.times.dial}, ctx: ctx}
	opts := []nats.Option{
		nats.Name("audisp-relay " + p.host.Name), nats.CustomInboxPrefix("_INBOX_" + p.host.ID), nats.SetCustomDialer(d),
		nats.Timeout(p.times.dial), nats.PingInterval(p.times.ping), nats.MaxPingsOutstanding(maxPings),
		nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(), nats.CustomReconnectDelay(p.times.reconnect),
		nats.ReconnectBufSize(-1), // what cannot be sent waits in the queue
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { p.interrupt(p.lostConnection(err)) }),
		nats.ReconnectHandler(p.connected),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { p.refused(err) }),
	}
	if p.cfg.TLS() {
		t, own, err := p.cfg.files().TLS("") // nats.go puts in the name of each server
		if err != nil {
			return err
		}
		if p.cfg.CertFile != "" {
			t.Certificates = []tls.Certificate{*own}
		}
		p.own = own
		opts = append(opts, nats.Secure(t))
	}
	if p.cfg.TLSFirst {
		opts = append(opts, nats.TLSHandshakeFirst())
	}

	nc, err := nats.Connect(strings.Join(p.cfg.Servers, ","), append(opts, auth...)...)
	if err != nil {
		if why := d.failed.Load(); why != nil && errors.Is(err, nats.ErrNoServers) {
			err = *why
		}
		return p.explainConnect(err)
	}
	p.nc, p.dial = nc, d
	p.connected(nc)
	return nil
}

// reconnect is how long to wait when all servers were tried that many times.
func (t *times) reconnect(attempts int) time.Duration {
	return t.minReconnect/5 + rand.N(min(t.minReconnect<<min(attempts, 16), t.maxReconnect))
}

// connected notes that there is a connection. It runs in a goroutine of nats.go, too.
func (p *place) connected(nc *nats.Conn) {
	p.moved.Store(true)
	p.connections.Made()
	server := fmt.Sprintf("%.64s %.32s (%.128s)", nc.ConnectedServerName(), nc.ConnectedServerVersion(), nc.ConnectedUrlRedacted())
	server = config.OneLine(server)
	p.server.Store(&server)
	if st, err := nc.TLSConnectionState(); err == nil {
		p.connections.Secured(st.PeerCertificates, p.own)
	}
	p.log.Info("connected to NATS", zap.String("server", server))
}

// refused takes in what the server said without having been asked: that a permission lacks, above all.
func (p *place) refused(err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		p.interrupt(p.explainPermission(err))
	}
}

// interrupt ends the request that waits for an answer.
func (p *place) interrupt(err error) {
	p.moved.Store(true)
	if cancel := p.waiting.Load(); cancel != nil {
		(*cancel)(err)
	}
}

func (p *place) lostConnection(err error) error {
	if err == nil {
		err = errors.New("closed by the server")
	}
	return fmt.Errorf("connection to NATS (%s) lost: %w", p.names(), err)
}

// names are the servers, for messages.
func (p *place) names() string { return strings.Join(p.cfg.Servers, " ") }

// auth returns how to prove who this host is. The files are read at each connection that nats.go
// makes; here, too, because only here there is an error to return.
func (c *Config) auth() ([]nats.Option, error) {
	read := func(key, path string, check func([]byte) error) ([]byte, error) {
		data, err := config.ReadKeyFile(path)
		if err == nil {
			err = check(data)
		}
		if err != nil {
			return nil, sinks.Advise(fmt.Errorf("read %s %s: %w", key, path, err), "correct the file, or "+key)
		}
		return data, nil
	}
	switch {
	case c.CredsFile != "":
		if _, err := read("creds_file", c.CredsFile, checkCreds); err != nil {
			return nil, err
		}
		return []nats.Option{nats.UserJWT(c.jwt, func(nonce []byte) ([]byte, error) {
			return sign(c.CredsFile, nkeys.ParseDecoratedUserNKey, nonce)
		})}, nil

	case c.NkeyFile != "":
		data, err := read("nkey_file", c.NkeyFile, checkSeed)
		if err != nil {
			return nil, err
		}
		kp, err := nkeys.ParseDecoratedNKey(data)
		if err != nil {
			return nil, err
		}
		defer kp.Wipe()
		public, err := kp.PublicKey()
		if err != nil {
			return nil, err
		}
		return []nats.Option{nats.Nkey(public, func(nonce []byte) ([]byte, error) {
			return sign(c.NkeyFile, nkeys.ParseDecoratedNKey, nonce)
		})}, nil

	case c.User != "":
		if _, err := read("password_file", c.PasswordFile, checkSecret); err != nil {
			return nil, err
		}
		return []nats.Option{nats.UserInfoHandler(func() (string, string) { return c.User, secret(c.PasswordFile) })}, nil
	case c.TokenFile != "":
		if _, err := read("token_file", c.TokenFile, checkSecret); err != nil {
			return nil, err
		}
		return []nats.Option{nats.TokenHandler(func() string { return secret(c.TokenFile) })}, nil
	}
	return nil, nil
}

func (c *Config) jwt() (string, error) {
	data, err := config.ReadKeyFile(c.CredsFile)
	if err != nil {
		return "", err
	}
	return nkeys.ParseDecoratedJWT(data)
}

// expired reports whether the JWT in creds_file has come to its end: a server only says that it
// does not admit its user.
func (c *Config) expired() bool {
	if c.CredsFile == "" {
		return false
	}
	token, err := c.jwt()
	parts := strings.Split(token, ".")
	if err != nil || len(parts) != 3 {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expires int64 `json:"exp"`
	}
	return err == nil && json.Unmarshal(text, &claims) == nil && claims.Expires > 0 && time.Now().Unix() >= claims.Expires
}

// sign answers what the server asks for with a key that is in memory only for that.
func sign(path string, parse func([]byte) (nkeys.KeyPair, error), nonce []byte) ([]byte, error) {
	data, err := config.ReadKeyFile(path)
	if err != nil {
		return nil, err
	}
	kp, err := parse(data)
	clear(data)
	if err != nil {
		return nil, err
	}
	defer kp.Wipe()
	return kp.Sign(nonce)
}

// secret reads a password or token, "" where that cannot be: the server refuses that.
func secret(path string) string {
	data, err := config.ReadKeyFile(path)
	if err != nil {
		return ""
	}
	return secretIn(data)
}

// request sends a message and waits for its answer, for at most d.
func (p *place) request(ctx context.Context, m *nats.Msg, d time.Duration) (*nats.Msg, error) {
	if !p.nc.IsConnected() {
		return nil, p.explainConnect(p.away())
	}
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.waiting.Store(&cancel)
	defer p.waiting.Store(nil)
	answer, err := p.nc.RequestMsgWithContext(ctx, m)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		err = cause
	}
	return answer, err
}

// away is why there is no connection.
func (p *place) away() error {
	err := p.nc.LastError()
	if why := p.dial.failed.Load(); why != nil && (err == nil || errors.Is(err, nats.ErrNoServers)) {
		err = *why
	}
	if err == nil {
		err = errors.New("no connection at present")
	}
	return err
}
