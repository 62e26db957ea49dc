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
			syscall, _, _ := strings.Cut(string(lines(n, 1)), "\n")
			if !strings.Contains(string(got), syscall+"\n") {
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
