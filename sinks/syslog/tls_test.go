package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/pki"
)

// serve answers every connection to a port of its own by what do does, until the
// test ends.
func serve(t *testing.T, do func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			do(c)
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// serveTLS is serve for a server that reads all it is sent.
func serveTLS(t *testing.T, cfg *tls.Config) (address string) {
	return serve(t, func(c net.Conn) { io.Copy(io.Discard, tls.Server(c, cfg)) })
}

func tlsWriter(t *testing.T, cfg Config) *writer {
	t.Helper()
	cfg.Transport, cfg.Protocol, cfg.Facility, cfg.Severity, cfg.Tag = "tls", "rfc5424", "user", "info", "audisp-relay"
	w := newWriter(cfg, format.Encoder{})
	w.opening = hang
	t.Cleanup(func() { w.Close() })
	return w
}

func write(w *writer) error {
	_, err := w.Write(context.Background(), sinktest.Batches(sinktest.Lines(0, 1), 64<<10)[0])
	return err
}

// TestTLSRefusals: nothing is sent to a server that does not prove who it is, or
// that does not take us, and the error says in a line what is wrong and what to do.
func TestTLSRefusals(t *testing.T) {
	ca, other := pki.New(t), pki.New(t)
	good := ca.Issue("127.0.0.1", "loghost.example")
	plain := func(cert tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} }
	wants := func(version uint16) *tls.Config {
		cfg := plain(good)
		cfg.ClientAuth, cfg.ClientCAs, cfg.MaxVersion = tls.RequireAndVerifyClientCert, ca.Pool(), version
		return cfg
	}
	mine, mineKey := ca.Save("mine", ca.Issue())
	theirs, theirsKey := other.Save("theirs", other.Issue())
	old, oldKey := ca.Save("old", ca.IssueFor(-time.Hour))
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		server *tls.Config
		client Config
		want   []string // none: it is accepted
	}{
		{"good", plain(good), Config{CAFile: ca.File}, nil},
		{"good by name", plain(good), Config{CAFile: ca.File, ServerName: "loghost.example"}, nil},
		{"good, 1.2", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}, Config{CAFile: ca.File}, nil},
		{"good client", wants(0), Config{CAFile: ca.File, CertFile: mine, KeyFile: mineKey}, nil},
		{"good client, 1.2", wants(tls.VersionTLS12), Config{CAFile: ca.File, CertFile: mine, KeyFile: mineKey}, nil},
		{"wrong CA", plain(good), Config{CAFile: other.File}, []string{`for "loghost.example 127.0.0.1"`, "is not of ca_file (" + other.File, "set ca_file"}},
		{"the system's CAs", plain(good), Config{}, []string{"is not of the system's CAs", "set ca_file"}},
		{"wrong name", plain(good), Config{CAFile: ca.File, ServerName: "other.example"}, []string{`for "loghost.example 127.0.0.1"`, `is not for "other.example"`, "set server_name"}},
		{"wrong address", plain(ca.Issue("127.0.0.2", "localhost")), Config{CAFile: ca.File}, []string{`is not for "127.0.0.1"`}},
		{"name in the subject only", plain(ca.Issue()), Config{CAFile: ca.File, ServerName: "leaf.example"}, []string{"is not for"}},
		{"expired", plain(ca.IssueFor(-time.Hour, "127.0.0.1")), Config{CAFile: ca.File}, []string{"is valid from", "renew it"}},
		{"hostile name", plain(ca.Issue("x\n\x1b[31m.example")), Config{CAFile: ca.File}, []string{"is not for"}},
		{"old version", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, Config{CAFile: ca.File},
			[]string{"refuses the TLS handshake", "protocol version"}},
		{"no client certificate", wants(0), Config{CAFile: ca.File}, []string{"wants a client certificate", "set cert_file"}},
		{"no client certificate, 1.2", wants(tls.VersionTLS12), Config{CAFile: ca.File}, []string{"wants a client certificate", "set cert_file"}},
		{"client of another CA", wants(0), Config{CAFile: ca.File, CertFile: theirs, KeyFile: theirsKey}, []string{"refuses the client certificate", "unknown certificate authority"}},
		{"client of another CA, 1.2", wants(tls.VersionTLS12), Config{CAFile: ca.File, CertFile: theirs, KeyFile: theirsKey}, []string{"refuses the client certificate"}},
		{"expired client", wants(0), Config{CAFile: ca.File, CertFile: old, KeyFile: oldKey}, []string{"refuses the client certificate", "expired"}},
		{"no CA file", plain(good), Config{CAFile: empty + "x"}, []string{"read ca_file", "no such file"}},
		{"empty CA file", plain(good), Config{CAFile: empty}, []string{"holds no certificate"}},
		{"key of another", wants(0), Config{CAFile: ca.File, CertFile: mine, KeyFile: theirsKey}, []string{"read cert_file and key_file", "does not match"}},
		{"no key file", wants(0), Config{CAFile: ca.File, CertFile: mine, KeyFile: empty + "x"}, []string{"read cert_file and key_file", "no such file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.client.Address = serveTLS(t, tt.server)
			w := tlsWriter(t, tt.client)
			err := write(w)
			if len(tt.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkRefusal(t, err, append(tt.want, "connect to syslog (tls "))
			if n := len(w.sent.ends); n != 0 {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
}

func checkRefusal(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range want {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("not one clean line: %q", err)
	}
}

// TestServersWithoutTLSAreNamed: servers that speak something else, or nothing.
func TestServersWithoutTLSAreNamed(t *testing.T) {
	tests := []struct {
		name string
		do   func(net.Conn)
		want string
	}{
		{"another protocol", func(c net.Conn) { io.WriteString(c, "220 mail ready\r\n"); io.Copy(io.Discard, c) }, "does not speak TLS there"},
		{"silence", func(c net.Conn) { io.Copy(io.Discard, c) }, "does not answer the TLS handshake"},
		{"end", func(c net.Conn) { c.Read(make([]byte, 10000)) }, "closed the connection during the TLS handshake"},
		{"reset", func(c net.Conn) { c.Read(make([]byte, 1)) }, "closed the connection during the TLS handshake"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := tlsWriter(t, Config{Address: serve(t, tt.do)})
			if tt.name == "silence" {
				w.opening = 2 * time.Second // in which a busy machine connects
			}
			checkRefusal(t, write(w), []string{tt.want})
		})
	}
}

// TestServerThatJustCloses: one that does not take the certificate and says
// nothing, after a TLS 1.3 handshake that was fine for this side.
func TestServerThatJustCloses(t *testing.T) {
	ca := pki.New(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue("127.0.0.1")}, ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true}
	cert, key := ca.Save("mine", ca.Issue())
	address := serve(t, func(c net.Conn) { tls.Server(c, cfg).Handshake() })
	w := tlsWriter(t, Config{Address: address, CAFile: ca.File, CertFile: cert, KeyFile: key})
	checkRefusal(t, write(w), []string{"refuses the client certificate", "see the server's log"})
}

// TestCertificatesAreReadAtEachConnection: at each connection, and so after a reopen.
func TestCertificatesAreReadAtEachConnection(t *testing.T) {
	ca := pki.New(t)
	seen := make(chan *big.Int, 10)
	address := serve(t, func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{ca.Issue("127.0.0.1")}, ClientAuth: tls.RequireAnyClientCert})
		if s.Handshake() == nil {
			seen <- s.ConnectionState().PeerCertificates[0].SerialNumber
		}
		io.Copy(io.Discard, s)
	})
	cert, key := ca.Save("mine", ca.Issue())
	w := tlsWriter(t, Config{Address: address, CAFile: ca.File, CertFile: cert, KeyFile: key})
	last := new(big.Int)
	for i := range 3 {
		if err := write(w); err != nil {
			t.Fatal(err)
		}
		if serial := <-seen; serial.Cmp(last) <= 0 {
			t.Errorf("connection %d has certificate %v, after %v", i, serial, last)
		} else {
			last = serial
		}
		ca.Renew()
		ca.Save("mine", ca.Issue())
		if err := w.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
}

// ends is a connection that knows whether its end was seen: package tls, in front
// of it, does not distinguish that from close_notify.
type ends struct {
	net.Conn
	seen bool
}

func (e *ends) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	e.seen = e.seen || err == io.EOF
	return n, err
}

// TestTLSEndsInOrder: the server learns that nothing more comes, and gets all.
func TestTLSEndsInOrder(t *testing.T) {
	ca := pki.New(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue("127.0.0.1")}}
	got := make(chan error, 1)
	address := serve(t, func(c net.Conn) {
		e := &ends{Conn: c}
		n, err := io.Copy(io.Discard, tls.Server(e, cfg))
		if err == nil && n == 0 {
			err = errors.New("nothing came")
		}
		if err == nil && e.seen {
			err = errors.New("no close_notify")
		}
		got <- err
	})
	w := tlsWriter(t, Config{Address: address, CAFile: ca.File})
	if err := write(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the server reads to the end: %v", err)
	}
}

// TestEndsOfAPeer: with and without close_notify.
func TestEndsOfAPeer(t *testing.T) {
	for _, want := range []error{errPeerClosed, errCutOff} {
		ca := pki.New(t)
		cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue("127.0.0.1")}}
		address := serve(t, func(c net.Conn) {
			s := tls.Server(c, cfg)
			s.Read(make([]byte, 10_000))
			if want == errPeerClosed {
				s.CloseWrite()
			}
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c)
		})
		w := tlsWriter(t, Config{Address: address, CAFile: ca.File})
		if err := write(w); err != nil {
			t.Fatal(err)
		}
		var err error
		eventually(t, "the peer's end", func() bool { err = w.conn.idle(); return err != nil })
		if err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// TestOnlyTheCAFileCounts: not the system's CAs too.
func TestOnlyTheCAFileCounts(t *testing.T) {
	ca := pki.New(t)
	cfg, _, err := (&Config{CAFile: ca.File}).files().TLS("h")
	if err != nil || !cfg.RootCAs.Equal(ca.Pool()) {
		t.Errorf("not the one CA: %v", err)
	}
	if cfg, _, err = new(Config).files().TLS("h"); err != nil || cfg.RootCAs != nil {
		t.Errorf("not the system's CAs: %v", err)
	}
}

func TestServerName(t *testing.T) {
	serverName := func(c *Config) string { return c.files().Name(c.host()) }
	got := map[string]string{}
	for _, address := range []string{"loghost.example:6514", "10.0.0.1:6514", "[2001:db8::1]:6514", "[fe80::1%eth0]:6514"} {
		got[address] = serverName(&Config{Address: address})
	}
	got["set"] = serverName(&Config{Address: "10.0.0.1:6514", ServerName: "loghost.example"})
	want := map[string]string{"loghost.example:6514": "loghost.example", "10.0.0.1:6514": "10.0.0.1", "[2001:db8::1]:6514": "2001:db8::1",
		"[fe80::1%eth0]:6514": "fe80::1", "set": "loghost.example"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
