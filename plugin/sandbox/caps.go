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
	// widening are those that only widening the pipe (stream.Widen), and a look at what runs (process.NewTable), need.
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

// forWorkers are those with which a monitor starts a worker that has none.
const forWorkers uint32 = 1 << unix.CAP_SETPCAP

// BareThread gives up, in this thread alone, what a process that it starts as another user must not come by again: every
// capability, by the bounding set, and with no_new_privs what a program's file would give; and, where the kernel has landlock, to
// write elsewhere than beneath dirs. The calling goroutine has to be locked to the thread, start the process, and end without being
// unlocked. What has become of landlock is for the report of that process.
func BareThread(dirs []string) (landlock Part, err error) {
	if err := dropBounding(); err != nil {
		return landlock, err
	}
	var r Report
	r.enter(Landlock, "", func() error { return restrictThread(dirs) })
	return r.Parts[0], nil
}

// dropBounding empties the bounding set of this thread, and sets no_new_privs.
func dropBounding() error {
	for c := uintptr(0); c <= 63; c++ {
		switch err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err {
		case nil:
		case unix.EINVAL: // the kernel has no more
			c = 63
		default:
			return fmt.Errorf("empty the bounding set: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	return nil
}

// keep gives up all other capabilities in the effective, permitted and inheritable set. The kernel then takes them
// out of the ambient set, too (capabilities(7)). The bounding set stays: it limits what programs get.
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
