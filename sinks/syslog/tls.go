package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"audisp-relay/config"
)

// Bounds of the time a server gets to refuse our certificate, see awaitVerdict.
const (
	minVerdict = 100 * time.Millisecond
	maxVerdict = 2 * time.Second
)

// tlsConfig reads the files that cfg names: at each connection, since certificates are
// renewed.
func tlsConfig(cfg *Config) (*tls.Config, *tls.Certificate, error) {
	t := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		ServerName:                  serverName(cfg),
		DynamicRecordSizingDisabled: true, // the first bytes of a log are not urgent
	}
	if cfg.CAFile != "" {
		pem, err := config.ReadRegular(cfg.CAFile)
		if err != nil {
			return nil, nil, advise(fmt.Errorf("read ca_file: %w", err), "put the CA's certificate there, in PEM, or correct ca_file")
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, advise(fmt.Errorf("ca_file %s holds no certificate", cfg.CAFile), "put the CA's certificate there, in PEM")
		}
	}
	own := new(tls.Certificate)
	if cfg.CertFile != "" {
		pair, err := loadPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, nil, advise(fmt.Errorf("read cert_file and key_file: %w", err), "put the client's certificate and its key there, both in PEM")
		}
		own = &pair
	}
	return t, own, nil
}

// loadPair reads the client's certificate and its key, which no other user may read.
func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := config.ReadRegular(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := config.ReadKeyFile(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// serverName is what the server's certificate has to be for: the host of the
// address where nothing else is configured.
func serverName(cfg *Config) string {
	if cfg.ServerName != "" {
		return cfg.ServerName
	}
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return cfg.Address
	}
	host, _, _ = strings.Cut(host, "%") // an IPv6 zone is none of the certificate's business
	return host
}

// startTLS makes l a TLS session with a server that has proven its name.
func (w *writer) startTLS(ctx context.Context, l *link) error {
	cfg, own, err := tlsConfig(&w.cfg)
	if err != nil {
		return err
	}
	asked := false
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
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
		return explainTLS(err, &w.cfg, asked)
	}
	if asked && l.tls.ConnectionState().Version >= tls.VersionTLS13 {
		if err := l.awaitVerdict(ctx, 3*time.Since(began)); err != nil {
			return explainTLS(err, &w.cfg, true)
		}
	}
	w.noteExpiry(l.tls.ConnectionState().PeerCertificates, own)
	return nil
}

// noteExpiry notes when the first of the certificates of a session expires.
func (w *writer) noteExpiry(server []*x509.Certificate, own *tls.Certificate) {
	if own.Leaf != nil {
		server = append([]*x509.Certificate{own.Leaf}, server...)
	}
	first := int64(0)
	for _, cert := range server {
		if end := cert.NotAfter.Unix(); first == 0 || end < first {
			first = end
		}
	}
	w.expires.Store(first)
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
	return nil
}

// explainTLS says what err means and what to do. asked: the server wanted to
// see our certificate.
func explainTLS(err error, cfg *Config, asked bool) error {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		header  tls.RecordHeaderError
	)
	ca := "ca_file (" + cfg.CAFile + ")"
	if cfg.CAFile == "" {
		ca = "the system's CAs"
	}
	switch {
	case errors.As(err, &unknown):
		return advise(fmt.Errorf("the server's certificate (%s) is not of %s: %w", about(unknown.Cert), ca, unknown),
			"set ca_file to the CA that signed it")
	case errors.As(err, &name):
		return advise(fmt.Errorf("the server's certificate (%s) is not for %q", about(name.Certificate), name.Host),
			"set server_name to a name it is for, or correct address")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return advise(fmt.Errorf("the server's certificate (%s) is valid from %s to %s only", about(invalid.Cert),
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339)),
			"renew it, or set this host's clock")
	case errors.As(err, &invalid):
		return advise(fmt.Errorf("the server's certificate (%s) is not valid: %w", about(invalid.Cert), invalid), "give the server another one")
	case errors.As(err, &header):
		return advise(errors.New("the server does not speak TLS there"), "correct the port in address, or switch TLS on in the server")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return advise(errors.New("the server does not answer the TLS handshake"), "see whether the server speaks TLS on this port")
	}
	return explainRefusal(err, cfg, asked)
}

// explainRefusal is explainTLS for what the server did not like.
func explainRefusal(err error, cfg *Config, asked bool) error {
	alert, ended := isAlert(err), isEnd(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case asked && (alert || ended) && cfg.CertFile == "":
		return advise(fmt.Errorf("the server wants a client certificate: %w", err), "set cert_file and key_file")
	case asked && (alert || ended):
		return advise(fmt.Errorf("the server refuses the client certificate: %w", err),
			"see the server's log: cert_file may have expired, be of a CA it does not trust, or have a name it does not admit")
	case alert:
		return advise(fmt.Errorf("the server refuses the TLS handshake: %w", err), "see the server's log")
	case ended:
		return advise(errors.New("the server has closed the connection during the TLS handshake"), "see whether it speaks TLS on this port, and its log")
	}
	return fmt.Errorf("TLS: %w", err)
}

// isAlert reports whether the peer has sent an alert; package tls has no type
// of its own for that.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// about says which certificate it is, in one line whatever stands in it.
func about(c *x509.Certificate) string {
	if c == nil {
		return "none"
	}
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) > 5 {
		names = append(names[:5], "...")
	}
	return fmt.Sprintf("subject %.100q, for %.200q, issuer %.100q", c.Subject, strings.Join(names, " "), c.Issuer)
}
