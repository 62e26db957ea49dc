package test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"audisp-relay/plugin"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/test/lab"
)

// runsFileAt reports whether process pid executes the file that is at path now.
func runsFileAt(pid int, path string) bool {
	running, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(running, there)
}

// TestRenewedRelayLosesNothing: while records come, and while none do, the program is replaced within
// its process; every record is delivered once and in order, without a log to take any from.
func TestRenewedRelayLosesNothing(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	program := build(t, dir, "../cmd/audisp-relay")
	r := start(t, dir, "[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\nmax_size = \"0\"\n", func(cmd *exec.Cmd, _ [2]int) { cmd.Path, cmd.Args[0] = program, program })
	pid := r.report().Pid
	const events = 20_000
	written := make(chan bool)
	go func() {
		defer close(written)
		for serial := 1; serial <= events; serial += 10 {
			r.write(lines(serial, 10))
			time.Sleep(time.Millisecond)
		}
	}()
	for range 3 {
		renewOnce(t, r, program, pid)
	}
	<-written
	renewOnce(t, r, program, pid)

	all := lines(1, events)
	until(t, "everything is delivered", func() bool {
		info, err := os.Stat(filepath.Join(dir, "out"))
		return err == nil && info.Size() >= int64(len(all))
	})
	r.end()
	sameFile(t, filepath.Join(dir, "out"), all)
}

// TestRenewGivesWhatWaitsFirst: what a sink with an order holds is delivered before the new program runs.
func TestRenewGivesWhatWaitsFirst(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	program := build(t, dir, "../cmd/audisp-relay")
	r := start(t, dir, "[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\norder = \"serial\"\n", func(cmd *exec.Cmd, _ [2]int) { cmd.Path, cmd.Args[0] = program, program })
	pid := r.report().Pid
	r.write(slices.Concat(lines(1, 1), lines(4, 1), lines(3, 1)))
	until(t, "the first is delivered", func() bool { return r.consumer("f").Delivered > 0 })
	renewOnce(t, r, program, pid)
	r.write(lines(2, 1))
	want := slices.Concat(lines(1, 1), lines(3, 2), lines(2, 1))
	fills(t, filepath.Join(dir, "out"), want)
	r.end()
	sameFile(t, filepath.Join(dir, "out"), want)
}

// TestRenewFollowsALink: the program is executed that the path leads to now, though another file was executed
// before.
func TestRenewFollowsALink(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	first, second, link := build(t, dir, "../cmd/audisp-relay"), filepath.Join(dir, "second"), filepath.Join(dir, "link")
	if err := errors.Join(os.Link(first, second), os.Symlink(first, link)); err != nil {
		t.Fatal(err)
	}
	replaceFile(t, second)
	r := start(t, dir, "[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n", func(cmd *exec.Cmd, _ [2]int) { cmd.Path, cmd.Args[0] = link, link })
	pid := r.report().Pid
	if err := errors.Join(os.Remove(link), os.Symlink(second, link)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the relay executes the new program", func() error { return plugin.AskRenew(filepath.Join(dir, "run")) })
	until(t, "it does", func() bool { return runsFileAt(pid, second) })
	r.end()
}

// renewOnce replaces the program of the relay.
func renewOnce(t *testing.T, r *relay, program string, pid int) {
	t.Helper()
	replaceFile(t, program)
	eventually(t, "the relay executes the new program", func() error { return plugin.AskRenew(filepath.Join(r.dir, "run")) })
	until(t, "it does", func() bool { return runsFileAt(pid, program) })
	if again := r.report(); again.Pid != pid {
		t.Errorf("pid %d has become %d", pid, again.Pid)
	}
}

// TestLiveUpgradesUnderLoad: ten upgrades of the only plugin under load: no record is missing, none comes
// twice, and auditd takes no part.
func TestLiveUpgradesUnderLoad(t *testing.T) {
	upgrades := figure(3, 10)
	const name = "audisp-relay" // as install names the drop-in
	l := startLiveBehind(t, fileOnly, lab.Options{}, func(p lab.Plugin) lab.Plugin {
		p.Name, p.Format = name, "string"
		return p
	})
	program := filepath.Join(l.dir, "audisp-relay")
	after := l.Drain(l.path("out"))
	l.awaitCertainty()
	pid, buffer := l.PluginPID(name), l.relay().report().Input.Buffer
	run := l.StartLoad(lab.Load{Rate: 4000, Duration: time.Duration(upgrades*3) * time.Second})
	for range upgrades {
		replaceFile(t, program)
		out, err := exec.Command(program, "install", "--upgrade", "--binary", program, "--conf-dir", l.Dir()).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "in the same process") {
			t.Fatalf("%v\n%s", err, out)
		}
		l.awaitCertainty()
	}
	made := run.Wait()
	if got := l.PluginPID(name); got != pid {
		t.Errorf("auditd has started the plugin again: pid %d, then %d", pid, got)
	}
	end := l.Drain(l.path("out"))
	rep := l.compare(after, end, l.path("out"))
	if !rep.SameSet() || rep.Duplicate > 0 {
		t.Errorf("%v", rep)
	}
	if c := l.relay().consumer("file"); c.LostTotal != 0 {
		t.Errorf("%+v", c)
	}
	r := l.relay().report()
	confined := slices.ContainsFunc(r.Sandbox.Parts, func(p sandbox.Part) bool { return p.Name == sandbox.NoPrograms && p.On })
	if !confined || len(r.Sandbox.Failed()) > 0 || r.Input.Buffer != buffer {
		t.Errorf("the last program is in the sandbox %v, with a pipe of %d bytes, was %d", r.Sandbox, r.Input.Buffer, buffer)
	}
	log, _ := os.ReadFile(l.path("log"))
	if n := bytes.Count(log, []byte("executing the new program")); n != upgrades {
		t.Errorf("%d new programs were executed, want %d", n, upgrades)
	}
	t.Logf("%d upgrades at %.0f events/s: %v", upgrades, made.Rate(), rep)
}
