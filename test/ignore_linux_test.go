package test

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ignoreSignal sets a signal's disposition to SIG_IGN without the Go runtime's
// knowledge, for the program that is about to be executed.
func ignoreSignal(sig int) {
	action := struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}{handler: 1}
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}
