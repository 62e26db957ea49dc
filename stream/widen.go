package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
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
	peer, err := peerInode(fd)
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

// Attributes of linux/unix_diag.h.
const (
	diagByFamily   = 20 // SOCK_DIAG_BY_FAMILY
	diagShowPeer   = 4  // UDIAG_SHOW_PEER
	diagPeer       = 2  // UNIX_DIAG_PEER
	diagRequestLen = unix.SizeofNlMsghdr + 24
	diagMessageLen = 16 // struct unix_diag_msg
)

// peerInode asks the kernel for the inode of a unix socket's other end
// (sock_diag(7)).
func peerInode(fd int) (uint32, error) {
	ino, err := inode(fd)
	if err != nil {
		return 0, err
	}
	nl, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(nl)
	unix.SetsockoptTimeval(nl, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	le := binary.NativeEndian
	req := le.AppendUint32(nil, diagRequestLen)
	req = le.AppendUint16(req, diagByFamily)
	req = le.AppendUint16(req, unix.NLM_F_REQUEST)
	req = append(req, make([]byte, 8)...) // sequence, port
	req = append(req, unix.AF_UNIX, 0, 0, 0)
	for _, v := range []uint32{1<<32 - 1 /* all states */, ino, diagShowPeer, 1<<32 - 1, 1<<32 - 1 /* no cookie */} {
		req = le.AppendUint32(req, v)
	}
	if err := unix.Sendto(nl, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(nl, buf, 0)
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	return parsePeer(buf[:n])
}

// parsePeer reads the answer: nlmsghdr, unix_diag_msg, attributes.
func parsePeer(b []byte) (uint32, error) {
	le := binary.NativeEndian
	if len(b) < unix.SizeofNlMsghdr+4 {
		return 0, errors.New("sock_diag: short answer")
	}
	if le.Uint16(b[4:]) == unix.NLMSG_ERROR {
		return 0, fmt.Errorf("sock_diag: %w", unix.Errno(-int32(le.Uint32(b[unix.SizeofNlMsghdr:]))))
	}
	for b = b[min(len(b), unix.SizeofNlMsghdr+diagMessageLen):]; len(b) >= 4; {
		size := int(le.Uint16(b))
		if size < 4 || size > len(b) {
			break
		}
		if le.Uint16(b[2:]) == diagPeer && size >= 8 {
			return le.Uint32(b[4:]), nil
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return 0, errors.New("sock_diag: the socket has no peer")
}
