package broker

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxLinks is how many symbolic links are followed on the way to a file, as in the kernel (path_resolution(7)).
const MaxLinks = 40

// Place is a file, socket or directory, whatever its path leads to later.
type Place struct{ fd int }

// Find finds what is at an absolute path, for a monitor that does something there with what a worker gives, or gives the worker what it
// has done. Other than the kernel it follows no link but root's and those of the process's own user: whoever owns a directory on the
// way could lead it to a socket that only root may connect to, or to a directory of root's. The caller closes the Place.
func Find(path string) (p Place, err error) {
	at := unix.AT_FDCWD
	defer func() {
		if err != nil && at >= 0 {
			unix.Close(at)
		}
	}()

	links := 0
	for todo := Steps(path); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return p, err
		}
		to, err := follow(next, path)
		if err != nil || to != "" {
			unix.Close(next)
		}
		if err != nil {
			return p, err
		}
		if to != "" {
			if links++; links > MaxLinks {
				return p, unix.ELOOP
			}
			todo = append(Steps(to), todo...)
			continue
		}
		if at >= 0 {
			unix.Close(at)
		}
		at = next
	}

	if at < 0 {
		return p, unix.ENOENT
	}
	return Place{at}, nil
}

// follow returns where a link leads, "" for what is no link.
func follow(fd int, path string) (to string, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", err
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s: a symbolic link on the way is one of uid %d, who could lead it elsewhere: name a path without it", path, st.Uid)
	}
	return Readlink(fd)
}

// Readlink returns where the symbolic link leads that fd, opened with O_PATH, is. As for the kernel an empty one leads nowhere.
func Readlink(fd int) (to string, err error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	return string(buf[:max(n, 0)]), err
}

// Steps are the names of a path; an absolute one begins with "/". They keep "..", which in
// front of a link is not what cleaning makes of it.
func Steps(path string) (names []string) {
	if strings.HasPrefix(path, "/") {
		names = []string{"/"}
	}
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// Path leads to the place, in this process and until Close.
func (p Place) Path() string { return fmt.Sprintf("/proc/self/fd/%d", p.fd) }

// Close lets go of it.
func (p Place) Close() { unix.Close(p.fd) }
