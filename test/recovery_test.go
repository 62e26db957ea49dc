package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// figure is short in every run of the tests, and with AUDISP_LIVE_FULL=1 what
// the promise is about: three minutes, twenty kills.
func figure(short, full int) int {
	if os.Getenv("AUDISP_LIVE_FULL") == "1" {
		return full
	}
	return short
}

func span(short, full time.Duration) time.Duration {
	return time.Duration(figure(int(short), int(full)))
}

// fileOnly is one consumer, which never loses for want of room.
const fileOnly = `
[sinks.file]
type = "file"
path = "DIR/out"
max_size = "0"
qos = "lossless"
`

// refused runs the relay without the capability that widening the pipe needs
// (CAP_SYS_PTRACE), and without those in more.
func refused(t *testing.T, more ...string) func(lab.Plugin) lab.Plugin {
	t.Helper()
	lab.RequireTools(t, "setpriv")
	setpriv := tool(t, "setpriv")
	caps := "-" + strings.Join(append([]string{"sys_ptrace"}, more...), ",-")
	return func(p lab.Plugin) lab.Plugin {
		script := filepath.Join(filepath.Dir(p.Path), "refused")
		text := fmt.Sprintf("#!/bin/sh\nexec %s --bounding-set=%s --inh-caps=%s %s \"$@\"\n", setpriv, caps, caps, p.Path)
		if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		p.Path, p.Becomes = script, p.Path
		return p
	}
}

// shimPlan is what test/shim reads; shimCounts what it reports.
type shimPlan struct {
	Argv             []string
	Report           string
	Seed             uint64
	Drop, Cut, Delay float64
	Late             time.Duration
}

type shimCounts struct {
	Records, Dropped, Cut, Joined, Delayed int
	Error                                  string
}

// shimmed puts test/shim between auditd and the relay.
func shimmed(t *testing.T, plan shimPlan) func(lab.Plugin) lab.Plugin {
	t.Helper()
	return func(p lab.Plugin) lab.Plugin {
		dir := filepath.Dir(p.Path)
		plan.Argv = append([]string{p.Path}, strings.Fields(p.Args)...)
		plan.Report = filepath.Join(dir, "shim.json")
		data, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		p.Args = filepath.Join(dir, "plan.json")
		if err := os.WriteFile(p.Args, data, 0o600); err != nil {
			t.Fatal(err)
		}
		p.Path = build(t, dir, "./shim")
		return p
	}
}

// spoilt is what the shim has done so far.
func (l *live) spoilt() (c shimCounts) {
	l.t.Helper()
	data, err := os.ReadFile(l.path("shim.json"))
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || c.Error != "" {
		l.t.Fatalf("shim: %v %s", err, c.Error)
	}
	return c
}

// awaitRecovery waits until a stream has every record that audit.log has from a mark
// on, and returns how they compare then or, when that never comes, at last. What is
// recovered from the log may come later than the records after it.
func (l *live) awaitRecovery(after string, streams ...string) lab.Report {
	l.t.Helper()
	return l.awaitRecoveryAs(lab.Compare{After: after}, streams...)
}

func (l *live) awaitRecoveryAs(how lab.Compare, streams ...string) (rep lab.Report) {
	l.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(300 * time.Millisecond) {
		how.Until = l.Drain(streams...)
		if rep = l.compareAs(how, streams...); rep.Missing+rep.Altered == 0 || time.Now().After(deadline) {
			return rep
		}
	}
}

// logLine is a line of the relay's own log.
type logLine struct {
	Level string
	Msg   string
	Text  string // all of it
}

// logged returns what the relay has logged at a level, "" for all.
func (l *live) logged(level string) (lines []logLine) {
	l.t.Helper()
	data, err := os.ReadFile(l.path("log"))
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	for text := range bytes.Lines(data) {
		if !bytes.HasSuffix(text, []byte("\n")) {
			break // still being written
		}
		line := logLine{Text: string(text)}
		if err := json.Unmarshal(text, &line); err != nil {
			l.t.Fatalf("log of the relay: %q: %v", text, err)
		}
		if level == "" || line.Level == level {
			lines = append(lines, line)
		}
	}
	return lines
}

// says finds lines of a level that contain every one of the words.
func (l *live) says(level string, words ...string) (found []logLine) {
	l.t.Helper()
next:
	for _, line := range l.logged(level) {
		for _, w := range words {
			if !strings.Contains(line.Text, w) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// auditdSays collects what is sent to /dev/log. Call it before auditd starts.
func auditdSays(t *testing.T) func(text string) int {
	t.Helper()
	lab.RequireTools(t, "socat")
	file := filepath.Join(tempDir(t), "devlog")
	lab.DrainDevLog(t, file)
	return func(text string) int {
		t.Helper()
		n, err := lab.CountString(file, text)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return n
	}
}

const queueFull = "queue to plugins is full"

// markers of a consumer's stream.
func markers(t *testing.T, paths ...string) []lab.Marker {
	t.Helper()
	m, err := lab.Markers(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// replaceFile puts a copy at a file's place, as a package manager does.
func replaceFile(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		syscall.ForkLock.RLock() // as in build
		err = os.WriteFile(path+".new", data, 0o755)
		syscall.ForkLock.RUnlock()
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// missingSerials counts the events that a stream lacks between its first and
// last one, by the kernel's serials.
func missingSerials(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	first, last := uint64(1<<63), uint64(0)
	for line := range strings.Lines(string(data)) {
		_, rest, _ := strings.Cut(line, "msg=audit(")
		var sec, ms, serial uint64
		// auditd's own records are numbered by itself.
		if strings.HasPrefix(line, "type=DAEMON_") {
			continue
		}
		if _, err := fmt.Sscanf(rest, "%d.%d:%d", &sec, &ms, &serial); err != nil {
			t.Fatalf("no id: %q", line)
		}
		seen[serial] = true
		first, last = min(first, serial), max(last, serial)
	}
	return int(last-first+1) - len(seen)
}
