package syslog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vector is how many messages one sendmmsg(2) is given, waiting how many one that
// waits for room. The call does not give its processor back to the Go scheduler (see
// sendVector), so it is kept to some 50 µs; one that waits, to what 16 messages take
// the receiver, or waitLimit.
const (
	vector    = 64
	waiting   = 16
	waitLimit = 1000 // µs, which the kernel rounds up to a tick
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr  unix.Msghdr
	sent uint32
}

// datagrams sends to a connected AF_UNIX or UDP datagram socket. The socket is
// unknown to Go's poller: that would be woken each time the receiver takes a message.
type datagrams struct {
	fd     int
	udp    bool
	pace   pace
	choice choice
	msgs   [vector]mmsghdr
	iovs   [vector]unix.Iovec
	junk   [512]byte
}

// newDatagrams takes over the socket of c, which it closes.
func newDatagrams(c net.Conn, udp bool) (*datagrams, error) {
	fd, err := detach(c)
	if err != nil {
		return nil, err
	}
	if udp {
		// So ICMP errors are not lost when a later message of the same call
		// has swallowed them (ip(7), IP_RECVERR). One of the two fails.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	} else if err := waitInKernel(fd); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}

	d := &datagrams{fd: fd, udp: udp, pace: pace{fd: fd}}
	for i := range d.msgs {
		d.msgs[i].hdr.Iov = &d.iovs[i]
		d.msgs[i].hdr.SetIovlen(1)
	}
	return d, nil
}

// waitInKernel has a send that may wait for room on fd do so, up to waitLimit.
func waitInKernel(fd int) error {
	limit := unix.Timeval{Usec: waitLimit}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return fmt.Errorf("limit the time a message waits for room: %w", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return fmt.Errorf("make the socket blocking: %w", err)
	}
	return nil
}

// send implements conn. A UDP socket sheds what has no room, so there is nothing to choose.
func (d *datagrams) send(ctx context.Context, c *chunk) (n int, err error) {
	if d.udp || len(c.marks) < waiting {
		return d.sendAll(ctx, c, byNap)
	}

	// The thread's own CPU time is what is compared, so the work has to stay on it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	n, err = d.sendAll(ctx, c, d.choice.way)
	d.choice.learn(n, threadTime()-before)
	return n, err
}

// sendAll sends the messages of c; how is the way to wait for room.
func (d *datagrams) sendAll(ctx context.Context, c *chunk, how way) (n int, err error) {
	d.pace.progress()
	for n < len(c.marks) {
		want := d.load(c, n, how)
		k, errno := d.sendVector(want, how)
		n += k
		switch {
		case errno == 0 && k == want:
			d.pace.progress()
			continue
		case errno == unix.EINTR:
			continue
		case errno == 0, errno == unix.EAGAIN, errno == unix.ENOBUFS:
			// No room for the next one, or an error that the next call returns.
		default:
			return n, errno
		}
		if err := d.pace.wait(ctx, k, how); err != nil {
			return n, err
		}
	}
	return n, d.idle()
}

// load points the vector at the messages from n on that one call is given.
func (d *datagrams) load(c *chunk, n int, how way) int {
	start, most := c.begin(n), vector
	if how == inSend {
		most = waiting
	}
	marks := c.marks[n:min(n+most, len(c.marks))]
	for i := range marks {
		d.iovs[i].Base = &c.buf[start]
		d.iovs[i].SetLen(marks[i].end - start)
		start = marks[i].end
	}
	return len(marks)
}

// sendVector makes one sendmmsg(2), raw: an ordinary one has Go's monitor take the
// processor away after 20 µs and give it back, which costs more than sending. A call
// that waits for room ends early when the runtime wants the thread: it sends a signal.
func (d *datagrams) sendVector(want int, how way) (int, unix.Errno) {
	flags := uintptr(unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT)
	if how == inSend {
		if mayHold() {
			flags = unix.MSG_NOSIGNAL
		}
		defer letGo()
	}

	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(d.fd), uintptr(unsafe.Pointer(&d.msgs[0])),
		uintptr(want), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// probe sends a datagram without a byte, which is no message: if no process listens ICMP says so, and
// idle finds that. What else keeps it from being sent idle or the next message finds, too.
func (d *datagrams) probe() { _ = unix.Send(d.fd, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) }

// idle implements conn: it returns what ICMP has said since. An AF_UNIX socket
// says nothing before it is used.
func (d *datagrams) idle() (err error) {
	if !d.udp {
		return nil
	}
	for range 16 { // an error for each message at most; more stay for the next time
		_, n, _, _, rerr := unix.Recvmsg(d.fd, d.junk[:0], d.junk[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if rerr != nil {
			break
		}
		// A message too long: sendmmsg says so itself, and what is too long for a
		// part of the way the kernel cuts from the next one on.
		if e := queuedError(d.junk[:n]); e != unix.EMSGSIZE {
			err = e
		}
	}
	return err
}

// queuedError returns the error that came with control data from the error
// queue of a socket (ip(7), IP_RECVERR).
func queuedError(control []byte) error {
	msgs, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if (v4 || v6) && len(m.Data) >= 4 {
			return unix.Errno(binary.NativeEndian.Uint32(m.Data)) // ee_errno of struct sock_extended_err
		}
	}
	return unix.ECONNREFUSED // by far the most frequent
}

func (d *datagrams) close(bool) error { return unix.Close(d.fd) }
