package state

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/test/lab"
)

func TestOpenMakesTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a/b/c")
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, made := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want mode 0700", made, info.Mode(), err)
		}
	}
	if got, want := d.SpoolDir("a-b_1"), dir+"/spool/a-b_1"; got != want {
		t.Errorf("spool in %s, want %s", got, want)
	}
}

func TestOpenRefusesUnsafeDirectories(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	open, foreign := filepath.Join(dir, "open"), filepath.Join(dir, "foreign")
	link, fifo := filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	for _, err := range []error{
		os.WriteFile(file, nil, 0o600), os.Mkdir(open, 0o700), os.Chmod(open, 0o770), os.Mkdir(foreign, 0o700),
		os.Mkdir(link, 0o700), os.Symlink(file, link+"/lock"), os.Mkdir(fifo, 0o700), os.Mkdir(fifo+"/lock", 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, dir, want string }{
		{"InAFile", file + "/x", "not a directory"},
		{"AFile", file, "not a directory"},
		{"Writable", open, "has mode 0770, others must not write it: run chmod go-w " + open},
		{"Foreign", foreign, "is owned by uid 1234, must be 0's: run chown 0 " + foreign},
		{"NoPlace", "/proc/state", "/proc/state: no such file"},
		{"LockIsALink", link, "too many levels of symbolic links"},
		{"LockIsADirectory", fifo, "is a directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "Foreign" {
				if os.Geteuid() != 0 {
					t.Skip("only root can give a directory away")
				}
				if err := os.Chown(foreign, 1234, -1); err != nil {
					t.Fatal(err)
				}
			}
			d, err := Open(test.dir)
			if err == nil {
				d.Close()
				t.Fatal("it was opened")
			}
			for _, want := range []string{"state_dir " + test.dir + ": ", test.want, "no spools"} {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
			if errors.Is(err, ErrLocked) {
				t.Errorf("%v is ErrLocked", err)
			}
		})
	}
}

// The second of two holders waits a while for the first to end.
func TestTheSecondHolderWaits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		first, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := Open(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "no spools") {
			t.Errorf("got %v, want ErrLocked", err)
		}
		if took := time.Since(began); took != lockTime {
			t.Errorf("gave up after %v, want %v", took, lockTime)
		}
		go func() {
			time.Sleep(lockTime - lockPause - 1)
			first.Close()
		}()
		second, err := Open(dir)
		if err != nil {
			t.Fatalf("the first had gone: %v", err)
		}
		second.Close()
	})
}

// Who waits for a lock file that is removed does not take it for the new
// one that others lock.
func TestAReplacedLockFileIsNotTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for _, replace := range []bool{false, true} {
		old, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if replace {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := lockFile(old, path); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Errorf("replaced %v: got %v, want EWOULDBLOCK", replace, err)
		}
	}
}

// A child that outlives the relay does not keep its lock.
func TestAChildDoesNotInheritTheLock(t *testing.T) {
	d := open(t)
	child := exec.Command("/bin/cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer in.Close()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := tryLock(filepath.Join(d.path, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// A relay that is killed while it saves leaves a state that was saved, never an
// older one than was there, and no lock.
func TestAKilledWriterLeavesASavedState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	last := uint64(0)
	for round := range 25 {
		cmd := helper("save", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "saved\n" {
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("round %d: the writer says %q, %v", round, line, err)
		}
		if _, err := tryLock(filepath.Join(dir, "lock")); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Errorf("its lock: %v, want EWOULDBLOCK", err)
		}
		time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()

		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Load()
		d.Close()
		if err != nil {
			t.Fatalf("round %d, after %d: %v", round, last, err)
		}
		n := s.Consumers["a"].Number
		for name, c := range s.Consumers {
			if c.Number != n || c.Totals["received"] != n {
				t.Errorf("round %d: %s is at %d, others at %d", round, name, c.Number, n)
			}
		}
		if n <= last {
			t.Errorf("round %d: at %d, was at %d before", round, n, last)
		}
		last = n
	}
	t.Logf("%d states saved", last)
}

// A disk that is full or read-only costs the save, not the state before, and
// continues when there is room again.
func TestAFullOrReadOnlyDiskCostsTheSaveOnly(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"small", "ro"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := helper("disk", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.Output()
	if errors.Is(err, unix.EPERM) {
		lab.Missing(t, "no right to make a mount namespace")
	}
	if err != nil || !strings.HasSuffix(string(out), "done\n") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("\n%s", out)
}
