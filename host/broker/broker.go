// Package broker is how the relay's worker, which parses records and has no rights, has its monitor do what
// takes root's: open a file, bind a socket, start a program, ask the kernel.
//
// A request is one message on a socket between the two, and so is its answer, in which descriptors may come.
// It names an item of the configuration ("sinks.NAME", "control", ...) and what is to be done with it; which
// file or program that is the monitor knows from the configuration that it has read itself. In a process
// without a monitor Monitor returns nil, and whoever asks does the same on its own.
package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Bounds of a message: no request or answer has as much. A worker that sends more is ended.
const (
	maxMessage = 64 << 10
	maxFDs     = 2
)

// monitor is the one of this process, nil where it has none.
var monitor atomic.Pointer[Client]

// Monitor returns the monitor of this process, nil where it has none: then the process does everything itself. It may
// be called from any goroutine.
func Monitor() *Client { return monitor.Load() }

// Privileged reports whether this process acts for root: it is root's, or its monitor is.
func Privileged() bool { return os.Geteuid() == 0 || Monitor() != nil }

// Pid returns the process that auditd has started, and to which signals are sent: this one, or its monitor.
func Pid() int {
	if Monitor() != nil {
		return os.Getppid()
	}
	return os.Getpid()
}

// message is a request, an answer or, with the id 0, a notice of the monitor.
type message struct {
	ID    uint64          `json:"id"`
	Item  string          `json:"item,omitempty"`
	Op    string          `json:"op,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"` // arguments, or the result
	Errno int             `json:"errno,omitempty"`
	Error string          `json:"error,omitempty"`
}

// Error is why the monitor has not done what it was asked for. It unwraps to the errno of the system, where that has
// refused it.
type Error struct {
	Text  string
	Errno syscall.Errno
}

func (e *Error) Error() string { return e.Text }

func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// fail puts err into an answer.
func (m *message) fail(err error) {
	m.Error = err.Error()
	if len(m.Error) > maxMessage/8 {
		m.Error = m.Error[:maxMessage/8]
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		m.Errno = int(errno)
	}
}

// err is what fail was given, as far as it has crossed the socket.
func (m *message) err() error {
	errno := syscall.Errno(m.Errno)
	switch {
	case m.Error == "" && m.Errno == 0:
		return nil
	case m.Errno > 0 && m.Error == errno.Error():
		return errno
	}
	return &Error{m.Error, errno}
}

// errMessage: the other end would not send such a message.
var errMessage = errors.New("no message of a relay")

// parse reads a message. It may come from a process that was taken over: nothing in it is trusted.
func parse(text []byte) (*message, error) {
	m := new(message)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	return m, nil
}

// descriptors returns those that came with a message, which the caller owns.
func descriptors(oob []byte) (fds []int, err error) {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	for i := range list {
		if list[i].Header.Level != unix.SOL_SOCKET || list[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		got, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("%w: %w", errMessage, err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// oobSize is the room for the descriptors of a message. The kernel closes what does not fit.
var oobSize = unix.CmsgSpace(4 * maxFDs)

// SocketPair returns the two ends of the connection between a monitor and its worker, which the caller owns.
func SocketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "monitor"), nil
}
