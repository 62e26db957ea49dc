package unix

import (
	"encoding/binary"
	"fmt"

	sys "golang.org/x/sys/unix"
)

// Of linux/sock_diag.h and linux/unix_diag.h.
const (
	diagByFamily   = 20 // SOCK_DIAG_BY_FAMILY
	diagShowVFS    = 2  // UDIAG_SHOW_VFS
	diagVFS        = 1  // UNIX_DIAG_VFS: inode and device of the file
	diagRequestLen = sys.SizeofNlMsghdr + 24
	diagMessageLen = 16 // struct unix_diag_msg
)

// isBound reports whether a socket of any process is bound to the file at path
// (sock_diag(7)). One that does not listen yet answers a connect as a file does
// that nobody has.
func isBound(path string) (bool, error) {
	var st sys.Stat_t
	if err := sys.Lstat(path, &st); err != nil {
		return false, err
	}
	nl, err := sys.Socket(sys.AF_NETLINK, sys.SOCK_RAW|sys.SOCK_CLOEXEC, sys.NETLINK_SOCK_DIAG)
	if err != nil {
		return false, fmt.Errorf("sock_diag: %w", err)
	}
	defer sys.Close(nl)
	sys.SetsockoptTimeval(nl, sys.SOL_SOCKET, sys.SO_RCVTIMEO, &sys.Timeval{Sec: 1})

	order := binary.NativeEndian
	request := order.AppendUint32(nil, diagRequestLen)
	request = order.AppendUint16(request, diagByFamily)
	request = order.AppendUint16(request, sys.NLM_F_REQUEST|sys.NLM_F_DUMP)
	request = append(request, make([]byte, 8)...) // sequence, port
	request = append(request, sys.AF_UNIX, 0, 0, 0)
	for _, v := range []uint32{1<<32 - 1 /* all states */, 0, diagShowVFS, 0, 0 /* no cookie */} {
		request = order.AppendUint32(request, v)
	}
	if err := sys.Sendto(nl, request, 0, &sys.SockaddrNetlink{Family: sys.AF_NETLINK}); err != nil {
		return false, fmt.Errorf("sock_diag: %w", err)
	}
	dev := sys.Major(st.Dev)<<20 | sys.Minor(st.Dev) // as the kernel has it inside
	buf := make([]byte, 64<<10)
	for {
		n, _, err := sys.Recvfrom(nl, buf, 0)
		if err != nil {
			return false, fmt.Errorf("sock_diag: %w", err)
		}
		if found, end := hasFile(buf[:n], uint32(st.Ino), dev); found || end {
			return found, nil
		}
	}
}

// hasFile looks for a socket of that file among the messages of an answer; end says
// that these were the last.
func hasFile(b []byte, ino, dev uint32) (found, end bool) {
	order := binary.NativeEndian
	for len(b) >= sys.SizeofNlMsghdr {
		size := int(order.Uint32(b))
		if size < sys.SizeofNlMsghdr || size > len(b) {
			return false, true
		}
		if typ := order.Uint16(b[4:]); typ == sys.NLMSG_DONE || typ == sys.NLMSG_ERROR {
			return false, true
		}
		attrs := b[min(size, sys.SizeofNlMsghdr+diagMessageLen):size]
		for len(attrs) >= 4 {
			n := int(order.Uint16(attrs))
			if n < 4 || n > len(attrs) {
				break
			}
			if order.Uint16(attrs[2:]) == diagVFS && n >= 12 && order.Uint32(attrs[4:]) == ino && order.Uint32(attrs[8:]) == dev {
				return true, false
			}
			attrs = attrs[min(len(attrs), (n+3)&^3):]
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, false
}
