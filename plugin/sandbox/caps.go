package sandbox

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sets of the capabilities 0 to 31; none of those above is needed.
const (
	// widening are those that only widening the pipe needs (stream.Widen).
	widening uint32 = 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_NET_ADMIN

	// needed are those that the relay uses later on.
	needed uint32 = 1<<unix.CAP_AUDIT_CONTROL | // AUDIT_GET: what the kernel has lost
		1<<unix.CAP_CHOWN | // owner and group of files and sockets
		1<<unix.CAP_FOWNER | // their modes, when they belong to others
		1<<unix.CAP_DAC_OVERRIDE | // files and sockets in directories of others, logs of any mode
		1<<unix.CAP_NET_BIND_SERVICE // a port of [metrics] below 1024

	// forPrograms are those with which a child becomes another user, and with which it is ended then.
	forPrograms uint32 = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_KILL
)

// keep gives up all other capabilities, in the effective, permitted and inheritable set, and thereby in the
// ambient one (capabilities(7)). The bounding set stays: it limits what programs get.
func keep(low, high uint32) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // pid 0: the calling thread
	var sets [2]unix.CapUserData                                           // capabilities 0 to 31, and those above
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	had := uint32(0)
	for i, kept := range []uint32{low, high} {
		s := &sets[i]
		had |= (s.Effective | s.Permitted | s.Inheritable) &^ kept
		s.Effective &= kept
		s.Permitted &= kept
		s.Inheritable &= kept
	}
	if had == 0 {
		return nil // not root: there is nothing to give up
	}
	return everyThread(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0)
}

// errCgo: the runtime knows only its own threads (syscall.AllThreadsSyscall).
var errCgo = errors.New("a program built with cgo cannot: build it with CGO_ENABLED=0")

// everyThread makes a system call in every thread there is, so that those that will be have its effect, too.
// What its arguments point to is kept where it is. It is for one call at a start, from a goroutine that is not
// locked to its thread: the runtime stops the world for it, and of forty in a row from one that was, on a busy machine,
// one never came back now and then (Go 1.26).
//
//go:uintptrescapes
func everyThread(trap, a1, a2, a3 uintptr) error {
	switch _, _, errno := syscall.AllThreadsSyscall(trap, a1, a2, a3); errno {
	case 0:
		return nil
	case syscall.ENOTSUP:
		return errCgo
	default:
		return errno
	}
}
