package canary

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watcher looks whether the canary has come to one place. It belongs to one goroutine.
type watcher interface {
	// look reads what is there, without waiting, and reports whether the canary was in it.
	look() (bool, error)
	close()
}

// matcher finds the canary in what comes piece by piece.
type matcher struct {
	id   []byte
	rest []byte // the last bytes read
	line string // that the canary was found in
}

// maxLine is how much of a line is kept: more than a record has.
const maxLine = 16 << 10

// add looks at more bytes.
func (m *matcher) add(p []byte) bool {
	m.rest = append(m.rest, p...)
	at := bytes.Index(m.rest, m.id)
	if at < 0 {
		if over := len(m.rest) - maxLine; over > 0 {
			m.rest = append(m.rest[:0], m.rest[over:]...)
		}
		return false
	}
	begin := bytes.LastIndexByte(m.rest[:at], '\n') + 1
	line, _, _ := bytes.Cut(m.rest[begin:], []byte{'\n'})
	m.line = string(line)
	return true
}

// maxRead bounds what one look reads, so that a flood at one place does not hold up the others.
const maxRead = 1 << 20

// follower is the watcher of a file that is appended to, and may be rotated or truncated.
type follower struct {
	matcher
	path string
	f    *os.File // nil: there is none yet
	at   int64
}

// follow begins at the end of the file.
func follow(path, id string) (*follower, error) {
	w := &follower{matcher: matcher{id: []byte(id)}, path: path}
	err := w.open()
	if err == nil && w.f != nil {
		w.at, err = w.f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

var errNotRegular = errors.New("it is no regular file")

// open opens what is at the path; that there is nothing is no error.
func (w *follower) open() error {
	f, err := os.OpenFile(w.path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}

	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return err
	}
	w.f, w.at = f, 0
	return nil
}

func (w *follower) look() (bool, error) {
	if w.f == nil {
		if err := w.open(); err != nil || w.f == nil {
			return false, err
		}
	}
	found, err := w.read()
	if found || err != nil {
		return found, err
	}

	if w.replaced() { // what was written before that was read
		if found, err = w.read(); found || err != nil {
			return found, err
		}
		w.close()
	}
	return false, nil
}

// read reads on, from the beginning where the file was truncated.
func (w *follower) read() (bool, error) {
	info, err := w.f.Stat()
	if err != nil {
		return false, err
	}
	if info.Size() < w.at {
		w.at = 0
	}

	buf := make([]byte, min(info.Size()-w.at, maxRead))
	n, err := w.f.ReadAt(buf, w.at)
	w.at += int64(n)
	if err == io.EOF {
		err = nil
	}
	return w.add(buf[:n]), err
}

// replaced reports whether the path leads to another file.
func (w *follower) replaced() bool {
	now, err := os.Stat(w.path)
	if err != nil {
		return false // in the middle of a rotation
	}
	own, err := w.f.Stat()
	return err == nil && !os.SameFile(now, own)
}

func (w *follower) close() {
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
}

// client is the watcher of a socket that the relay listens on.
type client struct {
	matcher
	conn net.Conn
	buf  []byte
}

// connect makes a client of the socket.
func connect(path, id string) (*client, error) {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return nil, err
	}
	return &client{matcher{id: []byte(id)}, conn, make([]byte, 64<<10)}, nil
}

// readTime is how long a look waits for bytes: a deadline that has passed would read none.
const readTime = time.Millisecond

func (c *client) look() (bool, error) {
	for range maxRead / len(c.buf) {
		if err := c.conn.SetReadDeadline(time.Now().Add(readTime)); err != nil {
			return false, err
		}
		n, err := c.conn.Read(c.buf)
		switch {
		case c.add(c.buf[:n]):
			return true, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false, nil
		case err != nil:
			return false, err
		}
	}
	return false, nil
}

func (c *client) close() { c.conn.Close() }
