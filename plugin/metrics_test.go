package plugin

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"

	"audisp-relay/config"
	"audisp-relay/test/pki"
)

// TestCertificateIsWatched: without a client, too, its end is known, and a renewal that went wrong is noticed; not each second.
func TestCertificateIsWatched(t *testing.T) {
	dir := t.TempDir()
	ca := pki.New(t)
	text, key := ca.PEM(ca.Issue("127.0.0.1"))
	cfg := config.Metrics{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(cfg.CertFile, text)
	write(cfg.KeyFile, key)

	looks := 0
	var last *tls.Certificate
	var lastErr error
	s := &metricsPort{cfg: cfg, noteCert: func(pair *tls.Certificate, err error) { looks, last, lastErr = looks+1, pair, err }}
	if s.there() || looks > 0 {
		t.Error("a port that is not open is there, or its certificate was looked at")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.ln = ln
	defer s.drop()

	for range 2 {
		if !s.there() {
			t.Error("an open port is not there")
		}
	}
	if looks != 1 || lastErr != nil || last.Leaf == nil || last.Leaf.NotAfter.IsZero() {
		t.Fatalf("%d looks, %v, %v", looks, last, lastErr)
	}
	write(cfg.CertFile, "")
	s.looked = s.looked.Add(-certEvery)
	if !s.there() || looks != 2 || lastErr == nil {
		t.Errorf("%d looks, %v, and the file is empty", looks, lastErr)
	}
}
