package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// arm64 has none of iopl(2), mknod(2), fork(2) and link(2).
var (
	rulesHere []rule
	forkCalls []uint32
	linkCalls []uint32
)
