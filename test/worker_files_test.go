package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
