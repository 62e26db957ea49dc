package record

// uringCalls are the system calls that operations of io_uring do the work of, by their numbers (linux/io_uring.h, enum io_uring_op).
var uringCalls = [...]string{
	1: "readv", 2: "writev", 9: "sendmsg", 10: "recvmsg", 13: "accept", 16: "connect", 17: "fallocate", 18: "openat", 21: "statx", 22: "read", 23: "write",
	26: "send", 27: "recv", 28: "openat2", 30: "splice", 33: "tee", 34: "shutdown", 35: "renameat2", 36: "unlinkat", 37: "mkdirat", 38: "symlinkat", 39: "linkat",
	41: "fsetxattr", 42: "setxattr", 43: "fgetxattr", 44: "getxattr", 45: "socket", 47: "send", 48: "sendmsg", 55: "ftruncate", 56: "bind", 57: "listen",
}

// UringCall returns the system call that does the same as an operation of io_uring, given as the uring_op= of a URINGOP record has it; "" where
// there is none.
func UringCall(op []byte) string {
	if n, ok := ParseInt(op); ok && n >= 0 && n < int64(len(uringCalls)) {
		return uringCalls[n]
	}
	return ""
}
