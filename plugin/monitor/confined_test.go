package monitor

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConfinedWorkerNeverCounts: who has taken a worker over cannot have root parse the next record, however often workers end before
// one works, nor by having the program executed again.
func TestConfinedWorkerNeverCounts(t *testing.T) {
	for mode, starts := range map[string]int{"dies on its way": maxTries + 2, "begins late, renewed": maxTries + 2} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			end, s, logs, err := run(t, mode, nil)
			if end != Ended || err != nil || s.closed != starts {
				t.Errorf("end %d, %v, %d sessions, want %d", end, err, s.closed, starts)
			}
			if n := logs.FilterMessageSnippet("does not start").Len(); n != 0 {
				t.Errorf("it is counted %d times", n)
			}
		})
	}
}

// TestEndBeforeItBegins is none of the stream, which goes on.
func TestEndBeforeItBegins(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: another user's process cannot be started")
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Dup3(stdin, 0, 0); err != nil {
			t.Error(err)
		}
		for _, fd := range append(fds[:], stdin) {
			unix.Close(fd)
		}
	}()
	if err := unix.Dup3(fds[0], 0, 0); err != nil {
		t.Fatal(err)
	}
	end, s, _, err := run(t, "ends before it begins", nil)
	if end != NoWorker || !errors.Is(err, errEarly) || s.closed != maxTries {
		t.Errorf("end %d, %v, %d sessions", end, err, s.closed)
	}
}
