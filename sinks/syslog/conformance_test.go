package syslog

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
	"audisp-relay/test/pki"
)

func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	keepsNewline := func(dst []byte, enc *format.Encoder, b record.Batch, i int) []byte {
		return append(dst, masked(enc.Append(nil, b, i))...)
	}
	oneLine := func(dst []byte, enc *format.Encoder, b record.Batch, i int) []byte {
		text := enc.Append(nil, b, i)
		if enc.Format.Events() || b.Recs[i].Flags&record.Open != 0 {
			return append(dst, text...)
		}
		return append(append(dst, masked(bytes.TrimSuffix(text, []byte("\n")))...), '\n')
	}
	escaped := func(dst []byte, enc *format.Encoder, b record.Batch, i int) []byte {
		line := oneLine(nil, enc, b, i)
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		if dst = appendEscaped(dst, text); ended {
			dst = append(dst, '\n')
		}
		return dst
	}
	t.Run("local datagram", func(t *testing.T) {
		sinktest.Run(t, sinktest.Target{
			Place:      func(t *testing.T) sinktest.Place { return newServer(t, "unixgram", "local", "rfc3164").place() },
			Expect:     keepsNewline,
			BreakLoses: true, // what the old daemon had not read
		})
	})
	t.Run("local stream", func(t *testing.T) {
		sinktest.Run(t, sinktest.Target{
			Place:   func(t *testing.T) sinktest.Place { return newServer(t, "unix", "local", "rfc3164").place() },
			Expect:  escaped,
			Repeats: true, // what it may have read when the connection ended
		})
	})
	t.Run("udp", func(t *testing.T) {
		sinktest.Run(t, sinktest.Target{
			Place:       func(t *testing.T) sinktest.Place { return newServer(t, "udp", "udp", "rfc3164").place() },
			Expect:      oneLine,
			BreakLoses:  true,
			BreakUnseen: true,
			StallLoses:  true,
		})
	})
	t.Run("tcp", func(t *testing.T) {
		sinktest.Run(t, sinktest.Target{
			Place:      func(t *testing.T) sinktest.Place { return newServer(t, "tcp", "tcp", "rfc5424").place() },
			Expect:     oneLine,
			BreakLoses: true, // what the peer acknowledged and did not read
			Repeats:    true, // what it read and did not acknowledge
		})
	})
	t.Run("tls", func(t *testing.T) {
		sinktest.Run(t, sinktest.Target{
			Place:      func(t *testing.T) sinktest.Place { return newServer(t, "tcp", "tls", "rfc5424").place() },
			Expect:     oneLine,
			BreakLoses: true, // as tcp
			Repeats:    true,
		})
	})
	t.Run("relp", func(t *testing.T) { // over TLS: TestRsyslogd
		sinktest.Run(t, sinktest.Target{
			Place:   func(t *testing.T) sinktest.Place { return newServer(t, "tcp", "relp", "rfc3164").place() },
			Expect:  oneLine,
			Repeats: true, // what the server read and did not acknowledge
		})
	})
}

// server is a syslog server that understands what the sink sends by its own
// reading of the RFCs, and keeps the texts.
type server struct {
	t                            testing.TB
	network, transport, protocol string
	address                      string
	wg                           sync.WaitGroup
	ca                           *pki.Authority // nil: in clear
	certs                        *tls.Config

	gate sync.Mutex // held while stalled

	mu     sync.Mutex // guards all below
	texts  []byte
	socket io.Closer // listener or datagram socket
	conn   net.Conn  // being read
	parts  joiner
	ends   int // sentinels read
}

const sentinel = "<0>the end of a test"

func newServer(t testing.TB, network, transport, protocol string) *server {
	s := &server{t: t, network: network, transport: transport, protocol: protocol}
	if transport == "local" {
		s.address = filepath.Join(t.TempDir(), "log")
	} else { // while it is closed no connection of another test may get its port, nor one of the sink's to itself
		s.address = net.JoinHostPort("127.0.0.1", lab.FreePort(t, network))
	}
	if transport == "tls" {
		s.secure(pki.New(t))
	}
	s.open()
	t.Cleanup(func() {
		s.close()
		s.wg.Wait()
	})
	return s
}

// secure makes connections from now on use TLS, with a certificate of ca's.
func (s *server) secure(ca *pki.Authority) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ca, s.certs = ca, &tls.Config{Certificates: []tls.Certificate{ca.Issue("127.0.0.1")}}
}

func (s *server) config() config.Sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := &Config{Transport: s.transport, Address: s.address,
		Protocol: s.protocol, Facility: "user", Severity: "info", Tag: "audisp-relay"}
	if s.ca != nil {
		cfg.CAFile = s.ca.File
	}
	return config.Sink{Name: "test", Type: "syslog", Settings: cfg}
}

func (s *server) place() sinktest.Place {
	p := sinktest.Place{
		New: func(enc format.Encoder) sinks.Sink {
			p := New(s.config(), enc, zap.NewNop()).(*sinks.Pump)
			p.MinBackoff, p.MaxBackoff = time.Millisecond, 20*time.Millisecond
			return p
		},
		Read:   s.read,
		Finish: s.finish,
		Break:  s.close,
		Repair: s.open,
		Stall:  s.gate.Lock,
		Resume: s.gate.Unlock,
	}
	return p
}

func (s *server) read() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.texts)
}

// open makes the socket and a goroutine that reads it.
func (s *server) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.network {
	case "unixgram", "udp":
		c, err := net.ListenPacket(s.network, s.address)
		if err != nil {
			s.t.Fatal(err)
		}
		s.address = c.LocalAddr().String()
		if s.network == "udp" {
			s.widen(c.(*net.UDPConn))
		}
		s.socket = c
		s.wg.Go(func() { s.readDatagrams(c) })
	default:
		l, err := net.Listen(s.network, s.address)
		if err != nil {
			s.t.Fatal(err)
		}
		s.address = l.Addr().String()
		s.socket = l
		s.wg.Go(func() { s.accept(l) })
	}
}

// widen makes room for all that a test sends: loopback UDP loses what does not
// find any.
func (s *server) widen(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 128<<20); err != nil {
			lab.Missing(s.t, "needs CAP_NET_ADMIN for a receive buffer that holds a test: %v", err)
		}
	})
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.socket.Close()
	if s.conn != nil {
		s.conn.Close()
	}
	if s.network == "unixgram" {
		os.Remove(s.address)
	}
}

func (s *server) pass() {
	s.gate.Lock()
	//lint:ignore SA2001 it waits for the end of a stall
	s.gate.Unlock()
}

func (s *server) readDatagrams(c net.PacketConn) {
	for buf := make([]byte, 256<<10); ; {
		s.pass()
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if n == 0 { // a probe: servers pass over what has no byte
			continue
		}
		s.take(buf[:n])
	}
}

// accept reads one connection after the other.
func (s *server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conn = c
		if s.certs != nil {
			c = tls.Server(c, s.certs)
		}
		s.mu.Unlock()
		if s.transport == "relp" {
			s.readRELP(c)
		} else {
			s.readStream(c)
		}
		c.Close()
	}
}

func (s *server) readStream(c net.Conn) {
	var held []byte
	for buf := make([]byte, 32<<10); ; {
		s.pass()
		n, err := c.Read(buf)
		for held = append(held, buf[:n]...); len(held) > 0; {
			msg, rest, ok := bytes.Cut(held, []byte{'\n'})
			if s.network == "tcp" {
				var uerr error
				msg, rest, uerr = unframe(held)
				ok = uerr == nil
			}
			if !ok {
				break
			}
			s.take(msg)
			held = rest
		}
		if err != nil {
			return
		}
	}
}

// take keeps a message's text.
func (s *server) take(msg []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(msg) == sentinel {
		s.ends++
		return
	}
	part, text, err := s.split(msg)
	if err == nil {
		text, _, err = s.parts.add(part, text) // one after another
	}
	if err != nil {
		s.t.Errorf("message %q: %v", msg, err)
		return
	}
	if n, total, _ := strings.Cut(part, "/"); n == total {
		s.texts = append(s.texts, text...)
		if s.network != "unixgram" || s.protocol == "rfc5424" { // there a record keeps its newline
			s.texts = append(s.texts, '\n')
		}
	}
}

// split takes the header off.
func (s *server) split(msg []byte) (part string, text []byte, err error) {
	if s.protocol == "rfc5424" {
		return split5424(msg)
	}
	host := ""
	if s.transport != "local" {
		if host, err = os.Hostname(); err != nil {
			return "", nil, err
		}
		host, _, _ = strings.Cut(host, ".")
	}
	return split3164(msg, host)
}

// finish waits until a message of its own, sent after all others, is read.
func (s *server) finish() {
	if s.transport == "relp" {
		return // it acknowledges what it has read
	}
	s.mu.Lock()
	want, ca := s.ends+1, s.ca
	s.mu.Unlock()
	c, err := net.Dial(s.network, s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	if ca != nil {
		c = tls.Client(c, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"})
	}
	defer c.Close()
	msg := sentinel
	switch s.network {
	case "tcp":
		msg = fmt.Sprintf("%d %s\n", len(msg)+1, msg)
	case "unix":
		msg += "\n"
	}
	if _, err := c.Write([]byte(msg)); err != nil {
		s.t.Fatal(err)
	}
	c.Close()
	eventually(s.t, "what was sent to be read", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.ends >= want
	})
}
