package syslog

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/format"
)

// TestHostNameChanges: messages say what the host is called when they are sent, also on a
// connection that stays; while the name cannot be read they keep the one before.
func TestHostNameChanges(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0") // where they need not be understood
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &server{t: t, network: "udp", transport: "udp", protocol: "rfc5424", address: l.LocalAddr().String()}
	w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
	defer w.Close()
	name, failure := "", errors.New("not to be had")
	w.hostname = func() (string, error) { return name, failure }
	for _, step := range []struct {
		name string
		err  error
		want string
	}{{"", failure, "-"}, {"a", nil, "a"}, {"b.example", nil, "b.example"}, {"", failure, "b.example"}, {"c", nil, "c"}} {
		name, failure = step.name, step.err
		if w.conn != nil {
			if err := w.Tick(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if err := write(w); err != nil {
			t.Fatal(err)
		}
		if host := bytes.Fields(w.chunk.buf)[2]; string(host) != step.want {
			t.Errorf("%+v: sent as %q", step, host)
		}
	}
}

// TestUDPNameIsLookedUpAgain: a server that has moved gets the messages, without a failure.
func TestUDPNameIsLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sinkOf("udp", "rfc5424", "", 0, format.Encoder{})
		asked := 0
		at, failure := "192.0.2.1", error(nil)
		w.name.lookUp = func(_ context.Context, network, host string) ([]netip.Addr, error) {
			if asked++; network != "ip" || host != "loghost.example" {
				t.Errorf("asked for %s %s", network, host)
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr(at)}, failure
		}
		connected := func() bool {
			for range int(lookEvery/time.Second) + 1 {
				time.Sleep(time.Second)
				if err := w.Tick(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			return w.conn != nil
		}
		w.cfg.Address = "loghost.example:514"
		w.conn, w.name.at, w.name.looked = &narrow{}, netip.MustParseAddr("192.0.2.1"), time.Now()
		if !connected() || asked != 1 {
			t.Errorf("let go, or asked %d times", asked)
		}
		at, failure = "198.51.100.1", errors.New("no answer")
		if !connected() || asked != 2 {
			t.Errorf("let go without an answer, or asked %d times", asked)
		}
		if failure = nil; connected() || asked != 3 {
			t.Errorf("kept, or asked %d times", asked)
		}
		w.cfg.Address, w.conn = "192.0.2.1:514", &narrow{}
		if !connected() || asked != 3 {
			t.Error("an address is no name")
		}
	})
}

// misfit returns a writer whose server does what do does, which is not what a syslog server does.
func misfit(t *testing.T, do func(c net.Conn)) *writer {
	s := &server{t: t, network: "tcp", transport: "tcp", protocol: "rfc5424", address: serve(t, do)}
	w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
	t.Cleanup(func() { w.Close() })
	return w
}

// TestMisfitsAreNamed: a receiver that ends at once, wants TLS, or is another service is
// distinguished from one that is away, and what to do is said.
func TestMisfitsAreNamed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(c net.Conn)
		want  []string
	}{
		{"closes at once", func(net.Conn) {}, []string{"framing", "TLS"}},
		{"TLS", func(c net.Conn) { c.Write([]byte{0x15, 3, 1, 0, 2, 2, 70}) }, []string{"TLS alert", `set transport = "tls"`}},
		{"HTTP", func(c net.Conn) {
			c.Read(make([]byte, 10))
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\x1b[31m"))
		}, []string{`it said "HTTP/1.1 400 Bad Request\r\n\x1b[31m"`, "correct the port"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := misfit(t, tt.serve)
			var err error
			eventually(t, "a failure", func() bool {
				if err = write(w); err == nil {
					err = w.Tick(context.Background())
				}
				return err != nil && strings.Contains(err.Error(), tt.want[0])
			})
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\n\x1b") {
					t.Errorf("%v; want %q", err, want)
				}
			}
		})
	}
}

// TestQuietTimeIsNoStall: that nothing was sent for long says nothing of what is sent then.
func TestQuietTimeIsNoStall(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	s := &streamConn{link: &link{Conn: client, timeout: time.Second}, sent: &unacked{}}
	defer client.Close()
	c := messages(1)
	s.wrote, s.moved = 100, time.Now().Add(-time.Hour)
	s.acked = 100
	if err := idleWith(s); err != nil {
		t.Fatal(err)
	}
	s.wrote += 100 // sent, and not acknowledged yet
	s.sent.add(c, 1)
	if !s.progress(100) {
		t.Error("taken for a receiver that takes nothing")
	}
}

// idleWith is idle of a connection whose peer says nothing.
func idleWith(s *streamConn) error {
	s.raw = quietConn{}
	return s.idle()
}

// quietConn is a socket that nothing can be learned from.
type quietConn struct{}

func (quietConn) Control(func(uintptr)) error    { return nil }
func (quietConn) Read(func(uintptr) bool) error  { return nil }
func (quietConn) Write(func(uintptr) bool) error { return nil }

// TestTakesNothing: a receiver that has accepted and does not read is noticed once its
// kernel's buffers are full, also when nothing more is to be sent.
func TestTakesNothing(t *testing.T) {
	gate := make(chan struct{})
	w := misfit(t, func(c net.Conn) { <-gate })
	defer close(gate)
	w.timeout = 50 * time.Millisecond
	if err := write(w); err != nil {
		t.Fatal(err)
	}
	c := w.conn.(*streamConn)
	var err error
	for err == nil {
		_, err = c.link.Write(make([]byte, 64<<10))
	}
	w.sent.add(&w.chunk, 1) // as if that had been messages
	eventually(t, "a failure", func() bool { err = w.Tick(context.Background()); return err != nil })
	if !strings.Contains(err.Error(), "the receiver has taken nothing for 50ms") || !strings.Contains(err.Error(), "sent again") {
		t.Error(err)
	}
}
