package program

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxLine bounds what is kept of a line of a child's stderr, and shown of it.
const maxLine = 200

// lastLine reads what a child writes to its stderr and keeps the last line of it that is
// not empty. It is one goroutine.
type lastLine struct {
	pipe *os.File
	done chan struct{}

	mu        sync.Mutex // guards all below
	line, now []byte     // the last whole line, and the one that is being written
}

// newLastLine returns one, and what the child gets as stderr. That is a pipe with both ends
// held by the child, which does not block: so neither a relay that hangs nor one
// that was killed makes it wait or ends it by SIGPIPE.
func newLastLine() (*lastLine, *os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, nil, err
	}
	defer unix.Close(fds[1])

	// Its user may open it by its name, /dev/stderr, as loggers do: to that a pipe is a file with an owner, us. Who is not the child
	// does not get at it, as its descriptors are not his.
	_ = unix.Fchmod(fds[1], 0o622)
	theirs, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fds[0]), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fds[0])
		return nil, nil, err
	}
	file := os.NewFile(uintptr(theirs), "stderr")

	// Only now: of one that does not block before, package os makes one that does when it is
	// handed to a child.
	if err := unix.SetNonblock(theirs, true); err != nil {
		file.Close()
		unix.Close(fds[0])
		return nil, nil, err
	}

	l := &lastLine{pipe: os.NewFile(uintptr(fds[0]), "stderr of the program"), done: make(chan struct{})}
	go l.read()
	return l, file, nil
}

func (l *lastLine) read() {
	defer close(l.done)
	buf := make([]byte, 4<<10)
	for {
		n, err := l.pipe.Read(buf)
		l.take(buf[:n])
		if err != nil {
			return
		}
	}
}

// take goes through what was written.
func (l *lastLine) take(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range p {
		switch {
		case c == '\n' || c == '\r':
			if len(l.now) > 0 {
				l.line, l.now = append(l.line[:0], l.now...), l.now[:0]
			}
		case len(l.now) < maxLine && (c != ' ' || len(l.now) > 0):
			l.now = append(l.now, c)
		}
	}
}

// String is the last line so far, quoted, in printable ASCII; "" when there is none.
func (l *lastLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.now
	if len(line) == 0 {
		line = l.line
	}
	text := strings.TrimRight(string(line), " \t")
	if text == "" {
		return ""
	}
	quoted := strconv.QuoteToASCII(text)
	if len(quoted) > 2*maxLine { // all of it escaped
		quoted = quoted[:2*maxLine] + `..."`
	}
	return quoted
}

// close reads what is there already and ends the goroutine. Processes that the child has
// left may hold the pipe: they are not waited for.
func (l *lastLine) close() {
	_ = l.pipe.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	<-l.done
	l.pipe.Close()
}
