package stream

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWiden(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	const want = 4 << 20
	got, err := Widen(fds[0], os.Getpid(), want)
	if os.Getuid() != 0 {
		if err == nil {
			t.Skip("not root, and allowed nevertheless")
		}
		t.Skipf("refused without root, as it should be: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	theirs, _ := unix.GetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF)
	ours, _ := unix.GetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF)
	if got != want || theirs != want || ours == want {
		t.Errorf("returned %d; the other end has %d, ours %d, want %d and the default", got, theirs, ours, want)
	}
	if again, err := Widen(fds[0], os.Getpid(), want/2); err != nil || again != want {
		t.Errorf("made smaller: %d, %v", again, err)
	}
}

func TestWidenOfWhatIsNoSocketPair(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if n, err := Widen(int(r.Fd()), os.Getpid(), 1<<20); err == nil {
		t.Errorf("a pipe was widened to %d", n)
	}
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	if n, err := Widen(s, os.Getpid(), 1<<20); err == nil {
		t.Errorf("a socket without a peer was widened to %d", n)
	}
}
