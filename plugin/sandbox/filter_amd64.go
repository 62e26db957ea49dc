package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

var (
	rulesHere = []rule{{unix.SYS_IOPL, result(refuse)}, {unix.SYS_IOPERM, result(refuse)}, {unix.SYS_MKNOD, devices(1)}}
	forkCalls = []uint32{unix.SYS_FORK, unix.SYS_VFORK}
	linkCalls = []uint32{unix.SYS_LINK, unix.SYS_SYMLINK}
)
