package syslog

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"audisp-relay/test/pki"
)

// stuck is a socket that takes nothing once it is full, and keeps the deadline that a write had then.
type stuck struct {
	*net.TCPConn
	full     bool
	deadline time.Time
	had      time.Duration // until then
	tries    int
}

func (s *stuck) SetWriteDeadline(t time.Time) error {
	s.deadline = t
	return s.TCPConn.SetWriteDeadline(t)
}

func (s *stuck) Write(p []byte) (int, error) {
	if !s.full {
		return s.TCPConn.Write(p)
	}
	s.had = time.Until(s.deadline)
	s.tries++
	return 0, os.ErrDeadlineExceeded
}

// keyUpdate returns the record by which a server of TLS 1.3 asks for another key, the first one under the keys that
// its log has (RFC 8446, 4.6.3, 5.2 and 7.3).
func keyUpdate(t *testing.T, keyLog string) []byte {
	t.Helper()
	var secret []byte
	for line := range strings.Lines(keyLog) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "SERVER_TRAFFIC_SECRET_0" {
			secret, _ = hex.DecodeString(f[2])
		}
	}
	expand := func(label string, n int) []byte {
		label = "tls13 " + label
		info := append([]byte{0, byte(n), byte(len(label))}, label...)
		out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	block, err := aes.NewCipher(expand("key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	inner := []byte{24, 0, 0, 1, 1, 22} // key_update, one byte: update_requested; of type handshake
	head := []byte{23, 3, 3, 0, byte(len(inner) + aead.Overhead())}
	return aead.Seal(bytes.Clone(head), expand("iv", 12), inner, head)
}

// TestAnswersOfTLSDoNotHang: a server that reads nothing and asks for something that package tls answers holds up
// who only looks whether it is there for a moment, not for as long as a message would wait.
func TestAnswersOfTLSDoNotHang(t *testing.T) {
	ca := pki.New(t)
	var keyLog bytes.Buffer
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue("127.0.0.1")}, KeyLogWriter: &keyLog, SessionTicketsDisabled: true}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	client, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	server := tls.Server(theirs, cfg)
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()

	socket := &stuck{TCPConn: client.(*net.TCPConn)}
	l, err := newLink(socket, hang)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.tls = tls.Client(l, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"})
	if err := l.tls.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	if l.tls.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("this machine has no AES that package tls prefers")
	}
	if _, err := theirs.Write(keyUpdate(t, keyLog.String())); err != nil {
		t.Fatal(err)
	}
	socket.full = true
	_, err = l.read(context.Background(), make([]byte, 10), time.Second) // after the answer nothing comes
	if err == nil || socket.tries != 1 || socket.had > answerTime {
		t.Errorf("%v; %d answers, which may take %v, at most %v", err, socket.tries, socket.had, answerTime)
	}
	if l.timeout != hang {
		t.Errorf("a message may take %v now", l.timeout)
	}
}
