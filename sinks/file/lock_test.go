package file

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/test/lab"
)

// TestOnlyWritersHoldTheLock: another process of root's keeps the file for itself, as does a worker; one that may only read it
// does not stop its records, nor does what a process has left that has ended.
func TestOnlyWritersHoldTheLock(t *testing.T) {
	if os.Getuid() != 0 {
		lab.Missing(t, "needs root for another user's process")
	}
	flock, err := exec.LookPath("flock")
	if err != nil {
		lab.Missing(t, "%v", err)
	}
	was := broker.User
	t.Cleanup(func() { broker.User = was })
	for _, tt := range []struct {
		uid    uint32
		setuid bool // it has become root since
		worker bool // that user is the worker's
		left   bool // it has ended, and a process that it has started has its files
		held   bool
	}{
		{uid: 0, held: true}, {uid: 65534}, {uid: 65534, setuid: true}, {uid: 65534, worker: true, held: true},
		{uid: 0, left: true}, {uid: 65534, left: true},
	} {
		broker.User = "no-such-user"
		if tt.worker {
			broker.User = "nobody"
		}
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
		args := []string{"--no-fork", path, sleep, "60"}
		if tt.left {
			args = []string{"--no-fork", path, "sh", "-c", "sleep 60 &"}
		}
		cmd := exec.Command(flock, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tt.uid, Gid: tt.uid}, Setpgid: true}
		must(t, cmd.Start())
		t.Cleanup(func() { unix.Kill(-cmd.Process.Pid, unix.SIGKILL); cmd.Wait() })
		if tt.left {
			must(t, cmd.Wait())
		}
		awaitLock(t, path)

		w.made = time.Time{} // its patience is over
		n, err := w.Write(t.Context(), one([]byte("after\n")))
		if (tt.held && (n != 0 || !errors.Is(err, errHeld))) || (!tt.held && (n != 1 || err != nil)) {
			t.Errorf("locked by %+v: wrote %d, %v", tt, n, err)
		}
	}
}

// awaitLock waits until another process has a lock on the file.
func awaitLock(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	for deadline := time.Now().Add(30 * time.Second); unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil; time.Sleep(5 * time.Millisecond) {
		unix.Flock(int(f.Fd()), unix.LOCK_UN)
		if time.Now().After(deadline) {
			t.Fatal("flock has not taken the lock")
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

// TestHolderIn: who has locked a file, also on a file system whose number is another one in /proc/locks than for stat(2).
func TestHolderIn(t *testing.T) {
	const locks = "1: POSIX  ADVISORY  WRITE 9 00:2a:77 0 EOF\n" +
		"2: FLOCK  ADVISORY  WRITE 10 fd:00:77 0 EOF\n" +
		"2: -> FLOCK  ADVISORY  WRITE 11 00:2a:77 0 EOF\n" +
		"3: FLOCK  ADVISORY  READ 12 00:2a:77 0 EOF\n" +
		"4: FLOCK  ADVISORY  WRITE 13 00:2b:78 0 EOF\n" +
		"5: FLOCK  ADVISORY  WRITE 14 00:2c:78 0 EOF\n" +
		"6: FLOCK  ADVISORY  WRITE -1 00:2a:79 0 EOF\n" +
		"7: FLOCK\n"
	for _, tt := range []struct {
		major, minor uint32
		ino          uint64
		want         int
	}{
		{0xfd, 0, 77, 10},
		{0xfd, 1, 77, 0},   // of another device
		{0, 0x2a, 77, 12},  // as stat(2) has it
		{0, 0x30, 77, 12},  // a subvolume of btrfs
		{0, 0x30, 78, 0},   // one of two
		{0, 0x2b, 78, 13},  // the device says which
		{0, 0x30, 79, 0},   // in another PID namespace
		{0, 0x30, 7, 0},    // the end of another number
		{0xfd, 0, 7777, 0}, // nobody
	} {
		if got := holderIn(strings.NewReader(locks), unix.Mkdev(tt.major, tt.minor), tt.ino); got != tt.want {
			t.Errorf("%+v: pid %d", tt, got)
		}
	}
}
