package syslog

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"audisp-relay/config"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
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

func newRsyslogd(t testing.TB, module, input string, ready func() bool) *rsyslogd {
	t.Helper()
	if _, err := exec.LookPath("rsyslogd"); err != nil {
		missing(t, "rsyslogd is not installed: %v", err)
	}
	dir := t.TempDir()
	r := &rsyslogd{t: t, conf: filepath.Join(dir, "rsyslog.conf"), out: filepath.Join(dir, "out"), ready: ready}
	option := ""
	if module == "imuxsock" {
		option = ` sysSock.use="off"` // not the machine's own /dev/log
	}
	conf := fmt.Sprintf(`
global(workDirectory="%s" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")
module(load="%s"%s)
template(name="text" type="list") { property(name="msg") constant(value="\n") }
ruleset(name="all") { action(type="omfile" file="%s" template="text") }
input(type="%s" %s ruleset="all")
`, dir, module, option, r.out, module, input)
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
// puts the space behind an RFC 3164 tag into the text.
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
	for _, transport := range []string{"local", "udp", "tcp"} {
		for _, protocol := range []string{"rfc3164", "rfc5424"} {
			if transport == "local" && protocol == "rfc5424" {
				continue // imuxsock does not know it
			}
			t.Run(transport+" "+protocol, func(t *testing.T) { testRsyslogd(t, transport, protocol) })
		}
	}
}

func testRsyslogd(t *testing.T, transport, protocol string) {
	cfg := config.Sink{Name: "test", Type: "syslog", Syslog: &config.Syslog{Transport: transport, Protocol: protocol,
		Facility: "local3", Severity: "notice", Tag: "audisp-relay"}}
	module, input, ready := "", "", func() bool { return false }
	switch transport {
	case "local":
		cfg.Syslog.Address = filepath.Join(t.TempDir(), "log")
		module = "imuxsock"
		input = fmt.Sprintf(`Socket="%s" CreatePath="off" RateLimit.Interval="0"`, cfg.Syslog.Address)
		ready = func() bool { return exists(cfg.Syslog.Address) }
	case "udp":
		port := lab.FreePort(t, "udp")
		cfg.Syslog.Address = net.JoinHostPort("127.0.0.1", port)
		module = "imudp"
		input = fmt.Sprintf(`address="127.0.0.1" port="%s" rcvbufSize="64m"`, port)
		ready = func() bool {
			bound, err := lab.Bound("udp", cfg.Syslog.Address)
			return err == nil && bound
		}
	case "tcp":
		port := lab.FreePort(t, "tcp")
		cfg.Syslog.Address = net.JoinHostPort("127.0.0.1", port)
		module = "imtcp"
		input = fmt.Sprintf(`address="127.0.0.1" port="%s"`, port)
		ready = func() bool {
			c, err := net.Dial("tcp", cfg.Syslog.Address)
			if err == nil {
				c.Close()
			}
			return err == nil
		}
	}
	space := ""
	if protocol == "rfc3164" {
		space = " "
	}
	records, want := plainLines(t, space)
	const rounds = 4
	daemon := newRsyslogd(t, module, input, ready)
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
// the time in them; of a line with NULs, which it cuts there, more arrives.
func TestBytesOfAudispSyslog(t *testing.T) {
	input := captures.Read(t, "audit-3.0.9-enriched.string.gz")
	input = append(input, sinktest.LongLine(20_000)...)
	input = append(input, sinktest.LongLine(maxText)...)
	input = append(input, sinktest.LongLine(maxText+1)...)
	input = append(input, sinktest.LongLine(maxText+2)...)
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
