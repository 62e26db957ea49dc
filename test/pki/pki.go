// Package pki makes certificates for tests: a CA of a test's own, and what it has signed.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// valid is for how long certificates are valid where a test does not say it. The CA's is for twice as long.
const valid = 30 * 24 * time.Hour

// serials are those of all authorities, which have one name: no two certificates of a process are alike.
var serials atomic.Int64

// Authority is a CA. What fails ends the test.
type Authority struct {
	File string // its certificate, in PEM

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New returns an Authority whose files go with the test.
func New(t testing.TB) *Authority {
	t.Helper()
	dir := t.TempDir()
	a := &Authority{t: t, dir: dir, File: filepath.Join(dir, "ca.pem")}
	a.Renew()
	return a
}

// Renew gives the authority another certificate and key, in the same file.
func (a *Authority) Renew() {
	a.t.Helper()
	template := a.template("test CA", 2*valid)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign

	a.key = a.newKey()
	der := a.sign(template, template, a.key)
	cert, err := x509.ParseCertificate(der)
	a.check(err)
	a.cert = cert
	a.check(os.WriteFile(a.File, encode("CERTIFICATE", der), 0o600))
}

// Issue returns a certificate, of client and server, for these hosts and addresses.
func (a *Authority) Issue(names ...string) tls.Certificate {
	a.t.Helper()
	return a.IssueFor(valid, names...)
}

// IssueFor is Issue for a certificate that expires so long from now, or has.
func (a *Authority) IssueFor(ends time.Duration, names ...string) tls.Certificate {
	a.t.Helper()
	template := a.template("test leaf", ends)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}

	key := a.newKey()
	return tls.Certificate{Certificate: [][]byte{a.sign(template, a.cert, key)}, PrivateKey: key}
}

// Save writes a certificate and its key to NAME.pem and NAME-key.pem, in the directory of File.
func (a *Authority) Save(name string, cert tls.Certificate) (certFile, keyFile string) {
	a.t.Helper()
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+"-key.pem")
	text, key := a.PEM(cert)
	a.check(os.WriteFile(certFile, []byte(text), 0o600))
	a.check(os.WriteFile(keyFile, []byte(key), 0o600))
	return certFile, keyFile
}

// PEM returns what Save writes.
func (a *Authority) PEM(cert tls.Certificate) (text, key string) {
	a.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	a.check(err)
	return string(encode("CERTIFICATE", cert.Certificate[0])), string(encode("PRIVATE KEY", der))
}

// Pool returns who trusts this authority alone.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *Authority) template(name string, ends time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-48 * time.Hour),
		NotAfter:     now.Add(ends),
	}
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.check(err)
	return key
}

// sign returns the certificate of key, signed by the authority's.
func (a *Authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	a.check(err)
	return der
}

func (a *Authority) check(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
