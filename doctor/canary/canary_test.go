package canary

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"audisp-relay/config"
	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/sinks"
	_ "audisp-relay/sinks/all"
	"audisp-relay/sinks/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sinksConfig = `
[sinks.sock]
type = "unix"
path = "DIR/s"
[sinks.held]
type = "unix"
path = "DIR/h"
when_idle = "queue"
[sinks.file]
type = "file"
path = "DIR/f"
[sinks.prog]
type = "program"
path = "/bin/true"
[sinks.none]
type = "program"
path = "/bin/true"
filter = "type == \"LOGIN\""
`

// fake plays auditd and the relay: a log, a socket with its clients, a file, and reports.
type fake struct {
	t   *testing.T
	dir string
	cfg *config.Config

	mu      sync.Mutex // guards what follows
	report  plugin.Report
	clients []net.Conn
	refuse  bool // turns clients away
	deaf    bool // nothing comes to the relay

	filtered map[string]bool // sinks whose filter leaves the canary out
	later    int             // clients get the canary with this question for the report only, counted from it; 0: at once
	held     []byte          // what they get then
}

func newFake(t *testing.T) *fake {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "canary") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("t.toml", []byte(strings.ReplaceAll(sinksConfig, "DIR", dir)))
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, dir: dir, cfg: cfg, filtered: map[string]bool{"none": true}}
	for i := range cfg.Sinks {
		f.report.Consumers = append(f.report.Consumers, consumer.Report{Name: cfg.Sinks[i].Name, Type: cfg.Sinks[i].Type})
	}
	for _, name := range []string{"log", "f"} {
		f.append(name, "type=USER msg=audit(1.000:1): earlier\n")
	}

	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { f.accept(l) })
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
		for _, c := range f.clients {
			c.Close()
		}
		os.RemoveAll(dir)
	})
	return f
}

func (f *fake) append(name, text string) {
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = file.WriteString(text)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		f.t.Error(err)
	}
}

// accept serves the socket as the relay does: a client shows in the report.
func (f *fake) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		if f.refuse {
			conn.Close()
		} else {
			f.clients = append(f.clients, conn)
			f.consumer("sock").Sink = sinks.Status{Details: &unix.Details{Clients: []unix.Client{{Pid: os.Getpid()}}}}
		}
		f.mu.Unlock()
	}
}

// consumer is under the lock of the caller.
func (f *fake) consumer(name string) *consumer.Report {
	for i := range f.report.Consumers {
		if f.report.Consumers[i].Name == name {
			return &f.report.Consumers[i]
		}
	}
	f.t.Fatalf("no consumer %s", name)
	return nil
}

func (f *fake) ask(string) (*plugin.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil {
		if f.later--; f.later <= 0 {
			f.give(f.held)
			f.held = nil
		}
	}
	r := f.report
	r.Consumers = append([]consumer.Report(nil), f.report.Consumers...)
	return &r, nil
}

// send is what kernel, auditd and relay make of the message.
func (f *fake) send(text string) error {
	now := time.Now()
	line := fmt.Sprintf("type=USER msg=audit(%d.%03d:77): pid=1 uid=0 auid=0 ses=1 msg='%s'\n", now.Unix(), now.Nanosecond()/1e6, text)
	f.append("log", line)
	if f.deaf {
		return nil
	}
	f.append("f", line)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.filtered["sock"]:
	case f.later > 0:
		f.held = []byte(line)
	default:
		f.give([]byte(line))
	}

	f.report.Input.Records++
	f.report.Input.Newest = time.UnixMilli(now.UnixMilli())
	for i := range f.report.Consumers {
		c := &f.report.Consumers[i]
		c.Received++
		if f.filtered[c.Name] {
			c.Filtered++
		} else {
			c.Delivered++
		}
	}
	return nil
}

// give writes to all clients, under the lock of the caller.
func (f *fake) give(line []byte) {
	for _, c := range f.clients {
		if _, err := c.Write(line); err != nil {
			f.t.Error(err)
		}
	}
}

func (f *fake) run(t *testing.T, timeout time.Duration) (*Result, map[string]Arrival) {
	t.Helper()
	r, err := Run(context.Background(), Options{Config: f.cfg, RunDir: f.dir, Log: filepath.Join(f.dir, "log"), Timeout: timeout, Send: f.send, Ask: f.ask})
	if err != nil {
		t.Fatal(err)
	}
	places := make(map[string]Arrival)
	for _, a := range r.Arrivals {
		places[a.Place] = a
	}
	return r, places
}

// TestRun: a canary is read where it can be, and judged by counters and filters elsewhere, and each
// says how.
func TestRun(t *testing.T) {
	f := newFake(t)
	r, places := f.run(t, time.Minute)
	if !r.OK || !strings.Contains(r.Record, r.ID) || len(r.Arrivals) != 7 {
		t.Errorf("%+v", r)
	}
	for place, want := range map[string]Arrival{
		"audit.log":  {Fate: Arrived, By: "read"},
		"relay":      {Fate: Arrived, By: "counters"},
		"sinks.sock": {Fate: Arrived, By: "read"},
		"sinks.file": {Fate: Arrived, By: "read"},
		"sinks.held": {Fate: Arrived, By: "counters"},
		"sinks.prog": {Fate: Arrived, By: "counters"},
		"sinks.none": {Fate: Filtered},
	} {
		if got := places[place]; got.Fate != want.Fate || got.By != want.By || (got.By != "") != (got.MS > 0) {
			t.Errorf("%s: %+v, want %+v", place, got, want)
		}
	}

	if got := places["sinks.held"].Text; !strings.Contains(got, "counters of the relay") || !strings.Contains(got, "take records that wait") {
		t.Errorf("held: %q", got)
	}
	var text, asJSON bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteJSON(&asJSON)); err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(asJSON.Bytes(), &back); err != nil || len(back.Arrivals) != 7 || strings.Count(text.String(), "\n") != 8 {
		t.Errorf("%v %s %s", err, text.Bytes(), asJSON.Bytes())
	}
}

// TestNothingComes: where the relay gets nothing, everything is late and says so.
func TestNothingComes(t *testing.T) {
	f := newFake(t)
	f.deaf = true
	r, places := f.run(t, 2*time.Second) // a busy machine reads the log late, too
	if r.OK {
		t.Error("all is well")
	}
	for place, a := range places {
		if want := place != "audit.log"; (a.Fate == Late) != want || (a.Fate == Late && a.Text == "") {
			t.Errorf("%s: %+v", place, a)
		}
	}
}

// TestRefusedClient: a socket that turns this process away is judged by the counters.
func TestRefusedClient(t *testing.T) {
	f := newFake(t)
	f.refuse = true
	_, places := f.run(t, time.Minute)
	if a := places["sinks.sock"]; a.Fate != Arrived || a.By != "counters" || !strings.Contains(a.Text, "does not admit") {
		t.Errorf("%+v", a)
	}
}

// TestQueuedIsLate: a sink that has the canary queued has not acknowledged it.
func TestQueuedIsLate(t *testing.T) {
	f := newFake(t)
	f.consumer("prog").Queued, f.consumer("prog").Oldest = 3, time.Unix(1, 0)
	f.consumer("prog").Sink.Degraded, f.consumer("prog").Sink.Error = true, "hangs"
	r, places := f.run(t, 600*time.Millisecond)
	if a := places["sinks.prog"]; r.OK || a.Fate != Late || !strings.Contains(a.Text, "hangs") {
		t.Errorf("%+v", a)
	}
}

// TestRelayFallsSilent: a relay that answers no more is asked once for all sinks, and is not said to lack them.
func TestRelayFallsSilent(t *testing.T) {
	asked := 0
	c := &flight{seen: &relay{}, result: &Result{}}
	c.Ask = func(string) (*plugin.Report, error) {
		asked++
		return nil, errors.New("no answer")
	}
	for _, name := range []string{"a", "b"} {
		c.places = append(c.places, &place{sink: &config.Sink{Name: name}, arrival: Arrival{Place: "sinks." + name, Fate: Late}})
	}

	r := c.finish()
	if asked != 1 || len(r.Arrivals) != 3 {
		t.Fatalf("asked %d times: %+v", asked, r.Arrivals)
	}
	for _, a := range r.Arrivals[1:] {
		if a.Fate != Late || !strings.Contains(a.Text, "does not answer") {
			t.Errorf("%+v", a)
		}
	}
}

// TestYoungerQueue: what is queued after the canary does not matter.
func TestYoungerQueue(t *testing.T) {
	f := newFake(t)
	f.consumer("prog").Queued, f.consumer("prog").Oldest = 3, time.Now().Add(time.Hour)
	if _, places := f.run(t, time.Minute); places["sinks.prog"].Fate != Arrived {
		t.Errorf("%+v", places["sinks.prog"])
	}
}

// TestCannotBeMade: without a relay, or where the kernel refuses it, there is no result.
func TestCannotBeMade(t *testing.T) {
	f := newFake(t)
	gone := func(string) (*plugin.Report, error) { return nil, plugin.ErrNotRunning }
	if _, err := Run(context.Background(), Options{Config: f.cfg, Send: f.send, Ask: gone}); !errors.Is(err, plugin.ErrNotRunning) {
		t.Error(err)
	}
	refused := errors.New("operation not permitted")
	_, err := Run(context.Background(), Options{Config: f.cfg, Send: func(string) error { return refused }, Ask: f.ask})
	if !errors.Is(err, refused) {
		t.Error(err)
	}
}

// TestFollower: rotation, truncation, a file that comes late, and the id in two reads.
func TestFollower(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	write := func(flag int, text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flag, 0o600)
		if err == nil {
			_, err = f.WriteString(text)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	look := func(w *follower, want bool) {
		t.Helper()
		found := false
		for range 3 { // a rotation takes two looks
			again, err := w.look()
			if err != nil {
				t.Fatal(err)
			}
			found = found || again
		}
		if found != want {
			t.Errorf("found %v, want %v", found, want)
		}
	}
	w, err := follow(path, "the-id")
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	look(w, false)
	write(os.O_APPEND, "one the-")
	look(w, false)
	write(os.O_APPEND, "id two\n")
	look(w, true)
	if w.line != "one the-id two" {
		t.Errorf("line %q", w.line)
	}

	w.rest = nil
	write(os.O_APPEND, strings.Repeat("x", 100))
	look(w, false)
	write(os.O_TRUNC, "the-id\n")
	look(w, true)
	w.rest = nil
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	look(w, false)
	write(os.O_APPEND, "the-id\n")
	look(w, true)
	if _, err := follow(dir, "x"); err == nil {
		t.Error("a directory is followed")
	}
}

// FuzzRecord: whatever stands in the log beside the id, it is read without harm.
func FuzzRecord(f *testing.F) {
	f.Add("type=USER msg=audit(1.000:1): pid=1 msg='the-id'", 3)
	f.Add("\x00\x1b[2Jthe-id", 1)
	f.Add("", 0)
	f.Fuzz(func(t *testing.T, line string, cut int) {
		m := matcher{id: []byte("the-id")}
		cut = max(min(cut, len(line)), 0)
		found := m.add([]byte(line[:cut])) || m.add([]byte(line[cut:]))
		if len(line) < maxLine && found != strings.Contains(line, "the-id") {
			t.Errorf("found %v", found)
		}
		millisOf(m.line)
		millisOf(line)
	})
}
