package test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/test/pki"
)

// sickness is a broken situation as an operator meets it.
type sickness struct {
	name   string
	sink   string // its configuration; DIR and ADDR stand for the test's own
	make   func(t *testing.T, dir string) (addr string)
	mounts string // shell commands in a mount namespace of the relay's own
	bulk   bool   // shows only when much is to be delivered
	flaw   bool   // records are delivered nevertheless
	says   []string
	orSays []string // one of these, too
}

var sicknesses = []sickness{
	{name: "server down", sink: "type = 'syslog'\ntransport = 'tcp'\naddress = '127.0.0.1:1'", says: []string{"127.0.0.1:1", "refused"}},
	{name: "wrong port", sink: "type = 'syslog'\ntransport = 'tls'\naddress = 'ADDR'", make: speaking("SSH-2.0-OpenSSH_9.2\r\n"), says: []string{"ADDR", "TLS"}, orSays: []string{"port", "address"}},
	{name: "wrong TLS name", sink: "type = 'syslog'\ntransport = 'tls'\naddress = 'ADDR'\nca_file = 'DIR/cert.pem'", make: certified("other.example", time.Hour),
		says: []string{"not for"}, orSays: []string{"server_name"}},
	{name: "expired certificate", sink: "type = 'syslog'\ntransport = 'tls'\naddress = 'ADDR'\nca_file = 'DIR/cert.pem'\nserver_name = 'here.example'", make: certified("here.example", -time.Hour),
		says: []string{"here.example", "valid"}, orSays: []string{"renew", "clock"}},
	{name: "RELP refused", sink: "type = 'syslog'\ntransport = 'relp'\naddress = 'ADDR'", make: speaking("1 rsp 15 500 not allowed\n"), says: []string{"ADDR", "RELP", "500"}},
	{name: "name not resolved", sink: "type = 'syslog'\ntransport = 'udp'\naddress = 'no-such-host.invalid:514'", says: []string{"no-such-host.invalid", "lookup"}},
	{name: "/dev/log missing", sink: "type = 'syslog'\naddress = 'DIR/dev-log'", says: []string{"DIR/dev-log", "no such file"}},
	{name: "directory missing", sink: "type = 'file'\npath = 'DIR/none/events.log'", says: []string{"DIR/none/events.log", "missing", "mkdir"}},
	{name: "disk full", sink: "type = 'file'\npath = 'DIR/disk/events.log'", mounts: "mkdir DIR/disk && mount -t tmpfs -o size=4k,mode=0755 tmpfs DIR/disk", bulk: true,
		says: []string{"DIR/disk/events.log", "space"}, orSays: []string{"free space"}},
	{name: "read-only file system", sink: "type = 'file'\npath = 'DIR/disk/events.log'", mounts: "mkdir DIR/disk && mount -t tmpfs -o ro,mode=0755 tmpfs DIR/disk",
		says: []string{"DIR/disk/events.log", "read-only"}, orSays: []string{"remount"}},
	{name: "group unknown, file", sink: "type = 'file'\npath = 'DIR/events.log'\ngroup = 'no-such-group'", flaw: true, says: []string{"DIR/events.log", "no-such-group"}, orSays: []string{"correct", "make"}},
	{name: "group unknown, socket", sink: "type = 'unix'\npath = 'DIR/sock'\ngroup = 'no-such-group'", says: []string{"no-such-group"}},
	{name: "file in another relay's hands", sink: "type = 'file'\npath = 'DIR/events.log'", make: lockFile, says: []string{"DIR/events.log", "locked by pid"}, orSays: []string{"end that"}},
	{name: "socket in another relay's hands", sink: "type = 'unix'\npath = 'DIR/sock'\ngroup = 'root'", make: listenAt, says: []string{"DIR/sock", "listens"}},
	{name: "program that dies at once", sink: "type = 'program'\npath = '/bin/false'", says: []string{"/bin/false", "exit status 1"}},
	{name: "program that another user can write", sink: "type = 'program'\npath = 'DIR/cat'", make: openProgram, says: []string{"DIR/cat"}, orSays: []string{"write", "writable"}},
}

// TestReceiverThatTakesNothing takes as long as a connection may take nothing, half a minute. It
// stands in the first file of those whose tests take time, so that it is among the first to begin.
func TestReceiverThatTakesNothing(t *testing.T) {
	t.Parallel()
	sickness{name: "receiver that takes nothing", sink: "type = 'syslog'\ntransport = 'tcp'\naddress = 'ADDR'", make: speaking(""), bulk: true,
		says: []string{"ADDR"}, orSays: []string{"not read", "takes nothing", "takes no", "acknowledged"}}.shows(t)
}

// TestBrokenSituations: each shows in one line of the log and in the status, with what failed, on
// what and why, and the sink beside it delivers everything.
func TestBrokenSituations(t *testing.T) {
	t.Parallel()
	for _, s := range sicknesses {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // most of the time is waited for
			s.shows(t)
		})
	}
}

func (s sickness) shows(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, as the relay has")
	}
	dir, addr := tempDir(t), ""
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if s.make != nil {
		addr = s.make(t, dir)
	}
	fill := strings.NewReplacer("DIR", dir, "ADDR", addr)
	r := start(t, dir, fileSink+"[recovery]\nenabled = false\n[spool]\nmax_size = \"0\"\n[sinks.sick]\n"+fill.Replace(s.sink)+"\n", func(cmd *exec.Cmd, _ [2]int) {
		if s.mounts != "" {
			mounted(t, cmd, fill.Replace(s.mounts))
		}
	})

	events := 0
	feed := func(n int) {
		r.write(lines(1+events, n))
		events += n
	}
	feed(20)
	var shown string
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		c := r.consumer("sick")
		if shown = c.Sink.Error; s.flaw {
			shown = c.Sink.Flaw
		}
		if has(shown, s, fill) {
			if c.Sink.Degraded == s.flaw {
				t.Errorf("degraded: %v", c.Sink.Degraded)
			}
			break
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("status says %q", shown)
		}
		if n := 20; s.bulk && events < 100_000 {
			feed(50 * n)
		}
	}

	feed(20)
	until(t, "the other sink to deliver", func() bool {
		c := r.consumer("file")
		return c.Delivered == uint64(events*recordsPerEvent) && !c.Sink.Degraded
	})
	if strings.ContainsAny(shown, "\n") {
		t.Errorf("more than one line: %q", shown)
	}
	checkSickLog(t, r, s, fill)
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, events))
}

// mounted makes cmd run where these shell commands have mounted something, for itself alone.
func mounted(t *testing.T, cmd *exec.Cmd, commands string) {
	t.Helper()
	path, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip(err)
	}
	cmd.Path, cmd.Args = path, append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", commands + ` && exec "$@"`, "sh", binary}, cmd.Args[1:]...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
}

// has reports whether a message says what it has to.
func has(text string, s sickness, fill *strings.Replacer) bool {
	for _, want := range s.says {
		if !strings.Contains(text, fill.Replace(want)) {
			return false
		}
	}
	one := len(s.orSays) == 0
	for _, want := range s.orSays {
		one = one || strings.Contains(text, want)
	}
	return one
}

// checkSickLog wants one warning about the sink, and none about anything else.
func checkSickLog(t *testing.T, r *relay, s sickness, fill *strings.Replacer) {
	t.Helper()
	about := 0
	var log []byte
	until(t, "a warning in the log", func() bool { // which comes a moment after the status
		log, _ = os.ReadFile(filepath.Join(r.dir, "log"))
		warned := regexp.MustCompile(`(?m)^.*"level":"(warn|error)".*"sink":"sick".*\n`)
		return bytes.HasSuffix(log, []byte("\n")) && warned.Match(log)
	})
	for line := range bytes.Lines(log) {
		var l struct{ Level, Msg, Sink, Error string }
		if err := json.Unmarshal(line, &l); err != nil {
			t.Errorf("no JSON: %s", line)
		}
		if l.Sink == "file" && l.Level != "debug" {
			t.Errorf("of the other sink: %s", line)
		}
		if l.Sink != "sick" || (l.Level != "warn" && l.Level != "error") {
			continue
		}
		if l.Msg == "records lost" || strings.HasPrefix(l.Msg, "connection to the syslog server broke") {
			continue // what it costs
		}
		about++
		if text := l.Msg + " " + string(line); !has(text, s, fill) {
			t.Errorf("the log says %s", line)
		}
	}
	if about != 1 {
		t.Errorf("%d lines of warning about the sink, want one", about)
	}
}

// speaking is a server that says something to whoever comes, and reads nothing.
func speaking(words string) func(*testing.T, string) string {
	return func(t *testing.T, _ string) string { return serve(t, nil, words) }
}

func serve(t *testing.T, config *tls.Config, words string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				if config != nil {
					conn = tls.Server(conn, config)
				}
				io.WriteString(conn, words)
			}()
		}
	}()
	return ln.Addr().String()
}

// certified is a TLS server with a certificate for that name, which ends at that time from now.
func certified(name string, ends time.Duration) func(*testing.T, string) string {
	return func(t *testing.T, dir string) string {
		ca := pki.New(t)
		text, err := os.ReadFile(ca.File)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "cert.pem"), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return serve(t, &tls.Config{Certificates: []tls.Certificate{ca.IssueFor(ends, name)}}, "x")
	}
}

// lockFile locks the file as another relay does.
func lockFile(t *testing.T, dir string) string {
	f, err := os.OpenFile(filepath.Join(dir, "events.log"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	return ""
}

func listenAt(t *testing.T, dir string) string {
	ln, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ""
}

func openProgram(t *testing.T, dir string) string {
	path := filepath.Join(dir, "cat")
	text, err := os.ReadFile("/bin/cat")
	if err == nil {
		err = os.WriteFile(path, text, 0o755)
	}
	if err == nil {
		err = os.Chmod(path, 0o777)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("copy cat: %w", err))
	}
	return ""
}
