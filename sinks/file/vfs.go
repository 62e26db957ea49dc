package file

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// fileSystem is what the sink asks of the operating system: small, so that
// tests can make every call of it fail.
type fileSystem interface {
	Open(path string, flags int, perm uint32) (handle, error)
	Lstat(path string) (unix.Stat_t, error)
	Mkdir(path string, perm uint32) error
	// Rename fails with EEXIST when to exists and is not to be replaced.
	Rename(from, to string, replace bool) error
	Remove(path string) error
	SyncDir(path string) error
}

// handle is an open file. It belongs to one goroutine, but for Sync, which may
// run beside everything but Close.
type handle interface {
	io.Closer
	io.ReaderAt
	// Write is one write(2): it may take less than all without an error.
	Write(p []byte) (int, error)
	Stat() (unix.Stat_t, error)
	Pos() (int64, error) // where the last Write ended
	Truncate(size int64) error
	Sync() error // fdatasync(2)
	Chmod(mode uint32) error
	Chown(uid, gid int) error
}

// osFS is the real one.
type osFS struct{}

func (osFS) Open(path string, flags int, perm uint32) (handle, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, perm) })
	if err != nil {
		return nil, err
	}
	return osFile(fd), nil
}

func (osFS) Lstat(path string) (st unix.Stat_t, err error) {
	err = unix.Lstat(path, &st)
	return st, err
}

func (osFS) Mkdir(path string, perm uint32) error { return unix.Mkdir(path, perm) }

func (osFS) Rename(from, to string, replace bool) error {
	if replace {
		return unix.Rename(from, to)
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// The file system cannot do it in one step (NFS, for one).
	var st unix.Stat_t
	if err := unix.Lstat(to, &st); err == nil {
		return unix.EEXIST
	}
	return unix.Rename(from, to)
}

func (osFS) Remove(path string) error { return unix.Unlink(path) }

func (osFS) SyncDir(path string) error {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsync(fd)
}

type osFile int

func (f osFile) Write(p []byte) (int, error) {
	n, err := retry(func() (int, error) { return unix.Write(int(f), p) })
	return max(n, 0), err
}

func (f osFile) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := retry(func() (int, error) { return unix.Pread(int(f), p[done:], off+int64(done)) })
		switch {
		case err != nil:
			return done, err
		case n == 0:
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f osFile) Stat() (st unix.Stat_t, err error) {
	err = unix.Fstat(int(f), &st)
	return st, err
}

func (f osFile) Pos() (int64, error)       { return unix.Seek(int(f), 0, io.SeekCurrent) }
func (f osFile) Truncate(size int64) error { return unix.Ftruncate(int(f), size) }
func (f osFile) Sync() error               { return unix.Fdatasync(int(f)) }
func (f osFile) Chmod(mode uint32) error   { return unix.Fchmod(int(f), mode) }
func (f osFile) Chown(uid, gid int) error  { return unix.Fchown(int(f), uid, gid) }
func (f osFile) Close() error              { return unix.Close(int(f)) }

// retry repeats a call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

func regular(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
