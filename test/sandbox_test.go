package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"audisp-relay/plugin"
	"audisp-relay/plugin/sandbox"
)

// alone builds the relay for a user that there is not: it runs in one process, which these tests are about.
const alone = "-ldflags=-X audisp-relay/host/broker.User=no-such-user"

// startStatic is start with a program without cgo: that with the race detector cannot give up all.
func startStatic(t *testing.T, dir, config string) *relay {
	t.Helper()
	static := build(t, dir, "../cmd/audisp-relay", alone)
	return start(t, dir, config, func(cmd *exec.Cmd, _ [2]int) { cmd.Path, cmd.Args[0] = static, static })
}

// partsOn lists the parts of the sandbox that are on.
func partsOn(r *plugin.Report) (on []string) {
	for _, p := range r.Sandbox.Parts {
		if p.On {
			on = append(on, p.Name)
		}
	}
	return on
}

// processHas holds what proc(5) says of every thread of a relay against the words.
func processHas(t *testing.T, pid int, words ...string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) < 2 {
		t.Fatalf("threads %q: %v", files, err)
	}
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		for _, word := range words {
			if !regexp.MustCompile("(?m)^" + word + "$").Match(status) {
				t.Errorf("%s lacks %q:\n%s", file, word, status)
			}
		}
	}
}

const allParts = "no_core_dump no_new_privs seccomp no_programs no_new_code capabilities"

// TestSandboxIsOnByDefault: without any key the relay gives up everything, in every thread. A program
// that a reload brings is not started, its sink says why and what to do, and the others go on.
func TestSandboxIsOnByDefault(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	dir := tempDir(t)
	r := startStatic(t, dir, fileSink)
	rep := r.report()
	if on := partsOn(rep); !rep.Sandbox.On || !slices.Equal(on, strings.Fields(allParts)) {
		t.Fatalf("%+v", rep.Sandbox)
	}
	processHas(t, rep.Pid, "NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t000000004000040b", "CapInh:\t0+")

	r.write(lines(1, 100))
	until(t, "these are delivered, so that the next sink has none of them", func() bool { return r.consumer("file").Delivered == 100*recordsPerEvent })
	writeConfig(t, dir, fileSink+"[sinks.prog]\ntype = \"program\"\npath = \"/bin/cat\"\n[sinks.halt]\ntype = \"file\"\npath = \"DIR/halt\"\nformat = \"json\"\noverflow_action = \"halt\"\n")
	r.signal(syscall.SIGHUP)
	until(t, "the reload", func() bool { return r.report().Reloads == 1 })
	until(t, "the program sink is degraded", func() bool { return r.consumer("prog").Sink.Degraded })
	if text := r.consumer("prog").Sink.Error; !strings.Contains(text, "the sandbox of this run does not allow programs") || !strings.Contains(text, "restart auditd") {
		t.Errorf("the sink says %q", text)
	}
	r.write(lines(101, 100))
	until(t, "the others have all", func() bool {
		return r.consumer("file").Delivered == 200*recordsPerEvent && r.consumer("halt").Delivered == 100*recordsPerEvent
	})
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, 200))
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	for _, want := range []string{"sandbox is on", "the sandbox does not let programs start", "sinks.halt runs /sbin/init", "overflow_action of this sink will have no effect"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// TestSandboxLeavesProgramsTheirs: with a program sink only the filter and what is no program's business
// is on, and the child has all capabilities that its parent had got.
func TestSandboxLeavesProgramsTheirs(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	bounding := regexp.MustCompile("(?m)^CapBnd:.*$").FindString(string(own))
	dir := tempDir(t)
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ncat /proc/$$/status >"+dir+"/status\nexec cat >"+dir+"/got\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := startStatic(t, dir, "[sinks.prog]\ntype = \"program\"\npath = \"DIR/script\"\n")
	r.write(lines(1, 10))
	until(t, "the program has read all", func() bool { // what is delivered may be in its pipe still, and it has not begun then
		got, _ := os.ReadFile(filepath.Join(dir, "got"))
		return len(got) >= len(lines(1, 10)) && r.consumer("prog").Delivered == 10*recordsPerEvent
	})
	rep := r.report()
	if on := partsOn(rep); !slices.Equal(on, []string{sandbox.NoCoreDump, sandbox.Seccomp, sandbox.Capabilities}) {
		t.Errorf("%+v", rep.Sandbox)
	}
	processHas(t, rep.Pid, "NoNewPrivs:\t0", "Seccomp:\t2", bounding)
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t0\n", bounding, strings.Replace(bounding, "Bnd", "Eff", 1)} {
		if !bytes.Contains(status, []byte(want)) {
			t.Errorf("the program lacks %q:\n%s", want, status)
		}
	}
	r.end()
	sameFile(t, filepath.Join(dir, "got"), lines(1, 10))
}

// TestSandboxOutlivesAnUpgrade: the new program in the place of the one that runs is confined as that was,
// knows what it cannot find out any more, and says that it may start none, though its configuration has one now.
func TestSandboxOutlivesAnUpgrade(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	dir := tempDir(t)
	r := startStatic(t, dir, fileSink)
	before := r.report()
	r.write(lines(1, 100))
	writeConfig(t, dir, "sandbox = \"off\"\n"+fileSink+"[sinks.prog]\ntype = \"program\"\npath = \"/bin/cat\"\n")
	renewOnce(t, r, filepath.Join(dir, "audisp-relay"), before.Pid)
	until(t, "the program sink is degraded", func() bool { return r.consumer("prog").Sink.Degraded })
	after := r.report()
	if on := partsOn(after); !slices.Equal(on, strings.Fields(allParts)) || len(after.Sandbox.Failed()) > 0 {
		t.Errorf("%+v", after.Sandbox)
	}
	processHas(t, after.Pid, "NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t000000004000040b")
	if before.Input.Buffer != after.Input.Buffer || before.Input.Buffer == 0 {
		t.Errorf("the pipe had %d bytes, now %d", before.Input.Buffer, after.Input.Buffer)
	}
	r.write(lines(101, 100))
	fills(t, filepath.Join(dir, "out"), lines(1, 200))
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, 200))
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	for text, want := range map[string]int{"sandbox is on": 2, "sinks.prog runs /bin/cat": 1, `"key":"sandbox"`: 1, "keeps its size": 0, "start: set": 0} {
		if n := bytes.Count(log, []byte(text)); n != want {
			t.Errorf("%q is %d times in the log, want %d:\n%s", text, n, want, log)
		}
	}
}

// TestSandboxOff: nothing is given up but what widening needs, status says so, and a reload cannot turn it on.
func TestSandboxOff(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := startStatic(t, dir, "sandbox = \"off\"\n"+fileSink)
	rep := r.report()
	if rep.Sandbox.On || len(partsOn(rep)) > 0 || len(rep.Sandbox.Parts) != len(strings.Fields("worker "+allParts)) {
		t.Errorf("%+v", rep.Sandbox)
	}
	processHas(t, rep.Pid, "NoNewPrivs:\t0", "Seccomp:\t0")
	writeConfig(t, dir, fileSink)
	r.signal(syscall.SIGHUP)
	until(t, "the reload", func() bool { return r.report().Reloads == 1 })
	processHas(t, rep.Pid, "Seccomp:\t0")
	r.end()
	if log, _ := os.ReadFile(filepath.Join(dir, "log")); !bytes.Contains(log, []byte(`"key":"sandbox"`)) {
		t.Errorf("the log does not say that it takes a start:\n%s", log)
	}
}
