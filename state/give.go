package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
)

// Item is what a worker calls state_dir when it asks its monitor to make it.
const Item = "state_dir"

// OpMake is that question.
const OpMake = "make"

// maxDepth is how deep a directory is gone into: spool/NAME/FILE.
const maxDepth = 6

// Give makes dir, mode 0700, where it is missing, and gives it with all that is in it to a user: the relay's worker, or root, to
// whom else it must belong. No link is followed, and nothing is given away that has a name elsewhere. It takes root.
func Give(dir string, uid, gid int) error {
	err := makeFor(dir)
	if err == nil {
		err = runnable.In{}.CheckWay(filepath.Dir(dir))
	}
	if err != nil {
		return fmt.Errorf("state_dir %s: %w", dir, err)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("state_dir %s: %w", dir, err)
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && !mayChange(&st) {
		return nil // whoever uses it says whose it is
	}
	if err == nil {
		err = giveContent(f, uid, gid, 0)
	}
	if err == nil {
		err = unix.Fchown(fd, uid, gid)
	}
	if err != nil {
		return fmt.Errorf("state_dir %s: give it to uid %d: %w", dir, uid, err)
	}
	return nil
}

// makeFor makes a directory, and those above it so that another user can pass them.
func makeFor(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Reach says which directory on the way to dir keeps a user without further groups from passing, as far as there are
// directories. An access control list that lets it pass is not seen.
func Reach(dir string, uid, gid int) error {
	for at := filepath.Dir(dir); ; at = filepath.Dir(at) {
		var st unix.Stat_t
		if err := unix.Stat(at, &st); err == nil {
			bit := uint32(0o001)
			switch {
			case int(st.Uid) == uid:
				bit = 0o100
			case int(st.Gid) == gid:
				bit = 0o010
			}
			if st.Mode&bit == 0 {
				return fmt.Errorf("user %s cannot pass directory %s: chmod o+x %s", broker.User, at, at)
			}
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// IsWorkers reports whether a directory is the worker's.
func IsWorkers(dir string) bool {
	var st unix.Stat_t
	return unix.Stat(dir, &st) == nil && st.Uid != 0 && broker.IsWorker(int(st.Uid))
}

// mayChange reports whether a file is one of the relay's users.
func mayChange(st *unix.Stat_t) bool { return st.Uid == 0 || broker.IsWorker(int(st.Uid)) }

// giveContent gives what is in an open directory.
func giveContent(dir *os.File, uid, gid, depth int) error {
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if err := giveEntry(int(dir.Fd()), name, uid, gid, depth); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// giveEntry gives a file or directory, whatever its name leads to after it was opened.
func giveEntry(at int, name string, uid, gid, depth int) error {
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || !mayChange(&st) {
		return err
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR && depth < maxDepth:
		in, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(in), name)
		err = giveContent(f, uid, gid, depth+1)
		f.Close()
		if err != nil {
			return err
		}
	case kind != unix.S_IFREG || st.Nlink != 1: // who could make a link here to another's file must not get that
		return nil
	}
	if int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	return unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH)
}

// ours reports whether a file's owner may be trusted with what this process keeps: its own user or, for root, the
// relay's worker.
func ours(uid uint32) bool {
	euid := os.Geteuid()
	return int(uid) == euid || (euid == 0 && broker.IsWorker(int(uid)))
}
