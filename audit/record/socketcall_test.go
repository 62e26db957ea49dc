package record

import "testing"

func TestSocketCall(t *testing.T) {
	for _, c := range [][3]string{
		{"socketcall", "3", "connect"}, {"socketcall", "1", "socket"}, {"socketcall", "14", "sendmmsg"}, {"socketcall", "100000003", "connect"}, {"socketcall", "300000000", "socketcall"}, {"socketcall", "15", "socketcall"}, {"socketcall", "0", "socketcall"},
		{"socketcall", "", "socketcall"}, {"socketcall", "x", "socketcall"}, {"socketcall", "ffffffffffffffff", "socketcall"}, {"connect", "3", "connect"}, {"", "3", ""},
	} {
		if got := SocketCall(c[0], []byte(c[1])); got != c[2] {
			t.Errorf("%s(%s): %s", c[0], c[1], got)
		}
	}
	for _, name := range socketCalls[1:] {
		if !IsSyscall(name) && name != "send" && name != "recv" { // of no arch's own
			t.Errorf("%s is no system call", name)
		}
	}
}
