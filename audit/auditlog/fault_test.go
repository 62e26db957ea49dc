package auditlog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

func TestATruncatedLogIsReadFromItsBeginning(t *testing.T) {
	a := startFake(t, t.TempDir(), 3)
	l := New(a.path)
	defer l.Close()
	a.write(logLine(1, 300))
	_, before, err := nextText(t, l)
	if err != nil {
		t.Fatal(err)
	}
	a.must(a.f.Truncate(0))
	a.write(logLine(2, 100))
	_, err = pollErr(t, l)
	if !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), a.path) {
		t.Fatalf("error %v", err)
	}
	text, after, err := nextText(t, l)
	if err != nil || text != logLine(2, 100) || !before.Less(after) {
		t.Errorf("then %q at %v (before %v), %v", text, after, before, err)
	}
	if err := l.Go(before); !errors.Is(err, ErrGone) {
		t.Errorf("go back: %v", err)
	}
	same(t, "continue", poll(t, l), "")
	a.rotate(nil)
	a.write(logLine(3, 100))
	same(t, "rotated", poll(t, l), logLine(3, 100))
}

func TestAReplacedLogIsReportedAndRead(t *testing.T) {
	dir := t.TempDir()
	a := startFake(t, dir, 3)
	l := New(a.path)
	defer l.Close()
	a.write(logLine(1, 100))
	a.rotate(nil)
	time.Sleep(20 * time.Millisecond) // the file's clock ticks every 4 or 10 ms
	a.write(logLine(2, 100))
	same(t, "first", poll(t, l), logLine(1, 100)+logLine(2, 100))
	a.must(os.Rename(a.path, filepath.Join(dir, "backup")))
	a.write(logLine(3, 100)) // auditd still writes there
	same(t, "moved away", poll(t, l), logLine(3, 100))
	a.must(a.f.Close())
	time.Sleep(20 * time.Millisecond)
	a.open()
	a.write(logLine(4, 100))
	_, err := pollErr(t, l)
	if !errors.Is(err, ErrSkipped) {
		t.Fatalf("error %v", err)
	}
	same(t, "replaced", poll(t, l), logLine(4, 100))
}

func TestOnlyTheNewLogOfAReplacedDirectoryIsRead(t *testing.T) {
	dir := t.TempDir()
	a := startFake(t, dir, 3)
	a.write(logLine(1, 100))
	a.rotate(nil)
	time.Sleep(20 * time.Millisecond)
	a.write(logLine(2, 100))
	l := New(a.path)
	defer l.Close()
	same(t, "first", poll(t, l), logLine(1, 100)+logLine(2, 100))
	// The whole directory is another one, with an older file in it.
	a.must(os.Remove(a.rotated(1)))
	a.must(os.Remove(a.path))
	a.must(os.WriteFile(a.rotated(1), []byte(logLine(0, 100)), 0o400))
	a.must(os.Chtimes(a.rotated(1), time.Time{}, time.UnixMilli(1700000000000)))
	a.open()
	a.write(logLine(3, 100))
	_, err := pollErr(t, l)
	if !errors.Is(err, ErrSkipped) {
		t.Fatalf("error %v", err)
	}
	same(t, "the new one only", poll(t, l), logLine(3, 100))
}

func TestAbsentThenAppearing(t *testing.T) {
	dir := t.TempDir()
	l := New(filepath.Join(dir, "audit.log"))
	defer l.Close()
	for _, call := range []func() error{
		func() error { _, err := l.SeekEnd(); return err },
		func() error { _, _, err := l.SeekTime(0, 0); return err },
		func() error { _, err := l.SeekAfter(record.ID{}); return err },
		func() error { _, err := l.Next(new(record.Batch)); return err },
		func() error { _, err := l.Next(new(record.Batch)); return err },
	} {
		err := call()
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), l.path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v", err)
		}
	}
	if err := l.Go(Position{}); err != nil {
		t.Fatal(err)
	}
	a := startFake(t, dir, 3)
	a.write(logLine(1, 100))
	same(t, "appeared", poll(t, l), logLine(1, 100))
}

func TestAbsentForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startFake(t, t.TempDir(), 3)
		l := New(a.path)
		defer l.Close()
		a.write(logLine(1, 100))
		same(t, "there", poll(t, l), logLine(1, 100))
		a.must(os.Rename(a.path, a.rotated(1)))
		same(t, "between two steps", poll(t, l), "")
		time.Sleep(absentGrace)
		for range 2 {
			if _, err := pollErr(t, l); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v", err)
			}
		}
		a.write(logLine(2, 100)) // what can be read is read
		if got, err := pollErr(t, l); got != logLine(2, 100) || err == nil {
			t.Errorf("got %q, %v", got, err)
		}
		a.open()
		a.write(logLine(3, 100))
		same(t, "back", poll(t, l), logLine(3, 100))
	})
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	make := map[string]func(path string) error{
		"symlink": func(path string) error {
			if err := os.WriteFile(path+".real", []byte(logLine(1, 80)), 0o600); err != nil {
				return err
			}
			return os.Symlink(path+".real", path)
		},
		"fifo":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	}
	for name, mk := range make {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			if err := mk(path); err != nil {
				t.Fatal(err)
			}
			l := New(path)
			defer l.Close()
			for range 2 {
				if _, err := l.Next(new(record.Batch)); !errors.Is(err, errNotRegular) {
					t.Errorf("Next: %v", err)
				}
				if _, err := l.SeekEnd(); !errors.Is(err, errNotRegular) {
					t.Errorf("SeekEnd: %v", err)
				}
			}
		})
		t.Run("rotated "+name, func(t *testing.T) {
			a := startFake(t, t.TempDir(), 5)
			a.write(logLine(1, 100))
			a.rotate(nil)
			a.write(logLine(2, 100))
			a.must(mk(a.rotated(2)))
			l := New(a.path)
			defer l.Close()
			same(t, "passed over", poll(t, l), logLine(1, 100)+logLine(2, 100))
		})
		t.Run("in place of a followed "+name, func(t *testing.T) {
			a := startFake(t, t.TempDir(), 5)
			a.write(logLine(1, 100))
			l := New(a.path)
			defer l.Close()
			same(t, "followed", poll(t, l), logLine(1, 100))
			a.must(os.Remove(a.path))
			a.must(mk(a.path))
			if _, err := pollErr(t, l); !errors.Is(err, errNotRegular) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// asNobody runs fn without the rights of root on files.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		fn()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const nobody = 65534
	if _, err := unix.SetfsuidRetUid(nobody); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := unix.SetfsuidRetUid(0); err != nil {
			t.Error(err)
		}
	}()
	fn()
}

func TestUnreadableFilesAreReported(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	logs := filepath.Join(dir, "log")
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	a := startFake(t, logs, 5)
	a.must(a.f.Chmod(0o644))
	a.write(logLine(1, 100))
	l := New(a.path)
	defer l.Close()
	denied := func(what string) {
		t.Helper()
		asNobody(t, func() {
			for range 2 {
				_, err := pollErr(t, l)
				if !errors.Is(err, fs.ErrPermission) || strings.Count(err.Error(), a.path) != 1 {
					t.Errorf("%s: %v", what, err)
				}
				if _, err := l.SeekEnd(); !errors.Is(err, fs.ErrPermission) {
					t.Errorf("%s: SeekEnd: %v", what, err)
				}
			}
		})
	}
	a.must(os.Chmod(logs, 0o700))
	denied("directory closed")
	a.must(os.Chmod(logs, 0o755))
	a.must(os.Chmod(a.path, 0o600))
	denied("file closed")
	a.must(os.Chmod(a.path, 0o644))
	asNobody(t, func() { same(t, "opened", poll(t, l), logLine(1, 100)) })
	a.write(logLine(2, 100))
	a.must(os.Chmod(logs, 0o700))
	asNobody(t, func() {
		got, err := pollErr(t, l)
		same(t, "held open", got, logLine(2, 100))
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("error %v", err)
		}
	})
	a.must(os.Chmod(logs, 0o755))

	// A rotated file closed to us is left out and reported, the rest is read.
	a.rotate(nil) // 0400
	a.must(a.f.Chmod(0o644))
	a.write(logLine(3, 100))
	asNobody(t, func() {
		l := New(a.path)
		defer l.Close()
		same(t, "readable part", poll(t, l), logLine(3, 100))
		_, err := l.SeekAfter(idOf(logLine(2, 100)))
		if !errors.Is(err, ErrGone) || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("SeekAfter: %v", err)
		}
	})
}
