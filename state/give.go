package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
)

// Item is what a worker calls state_dir when it asks its monitor to make it.
const Item = "state_dir"

// OpMake is that question.
const OpMake = "make"

const (
	// maxDepth is how deep a directory is gone into: spool/NAME/FILE.
	maxDepth = 6
	// maxAgain is how many entries of a directory are looked at that was given before. Whatever a worker has made there, the next one
	// must begin soon: the relay would run in one process otherwise.
	maxAgain = 20000
	// maxLinks is how many links are followed, as in the kernel.
	maxLinks = 40
)

// Give makes dir, mode 0700, where it is missing, and gives it with all that is in it to a user: the relay's worker, or root, to
// whom else it must belong. No link is followed but one of root's to dir itself, and nothing is given away that has a name elsewhere.
// What a worker has put there that is neither a file nor a directory, or is another's that has a name elsewhere, is removed when root
// gets it: the relay makes nothing of the kind. It takes root.
func Give(dir string, uid, gid int) error {
	dir = strings.TrimRight(dir, "/")
	err := makeFor(dir)
	var f *os.File
	if err == nil {
		f, err = openOwn(dir)
	}
	if err != nil {
		return fmt.Errorf("state_dir %s: %w", dir, err)
	}
	defer f.Close()

	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && !mayChange(&st) {
		return nil // whoever uses it says whose it is
	}
	if err == nil && st.Uid == 0 {
		err = Foreign(dir)
	}

	g := giver{uid: uid, gid: gid, left: -1}
	if int(st.Uid) == uid {
		g.left = maxAgain
	}

	if err == nil {
		err = g.content(f, 0)
	}
	if err == nil { // last: else it counts as not given
		err = unix.Fchown(int(f.Fd()), uid, gid)
	}
	if err != nil {
		return fmt.Errorf("state_dir %s: give it to uid %d: %w", dir, uid, err)
	}
	return nil
}

// Real returns the directory that dir is: another one where root has put a link. Links of others are an error, as in a directory like
// /tmp anybody can make one.
func Real(dir string) (string, error) {
	dir = strings.TrimRight(dir, "/")
	for range maxLinks {
		above := dir[:strings.LastIndexByte(dir, '/')+1] // not cleaned: ".." is of where a link leads
		if err := (runnable.In{}).CheckWay(above); err != nil {
			return "", err
		}
		info, err := os.Lstat(dir)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return dir, nil
		}

		if !runnable.Trusted(info) {
			return "", fmt.Errorf("%s is a symbolic link of uid %d: remove it, or chown -h root %s", dir, runnable.OwnerOf(info), dir)
		}
		to, err := os.Readlink(dir)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			to = above + to
		}
		dir = strings.TrimRight(to, "/")
	}
	return "", unix.ELOOP
}

// openOwn opens the directory that dir is.
func openOwn(dir string) (*os.File, error) {
	dir, err := Real(dir)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// makeFor makes a directory, and those above it.
func makeFor(dir string) error {
	if err := MakeAbove(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// MakeAbove makes the directories above dir that are missing, so that another user can pass them, where nobody else can lead root
// elsewhere.
func MakeAbove(dir string) error {
	var missing []string
	there := filepath.Dir(strings.TrimRight(dir, "/"))
	for ; there != filepath.Dir(there); there = filepath.Dir(there) {
		if _, err := os.Lstat(there); err == nil {
			break
		}
		missing = append(missing, there)
	}
	if err := (runnable.In{}).CheckWay(there); err != nil {
		return err
	}

	for _, path := range slices.Backward(missing) {
		err := os.Mkdir(path, 0o711)
		if err == nil {
			err = os.Chmod(path, 0o711) // whatever the umask is
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// Foreign says which directory in dir, which has to be root's, the relay has not made: then dir is not the relay's own, and another user
// would get what is others' with it. What a worker has made is its own: a later relay has directories that this one does not know, and
// packages give dir to root again.
func Foreign(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !e.IsDir() || slices.Contains([]string{"spool", "dead", "engine", "lost+found"}, e.Name()) {
			continue
		}
		if info, err := e.Info(); err == nil && broker.IsWorker(int(runnable.OwnerOf(info))) {
			continue
		}
		return fmt.Errorf("%s is in it, which is not the relay's: name a directory that the relay has for itself", filepath.Join(dir, e.Name()))
	}
	return err
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

// giver gives what is in a directory to a user.
type giver struct {
	uid, gid int
	left     int // entries that are looked at yet; below 0: all
}

// content gives what is in an open directory.
func (g *giver) content(dir *os.File, depth int) error {
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if g.left == 0 {
				return nil
			}
			g.left--
			if err := g.entry(int(dir.Fd()), name, depth); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%q: %w", name, err)
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

// entry gives a file or directory, whatever its name leads to after it was opened.
func (g *giver) entry(at int, name string, depth int) error {
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)

	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if g.uid == 0 && planted(&st) {
		return unix.Unlinkat(at, name, 0)
	}
	if !mayChange(&st) {
		return nil
	}

	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR && depth < maxDepth:
		if err := g.directory(fd, name, depth+1); err != nil {
			return err
		}
	case kind != unix.S_IFREG || st.Nlink != 1: // who could make a link here to another's file must not get that
		return nil
	}
	if int(st.Uid) == g.uid && int(st.Gid) == g.gid {
		return nil
	}
	return unix.Fchownat(fd, "", g.uid, g.gid, unix.AT_EMPTY_PATH)
}

// planted reports whether a worker has made a name that root must not find: a link could lead it anywhere, a FIFO stop it, and what it
// writes to a file of others that has a name elsewhere (link(2), where protected_hardlinks is off) would be written there, too.
func planted(st *unix.Stat_t) bool {
	switch kind, workers := st.Mode&unix.S_IFMT, st.Uid != 0 && broker.IsWorker(int(st.Uid)); kind {
	case unix.S_IFDIR:
		return false
	case unix.S_IFREG:
		return st.Nlink > 1 && !workers
	default:
		return st.Nlink > 1 || workers
	}
}

// directory gives what is in the directory that at, of O_PATH, is.
func (g *giver) directory(at int, name string, depth int) error {
	in, err := unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(in), name)
	defer f.Close()
	return g.content(f, depth)
}

// ours reports whether a file's owner may be trusted with what this process keeps: its own user or, for root, the
// relay's worker.
func ours(uid uint32) bool {
	euid := os.Geteuid()
	return int(uid) == euid || (euid == 0 && broker.IsWorker(int(uid)))
}
