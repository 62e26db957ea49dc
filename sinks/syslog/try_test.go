package syslog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/test/pki"
)

// trialOf tries the sink, with timeout for each step.
func trialOf(t *testing.T, cfg config.Sink, timeout time.Duration) *sinks.Trial {
	t.Helper()
	if l := cfg.Settings.(*Config); l.Protocol == "" {
		l.Protocol, l.Facility, l.Severity, l.Tag = "rfc5424", "user", "info", "audisp-relay"
	}
	cfg.Type = "syslog"
	y := &sinks.Trial{Timeout: timeout, Sink: cfg, ID: "a1b2c3d4e5", Host: "host.example"}
	sinks.Try(context.Background(), y)
	if y.Hung() {
		t.Error("a step did not end")
	}
	return y
}

// step returns the step of that name.
func step(t *testing.T, y *sinks.Trial, name string) sinks.Step {
	t.Helper()
	for _, s := range y.Steps {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no step %q in %+v", name, y.Steps)
	return sinks.Step{}
}

// TestTrialOfRsyslogd: a real daemon is found well over each transport, the steps say with what, and
// the message arrives and names itself.
func TestTrialOfRsyslogd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()

	for _, transport := range []string{"local", "udp", "tcp", "tls", "relp", "relp+tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			daemon, cfg := listening(t, transport, "rfc3164", false)
			y := trialOf(t, cfg, hang)
			for _, s := range y.Steps {
				if s.Verdict == sinks.Failed {
					t.Fatalf("%+v", y.Steps)
				}
			}
			if ack := step(t, y, "acknowledgement"); (ack.Verdict == sinks.Passed) != (strings.HasPrefix(transport, "relp") || transport == "local") {
				t.Errorf("acknowledgement %+v", ack)
			}
			if got := daemon.stored(1); !bytes.Contains(got, []byte("test message of audisp-relay doctor, no audit record: id a1b2c3d4e5")) {
				t.Errorf("stored %q", got)
			}
			switch transport {
			case "local":
				if s := step(t, y, "listener"); !strings.Contains(s.Text, "rsyslogd") {
					t.Errorf("listener %+v", s)
				}
			case "tls", "relp+tls":
				wantTLS(t, y)
			case "relp":
				if s := step(t, y, "protocol"); !strings.Contains(s.Facts["relp_software"], "librelp") || !strings.Contains(s.Facts["commands"], "syslog") {
					t.Errorf("protocol %+v", s)
				}
			}
		})
	}
}

// wantTLS checks what is said of the session and of the client's certificate. Those of the tests
// are valid for an hour, so there is a warning.
func wantTLS(t *testing.T, y *sinks.Trial) {
	t.Helper()
	s := step(t, y, "tls")
	for name, part := range map[string]string{"version": "TLS 1.", "group": "", "subject": "test leaf", "names": "loghost.example",
		"issuer": "test CA", "days_left": "0", "verified_by": "test CA"} {
		if value, there := s.Facts[name]; !there || !strings.Contains(value, part) {
			t.Errorf("%s is %q, want %q in it", name, value, part)
		}
	}

	if s.Verdict != sinks.Doubt || !strings.Contains(s.Text, `authenticated as "loghost.example"`) || !strings.Contains(s.Fix, "renew") {
		t.Errorf("tls %+v", s)
	}
	if s := step(t, y, "authentication"); !strings.Contains(s.Text, "the certificate of cert_file") || s.Verdict != sinks.Doubt {
		t.Errorf("authentication %+v", s)
	}
}

// silent is a server that takes connections and says nothing.
func silent(t *testing.T) string {
	return serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })
}

// closedPort returns an address on which no process listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestTrialOfBrokenServers: each fault ends the step that it is in, with an error that names it and
// with what to do.
func TestTrialOfBrokenServers(t *testing.T) {
	t.Parallel()
	ca, other := pki.New(t), pki.New(t)
	good := ca.Issue("127.0.0.1")
	withTLS := func(cert tls.Certificate, change func(*tls.Config)) string {
		cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
		if change != nil {
			change(cfg)
		}
		return serveTLS(t, cfg)
	}
	wantsCert := func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool() }
	mute := func(c net.Conn) { // answers RELP's open only
		r := bufio.NewReader(c)
		f, err := readClientFrame(r)
		if err == nil {
			c.Write(answer(f.txnr, "200 OK\nrelp_version=0\ncommands=syslog"))
			io.Copy(io.Discard, r)
		}
	}

	const short = 2 * time.Second // where no answer comes
	tests := []struct {
		name                                    string
		limit                                   time.Duration // of each step
		transport, address, ca, step, text, fix string
	}{
		{"refused", hang, "tcp", closedPort(t), "", "connect", "connection refused", "start the server"},
		{"no such name", short, "tcp", "no-such-host.invalid:514", "", "name resolution", "no-such-host.invalid", ""},
		{"expired", hang, "tls", withTLS(ca.IssueFor(-time.Hour, "127.0.0.1"), nil), ca.File, "tls", "is valid from", "renew it"},
		{"wrong name", hang, "tls", withTLS(ca.Issue("other.example"), nil), ca.File, "tls", `is not for "127.0.0.1"`, "server_name"},
		{"unknown CA", hang, "tls", withTLS(good, nil), other.File, "tls", "is not of ca_file", "set ca_file"},
		{"wants a certificate", hang, "tls", withTLS(good, wantsCert), ca.File, "tls", "wants a client certificate", "cert_file"},
		{"TLS to a plain server that answers", hang, "tls", serve(t, func(c net.Conn) { c.Write([]byte("220 mail.example\r\n")); io.Copy(io.Discard, c) }), ca.File,
			"tls", "does not speak TLS", "switch TLS on"},
		{"TLS to a silent server", short, "tls", silent(t), ca.File, "tls", "does not answer the TLS handshake", "speaks TLS on this port"},
		{"plain to a TLS server", hang, "tcp", withTLS(good, nil), "", "acknowledgement", "", "TLS"},
		{"no RELP server", short, "relp", silent(t), "", "protocol", "no answer to RELP's open", "speaks RELP"},
		{"RELP without acknowledgement", short, "relp", serve(t, mute), "", "acknowledgement", "", "queue"},
		{"a mail server", hang, "tcp", serve(t, func(c net.Conn) { c.Write([]byte("220 mail.example\r\n")); io.Copy(io.Discard, c) }), "",
			"acknowledgement", `it answered "220 mail.example\r\n"`, "correct the port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Sink{Name: "test", Settings: &Config{Transport: tt.transport, Address: tt.address, CAFile: tt.ca, Framing: "newline"}}
			y := trialOf(t, cfg, tt.limit)
			s := y.Steps[len(y.Steps)-1]
			if s.Name != tt.step || (s.Verdict != sinks.Failed && s.Verdict != sinks.Doubt) {
				t.Fatalf("ended in %+v", s)
			}
			if !strings.Contains(s.Text, tt.text) || !strings.Contains(s.Fix, tt.fix) || s.Fix == "" || strings.Contains(s.Text, "\n") {
				t.Errorf("text %q, fix %q", s.Text, s.Fix)
			}
		})
	}
}

// TestTrialOfTwoAddresses: a dead address of a name is reported, and the other one used.
func TestTrialOfTwoAddresses(t *testing.T) {
	address := silent(t)
	_, port, _ := net.SplitHostPort(address)
	y := &trial{Trial: &sinks.Trial{Timeout: hang}, w: newWriter(Config{Transport: "tcp", Address: "loghost.example:" + port}, format.Encoder{})}
	y.w.name.lookUp = func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}, nil
	}
	defer y.close()
	ctx := context.Background()
	if !y.Do(ctx, "name resolution", y.resolve) || !y.Do(ctx, "connect", y.connect) {
		t.Fatalf("%+v", y.Steps)
	}

	if s := y.Steps[1]; s.Verdict != sinks.Doubt || !strings.Contains(s.Text, "127.0.0.2:"+port+": connection refused") {
		t.Errorf("connect %+v", s)
	}
}

// TestExplainConnect: errors of the system are distinguished.
func TestExplainConnect(t *testing.T) {
	for _, tt := range []struct {
		err        error
		text, hint string
	}{
		{unix.EHOSTUNREACH, "no route", "ip route get 192.0.2.1"},
		{unix.ENETUNREACH, "no route", "ip route get"},
		{context.DeadlineExceeded, "no answer", "firewall"},
		{unix.EACCES, "does not permit", "SELinux"},
		{errors.New("odd"), "odd", "address"},
	} {
		err := explainConnect("192.0.2.1:514", &net.OpError{Op: "dial", Err: tt.err})
		if known, ok := errors.AsType[sinks.Advised](err); !ok || !strings.Contains(err.Error(), tt.text) || !strings.Contains(known.Advice(), tt.hint) {
			t.Errorf("%v: %v", tt.err, err)
		}
	}
}

// TestTrialOfUDPRefused: the kernel says it after the first datagram.
func TestTrialOfUDPRefused(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	y := trialOf(t, config.Sink{Name: "test", Settings: &Config{Transport: "udp", Address: c.LocalAddr().String()}}, hang)
	if s := y.Steps[len(y.Steps)-1]; s.Verdict != sinks.Failed || !strings.Contains(s.Text, "connection refused") {
		t.Errorf("%+v", s)
	}
}

// TestTrialOfLocal: what can be wrong with the daemon's socket.
func TestTrialOfLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := dir + "/left"
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: left, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}

	c.Close()
	deaf := dir + "/deaf" // bound, and never read
	d, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: deaf, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for path, want := range map[string]string{dir + "/absent": "is not there", dir: "is no socket", left: "no process has the socket", deaf: "does not read"} {
		y := trialOf(t, config.Sink{Name: "test", Settings: &Config{Transport: "local", Address: path}}, time.Second)
		if s := y.Steps[len(y.Steps)-1]; s.Verdict != sinks.Failed || !strings.Contains(s.Text, want) || s.Fix == "" {
			t.Errorf("%s: %+v", path, s)
		}
	}
}
