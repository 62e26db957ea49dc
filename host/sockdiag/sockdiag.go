// Package sockdiag asks the kernel about AF_UNIX sockets of any process (sock_diag(7)).
package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Of linux/sock_diag.h and linux/unix_diag.h.
const (
	byFamily   = 20 // SOCK_DIAG_BY_FAMILY
	showName   = 1  // UDIAG_SHOW_NAME
	showVFS    = 2  // UDIAG_SHOW_VFS
	showPeer   = 4  // UDIAG_SHOW_PEER
	attrName   = 0  // UNIX_DIAG_NAME: the address, without a NUL at its end
	attrVFS    = 1  // UNIX_DIAG_VFS: inode and device of the file
	attrPeer   = 2  // UNIX_DIAG_PEER: inode of the other end
	requestLen = unix.SizeofNlMsghdr + 24
	messageLen = 16 // struct unix_diag_msg
	anyCookie  = 1<<32 - 1
	allStates  = 1<<32 - 1
	listening  = 1 << 10 // of TCP_LISTEN, whose number these sockets have, too
)

// errNoPeer is what a socket has that is not connected.
var errNoPeer = errors.New("sock_diag: the socket has no peer")

// Peer returns the inode of the other end of the socket with this inode.
func Peer(inode uint32) (peer uint32, err error) {
	found := false
	err = ask(unix.NLM_F_REQUEST, query{allStates, inode, showPeer, anyCookie}, func(_ uint32, attr uint16, value []byte) bool {
		if found = attr == attrPeer && len(value) >= 4; found {
			peer = binary.NativeEndian.Uint32(value)
		}
		return found
	})
	if err == nil && !found {
		err = errNoPeer
	}
	return peer, err
}

// Bound reports whether a socket of any process is bound to the file at path. One that
// does not listen yet answers a connect like a file that no process has.
func Bound(path string) (bound bool, err error) {
	sockets, err := BoundTo(path)
	return len(sockets) > 0, err
}

// BoundTo returns the inodes of the sockets that are bound to the file at path, which is no symbolic
// link. A stream socket that listens has one.
func BoundTo(path string) (sockets []uint32, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, err
	}
	dev := unix.Major(st.Dev)<<20 | unix.Minor(st.Dev) // as the kernel has it inside
	err = ask(unix.NLM_F_REQUEST|unix.NLM_F_DUMP, query{states: allStates, show: showVFS}, func(inode uint32, attr uint16, value []byte) bool {
		order := binary.NativeEndian
		if attr == attrVFS && len(value) >= 8 && order.Uint32(value) == uint32(st.Ino) && order.Uint32(value[4:]) == dev {
			sockets = append(sockets, inode)
		}
		return false
	})
	return sockets, err
}

// Listening returns the names of the sockets that listen in this network namespace, by their
// inodes. A name is the path that its process bound it to, which may be relative and hold any
// byte; abstract names, which begin with a NUL, are left out.
func Listening() (map[uint32]string, error) {
	names := make(map[uint32]string)
	err := ask(unix.NLM_F_REQUEST|unix.NLM_F_DUMP, query{states: listening, show: showName}, func(inode uint32, attr uint16, value []byte) bool {
		if attr == attrName && len(value) > 0 && value[0] != 0 {
			path, _, _ := strings.Cut(string(value), "\x00")
			names[inode] = path
		}
		return false
	})
	return names, err
}

// query is which sockets are asked for, and what of them.
type query struct{ states, inode, show, cookie uint32 }

// ask sends a request and gives each attribute of the answer, with the inode of its socket,
// to found, until that returns true.
func ask(flags uint16, q query, found func(inode uint32, attr uint16, value []byte) bool) error {
	nl, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(nl)
	_ = unix.SetsockoptTimeval(nl, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	order := binary.NativeEndian
	request := order.AppendUint32(nil, requestLen)
	request = order.AppendUint16(request, byFamily)
	request = order.AppendUint16(request, flags)
	request = append(request, make([]byte, 8)...) // sequence, port
	request = append(request, unix.AF_UNIX, 0, 0, 0)
	for _, v := range []uint32{q.states, q.inode, q.show, q.cookie, q.cookie} {
		request = order.AppendUint32(request, v)
	}
	if err := unix.Sendto(nl, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}

	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(nl, buf, 0)
		if err != nil {
			return fmt.Errorf("sock_diag: %w", err)
		}
		end, err := parse(buf[:n], found)
		if end || err != nil || flags&unix.NLM_F_DUMP == 0 {
			return err
		}
	}
}

// parse reads messages of an answer: each nlmsghdr, unix_diag_msg, attributes. end says
// that no more are to come, or that found has what it looked for.
func parse(b []byte, found func(inode uint32, attr uint16, value []byte) bool) (end bool, err error) {
	order := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(order.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return true, errors.New("sock_diag: broken answer")
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch order.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return true, errors.New("sock_diag: broken answer")
			}
			return true, fmt.Errorf("sock_diag: %w", unix.Errno(-int32(order.Uint32(body))))
		}
		if len(body) < messageLen {
			return true, errors.New("sock_diag: broken answer")
		}

		inode := order.Uint32(body[4:]) // udiag_ino
		for attrs := body[messageLen:]; len(attrs) >= 4; {
			n := int(order.Uint16(attrs))
			if n < 4 || n > len(attrs) {
				break
			}
			if found(inode, order.Uint16(attrs[2:]), attrs[4:n]) {
				return true, nil
			}
			attrs = attrs[min(len(attrs), (n+3)&^3):]
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, nil
}
