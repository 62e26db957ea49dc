package unix

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	sys "golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/host/sockdiag"
	"audisp-relay/state"
)

// backlog is how many connections wait to be accepted; the kernel caps it at
// net.core.somaxconn. A client that does not wait gets EAGAIN beyond it. They are accepted
// within a second (see pace).
const backlog = 1024

// bindTime is how old a socket's file has to be before it is taken for stale. bind(2) first makes
// the file, then lets the kernel find the socket by it (net/unix/af_unix.c, unix_bind_bsd), and
// on a busy machine a process may stand between the two.
const bindTime = time.Second

// errReplaced says that the path does not lead to the sink's socket any more.
var errReplaced = errors.New("the socket was removed or replaced from outside: listening again")

// listener is a listening socket and the file that leads to it. It belongs to
// one goroutine, but for accept.
//
// While the socket is open it holds its inode, so that device and inode number
// show for certain whether the file at the path is the sink's own. That of a worker, which may
// have closed it, shows no more than that it is a socket with the number.
type listener struct {
	path     string
	file     *os.File // the socket, non-blocking, in Go's poller
	dev, ino uint64
	flaw     error  // why owner or mode are not as configured
	item     string // of the monitor that has bound the socket, and by what it knows it; "": this process has
	handle   uint64
	closed   chan struct{} // closed when the socket is
}

// listen binds and listens at cfg.Path. No client can connect before owner and
// mode are set: connect(2) is refused until listen(2).
func listen(cfg *Config) (*listener, error) {
	if err := makeDir(filepath.Dir(cfg.Path)); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Path, err)
	}
	defer state.HoldDir(filepath.Dir(cfg.Path)).Close()
	if err := clearPath(cfg.Path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Path, err)
	}

	fd, err := sys.Socket(sys.AF_UNIX, sys.SOCK_STREAM|sys.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: socket: %w", cfg.Path, err)
	}
	file, err := pollable(fd, cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Path, err)
	}

	l := &listener{path: cfg.Path, file: file, closed: make(chan struct{})}
	// The file is made with the mode of the socket, less umask (net/unix/af_unix.c,
	// unix_bind_bsd): never with more than what is configured.
	err = sys.Fchmod(fd, cfg.Mode)
	if err == nil {
		err = sys.Bind(fd, &sys.SockaddrUnix{Name: cfg.Path})
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("listen on %s: bind: %w", cfg.Path, err)
	}

	l.flaw = l.grant(cfg)
	if err = sys.Listen(fd, backlog); err != nil || l.ino == 0 {
		l.remove()
		l.close()
		return nil, fmt.Errorf("listen on %s: %w", cfg.Path, errors.Join(err, l.flaw))
	}
	return l, nil
}

// makeDir makes the last element of dir where it is missing.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("directory %s is missing and cannot be made (%w): mkdir -p -m 0755 %s", dir, err, dir)
	}
	// Whatever the umask is. Who owns the directory above may have put a link there meanwhile.
	fd, err := sys.Open(dir, sys.O_RDONLY|sys.O_DIRECTORY|sys.O_NOFOLLOW|sys.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	defer sys.Close(fd)
	return sys.Fchmod(fd, 0o755)
}

// clearPath removes a stale socket from path: one that no process listens on.
// Nothing else is ever removed.
func clearPath(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s is in the way: remove it or choose another path", kind(st.Mode()))
	}

	stale, err := probe(path)
	if !stale {
		return err
	}
	if age := time.Since(st.ModTime()); age >= 0 && age < bindTime {
		return errors.New("another process made this socket less than a second ago and does not listen yet, or has ended: trying again")
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(st, now) {
		return errors.New("the file changes under our hands: another process is starting on it")
	}
	if err := sys.Unlink(path); err != nil && err != sys.ENOENT {
		return fmt.Errorf("remove the stale socket: %w", err)
	}
	return nil
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a regular file"
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "a file that is no socket"
}

// probe connects to find out whether a process listens at path. An error says which process, or why that is not known.
// Without an error, and if the socket is not stale, nothing is at path any more.
func probe(path string) (stale bool, err error) {
	fd, err := sys.Socket(sys.AF_UNIX, sys.SOCK_STREAM|sys.SOCK_CLOEXEC|sys.SOCK_NONBLOCK, 0)
	if err != nil {
		return false, fmt.Errorf("socket: %w", err)
	}
	defer sys.Close(fd)

	switch err := sys.Connect(fd, &sys.SockaddrUnix{Name: path}); err {
	case sys.ECONNREFUSED:
		if bound, err := sockdiag.Bound(path); err == nil && bound {
			return false, errors.New("another process has bound this socket and does not listen (yet): stop it or choose another path")
		}
		return true, nil
	case sys.ENOENT:
		return false, nil
	case nil:
		who := "another process"
		if cred, err := sys.GetsockoptUcred(fd, sys.SOL_SOCKET, sys.SO_PEERCRED); err == nil {
			who = fmt.Sprintf("another process (pid %d)", cred.Pid)
			if int(cred.Pid) == broker.Pid() {
				who = "another sink of this relay"
			}
		}
		return false, fmt.Errorf("%s listens there: stop it or choose another path", who)
	case sys.EAGAIN, sys.EPROTOTYPE: // its backlog is full; it is no stream socket
		return false, errors.New("another process uses this socket: stop it or choose another path")
	default:
		return false, fmt.Errorf("cannot find out whether another process listens there: %w", err)
	}
}

// grant sets owner, group and mode of the socket's file. What cannot be had is
// left at root's (or at the own user's, when not root) and said in the error:
// the socket is usable then, but not by all who should. The first call learns
// which file it is.
func (l *listener) grant(cfg *Config) error {
	if m := broker.Monitor(); l.item != "" && m != nil {
		return l.ask(m, opGrant)
	}

	fd, err := sys.Open(l.path, sys.O_PATH|sys.O_NOFOLLOW|sys.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket %s: %w", l.path, err)
	}
	defer sys.Close(fd)
	var st sys.Stat_t
	if err := sys.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat socket %s: %w", l.path, err)
	}
	if l.ino == 0 && st.Mode&sys.S_IFMT == sys.S_IFSOCK {
		l.dev, l.ino = st.Dev, st.Ino
	}
	if !l.is(&st) {
		return fmt.Errorf("socket %s: %w", l.path, errReplaced)
	}

	uid, gid, flaw := owner(cfg)
	if int(st.Uid) != uid || int(st.Gid) != gid {
		if err := sys.Fchownat(fd, "", uid, gid, sys.AT_EMPTY_PATH); err != nil {
			flaw = errors.Join(flaw, fmt.Errorf("give socket %s to %s:%s: %w", l.path, cfg.Owner, cfg.Group, err))
		}
	}
	if st.Mode&0o7777 != cfg.Mode {
		// fchmod(2) does not take an O_PATH descriptor, this way does.
		if err := sys.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), cfg.Mode); err != nil {
			flaw = errors.Join(flaw, fmt.Errorf("set mode %04o of socket %s: %w", cfg.Mode, l.path, err))
		}
	}
	return flaw
}

// is reports whether a file is that of the socket.
func (l *listener) is(st *sys.Stat_t) bool {
	return st.Dev == l.dev && st.Ino == l.ino && st.Mode&sys.S_IFMT == sys.S_IFSOCK
}

// check returns errReplaced when the path does not lead to the socket.
func (l *listener) check() error {
	if m := broker.Monitor(); l.item != "" && m != nil {
		return l.ask(m, opCheck)
	}
	var st sys.Stat_t
	err := sys.Lstat(l.path, &st)
	switch {
	case err == sys.ENOENT || err == sys.ENOTDIR || (err == nil && !l.is(&st)):
		return fmt.Errorf("socket %s: %w", l.path, errReplaced)
	case err != nil:
		return fmt.Errorf("look at socket %s: %w", l.path, err)
	}
	return nil
}

// remove removes the socket's file where it is still this socket's.
func (l *listener) remove() error {
	if m := broker.Monitor(); l.item != "" && m != nil {
		return l.ask(m, opRemove)
	}
	if l.check() != nil {
		return nil
	}
	if err := sys.Unlink(l.path); err != nil && err != sys.ENOENT {
		return fmt.Errorf("remove socket %s: %w", l.path, err)
	}
	return nil
}

// close ends the socket and with it the goroutine that accepts.
func (l *listener) close() {
	close(l.closed)
	l.file.Close()
}

// owner returns the ids of the configured owner and group. A name that does not
// exist gives 0 and an error.
func owner(cfg *Config) (uid, gid int, err error) {
	u, uerr := config.FindUser(cfg.Owner)
	if uerr != nil {
		uerr = fmt.Errorf("owner %q of socket %s: %w: root owns it until the user exists", cfg.Owner, cfg.Path, uerr)
	}
	g, gerr := config.FindGroup(cfg.Group)
	if gerr != nil {
		gerr = fmt.Errorf("group %q of socket %s: %w: it has group root until the group exists: groupadd --system %s",
			cfg.Group, cfg.Path, gerr, cfg.Group)
	}
	return int(u), int(g), errors.Join(uerr, gerr)
}
