package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	socket "audisp-relay/sinks/unix"
	"audisp-relay/test/lab"
)

// tailing is a tail that runs.
type tailing struct {
	t    *testing.T
	cmd  *exec.Cmd
	file string
}

// startTail runs tail on a sink, its output in a file, and waits until the relay knows the
// client.
func startTail(t *testing.T, r *relay, program, sink, file string, args ...string) *tailing {
	t.Helper()
	clients := func() int { return len(r.consumer(sink).Sink.Details.(*socket.Details).Clients) }
	before := clients()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(program, append([]string{"tail", sink, "--config", filepath.Join(r.dir, "relay.toml")}, args...)...)
	var notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &notes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if notes.Len() > 0 {
			t.Logf("%v: %s", args, notes.Bytes())
		}
	})
	until(t, "tail is connected", func() bool { return clients() > before })
	return &tailing{t, cmd, file}
}

func (x *tailing) read() string {
	x.t.Helper()
	data, err := os.ReadFile(x.file)
	if err != nil {
		x.t.Fatal(err)
	}
	return string(data)
}

func (x *tailing) signal(sig os.Signal) {
	x.t.Helper()
	if err := x.cmd.Process.Signal(sig); err != nil {
		x.t.Fatal(err)
	}
}

var shownSerial = regexp.MustCompile(`#(\d+)\n`)

// serials returns how often each event was shown.
func (x *tailing) serials() map[int]int {
	seen := map[int]int{}
	for _, m := range shownSerial.FindAllStringSubmatch(x.read(), -1) {
		n, _ := strconv.Atoi(m[1])
		seen[n]++
	}
	return seen
}

// TestTailFollowsARelay: the sink by its name; bytes in a pipe unless events are asked for; what the
// log has and the stream repeats, once; and the client's own losses among the events.
func TestTailFollowsARelay(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, `
loss_markers = true
[sinks.siem]
type = "unix"
path = "DIR/siem"
group = "root"
q_depth = 1000
slow_client = "drop"
`, nil)
	log := filepath.Join(dir, "audit.log")
	inLog := func(first, events int) string {
		return strings.Join(regexp.MustCompile(`(?m)^type=(SYSCALL|PROCTITLE).*\n`).FindAllString(string(lines(first, events)), -1), "")
	}
	if err := os.WriteFile(log, []byte(inLog(1, 60)), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the socket is there", func() bool { _, err := os.Stat(filepath.Join(dir, "siem")); return err == nil })
	raw := startTail(t, r, binary, "siem", filepath.Join(dir, "raw"))
	shown := startTail(t, r, binary, "siem", filepath.Join(dir, "shown"), "--events", "--since", "2026-11-21T00:00:00Z", "--log", log)

	sent := lines(50, 51)
	grown, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND, 0) // as auditd does: tail may be reading it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := grown.WriteString(inLog(61, 40)); err != nil {
		t.Fatal(err)
	}
	grown.Close()
	r.write(sent)
	until(t, "both have everything", func() bool { return len(raw.read()) >= len(sent) && shown.serials()[100] > 0 })
	if raw.read() != string(sent) {
		t.Errorf("a pipe does not get the records byte for byte:\n%.300s", raw.read())
	}
	seen := shown.serials()
	for serial := 1; serial <= 100; serial++ {
		if seen[serial] != 1 {
			t.Errorf("event %d is shown %d times", serial, seen[serial])
		}
	}

	shown.signal(syscall.SIGSTOP)
	for next := 1000; r.consumer("siem").LostTotal == 0; next += 500 {
		r.write(lines(next, 500))
		if next > 1_000_000 {
			t.Fatal("nothing is lost")
		}
	}
	shown.signal(syscall.SIGCONT)
	until(t, "the loss is shown", func() bool { return strings.Contains(shown.read(), " --- LOST ") })
	r.end()
	until(t, "the end is shown", func() bool { return strings.Contains(shown.read(), "waiting for it\n") })
}

// TestLiveTailHasNoHole: tail begins under load with what the log has, and continues with the stream:
// every event of the log from the first mark on comes once, with all its records.
func TestLiveTailHasNoHole(t *testing.T) {
	l := startLive(t, liveSinks, lab.Options{}, "string")
	program := filepath.Join(l.dir, "audisp-relay")
	l.Load(lab.Load{Rate: 1000, Duration: time.Second}) // older than what is asked for
	time.Sleep(10 * time.Millisecond)
	since := time.Now()
	time.Sleep(20 * time.Millisecond) // an event's time is that of the kernel's last tick
	after := l.Drain(l.path("out"))
	run := l.StartLoad(lab.Load{Rate: 1000, Duration: seconds(4)})
	time.Sleep(time.Second)
	x := startTail(t, l.relay(), program, "socket", l.path("shown"), "--json", "--since", since.Format(time.RFC3339Nano), "--log", l.Log())
	load := run.Wait()
	last := l.Drain(l.path("out"), x.file)

	want := recordsOf(t, l.Logs(), after, last)
	got, torn := readEvents(t, x.file)
	if missing, broken := want.without(got); torn > 0 || len(missing)+len(broken) > 0 || len(want) < l.logHas(load).Paths {
		t.Errorf("of %d events %d are missing (%.3q), %d in part (%.3q), %d torn lines", len(want), len(missing), missing, len(broken), broken, torn)
	}
	seen := map[string]bool{}
	for _, e := range got {
		if seen[e.ID] || e.Incomplete {
			t.Errorf("twice %v: %+v", seen[e.ID], e)
		}
		seen[e.ID] = true
		if sec, err := strconv.ParseFloat(strings.Split(e.ID, ":")[0], 64); err != nil || sec < float64(since.UnixMilli())/1000-0.001 {
			t.Errorf("%s is older than %v: %v", e.ID, since, err)
		}
	}
}

// TestLiveTailShowsWhatHappened: a program with a hostile argument, a refused file, a connection,
// each as a line that says so, and nothing raw in it.
func TestLiveTailShowsWhatHappened(t *testing.T) {
	l := startLive(t, liveSinks, lab.Options{}, "string")
	for _, call := range []string{"execve", "openat", "connect"} {
		l.Ctl("-a", "always,exit", "-F", "arch=b64", "-S", call, "-F", "ppid="+strconv.Itoa(os.Getpid()), "-k", "shown-"+call)
	}
	x := startTail(t, l.relay(), filepath.Join(l.dir, "audisp-relay"), "socket", l.path("shown"), "--events")
	const hostile = "\x1b[2J\u202ex y"
	exec.Command("/bin/cat", "/nowhere/"+hostile).Run()
	server := filepath.Join(l.dir, "nobody-listens")
	exec.Command(tool(t, "socat"), "-u", "/dev/null", "UNIX-CONNECT:"+server).Run()
	for _, want := range []string{
		" exec  ok  ", `/bin/cat $'/nowhere/\x1b[2J\xe2\x80\xaex y'`, " open  failed ENOENT  ",
		" connect  failed ENOENT  ", "  to unix " + server + "  ", "key=shown-connect",
	} {
		until(t, fmt.Sprintf("%q is shown", want), func() bool { return strings.Contains(x.read(), want) })
	}
	if strings.ContainsAny(x.read(), "\x1b\u202e") {
		t.Error("something raw is shown")
	}
	// What --json says of an event is the format json.
	y := startTail(t, l.relay(), filepath.Join(l.dir, "audisp-relay"), "socket", l.path("json"), "--json", "--filter", `key == "shown-execve"`)
	exec.Command("/bin/true", hostile).Run()
	until(t, "the exec as JSON", func() bool {
		var e struct {
			Args []string `json:"args"`
		}
		for line := range strings.Lines(y.read()) {
			if json.Unmarshal([]byte(line), &e) == nil && len(e.Args) == 2 && e.Args[1] == hostile {
				return true
			}
		}
		return false
	})
}
