// Package remote is what sinks that connect to a server have in common: whom they trust and who
// they are (TLS), where a server's name leads, and what a failure means and what to do about it.
package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"audisp-relay/config"
	"audisp-relay/sinks"
)

// Advise puts to err what to do about it.
func Advise(err error, format string, args ...any) error {
	return sinks.Advise(err, fmt.Sprintf(format, args...))
}

// AdviceOf returns what err says to do about it, if it does.
func AdviceOf(err error) (advice string, ok bool) {
	known, ok := errors.AsType[sinks.Advised](err)
	if !ok {
		return "", false
	}
	return known.Advice(), true
}

// Files are what an encrypted connection is made with; all may be empty.
type Files struct {
	CA         string // absolute path of the CAs' certificates; "": the system's
	Cert       string // absolute path of the client's certificate, "" for none
	Key        string // and of its key; never one of both alone
	ServerName string // name that the server's certificate is for; "": the host of the address
}

// TLS reads the files: at each connection, since certificates are renewed. host is the one of the
// server's address. The certificate is the client's own, an empty one where it has none.
func (f *Files) TLS(host string) (*tls.Config, *tls.Certificate, error) {
	t := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		ServerName:                  f.Name(host),
		DynamicRecordSizingDisabled: true, // the first bytes of a log are not urgent
	}
	if f.CA != "" {
		pem, err := config.ReadRegular(f.CA)
		if err != nil {
			return nil, nil, Advise(fmt.Errorf("read ca_file: %w", err), "put the CA's certificate there, in PEM, or correct ca_file")
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, Advise(fmt.Errorf("ca_file %s holds no certificate", f.CA), "put the CA's certificate there, in PEM")
		}
	}

	own := new(tls.Certificate)
	if f.Cert != "" {
		pair, err := f.Pair()
		if err != nil {
			return nil, nil, Advise(fmt.Errorf("read cert_file and key_file: %w", err), "put the client's certificate and its key there, both in PEM")
		}
		own = &pair
	}
	return t, own, nil
}

// Reads lists the files; those that are not configured are "".
func (f *Files) Reads() []string { return []string{f.CA, f.Cert, f.Key} }

// Pair reads the client's certificate and its key, which no other user may read.
func (f *Files) Pair() (tls.Certificate, error) {
	cert, err := config.ReadRegular(f.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := config.ReadKeyFile(f.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// Name is what the server's certificate has to be for: the host of its address where nothing
// else is configured.
func (f *Files) Name(host string) string {
	if f.ServerName != "" {
		return f.ServerName
	}
	host, _, _ = strings.Cut(host, "%") // an IPv6 zone is none of the certificate's business
	return host
}

// checkServerName accepts what a certificate can be for.
func checkServerName(s string) error {
	if len(s) > 253 || !config.Printable(s) || (net.ParseIP(s) == nil && strings.ContainsAny(s, ":/[]*")) {
		return fmt.Errorf("%q is not a host name or IP address", s)
	}
	return nil
}

// Survey looks for the files, as config.Settings.Survey does.
func (f *Files) Survey(s *config.Surveyor) {
	if f.CA != "" && s.Present("ca_file", f.CA, "records wait until it is") {
		if pem, err := config.ReadRegular(f.CA); err != nil {
			s.Errorf("ca_file", "%v", err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			s.Errorf("ca_file", "%s holds no certificate: put the CA's certificate there, in PEM", f.CA)
		}
	}
	if f.Cert != "" {
		s.KeyPair("cert_file", f.Cert, "key_file", f.Key, "records wait until it is")
	}
}

// firstExpiry is when the first of the certificates of a session expires, those that the server
// has shown and the client's own; in seconds since 1970, 0 without any.
func firstExpiry(server []*x509.Certificate, own *tls.Certificate) (first int64) {
	if own.Leaf != nil {
		server = append([]*x509.Certificate{own.Leaf}, server...)
	}
	for _, cert := range server {
		if end := cert.NotAfter.Unix(); first == 0 || end < first {
			first = end
		}
	}
	return first
}

// soonExpired is how long before its end a certificate is reported.
const soonExpired = 14 * 24 * time.Hour

// firstEnd is when the first certificate of a chain ends: the latest such time of all chains.
func firstEnd(chains [][]*x509.Certificate) (end time.Time) {
	for _, chain := range chains {
		var first time.Time
		for _, c := range chain {
			if first.IsZero() || c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(end) {
			end = first
		}
	}
	return end
}

// daysTo is how many whole days there are to t, negative after it.
func daysTo(t time.Time) int { return int(time.Until(t) / (24 * time.Hour)) }

// namesOf lists the hosts and addresses that a certificate is for.
func namesOf(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}
