package file

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
)

// maxSystemUID is the last number of accounts that are made for programs (SYS_UID_MAX of
// login.defs): packages give directories of logs to those.
const maxSystemUID = 999

// guard knows who may own the directories on the way to a file, and files in
// directories that others can write: root, the process itself, and who is in uids.
type guard struct {
	uids []uint32
	gid  uint32    // of the group that is to read the file, 0 for none
	dirs []foreign // where no sink may write
	logs []foreign // that the file may not be
}

// location is where a walk has ended.
type location struct {
	id     fileID
	shut   []string // directories on the way that the guard's group may not pass
	real   string   // without links
	sticky bool     // any user can make files here, and only touch the own ones
	shared bool     // others than root and the process can change something on the way
	doubts []string // who else could put another file or directory in the place of this one
}

// insecure says that a directory, link or file is not used, and why.
type insecure struct {
	why  string
	real string // of a directory: where the path leads, as far as it was followed
}

func (e *insecure) Error() string { return e.why }

func refuse(format string, args ...any) error { return &insecure{why: fmt.Sprintf(format, args...)} }

func (g guard) trusts(uid uint32) bool {
	return runnable.TrustedUID(uid) || slices.Contains(g.uids, uid)
}

// walk opens a directory step by step, without the kernel's following a link, and looks
// at each step at who can change it. Nothing that a person owns is passed, nor what
// everybody can write: such a person could have the relay, which is root, write anywhere.
// Accounts of programs, and groups, have such rights from packages and administrators: that
// is noted, and the directory used. A link is followed that none of these can change.
func (g guard) walk(dir string) (fd int, p location, err error) {
	fd = -1
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()

	var st unix.Stat_t
	for todo, links := broker.Steps(dir), 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		var next int
		if next, err = openPath(fd, name); err != nil {
			return fd, p, err
		}
		if err = unix.Fstat(next, &st); err != nil {
			unix.Close(next)
			return fd, p, err
		}

		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			unix.Close(fd)
			fd, p.real = next, path.Join(p.real, name)
			if err = g.judge(&st, &p); err != nil {
				return fd, p, ahead(err, p.real, todo)
			}
			if !g.admits(fd, &st) {
				p.shut = append(p.shut, p.real)
			}
			continue
		}

		var to string
		to, err = follow(next, &st, path.Join(p.real, name), &p)
		unix.Close(next)
		if links++; err == nil && links > broker.MaxLinks {
			err = unix.ELOOP
		}
		if err != nil {
			return fd, p, err
		}
		todo = append(broker.Steps(to), todo...)
		if to[0] == '/' {
			p.real = ""
		}
	}
	return fd, p, nil
}

// ahead adds to a refusal where the rest of the path leads if it has no links.
func ahead(err error, real string, todo []string) error {
	if e, ok := errors.AsType[*insecure](err); ok {
		e.real = path.Join(real, path.Join(todo...))
	}
	return err
}

func openPath(at int, name string) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
}

// judge says whether the directory st, p.real, may be passed, and notes who else can
// change what is in it.
func (g guard) judge(st *unix.Stat_t, p *location) error {
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.ENOTDIR
	}
	p.id = idOf(st)
	if of, taken := find(g.dirs, p.id); taken {
		return refuse("directory %s belongs to %s: name a path elsewhere", p.real, of)
	}
	p.shared = p.shared || !runnable.TrustedUID(st.Uid)
	p.sticky = st.Mode&unix.S_ISVTX != 0 && st.Mode&0o022 != 0

	switch {
	case !g.trusts(st.Uid) && st.Uid > maxSystemUID:
		return refuse("directory %s belongs to uid %d, who can put another file in the place of this one: chown root %s, or name another path",
			p.real, st.Uid, p.real)
	case st.Mode&0o002 != 0 && !p.sticky:
		return refuse("everybody can write directory %s and put another file in the place of this one: chmod o-w %s, or name another path",
			p.real, p.real)
	case !g.trusts(st.Uid):
		p.doubt("directory %s belongs to uid %d", p.real, st.Uid)
	case st.Mode&0o020 != 0 && !p.sticky && st.Gid != 0 && st.Gid != uint32(os.Getegid()):
		p.doubt("group %d can write directory %s", st.Gid, p.real)
	}
	return nil
}

func (p *location) doubt(format string, args ...any) {
	p.shared = true
	if s := fmt.Sprintf(format, args...); !slices.Contains(p.doubts, s) {
		p.doubts = append(p.doubts, s)
	}
}

// follow returns where the link fd, named name, leads.
func follow(fd int, st *unix.Stat_t, name string, p *location) (string, error) {
	if !runnable.TrustedUID(st.Uid) || p.shared {
		return "", refuse("%s on the way is a symbolic link that another user than root can change (uid %d): name the directory itself", name, st.Uid)
	}
	return broker.Readlink(fd)
}

// judgeFile says whether the file st, found at p, may be written to.
func (g guard) judgeFile(st *unix.Stat_t, p location) error {
	of, taken := find(g.logs, idOf(st))
	switch {
	case !regular(st):
		return errNotRegular
	case taken:
		return refuse("it is of the files of %s: name another path", of)
	case st.Nlink > 1:
		return refuse("it has %d names (hard links), so it may be another file, too: move it away, or remove the others (find / -xdev -inum %d)",
			st.Nlink, st.Ino)
	case g.trusts(st.Uid) || (!p.sticky && (!p.shared || st.Uid <= maxSystemUID)):
		return nil
	}
	return refuse("it belongs to uid %d, in a directory where others than root can make files: move it away", st.Uid)
}

// admits reports whether the group that is to read the file may pass the directory fd. Where the directory has an
// access control list, its author is trusted with that.
func (g guard) admits(fd int, st *unix.Stat_t) bool {
	if g.gid == 0 || st.Mode&0o001 != 0 || (st.Gid == g.gid && st.Mode&0o010 != 0) {
		return true
	}
	n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", fd), "system.posix_acl_access", nil)
	return err == nil && n > 0
}
