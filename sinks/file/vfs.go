package file

import (
	"cmp"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
)

// fileSystem is what the sink asks of the operating system: small, so that
// tests can make every call of it fail.
type fileSystem interface {
	// OpenDir walks to a directory, and refuses to go where another user can put
	// another one in its place (see guard).
	OpenDir(path string, g guard) (folder, error)
	Lstat(path string) (unix.Stat_t, error)
}

// folder is an open directory: what is done in it is done there, whatever its path
// names meanwhile. Names have no slash.
type folder interface {
	io.Closer
	Place() location
	Open(name string, flags int, perm uint32) (handle, error)
	Lstat(name string) (unix.Stat_t, error)
	// Rotations lists a file called base, and what that was renamed to, as far as the directory can be read.
	Rotations(base string) []string
	Mkdir(name string, perm uint32) error
	// Rename fails with EEXIST when to exists and is not to be replaced.
	Rename(from, to string, replace bool) error
	Remove(name string) error
	Sync() error
	// Give gives the directory itself to a group, with this mode.
	Give(gid int, perm uint32) error
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
	Lock() error // EWOULDBLOCK when another has it
	Unlock()
}

// osFS is the real one.
type osFS struct{}

func (osFS) Lstat(path string) (st unix.Stat_t, err error) {
	err = unix.Lstat(path, &st)
	return st, err
}

func (osFS) OpenDir(path string, g guard) (folder, error) {
	fd, p, err := g.walk(path)
	if err != nil {
		return nil, err
	}
	return &osDir{fd, p}, nil
}

// osDir is a directory by a descriptor of O_PATH: searching it needs no right to read it.
type osDir struct {
	fd    int
	place location
}

func (d *osDir) Place() location { return d.place }
func (d *osDir) Close() error    { return unix.Close(d.fd) }

func (d *osDir) Open(name string, flags int, perm uint32) (handle, error) {
	fd, err := retry(func() (int, error) { return unix.Openat(d.fd, name, flags|unix.O_CLOEXEC, perm) })
	if err != nil {
		return nil, err
	}
	return osFile(fd), nil
}

func (d *osDir) Lstat(name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func (d *osDir) Mkdir(name string, perm uint32) error { return unix.Mkdirat(d.fd, name, perm) }

func (d *osDir) Rename(from, to string, replace bool) error {
	if replace {
		return unix.Renameat(d.fd, from, d.fd, to)
	}
	err := unix.Renameat2(d.fd, from, d.fd, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// The file system cannot do it in one step (NFS, for one).
	if _, err := d.Lstat(to); err == nil {
		return unix.EEXIST
	}
	return unix.Renameat(d.fd, from, d.fd, to)
}

func (d *osDir) Remove(name string) error { return unix.Unlinkat(d.fd, name, 0) }

// reopen opens the directory for reading.
func (d *osDir) reopen() (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
}

func (d *osDir) Rotations(base string) []string {
	fd, err := d.reopen()
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	return rotationsIn(f, base)
}

// maxEntries is how many entries of a directory are looked at: in one like /tmp anybody makes any number of them.
const maxEntries = 100_000

// rotationsIn is folder.Rotations for a directory that is open for reading.
func rotationsIn(dir *os.File, base string) (names []string) {
	for looked := 0; looked < maxEntries; {
		some, err := dir.Readdirnames(256)
		looked += len(some)
		for _, name := range some {
			if config.IsRotation(name, base) {
				names = append(names, name)
			}
		}
		if err != nil { // or the end
			break
		}
	}
	return names
}

func (d *osDir) Sync() error {
	fd, err := d.reopen()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsync(fd)
}

func (d *osDir) Give(gid int, perm uint32) error {
	fd, err := d.reopen()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return cmp.Or(unix.Fchown(fd, -1, gid), unix.Fchmod(fd, perm))
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

func (f osFile) Lock() error {
	_, err := retry(func() (int, error) { return 0, unix.Flock(int(f), unix.LOCK_EX|unix.LOCK_NB) })
	return err
}

func (f osFile) Unlock() { _ = unix.Flock(int(f), unix.LOCK_UN) }

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
