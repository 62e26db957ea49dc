package syslog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// clientFrame is a frame as a server of the test's own reads it.
type clientFrame struct {
	txnr    int
	command string
	data    []byte
}

func readClientFrame(r *bufio.Reader) (f clientFrame, err error) {
	field := func() string {
		var s string
		if err == nil {
			s, err = r.ReadString(' ')
		}
		return strings.TrimSuffix(s, " ")
	}
	number, command := field(), field()
	if err != nil {
		return f, err
	}
	var size []byte
	for {
		c, err := r.ReadByte()
		if err != nil {
			return f, err
		}
		if c == ' ' || c == '\n' {
			if f.txnr, err = strconv.Atoi(number); err != nil {
				return f, err
			}
			f.command = command
			n, err := strconv.Atoi(string(size))
			if err != nil || (c == '\n') != (n == 0) {
				return f, fmt.Errorf("length %q, then %q: %v", size, c, err)
			}
			if n == 0 {
				return f, nil
			}
			f.data = make([]byte, n+1)
			if _, err := io.ReadFull(r, f.data); err != nil {
				return f, err
			}
			if f.data[n] != '\n' {
				return f, errors.New("no newline ends the frame")
			}
			f.data = f.data[:n]
			return f, nil
		}
		size = append(size, c)
	}
}

const openAnswer = "200 OK\nrelp_version=0\nrelp_software=test\ncommands=syslog"

func answer(txnr int, data string) []byte {
	if data == "" {
		return fmt.Appendf(nil, "%d rsp 0\n", txnr)
	}
	return fmt.Appendf(nil, "%d rsp %d %s\n", txnr, len(data), data)
}

// readRELP serves one session.
func (s *server) readRELP(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		s.pass()
		f, err := readClientFrame(r)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, unix.ECONNRESET) {
				s.t.Errorf("RELP session: %v", err)
			}
			return
		}
		switch f.command {
		case "open":
			if want := "relp_version=0\nrelp_software=audisp-relay\ncommands=syslog"; string(f.data) != want || f.txnr != 1 {
				s.t.Errorf("opened by %d %q, want 1 %q", f.txnr, f.data, want)
			}
			c.Write(answer(f.txnr, openAnswer))
		case "syslog":
			s.take(f.data)
			c.Write(answer(f.txnr, "200 OK"))
		case "close":
			c.Write(append(answer(f.txnr, ""), "0 serverclose 0\n"...))
			return
		default:
			s.t.Errorf("command %q", f.command)
			return
		}
	}
}

// session returns a relpConn and the other end of its socket.
func session(t testing.TB) (*relpConn, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "")
		if ends[i], err = net.FileConn(file); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	l, err := newLink(ends[0], hang)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ends[0].Close()
		ends[1].Close()
	})
	return &relpConn{link: l}, ends[1]
}

// messages is a chunk of n short messages, each a record.
func messages(n int) *chunk {
	c := &chunk{recs: n}
	for i := range n {
		c.buf = fmt.Appendf(c.buf, "message %d", i)
		c.marks = append(c.marks, mark{len(c.buf), i + 1, piece{}})
	}
	return c
}

// opened is a session that was opened, and its server's reader.
func opened(t *testing.T) (*relpConn, net.Conn, *bufio.Reader) {
	t.Helper()
	r, peer := session(t)
	if _, err := peer.Write(answer(1, openAnswer)); err != nil {
		t.Fatal(err)
	}
	if err := r.open(context.Background(), hang); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(peer)
	if _, err := readClientFrame(in); err != nil {
		t.Fatal(err)
	}
	return r, peer, in
}
