package state

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// keySize is how many random bytes a key for loss markers has.
const keySize = 32

// KeyName is the file of the key within state_dir.
const KeyName = "marker.key"

// NewKey returns a new key.
func NewKey() []byte {
	key := make([]byte, keySize)
	rand.Read(key) // never fails
	return key
}

// Key returns the key in the directory. Where there is none it is made, from fresh.
// The directory need not be held: the key never changes. No error says what the key
// is.
func Key(dir string, fresh []byte) ([]byte, error) {
	d := &Dir{path: dir}
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("key for loss markers: state_dir %s: %w", dir, err)
	}

	path := filepath.Join(dir, KeyName)
	key, err := ReadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := makeKey(path, fresh); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("key for loss markers: %w", err)
	}
	return ReadKey(path)
}

// makeKey writes a key that is there as a whole or not at all, and replaces none.
func makeKey(path string, key []byte) error {
	next := fmt.Sprintf("%s.%d", path, os.Getpid())
	os.Remove(next) // of a run that was killed and had our id
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(next)

	_, err = f.Write(key)
	if err = cmp.Or(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS):
		return &os.LinkError{Op: "rename", Old: next, New: path, Err: err}
	}

	// This file system cannot do it in one step (NFS, for one), and a sandbox makes no second name for a file.
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(next, path)
}

// ReadKey reads a key. No other user may be able to read or write it, or it would prove
// nothing.
func ReadKey(path string) ([]byte, error) {
	key, err := readKey(path)
	if err != nil {
		return nil, fmt.Errorf("key for loss markers: %w", err)
	}
	return key, nil
}

func readKey(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}

	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular() || info.Size() != keySize:
		return nil, fmt.Errorf("%s is not a file of %d bytes: remove it, a new one is made at the next start", path, keySize)
	case ok && !ours(st.Uid):
		return nil, fmt.Errorf("%s is owned by uid %d: run chown %d %s", path, st.Uid, os.Geteuid(), path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has mode %04o, others must not read it: remove it, a new one is made at the next start", path, info.Mode().Perm())
	}
	key := make([]byte, keySize)
	_, err = io.ReadFull(f, key)
	return key, err
}
