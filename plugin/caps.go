package plugin

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropped are the capabilities that only widening the pipe needs (stream.Widen).
const dropped = 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_NET_ADMIN

// dropCapabilities gives up, for good, what widening the pipe needed: in the
// effective, permitted and inheritable set, and thereby in the ambient one, of
// every thread there is and will be (capabilities(7)). The bounding set stays: it
// is the limit for child programs, and those of program sinks are auditd's own plugins,
// which get as root what auditd would have given them.
//
// It interrupts every thread once and waits for it, so it is for the start,
// before sinks can hang in a dead file system. Programs built with cgo cannot do
// it; nothing is changed then.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // pid 0: the calling thread
	var sets [2]unix.CapUserData                                           // capabilities 0 to 31, and those above
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("drop capabilities: capget: %w", err)
	}
	low := &sets[0]
	if (low.Effective|low.Permitted|low.Inheritable)&dropped == 0 {
		return nil // not root: there is nothing to drop
	}
	low.Effective &^= dropped
	low.Permitted &^= dropped
	low.Inheritable &^= dropped
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0)
	switch {
	case errno == 0:
		return nil
	case errors.Is(errno, syscall.ENOTSUP):
		return errors.New("drop capabilities: a program built with cgo cannot: build it with CGO_ENABLED=0")
	default:
		return fmt.Errorf("drop capabilities: capset: %w", errno)
	}
}
