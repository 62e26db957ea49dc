package plugin

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stdin is the socket from auditd. The reader alone calls Await, Sleep and Read.
//
// It waits in the runtime's poller: a thread that waits in read(2) keeps the runtime's monitor thread awake,
// whose naps of 20 µs cost more than the records do at a hundred events a second. Straight in the poller the socket
// would wake a thread for every record, though the reader lets them gather. So it is in an epoll of its own, which is in
// the poller, and which it wakes once each time it is armed (EPOLLONESHOT).
//
// Its system calls are raw ones, which the runtime does not notice: none of them waits, and each that it does notice
// wakes the monitor thread again.
type stdin struct {
	fd    int
	timer int // ends Sleep, to the microsecond; the poller's own timers count milliseconds

	epoll  int      // has fd and timer
	poller *os.File // owns epoll; its Fd would make that blocking
	waits  syscall.RawConn
	ready  func(epoll uintptr) bool // whether one of the two is; made once, since a closure is an allocation
	events [2]unix.EpollEvent

	// interrupted: Read is to return without anything, instead of waiting.
	interrupted atomic.Bool
}

// newStdin takes over the socket fd, which is non-blocking from then on. It stays open when the process executes another
// program.
func newStdin(fd int) (*stdin, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}

	err = errors.Join(
		unix.SetNonblock(fd, true),
		unix.SetNonblock(epoll, true), // os.NewFile then hands it to the poller
		unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLONESHOT}),
		unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, timer, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}),
	)
	s := &stdin{fd: fd, timer: timer, epoll: epoll, poller: os.NewFile(uintptr(epoll), "stdin")}
	if err == nil {
		err = s.poller.SetDeadline(time.Time{}) // fails where it is not in the poller
	}
	if err == nil {
		s.waits, err = s.poller.SyscallConn()
	}
	if err != nil {
		s.close()
		return nil, err
	}

	s.ready = func(epoll uintptr) bool {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(&s.events[0])), uintptr(len(s.events)), 0, 0, 0)
		return errno == 0 && n > 0
	}
	return s, nil
}

// close gives back all but the socket.
func (s *stdin) close() {
	s.poller.Close()
	unix.Close(s.timer)
}

// interrupt makes a Read that waits, or the next one, return without anything. It may be called from anywhere.
func (s *stdin) interrupt() {
	s.interrupted.Store(true)
	s.poller.SetReadDeadline(time.Now())
}

// Await implements stream.Waiter.
func (s *stdin) Await() {
	s.arm()
	s.await()
}

// Sleep implements stream.Waiter.
func (s *stdin) Sleep(d time.Duration) {
	left := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, d.Nanoseconds()))} // 0 would stop the timer
	unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(s.timer), 0, uintptr(unsafe.Pointer(&left)), 0, 0, 0)
	s.await()
}

// Read implements io.Reader. Of an empty socket it brings nothing when it is interrupted.
func (s *stdin) Read(b []byte) (int, error) {
	for len(b) > 0 {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch {
		case errno == 0 && n == 0:
			return 0, io.EOF
		case errno == 0:
			return int(n), nil
		case errno == unix.EINTR:
			continue
		case errno != unix.EAGAIN:
			return 0, os.NewSyscallError("read", errno)
		}
		if s.interrupted.Swap(false) {
			break
		}
		s.arm()
		if err := s.await(); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// arm has the socket wake the reader once, now or when something comes.
func (s *stdin) arm() {
	once := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT}
	unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(s.epoll), unix.EPOLL_CTL_MOD, uintptr(s.fd), uintptr(unsafe.Pointer(&once)), 0, 0)
}

// await returns when the armed socket, the timer, or interrupt wakes it. It may do so for an earlier one of these.
func (s *stdin) await() error {
	err := s.waits.Read(s.ready)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.poller.SetReadDeadline(time.Time{})
		return nil
	}
	return err
}
