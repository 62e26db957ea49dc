package test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"audisp-relay/plugin"
	"audisp-relay/plugin/sandbox"
)

// rootsOwn makes a directory that only root may pass, as that of audit.log is.
func rootsOwn(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "root")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWorkerKeepsItsSocket: a socket that the monitor listens on gets its mode back at a reload, and is made again when it was removed.
func TestWorkerKeepsItsSocket(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	path := filepath.Join(rootsOwn(t, dir), "sock")
	r := startSplit(t, dir, "[sinks.s]\ntype = \"unix\"\npath = \"DIR/root/sock\"\ngroup = \"root\"\nmode = \"0640\"\nwhen_idle = \"queue\"\n")
	until(t, "the socket", func() bool { _, err := os.Stat(path); return err == nil })
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGHUP)
	until(t, "its mode is that of the sink", func() bool { info, err := os.Stat(path); return err == nil && info.Mode().Perm() == 0o640 })
	if c := r.consumer("s"); c.Sink.Degraded || c.Sink.Failures > 0 {
		t.Errorf("%+v", c.Sink)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	until(t, "the socket is made again", func() bool { _, err := os.Stat(path); return err == nil })
	r.write(lines(1, 10))
	readsFrom(t, path)
	until(t, "the sink is well", func() bool { return !r.consumer("s").Sink.Degraded })
	r.end()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestWorkerRecovers what the stream lacks from a log that only root may read, in a directory that only root may pass: before and
// after a rotation, and after the worker was killed.
func TestWorkerRecovers(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	log := filepath.Join(rootsOwn(t, dir), "audit.log")
	logged := func(first, events int) {
		t.Helper()
		f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, line := range strings.SplitAfter(string(lines(first, events)), "\n") {
			if strings.HasPrefix(line, "type=EOE") { // auditd does not log these
				continue
			}
			if _, err := f.WriteString(line); err != nil {
				t.Fatal(err)
			}
		}
	}
	// has reports whether the sink has got so many events.
	has := func(events int) bool {
		got, err := os.ReadFile(filepath.Join(dir, "out"))
		for n := 1; err == nil && n <= events; n++ {
			first, _, _ := strings.Cut(string(lines(n, 1)), "\n")
			if !strings.Contains(string(got), first+"\n") {
				return false
			}
		}
		return err == nil
	}
	logged(1, 10)
	r := startSplit(t, dir, "[recovery]\nlog_file = \"DIR/root/audit.log\"\n"+fileOnly)
	sent := 0
	// hole has the log get events of which the stream lacks some.
	hole := func(rotate bool) {
		t.Helper()
		logged(sent+1, 15)
		if rotate {
			if err := os.Rename(log, log+".1"); err != nil {
				t.Fatal(err)
			}
		}
		logged(sent+16, 15)
		r.write(lines(sent+1, 10))
		r.write(lines(sent+21, 10))
		sent += 30
		until(t, "all is there", func() bool { return has(sent) })
	}
	sent = 10
	r.write(lines(1, 10))
	hole(false)
	hole(true)
	hole(false)
	killWorker(t, r.report().Pid, syscall.SIGKILL)
	hole(false)
	if rep := r.report(); rep.Recovery.LogError != "" {
		t.Errorf("%+v", rep.Recovery)
	}
	r.end()
	if said, _ := os.ReadFile(filepath.Join(dir, "log")); strings.Contains(string(said), "permission denied") {
		t.Errorf("%s", said)
	}
}

// TestWorkerHasItsDirectory: state_dir may be below a directory that is not there yet, or a link of root's to another place. landlock lets
// the first worker write there, too.
func TestWorkerHasItsDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	for _, kind := range []string{"missing", "link"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, other := tempDir(t), tempDir(t)
			state := filepath.Join(other, "a", "b", "state")
			named := state
			if kind == "link" {
				named, state = filepath.Join(dir, "link"), filepath.Join(other, "data")
				if err := errors.Join(os.Mkdir(state, 0o700), os.Symlink(state, named)); err != nil {
					t.Fatal(err)
				}
			}
			program := build(t, dir, "../cmd/audisp-relay", asNobody)
			r := start(t, dir, fileSink, func(cmd *exec.Cmd, _ [2]int) {
				cmd.Path, cmd.Args[0] = program, program
				file := filepath.Join(dir, "relay.toml")
				text, err := os.ReadFile(file)
				if err == nil {
					err = os.WriteFile(file, []byte(strings.Replace(string(text), filepath.Join(dir, "state"), named, 1)), 0o640)
				}
				if err != nil {
					t.Fatal(err)
				}
			})
			if p := part(t, r.report(), sandbox.Worker); !p.On {
				t.Errorf("%+v", p)
			}
			r.write(lines(1, 10))
			until(t, "it works", func() bool { return r.consumer("file").Delivered == 10*recordsPerEvent })
			r.end()
			if _, err := os.Stat(filepath.Join(state, "state.json")); err != nil {
				t.Errorf("no positions: %v", err)
			}
		})
	}
}

// TestNoWorkerBegins: where the worker's user may not have what a program needs the relay is not lost. One process does everything, has
// state_dir, back from the worker's user, and the log and status say why and what to do.
func TestNoWorkerBegins(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	prlimit, err := exec.LookPath("prlimit")
	if err != nil {
		t.Skip(err)
	}
	dir := tempDir(t)
	kept := filepath.Join(dir, "state", "kept")
	for _, err := range []error{
		os.Mkdir(filepath.Dir(kept), 0o700), os.WriteFile(kept, nil, 0o600), os.Chown(filepath.Dir(kept), 65534, 65534), os.Chown(kept, 65534, 65534),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	program := build(t, dir, "../cmd/audisp-relay", asNobody)
	r := start(t, dir, fileSink, func(cmd *exec.Cmd, _ [2]int) { // root's processes are not limited
		cmd.Path, cmd.Args = prlimit, append([]string{prlimit, "--nproc=1", program}, cmd.Args[1:]...)
	})
	rep := r.report()
	if p := part(t, rep, sandbox.Worker); p.On || !p.Failed || !strings.HasPrefix(p.Why, "no worker starts: ") || workerOf(t, rep.Pid) != 0 {
		t.Errorf("%+v", p)
	}
	if on := partsOn(rep); !slices.Equal(on, strings.Fields(allParts)) {
		t.Errorf("%+v", rep.Sandbox)
	}
	if info, err := os.Stat(kept); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("what is in state_dir is not root's: %+v, %v", info, err)
	}
	r.write(lines(1, 10))
	until(t, "it works", func() bool { return r.consumer("file").Delivered == 10*recordsPerEvent })
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, 10))
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	for said, times := range map[string]int{"worker does not start": 3, "no worker starts, so the relay runs in one process": 1} {
		if n := strings.Count(string(log), said); n != times {
			t.Errorf("%q is logged %d times, want %d:\n%s", said, n, times, log)
		}
	}
}

// TestRenewedRelayStaysTwoProcesses: whoever has taken a worker over can have the program executed again, and perhaps keep workers from
// beginning. No root parses records for that; as soon as one can begin it goes on where the last one was.
func TestRenewedRelayStaysTwoProcesses(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := startSplit(t, dir, fileSink)
	pid := r.report().Pid
	r.write(lines(1, 100))
	until(t, "a worker delivers", func() bool { return r.consumer("file").Delivered == 100*recordsPerEvent })
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NPROC, nil, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: 1, Max: was.Max}, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the program is executed again", func() error { return plugin.AskRenew(filepath.Join(dir, "run")) })
	said := func(text string) int {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return strings.Count(string(log), text)
	}
	until(t, "more first workers have died than may", func() bool { return said("worker has ended: it is started again") > 3 })
	if err := unix.Prlimit(pid, unix.RLIMIT_NPROC, &was, nil); err != nil {
		t.Fatal(err)
	}
	r.write(lines(101, 100))
	until(t, "all is delivered", func() bool {
		info, err := os.Stat(filepath.Join(dir, "out"))
		return err == nil && info.Size() >= int64(len(lines(1, 200)))
	})
	if p := part(t, r.report(), sandbox.Worker); !p.On || said("worker does not start") != 0 {
		t.Errorf("%+v", p)
	}
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, 200))
}
