package record

// socketCalls are the calls that socketcall(2) makes, by its first argument (linux/net.h). On i386, m68k, mips, parisc, powerpc, s390 and sh
// programs call connect and its like by it.
var socketCalls = [...]string{
	1: "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv", "sendto", "recvfrom", "shutdown",
	"setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg",
}

// SocketCall returns the system call that one of a name with that a0, hexadecimal as in a record, is: of socketcall the one that it makes, else
// call itself.
func SocketCall(call string, a0 []byte) string {
	if call != "socketcall" {
		return call
	}
	if n, ok := ParseHex(a0); ok && n > 0 && n < uint64(len(socketCalls)) {
		return socketCalls[n]
	}
	return call
}
