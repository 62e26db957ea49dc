package syslog

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
	"audisp-relay/test/pki"
	"audisp-relay/testdata/captures"
)

// rsyslogd is a real one with a configuration of the test's own: one input, the
// text of each message to a file.
type rsyslogd struct {
	t         testing.TB
	conf, out string
	ready     func() bool
	cmd       *exec.Cmd
}

// setup is the part of its configuration that tests differ in.
type setup struct {
	global, module, options, input string // options of the module; parameters of the input
	direct                         bool   // a message is stored before the next is read or it is acknowledged
}

func newRsyslogd(t testing.TB, c setup, ready func() bool) *rsyslogd {
	t.Helper()
	if _, err := exec.LookPath("rsyslogd"); err != nil {
		lab.Missing(t, "rsyslogd is not installed: %v", err)
	}
	dir := t.TempDir()
	r := &rsyslogd{t: t, conf: filepath.Join(dir, "rsyslog.conf"), out: filepath.Join(dir, "out"), ready: ready}
	queue := ""
	if c.direct {
		queue = `main_queue(queue.type="Direct")`
	}
	conf := fmt.Sprintf(`
global(workDirectory="%s" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off" %s)
%s
module(load="%s" %s)
template(name="text" type="list") { property(name="msg") constant(value="\n") }
ruleset(name="all") { action(type="omfile" file="%s" template="text") }
input(type="%s" %s ruleset="all")
`, dir, c.global, queue, c.module, c.options, r.out, c.module, c.input)
	if err := os.WriteFile(r.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rsyslogd) start() {
	r.t.Helper()
	r.cmd = exec.Command("rsyslogd", "-n", "-f", r.conf, "-i", filepath.Join(filepath.Dir(r.conf), "pid"))
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "rsyslogd's input", r.ready)
}

func (r *rsyslogd) stop() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	_ = r.cmd.Wait()
	r.cmd = nil
}

// kill ends it without a chance to do anything, and starts it again.
func (r *rsyslogd) kill() {
	r.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	_ = r.cmd.Wait()
	os.Remove(filepath.Join(filepath.Dir(r.conf), "pid"))
	r.start()
}

// stored waits until n messages are in the file and returns their texts.
func (r *rsyslogd) stored(n int) []byte {
	r.t.Helper()
	var data []byte
	eventually(r.t, fmt.Sprintf("%d messages in rsyslogd's file", n), func() bool {
		data, _ = os.ReadFile(r.out)
		return lines(data) >= n
	})
	return data
}

// plainLines are the real records of a capture as rsyslogd stores their texts: it
// puts the space after an RFC 3164 tag into the text.
func plainLines(t testing.TB, space string) (records, stored []byte) {
	for _, line := range bytes.SplitAfter(captures.Read(t, "audit-3.0.9-enriched.string.gz"), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		records = append(records, line...)
		stored = append(stored, space...)
		stored = append(stored, masked(line)...)
	}
	return records, stored
}

// TestRsyslogd: a real daemon stores all records, in order and with their exact
// text, and again after it was away for a time.
func TestRsyslogd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for _, transport := range []string{"local", "udp", "tcp", "tls", "relp", "relp+tls"} {
		for _, protocol := range []string{"rfc3164", "rfc5424"} {
			if transport == "local" && protocol == "rfc5424" {
				continue // imuxsock does not know it
			}
			t.Run(transport+" "+protocol, func(t *testing.T) {
				t.Parallel()
				testRsyslogd(t, transport, protocol)
			})
		}
	}
}

// listening returns an rsyslogd that takes transport and the sink that delivers
// to it. With TLS each checks who the other is.
func listening(t testing.TB, transport, protocol string, direct bool) (*rsyslogd, config.Sink) {
	t.Helper()
	l := &Config{Protocol: protocol, Facility: "local3", Severity: "notice", Tag: "audisp-relay"}
	cfg := config.Sink{Name: "test", Type: "syslog", Settings: l}
	network := "tcp"
	if transport == "udp" {
		network = "udp"
	}
	port := lab.FreePort(t, network)
	l.Address = net.JoinHostPort("127.0.0.1", port)
	c := setup{input: fmt.Sprintf(`address="127.0.0.1" port="%s"`, port), direct: direct}
	ready := func() bool {
		bound, err := lab.Bound(network, l.Address)
		return err == nil && bound
	}
	var secure *pki.Authority
	var cert, key string
	l.Transport, _, _ = strings.Cut(transport, "+")
	if strings.HasSuffix(transport, "tls") {
		secure = pki.New(t)
		cert, key = secure.Save("server", secure.IssueFor(time.Hour, "loghost.example"))
		l.CAFile, l.ServerName = secure.File, "loghost.example"
		l.CertFile, l.KeyFile = secure.Save("client", secure.IssueFor(time.Hour, "client.example"))
	}
	switch transport {
	case "local":
		l.Address = filepath.Join(t.TempDir(), "log")
		c.module, c.options = "imuxsock", `sysSock.use="off"` // not the machine's own /dev/log
		c.input = fmt.Sprintf(`Socket="%s" CreatePath="off" RateLimit.Interval="0"`, l.Address)
		ready = func() bool { return connectable(l.Address) }
	case "udp":
		c.module = "imudp"
		c.input += ` rcvbufSize="64m"`
	case "tcp":
		c.module = "imtcp"
	case "tls":
		needsModule(t, "lmnsd_gtls")
		c.module = "imtcp"
		c.global = fmt.Sprintf(`defaultNetstreamDriverCAFile="%s" defaultNetstreamDriverCertFile="%s" defaultNetstreamDriverKeyFile="%s"`, secure.File, cert, key)
		c.options = `streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/name" permittedPeer="client.example"`
	case "relp", "relp+tls":
		needsModule(t, "imrelp")
		c.module = "imrelp"
		c.input += ` maxDataSize="64k"`
		if secure != nil {
			c.input += fmt.Sprintf(` tls="on" tls.caCert="%s" tls.myCert="%s" tls.myPrivKey="%s" tls.authMode="name" tls.permittedPeer="client.example"`, secure.File, cert, key)
		}
	}
	return newRsyslogd(t, c, ready), cfg
}

// needsModule skips where rsyslog's packages for it are not there.
func needsModule(t testing.TB, name string) {
	t.Helper()
	for _, dir := range []string{"/usr/lib/*/rsyslog", "/usr/lib64/rsyslog", "/usr/lib/rsyslog"} {
		if found, _ := filepath.Glob(filepath.Join(dir, name+".so")); len(found) > 0 {
			return
		}
	}
	lab.Missing(t, "rsyslog's module %s is not installed", name)
}

func testRsyslogd(t *testing.T, transport, protocol string) {
	space := ""
	if protocol == "rfc3164" {
		space = " "
	}
	records, want := plainLines(t, space)
	const rounds = 4
	daemon, cfg := listening(t, transport, protocol, false)
	r := run(t, cfg)
	for i := range rounds {
		switch {
		case i == 2 && transport != "udp": // UDP loses what is sent meanwhile
			daemon.stop()
			r.put(records)
			eventually(t, "a degraded sink", func() bool { return r.sink.Status().Degraded })
			daemon.start()
		case i == 2:
			daemon.stop()
			daemon.start()
			fallthrough
		default:
			r.put(records)
		}
		daemon.stored((i + 1) * lines(want))
	}
	r.end()
	if d := firstDifference(daemon.stored(rounds*lines(want)), bytes.Repeat(want, rounds)); d != "" {
		t.Error(d)
	}
}

// TestRsyslogdRefuses: neither side takes a wrong certificate of the other, the
// error is clear, and nothing counts as delivered; with the right one all arrives.
func TestRsyslogdRefuses(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"tls", "relp+tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			daemon, good := listening(t, transport, "rfc5424", true)
			ca := pki.New(t)
			stranger, strangerKey := ca.Save("stranger", ca.Issue("client.example"))
			tests := []struct {
				name   string
				change func(*Config)
				want   string
			}{
				{"server of another CA", func(l *Config) { l.CAFile = ca.File }, "is not of ca_file"},
				{"server of another name", func(l *Config) { l.ServerName = "127.0.0.1" }, `is not for "127.0.0.1"`},
				{"no client certificate", func(l *Config) { l.CertFile, l.KeyFile = "", "" }, "the server wants a client certificate"},
				{"client of another CA", func(l *Config) { l.CertFile, l.KeyFile = stranger, strangerKey }, "the server refuses the client certificate"},
				{"client of another name", func(l *Config) {
					l.CertFile, l.KeyFile = strings.ReplaceAll(l.CertFile, "client.", "server."), strings.ReplaceAll(l.KeyFile, "client-", "server-")
				}, "the server refuses the client certificate"},
			}
			for _, tt := range tests {
				l := *good.Settings.(*Config)
				tt.change(&l)
				w := newWriter(l, format.Encoder{})
				n, err := w.Write(context.Background(), sinktest.Batches(sinktest.Lines(0, 10), 64<<10)[0])
				if err == nil || !strings.Contains(err.Error(), tt.want) || n != 0 || len(w.sent.ends) > 0 {
					t.Errorf("%s: %d delivered, %v; want %q", tt.name, n, err, tt.want)
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			}
			if exists(daemon.out) {
				t.Error("the server has stored something")
			}
			r := run(t, good)
			r.put(sinktest.Lines(0, 10))
			r.end()
			if got, want := daemon.stored(10), sinktest.Lines(0, 10); !bytes.Equal(got, want) {
				t.Errorf("stored %q", got)
			}
		})
	}
}

func firstDifference(got, want []byte) string {
	g, w := bytes.SplitAfter(got, []byte("\n")), bytes.SplitAfter(want, []byte("\n"))
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || !bytes.Equal(g[i], w[i]) {
			return fmt.Sprintf("%d lines, want %d; line %d:\n got %.200q\nwant %.200q", len(g), len(w), i, at(g, i), at(w, i))
		}
	}
	return ""
}

func at(b [][]byte, i int) []byte {
	if i < len(b) {
		return b[i]
	}
	return nil
}

// TestBytesOfAudispSyslog: the datagrams are those of the stock plugin, but for
// the time in them, as long as records fit into a message; of a line with NULs, which it
// cuts there, more arrives.
func TestBytesOfAudispSyslog(t *testing.T) {
	input := captures.Read(t, "audit-3.0.9-enriched.string.gz")
	input = append(input, sinktest.LongLine(7900)...)
	input = append(input, "\ntype=X msg=audit(1.000:1): a\x1db\x1dc\r\n \nx\xff\x7f\n"...)

	theirs := newRecorder(t)
	cmd := stock(t, theirs.path)
	cmd.Stdin = bytes.NewReader(input)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	ours := newRecorder(t)
	r := run(t, localConfig(ours.path))
	r.put(input)
	r.end()

	want, got := theirs.messages(), ours.messages()
	if len(want) > 0 { // "syslog plugin initialized with facility 8 and priority 6"
		want = want[1:]
	}
	if d := firstDifference(bytes.Join(got, nil), bytes.Join(want, nil)); d != "" || len(got) != len(want) || len(got) < 967 {
		t.Errorf("%d messages, audisp-syslog sends %d: %s", len(got), len(want), d)
	}
}

// recorder keeps the datagrams that come to a socket.
type recorder struct {
	t    testing.TB
	path string
	done chan struct{}
	conn net.PacketConn
	msgs [][]byte // owned by the reading goroutine until done is closed
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	r := &recorder{t: t, path: filepath.Join(t.TempDir(), "log"), done: make(chan struct{})}
	c, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "unixgram", r.path)
	if err != nil {
		t.Fatal(err)
	}
	r.conn = c
	go r.record()
	t.Cleanup(func() {
		c.Close()
		<-r.done
	})
	return r
}

func (r *recorder) record() {
	defer close(r.done)
	for buf := make([]byte, 64<<10); ; {
		n, _, err := r.conn.ReadFrom(buf)
		if err != nil || string(buf[:n]) == sentinel {
			return
		}
		msg := bytes.Clone(buf[:n])
		if len(msg) > 19 { // "<14>Nov  2 03:04:05": the time differs
			copy(msg[4:19], "___ __ __:__:__")
		}
		r.msgs = append(r.msgs, msg)
	}
}

// messages returns what has come, once that is all.
func (r *recorder) messages() [][]byte {
	r.t.Helper()
	c, err := net.Dial("unixgram", r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(sentinel)); err != nil {
		r.t.Fatal(err)
	}
	<-r.done
	return r.msgs
}
