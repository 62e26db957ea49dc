package record

// socketCalls are the calls that socketcall(2) makes, by its first argument (linux/net.h). On i386, m68k, mips, parisc, powerpc, s390 and sh
// programs call connect and its like by it.
var socketCalls = [...]string{
	1: "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv", "sendto", "recvfrom", "shutdown",
	"setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg",
}

// SocketCall returns the system call that one of a name with that a0, hexadecimal as in a record, is: of socketcall the one that it makes, else
// call itself. The kernel takes a0 as an int, so of a register of 64 bits the upper half counts for nothing (net/socket.c).
func SocketCall(call string, a0 []byte) string {
	if call != "socketcall" {
		return call
	}
	if n, ok := ParseHex(a0); ok && uint32(n) > 0 && uint32(n) < uint32(len(socketCalls)) {
		return socketCalls[uint32(n)]
	}
	return call
}
