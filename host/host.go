// Package host knows what the machine says about auditd: which process it is,
// which configuration it reads, which version it has and where it looks for
// plugins. It installs the relay there and takes it out again.
//
// It only ever reads the kernel's audit status, but for Probe and UserMessage, which make one record. It
// never takes the audit PID and never changes a rule or a kernel setting.
package host

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// Machine reads one machine. The zero value is the one the program runs on;
// tests point Root at a tree of their own. A Machine holds no state and may be
// used from any goroutine.
type Machine struct {
	// Root is put before every path, /proc included. Empty on a real machine.
	Root string

	// KernelPID returns the process that holds the kernel's audit PID, 0 if
	// none does. Nil means AuditPID.
	KernelPID func() (int, error)

	// auditdVersion is that of the auditd, "" to find it out; only tests set it.
	auditdVersion string

	// owner is the uid that must own what auditd runs. Always 0 but in tests
	// that do not run as root.
	owner uint32
}

// ErrNoAuditd is what FindAuditd returns when no audit daemon runs here.
var ErrNoAuditd = errors.New("no auditd is running")

// otherHolder is the error of FindAuditd where a process that is no auditd gets the kernel's audit records, or has the number of an
// auditd that was killed just now.
type otherHolder struct {
	comm string
	pid  int
}

func (e otherHolder) Error() string {
	return fmt.Sprintf("the kernel gives its audit records to %q (pid %d), not to auditd: stop it and start auditd", e.comm, e.pid)
}

// path is p on this machine.
func (m Machine) path(p string) string {
	if m.Root == "" {
		return p
	}
	return filepath.Join(m.Root, p)
}

// notAllowed says that the kernel does not give us the audit status, which says nothing
// about whether an auditd runs.
func notAllowed(err error) bool {
	for _, e := range []error{
		syscall.EPERM, syscall.EACCES, syscall.ECONNREFUSED, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.EINVAL,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
