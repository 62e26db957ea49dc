package stream

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"audisp-relay/host/sockdiag"
)

// Widen enlarges the buffer between auditd and the plugin to size bytes. auditd
// makes the socket pair with the system's default, room for some 167 records,
// and all of it is charged to its own end (unix(7), SO_SNDBUF): so that end is
// borrowed from it for one setsockopt. fd is the plugin's end, parent the process that
// holds the other. It returns the size in force, as the kernel counts it.
//
// It needs CAP_SYS_PTRACE (pidfd_getfd(2)), CAP_NET_ADMIN (SO_SNDBUFFORCE) and
// Linux 5.6; a security policy may refuse it too. Nothing is changed then.
func Widen(fd, parent, size int) (int, error) {
	own, err := inode(fd)
	if err != nil {
		return 0, err
	}
	peer, err := sockdiag.Peer(own)
	if err != nil {
		return 0, err
	}
	theirs, err := findSocket(parent, peer)
	if err != nil {
		return 0, err
	}

	pidfd, err := unix.PidfdOpen(parent, 0)
	if err != nil {
		return 0, fmt.Errorf("pidfd_open of pid %d: %w", parent, err)
	}
	defer unix.Close(pidfd)
	end, err := unix.PidfdGetfd(pidfd, theirs, 0)
	if err != nil {
		return 0, fmt.Errorf("pidfd_getfd of pid %d: %w (needs CAP_SYS_PTRACE)", parent, err)
	}
	defer unix.Close(end)
	// It may have been closed and its number given to another file meanwhile.
	if ino, err := inode(end); err != nil || ino != peer {
		return 0, errors.New("auditd's end of the socket changed under way")
	}

	now, err := unix.GetsockoptInt(end, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil || now >= size {
		return now, err
	}
	// The kernel doubles what it is given, for its bookkeeping (socket(7)).
	if err := unix.SetsockoptInt(end, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size/2); err != nil {
		return now, fmt.Errorf("SO_SNDBUFFORCE: %w (needs CAP_NET_ADMIN)", err)
	}
	return unix.GetsockoptInt(end, unix.SOL_SOCKET, unix.SO_SNDBUF)
}

func inode(fd int) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return 0, errors.New("not a socket")
	}
	return uint32(st.Ino), nil
}

// findSocket returns the descriptor under which a process holds a socket.
func findSocket(pid int, ino uint32) (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	want := fmt.Sprintf("socket:[%d]", ino)
	for _, e := range entries {
		if to, err := os.Readlink(dir + "/" + e.Name()); err == nil && strings.EqualFold(to, want) {
			return strconv.Atoi(e.Name())
		}
	}
	return 0, fmt.Errorf("the other end of the socket is not in %s", dir)
}
