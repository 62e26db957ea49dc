package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"audisp-relay/sinks/remote"
)

// Bounds of the time a server gets to refuse our certificate, see awaitVerdict.
const (
	minVerdict = 100 * time.Millisecond
	maxVerdict = 2 * time.Second
)

// files are what an encrypted connection is made with.
func (c *Config) files() *remote.Files {
	return &remote.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile, ServerName: c.ServerName}
}

// Reads implements config.Reader.
func (c *Config) Reads() []string { return c.files().Reads() }

// host is the server's, without its port.
func (c *Config) host() string {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return c.Address
	}
	return host
}

// explainTLS says what err means and what to do. asked: the server wanted to see our certificate.
func explainTLS(err error, cfg *Config, asked bool) error {
	return cfg.files().ExplainTLS(err, asked, "address")
}

// startTLS makes l a TLS session with a server that has proven its name.
func (w *writer) startTLS(ctx context.Context, l *link) error {
	cfg, own, err := w.cfg.files().TLS(w.cfg.host())
	if err != nil {
		return err
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		l.asked = true
		return own, nil // the server knows best whether it likes it
	}

	l.tls = tls.Client(l, cfg)
	hctx, cancel := context.WithTimeout(ctx, w.opening)
	defer cancel()
	l.ctx = hctx
	defer func() { l.ctx = context.Background() }()
	began := time.Now()
	if err := l.tls.HandshakeContext(hctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return explainTLS(err, &w.cfg, l.asked)
	}

	if l.asked && l.tls.ConnectionState().Version >= tls.VersionTLS13 {
		if err := l.awaitVerdict(ctx, 3*time.Since(began)); err != nil {
			return explainTLS(err, &w.cfg, true)
		}
	}
	w.connections.Secured(l.tls.ConnectionState().PeerCertificates, own)
	return nil
}

// awaitVerdict gives the server time to refuse our certificate. In TLS 1.3 it
// sees that after our handshake is done (RFC 8446 section 4.4), and what was sent
// meanwhile would be lost. What it sends without having refused it, session
// tickets, means that it was accepted.
func (l *link) awaitVerdict(ctx context.Context, d time.Duration) error {
	heard := l.heard
	end := time.Now().Add(min(max(d, minVerdict), maxVerdict))
	for pause := 2 * time.Millisecond; l.heard == heard && time.Now().Before(end); pause *= 2 {
		_, err := l.read(ctx, l.junk[:], min(pause, time.Until(end)))
		if err != nil && (ctx.Err() != nil || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
	l.admitted = l.heard > heard
	return nil
}
