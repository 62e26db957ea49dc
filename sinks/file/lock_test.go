package file

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOnlyWritersHoldTheLock: another process of root's keeps the file for itself; one that may only
// read it does not stop its records.
func TestOnlyWritersHoldTheLock(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "needs root for another user's process")
	}
	flock, err := exec.LookPath("flock")
	if err != nil {
		skip(t, err.Error())
	}
	for _, tt := range []struct {
		uid    uint32
		setuid bool // it has become root since
		held   bool
	}{{0, false, true}, {65534, false, false}, {65534, true, false}} {
		w, _, path := testWriter(t, nil)
		for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
			must(t, os.Chmod(dir, 0o755))
		}
		must(t, os.WriteFile(path, []byte("before\n"), 0o644))
		sleep, err := exec.LookPath("sleep")
		must(t, err)
		if tt.setuid {
			sleep = setuidCopy(t, sleep, filepath.Dir(path))
		}
		cmd := exec.Command(flock, "--no-fork", path, sleep, "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tt.uid, Gid: tt.uid}}
		must(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		f, err := os.Open(path)
		must(t, err)
		defer f.Close()
		for deadline := time.Now().Add(30 * time.Second); unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil; time.Sleep(5 * time.Millisecond) {
			unix.Flock(int(f.Fd()), unix.LOCK_UN)
			if time.Now().After(deadline) {
				t.Fatal("flock has not taken the lock")
			}
		}
		w.made = time.Time{} // its patience is over
		n, err := w.Write(t.Context(), one([]byte("after\n")))
		if (tt.held && (n != 0 || !errors.Is(err, errHeld))) || (!tt.held && (n != 1 || err != nil)) {
			t.Errorf("locked by uid %d, setuid %v: wrote %d, %v", tt.uid, tt.setuid, n, err)
		}
	}
}

// setuidCopy makes a copy of a program that runs as root, whoever starts it.
func setuidCopy(t *testing.T, program, dir string) string {
	t.Helper()
	copied := filepath.Join(dir, "bin", filepath.Base(program))
	must(t, os.Mkdir(filepath.Dir(copied), 0o755))
	text, err := os.ReadFile(program)
	must(t, err)
	must(t, os.WriteFile(copied, text, 0o755))
	must(t, os.Chmod(copied, 0o755|os.ModeSetuid))
	return copied
}
