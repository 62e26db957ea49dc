package record

import "testing"

func TestUringCall(t *testing.T) {
	for op, want := range map[string]string{"18": "openat", "28": "openat2", "16": "connect", "57": "listen", "0": "", "58": "", "-1": "", "": "", "x": "", "9223372036854775807": ""} {
		if got := UringCall([]byte(op)); got != want {
			t.Errorf("%s: %s", op, got)
		}
	}
	for _, name := range uringCalls {
		if name != "" && !IsSyscall(name) {
			t.Errorf("%s is no system call", name)
		}
	}
}
