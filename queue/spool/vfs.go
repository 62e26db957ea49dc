package spool

import (
	"io"
	"os"

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
	io.WriterAt
	Truncate(size int64) error
	Sync() error // fdatasync(2)
	Stat() (os.FileInfo, error)
	Lock() error // flock(2), exclusive, without waiting
}

// osFS is the real one.
type osFS struct{}

// Open never follows a link and never waits, whatever a name in the directory
// may be.
func (osFS) Open(path string, flags int) (handle, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) List(path string) ([]string, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// Remove removes no directory, as os.Remove would.
func (osFS) Remove(path string) error { return pathError("remove", path, unix.Unlink(path)) }

// osFile is an os.File with calls that package os lacks.
type osFile struct{ *os.File }

func (f osFile) Sync() error { return f.call("fdatasync", unix.Fdatasync) }

func (f osFile) Lock() error {
	return f.call("flock", func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
}

// call makes a system call, again where a signal interrupts it.
func (f osFile) call(op string, work func(fd int) error) error {
	err := work(int(f.Fd()))
	for err == unix.EINTR {
		err = work(int(f.Fd()))
	}
	return pathError(op, f.Name(), err)
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
