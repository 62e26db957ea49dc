package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
)

// Dir is the relay's state_dir, held under its lock until Close.
type Dir struct {
	path string
	lock *os.File
}

// lockTime is how long Open waits for the lock. The relay that was there
// before may still be ending: auditd up to 4.1 starts the next one without
// waiting, and a relay is gone within a second of the end of its stream.
const (
	lockTime  = 1500 * time.Millisecond
	lockPause = 20 * time.Millisecond
)

// ErrLocked is what Open returns when another relay uses the directory.
var ErrLocked = errors.New("another relay uses it")

// Open takes the directory for this process. It is made where it is missing,
// mode 0700, and so are those above it. An existing one must be the user's own
// and not writable by others: who can write it could make a consumer skip
// records. Open waits up to 1.5 s for the lock, which the kernel drops when its holder ends,
// however it ends.
//
// The error says what does not work without the directory; the relay can run without it. Children do not inherit the lock.
func Open(dir string) (*Dir, error) { return take(dir, lockTime) }

// Try is Open without waiting for the lock.
func Try(dir string) (*Dir, error) { return take(dir, 0) }

func take(dir string, wait time.Duration) (*Dir, error) {
	d := &Dir{path: dir}
	err := d.prepare()
	if err == nil {
		err = d.takeLock(wait)
	}
	if err != nil {
		return nil, fmt.Errorf("state_dir %s: %w; no spools and no resume after a restart until this is corrected", dir, err)
	}
	return d, nil
}

// Held reports whether the lock is still that of the directory at the path: either may have
// been removed or replaced.
func (d *Dir) Held() bool {
	ours, err := d.lock.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(filepath.Join(d.path, "lock"))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR)
	}
	return os.SameFile(ours, now)
}

// prepare makes the directory and checks that no other user can write it.
func (d *Dir) prepare() error {
	if err := d.make(); err != nil {
		return err
	}
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("it is owned by uid %d, must be %d's: run chown %d %s", st.Uid, os.Geteuid(), os.Geteuid(), d.path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("it has mode %04o, others must not write it: run chmod go-w %s", info.Mode().Perm(), d.path)
	}
	return nil
}

// make makes the directory where it is missing; where a worker may not, its monitor does.
func (d *Dir) make() error {
	err := os.MkdirAll(d.path, 0o700)
	if m := broker.Monitor(); m != nil && err != nil {
		return m.Do(Item, OpMake, nil, nil)
	}
	return err
}

func (d *Dir) takeLock(wait time.Duration) error {
	path := filepath.Join(d.path, "lock")
	for end := time.Now().Add(wait); ; time.Sleep(lockPause) {
		f, err := tryLock(path)
		switch {
		case err == nil:
			d.lock = f
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return err
		case !time.Now().Before(end):
			return fmt.Errorf("%w (%s): give each a state_dir of its own", ErrLocked, path)
		}
	}
}

// tryLock takes the lock or fails with EWOULDBLOCK.
func tryLock(path string) (*os.File, error) {
	// Opened for writing: on a read-only file system it fails here and not later.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f, path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockFile locks what was opened at path, if that is still there: whoever has
// removed or replaced it meanwhile holds, or will hold, another.
func lockFile(f *os.File, path string) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return os.NewSyscallError("flock", err)
	}
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(ours, now) {
		return unix.EWOULDBLOCK
	}
	return nil
}

// Close drops the lock; the Dir must not be used after that. The lock file
// stays: removing it would let two relays hold a lock each.
func (d *Dir) Close() error { return d.lock.Close() }
