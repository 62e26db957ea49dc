package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/sinks/remote"
)

// writeTimeout is how long a receiver may take nothing before its connection
// is given up. TCP_USER_TIMEOUT is the same: no acknowledgement for so long and
// the peer is dead.
const writeTimeout = 30 * time.Second

const (
	// lingerTime is how long the orderly end of a connection may
	// take: the whole plugin has to be gone within a second.
	lingerTime = 200 * time.Millisecond
	// answerTime is how long package tls may take to answer what it reads, a KeyUpdate for one: who
	// reads does not look whether the sink is to end.
	answerTime = 100 * time.Millisecond
	// recordTime is how long the rest of a TLS record may take whose beginning
	// is there already, when nothing waits for it.
	recordTime = 10 * time.Millisecond
)

var (
	errPeerClosed = remote.ErrClosed
	errCutOff     = remote.ErrCutOff
)

// rawConner is what the connections of package net have besides net.Conn.
type rawConner interface {
	SyscallConn() (syscall.RawConn, error)
}

// link is a connected stream socket, in clear or with TLS. It belongs to one goroutine and has none of its own: it
// reads what the peer says when there is time for that.
type link struct {
	net.Conn // the socket
	raw      syscall.RawConn
	tls      *tls.Conn // nil: in clear
	asked    bool      // the server wanted a client certificate
	admitted bool      // what the server sent after the client certificate shows that it was accepted
	timeout  time.Duration
	ctx      context.Context // of the write at work: package tls has no way to pass it on
	heard    int64           // bytes the peer has sent
	wrote    int64           // bytes the kernel has taken
	over     bool            // the peer will send no more (the end of the socket, not of TLS)
	torn     bool            // a write failed: the connection can no longer be ended in order
	junk     [4096]byte
}

func newLink(c net.Conn, timeout time.Duration) (*link, error) {
	raw, err := c.(rawConner).SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	return &link{Conn: c, raw: raw, timeout: timeout, ctx: context.Background()}, nil
}

// write writes all of buf. It ends when ctx does or when the receiver takes
// nothing for the timeout, and returns how much the kernel has taken; with TLS,
// how much of buf is in whole TLS records that it has.
func (l *link) write(ctx context.Context, buf []byte) (n int, err error) {
	stop := context.AfterFunc(ctx, func() { l.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	l.ctx = ctx
	defer func() { l.ctx = context.Background() }() // package tls may answer what it reads
	if l.tls != nil {
		n, err = l.tls.Write(buf)
	} else {
		n, err = l.Write(buf)
	}
	l.torn = l.torn || err != nil
	return n, err
}

// Write writes to the socket, for package tls too. A receiver that is slow is
// waited for as long as it takes anything.
func (l *link) Write(buf []byte) (n int, err error) {
	for n < len(buf) {
		if err := l.SetWriteDeadline(time.Now().Add(l.timeout)); err != nil {
			return n, err
		}
		if err := l.ctx.Err(); err != nil { // it may have ended before the line above
			return n, err
		}
		k, err := l.Conn.Write(buf[n:])
		n += k
		l.wrote += int64(k)
		if err != nil && (k == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return n, err
		}
	}
	return n, nil
}

// Read reads from the socket, for package tls too.
func (l *link) Read(buf []byte) (int, error) {
	n, err := l.Conn.Read(buf)
	l.heard += int64(n)
	l.over = l.over || err == io.EOF
	return n, err
}

// read waits for what the peer says, not longer than d or ctx. The error is
// os.ErrDeadlineExceeded when it has said nothing, or ctx's.
func (l *link) read(ctx context.Context, buf []byte, d time.Duration) (n int, err error) {
	stop := context.AfterFunc(ctx, func() { l.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := l.SetReadDeadline(time.Now().Add(d)); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}

	if l.tls != nil {
		whole := l.timeout
		l.timeout = min(whole, answerTime)
		n, err = l.tls.Read(buf)
		l.timeout = whole
	} else {
		n, err = l.Read(buf)
	}

	switch {
	case n > 0 || err == nil:
		return n, nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF) && l.tls != nil && l.over:
		return 0, errCutOff // package tls takes an end between two records for close_notify
	case errors.Is(err, io.EOF):
		return 0, errPeerClosed
	case ctx.Err() != nil:
		return 0, ctx.Err()
	}
	return 0, err
}

// said reads into buf what the peer has said already, without waiting for more:
// 0 and no error when there is nothing.
func (l *link) said(buf []byte) (int, error) {
	var err error
	// Not raw.Read, which observes the deadline of an earlier read.
	if cerr := l.raw.Control(func(fd uintptr) {
		var b [1]byte
		for {
			if _, _, err = unix.Recvfrom(int(fd), b[:], unix.MSG_DONTWAIT|unix.MSG_PEEK); err != unix.EINTR {
				return
			}
		}
	}); cerr != nil {
		return 0, cerr
	}

	switch err {
	case nil: // bytes, or its end
	case unix.EAGAIN:
		return 0, nil
	default:
		return 0, err
	}

	n, err := l.read(context.Background(), buf, recordTime)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil // no application data, or not whole yet
	}
	return n, err
}

// hurry has the kernel acknowledge at once what the peer sends. A RELP server
// writes each answer by itself, and its kernel keeps back the next small one until
// the one before is acknowledged (Nagle): 40 ms each time, unless we hurry. The
// option does not last (tcp(7), TCP_QUICKACK).
func (l *link) hurry() {
	_ = l.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
}

// drain reads away what the peer has said, keeps the beginning of it in answer, and
// notices its end.
func (l *link) drain(answer []byte) ([]byte, error) {
	for range 16 { // a peer that talks faster is read on next time
		n, err := l.said(l.junk[:])
		answer = append(answer, l.junk[:min(n, maxAnswerKept-len(answer))]...)
		if n == 0 || err != nil {
			return answer, err
		}
	}
	return answer, nil
}

// outstanding returns how many of the bytes written the peer's kernel has not
// acknowledged (tcp(7), SIOCOUTQ), also when the connection has ended. With TLS
// they are encrypted, and so a few more than what they carry.
func (l *link) outstanding() (n int) {
	// Of an error n is 0.
	_ = l.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n
}

// window returns how many bytes more the peer would take at present, 0 where
// the kernel does not say (tcpi_snd_wnd, since Linux 5.4).
func (l *link) window() (n int) {
	_ = l.raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Snd_wnd)
		}
	})
	return n
}

// leave ends the connection in an orderly way and waits a moment for the peer to do the
// same: a socket that is closed with something unread makes the kernel throw
// away what it has not sent. What the kernel has taken it continues to send.
func (l *link) leave() {
	defer l.Close()
	if l.torn {
		return
	}
	l.timeout = lingerTime
	if l.tls != nil && l.tls.CloseWrite() != nil { // close_notify
		return
	}
	if c, ok := l.Conn.(interface{ CloseWrite() error }); !ok || c.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(lingerTime)
	for left := lingerTime; left > 0; left = time.Until(end) {
		if _, err := l.read(context.Background(), l.junk[:], left); err != nil {
			return
		}
	}
}
