package syslog

import (
	"cmp"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

// TestRefusedUDPDegrades: nothing listens, and ICMP says so.
func TestRefusedUDPDegrades(t *testing.T) {
	s := newServer(t, "udp", "udp", "rfc5424")
	s.close()
	r := run(t, s.config())
	r.put(sinktest.Lines(0, 100))
	eventually(t, "a degraded sink", func() bool { return r.sink.Status().Degraded })
	if err := r.sink.Status().Error; !strings.Contains(err, "refused") {
		t.Errorf("degraded for another reason: %s", err)
	}
}

// TestUDPErrorsAreToldApart: a message too long is no dead server.
func TestUDPErrorsAreToldApart(t *testing.T) {
	port := lab.FreePort(t, "udp")
	for _, tt := range []struct {
		network string
		address string
		want    error
	}{
		{"udp4", "127.0.0.1:" + port, unix.ECONNREFUSED},
		{"udp6", "[::1]:" + port, unix.ECONNREFUSED},
		{"udp4", "127.0.0.1:" + port, nil}, // too large for the way
	} {
		c, err := net.Dial(tt.network, tt.address)
		if err != nil {
			t.Log(err) // no IPv6 here
			continue
		}
		d, err := newDatagrams(c, true)
		if err != nil {
			t.Fatal(err)
		}
		size := 10
		if tt.want == nil {
			if err := unix.SetsockoptInt(d.fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO); err != nil {
				t.Fatal(err)
			}
			size = 65_530 // with headers more than a packet holds
		}
		if _, err := unix.Write(d.fd, make([]byte, size)); errors.Is(err, unix.EMSGSIZE) != (tt.want == nil) {
			t.Errorf("%s, %d bytes: write: %v", tt.address, size, err)
		}
		got := d.idle()
		for deadline := time.Now().Add(hang); got == nil && tt.want != nil && time.Now().Before(deadline); got = d.idle() {
			time.Sleep(time.Millisecond) // a busy machine answers later
		}
		if got != tt.want {
			t.Errorf("%s, %d bytes: %v, want %v", tt.address, size, got, tt.want)
		}
		d.close(false)
	}
}

// TestQuietUDPServerIsMissed: that nothing listens ICMP says after the last record, when nothing is left that
// would be sent again. That the server is back is noticed nevertheless, by what no server stores.
func TestQuietUDPServerIsMissed(t *testing.T) {
	s := newServer(t, "udp", "udp", "rfc5424")
	s.close()
	w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
	defer w.Close()
	b := sinktest.Batches(sinktest.Lines(0, 1), 64<<10)[0]
	eventually(t, "a refusal of a record that was sent", func() bool {
		n, err := w.Write(t.Context(), b)
		return n == 1 && errors.Is(err, unix.ECONNREFUSED)
	})
	if w.conn != nil || w.missed.at.IsZero() {
		t.Fatalf("next attempt at %v", w.missed.at)
	}
	tick := func() error {
		w.missed.at = time.Now().Add(-time.Second)
		return w.Tick(t.Context())
	}
	for range 4 {
		pause := w.missed.pause
		err := tick()
		eventually(t, "the answer to a probe", func() bool { err = cmp.Or(err, w.Tick(t.Context())); return err != nil })
		if !errors.Is(err, unix.ECONNREFUSED) || w.conn != nil || w.missed.pause <= pause {
			t.Fatalf("%v, pause of %v after %v", err, w.missed.pause, pause)
		}
	}

	s.open()
	defer s.finish()
	if err := tick(); err != nil || w.Steady() {
		t.Fatalf("%v, steady %v", err, w.Steady())
	}
	w.since = w.since.Add(-settleTime)
	if err := w.Tick(t.Context()); err != nil || !w.Steady() {
		t.Errorf("%v, steady %v", err, w.Steady())
	}
}
