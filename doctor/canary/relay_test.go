package canary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"audisp-relay/config"
	"audisp-relay/plugin"
)

// realSinks are sinks of each kind of counting; none of them reads back but file and sock.
const realSinks = `
run_dir = "DIR/run"
state_dir = "DIR/state"
priority_boost = 0
oom_score_adj = 0
log.output = "DIR/log.relay"
spool.max_size = "0"
recovery.enabled = false
[sinks.sock]
type = "unix"
path = "DIR/s"
owner = "OWNER"
group = "GROUP"
[sinks.idle]
type = "unix"
path = "DIR/i"
when_idle = "queue"
owner = "OWNER"
group = "GROUP"
[sinks.file]
type = "file"
path = "DIR/f"
format = "json"
owner = "OWNER"
group = "GROUP"
[sinks.child]
type = "program"
path = "/bin/cat"
format = "json"
[sinks.server]
type = "syslog"
transport = "tcp"
address = "ADDRESS"
[sinks.dead]
type = "syslog"
transport = "tcp"
address = "127.0.0.1:1"
[sinks.none]
type = "program"
path = "/bin/cat"
filter = "type == \"LOGIN\""
`

// TestRunWithTheRelay: the counters of a real relay say the truth about sinks that work, one whose
// server is dead and one that waits for a client.
func TestRunWithTheRelay(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	dir, err := os.MkdirTemp("/tmp", "canary")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text := strings.NewReplacer("DIR", dir, "ADDRESS", drainServer(t), "OWNER", fmt.Sprint(os.Getuid()), "GROUP", fmt.Sprint(os.Getgid())).Replace(realSinks)
	file := filepath.Join(dir, "relay.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}

	stdin := startRelay(t, dir, file)
	log := filepath.Join(dir, "log")
	send := func(text string) error { // as auditd: first to its log, then to the plugin
		now := time.Now()
		line := fmt.Sprintf("type=USER msg=audit(%d.%03d:77): pid=1 uid=0 auid=0 ses=1 msg='%s'\n", now.Unix(), now.Nanosecond()/1e6, text)
		f, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		_, err = io.WriteString(f, line)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		_, err = io.WriteString(stdin, line)
		return err
	}
	o := Options{Config: cfg, RunDir: filepath.Join(dir, "run"), Log: log, Timeout: 2 * time.Minute, Send: send}
	all := cfg.Sinks
	works := func(s config.Sink) bool { return s.Name != "dead" && s.Name != "idle" }
	cfg.Sinks = slices.DeleteFunc(slices.Clone(all), func(s config.Sink) bool { return !works(s) })
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkArrivals(t, r, map[string]string{
		"audit.log": "arrived read", "relay": "arrived counters", "sinks.sock": "arrived read", "sinks.file": "arrived read",
		"sinks.child": "arrived counters", "sinks.server": "arrived counters", "sinks.none": "filtered ",
	})
	if !r.OK {
		t.Errorf("%+v", r)
	}

	cfg.Sinks = slices.DeleteFunc(slices.Clone(all), works)
	ctx, timeUp := context.WithCancel(t.Context())
	defer timeUp()
	o.Ask = whenQueued(2, timeUp, "dead", "idle")
	if r, err = Run(ctx, o); err != nil {
		t.Fatal(err)
	}
	checkArrivals(t, r, map[string]string{"audit.log": "arrived read", "relay": "arrived counters", "sinks.dead": "late ", "sinks.idle": "late "})
	if idle := r.Arrivals[slices.IndexFunc(r.Arrivals, func(a Arrival) bool { return a.Place == "sinks.idle" })]; r.OK || !strings.Contains(idle.Text, "no client is connected") {
		t.Errorf("%+v", r)
	}
}

// checkArrivals compares the fate of the canary, and how it is known, at each place.
func checkArrivals(t *testing.T, r *Result, want map[string]string) {
	t.Helper()
	for _, a := range r.Arrivals {
		if got := string(a.Fate) + " " + a.By; got != want[a.Place] {
			t.Errorf("%+v, want %q", a, want[a.Place])
		}
	}
	if len(r.Arrivals) != len(want) {
		t.Errorf("%+v", r)
	}
}

// whenQueued asks the relay, and calls timeUp when these sinks have so many records queued and were
// looked at many times since: had one of them been taken for delivered, it would have been by then.
func whenQueued(count uint64, timeUp func(), names ...string) func(string) (*plugin.Report, error) {
	const looks = 4 * int(settle/askEvery)
	seen := 0
	return func(runDir string) (*plugin.Report, error) {
		r, err := plugin.Query(runDir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if r.Consumer(name).Queued < count {
				return r, nil
			}
		}
		if seen++; seen > looks {
			timeUp()
		}
		return r, nil
	}
}

// drainServer reads what is sent to it, until the test ends.
func drainServer(t *testing.T) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				io.Copy(io.Discard, conn)
				conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// startRelay runs the program until the test ends, and returns auditd's end of its stream. Its sockets can be connected to.
func startRelay(t *testing.T, dir, file string) io.Writer {
	t.Helper()
	program := filepath.Join(dir, "audisp-relay")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/audisp-relay").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-c", file)
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	await(t, "the relay does not answer", func() (err error) {
		_, err = plugin.Query(filepath.Join(dir, "run"))
		return err
	})
	for _, socket := range []string{"s", "i"} { // it may answer before its sinks listen
		await(t, "a sink does not listen", func() error { return listens(filepath.Join(dir, socket)) })
	}
	return stdin
}

// listens returns nil once path is a socket that can be connected to: its flags in proc_net(5) are those of listen(2), which comes
// after bind(2) has made the file. To try it by connecting would leave a client that the sink has not yet missed.
func listens(path string) error {
	const listening = "00010000"
	list, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) == 8 && f[7] == path && f[3] == listening {
			return nil
		}
	}
	return fmt.Errorf("%s: not among the sockets that listen", path)
}

// await repeats f until it returns nil.
func await(t *testing.T, otherwise string, f func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", otherwise, err)
		}
	}
}
