package spool

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileSystem is what the spool asks of the operating system: small, so that
// tests can make every call of it fail.
type fileSystem interface {
	Open(path string, flags int) (handle, error)
	// List returns the names in a directory.
	List(path string) ([]string, error)
	Remove(path string) error
}

// handle is an open file or directory. Sync may run beside everything but Close.
type handle interface {
	io.Closer
	io.ReaderAt
	// WriteAt is one pwrite(2): it may take less than all without an error.
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error // fdatasync(2)
	Stat() (unix.Stat_t, error)
	Lock() error // flock(2), exclusive, without waiting
}

// osFS is the real one.
type osFS struct{}

// Open never follows a link and never waits, whatever a name in the directory
// may be.
func (osFS) Open(path string, flags int) (handle, error) {
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK
	fd, err := retry(func() (int, error) { return unix.Open(path, flags, 0o600) })
	if err != nil {
		return nil, pathError("open", path, err)
	}
	return &osFile{fd, path}, nil
}

func (osFS) List(path string) ([]string, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func (osFS) Remove(path string) error { return pathError("remove", path, unix.Unlink(path)) }

type osFile struct {
	fd   int
	path string
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := retry(func() (int, error) { return unix.Pwrite(f.fd, p, off) })
	return max(n, 0), pathError("write", f.path, err)
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := retry(func() (int, error) { return unix.Pread(f.fd, p[done:], off+int64(done)) })
		switch {
		case err != nil:
			return done, pathError("read", f.path, err)
		case n == 0:
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *osFile) Stat() (st unix.Stat_t, err error) {
	err = unix.Fstat(f.fd, &st)
	return st, pathError("stat", f.path, err)
}

func (f *osFile) Truncate(size int64) error {
	_, err := retry(func() (int, error) { return 0, unix.Ftruncate(f.fd, size) })
	return pathError("truncate", f.path, err)
}

func (f *osFile) Sync() error {
	_, err := retry(func() (int, error) { return 0, unix.Fdatasync(f.fd) })
	return pathError("fdatasync", f.path, err)
}

func (f *osFile) Lock() error {
	_, err := retry(func() (int, error) { return 0, unix.Flock(f.fd, unix.LOCK_EX|unix.LOCK_NB) })
	return pathError("flock", f.path, err)
}

func (f *osFile) Close() error { return pathError("close", f.path, unix.Close(f.fd)) }

// retry repeats a call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
