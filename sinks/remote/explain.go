package remote

import (
	"context"
	"crypto/fips140"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ExplainTLS says what err, of a TLS session made with f, means and what to do. asked: the server
// wanted to see the client's certificate. address is the key that names the server.
func (f *Files) ExplainTLS(err error, asked bool, address string) error {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		header  tls.RecordHeaderError
	)
	ca := "ca_file (" + f.CA + ")"
	if f.CA == "" {
		ca = "the system's CAs"
	}

	switch {
	case errors.As(err, &unknown):
		return Advise(fmt.Errorf("the server's certificate (%s) is not of %s: %w", about(unknown.Cert), ca, unknown),
			"set ca_file to the CA that signed it")
	case errors.As(err, &name):
		return Advise(fmt.Errorf("the server's certificate (%s) is not for %q", about(name.Certificate), name.Host),
			"set server_name to a name it is for, or correct %s", address)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Advise(fmt.Errorf("the server's certificate (%s) is valid from %s to %s only", about(invalid.Cert),
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339)),
			"renew it, or set this host's clock")
	case errors.As(err, &invalid):
		return Advise(fmt.Errorf("the server's certificate (%s) is not valid: %w", about(invalid.Cert), invalid), "give the server another one")
	case errors.As(err, &header):
		return Advise(errors.New("the server does not speak TLS there"), "correct the port in %s, or switch TLS on in the server", address)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Advise(errors.New("the server does not answer the TLS handshake"), "see whether the server speaks TLS on this port")
	}
	return f.explainRefusal(err, asked)
}

// explainRefusal is ExplainTLS for what the server did not like.
func (f *Files) explainRefusal(err error, asked bool) error {
	alert, ended := IsAlert(err), IsEnd(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	// Package http closes the connection itself when it reads an alert while it writes.
	refused := asked && (alert || ended || errors.Is(err, net.ErrClosed))

	switch {
	case refused && f.Cert == "":
		return Advise(fmt.Errorf("the server wants a client certificate: %w", err), "set cert_file and key_file")
	case refused:
		return Advise(fmt.Errorf("the server refuses the client certificate: %w", err),
			"see the server's log: cert_file may have expired, be of a CA it does not trust, or have a name it does not admit")
	case alert && fips140.Enabled():
		return Advise(fmt.Errorf("the server refuses the TLS handshake: %w", err), "see the server's log: %s", fipsNeeds)
	case alert:
		return Advise(fmt.Errorf("the server refuses the TLS handshake: %w", err), "see the server's log")
	case ended:
		return Advise(errors.New("the server has closed the connection during the TLS handshake"), "see whether it speaks TLS on this port, and its log")
	}

	if fips140.Enabled() && strings.Contains(err.Error(), "FIPS") { // package tls has no type for these
		return Advise(fmt.Errorf("TLS: %w", err), "%s", fipsNeeds)
	}
	return fmt.Errorf("TLS: %w", err)
}

// fipsNeeds is what package tls takes in FIPS 140-3 mode (its defaults_fips140.go; RFC 7627 of TLS 1.2).
const fipsNeeds = "in FIPS mode this program takes TLS 1.3, or 1.2 with extended master secret, with AES and ECDHE over P-256, P-384, P-521 or with ML-KEM, " +
	"and certificates with keys of these curves, of RSA from 2048 bits or Ed25519"

// IsAlert reports whether the peer has sent an alert; package tls has no type of its own for that.
func IsAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// Ends of a connection that the peer has made.
var (
	ErrClosed = errors.New("the receiver has closed the connection")
	ErrCutOff = errors.New("the receiver has gone without ending the TLS session")
)

// IsEnd reports whether err says that the peer has ended the connection.
func IsEnd(err error) bool {
	return errors.Is(err, ErrClosed) || errors.Is(err, ErrCutOff) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// about says which certificate it is, in one line whatever stands in it.
func about(c *x509.Certificate) string {
	if c == nil {
		return "none"
	}
	names := namesOf(c)
	if len(names) > 5 {
		names = append(names[:5], "...")
	}
	return fmt.Sprintf("subject %.100q, for %.200q, issuer %.100q", c.Subject, strings.Join(names, " "), c.Issuer)
}
