package program

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/test/lab"
)

func TestLastLineOfStderrIsKept(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"\n\n \n", ""},
		{"one", `"one"`},
		{"one\ntwo\n", `"two"`},
		{"one\ntwo\n\n\n", `"two"`},
		{"one\r\n", `"one"`},
		{"  indented \n", `"indented"`},
		{"a\x1b[2Jb\x07\x9b\xff\u202e\u2028c\n", `"a\x1b[2Jb\a\x9b\xff\u202e\u2028c"`},
		{strings.Repeat("x", 100_000), `"` + strings.Repeat("x", maxLine) + `"`},
		{strings.Repeat("\x01", 100_000) + "\n", `"` + strings.Repeat(`\x01`, maxLine/2)[:2*maxLine-1] + `..."`},
	} {
		l, w, err := newLastLine()
		if err != nil {
			t.Fatal(err)
		}
		for rest := []byte(tt.in); len(rest) > 0; {
			n, err := unix.Write(int(w.Fd()), rest) // as a child does that does not know that it may fail
			if err != nil && err != unix.EAGAIN {
				t.Fatal(err)
			}
			rest = rest[max(n, 0):]
		}
		w.Close()
		l.close()
		if got := l.String(); got != tt.want {
			t.Errorf("%.40q: %.500s, want %.500s", tt.in, got, tt.want)
		}
	}
}

// TestStderrIsOpenedByItsName by a program of another user than whose the pipe is.
func TestStderrIsOpenedByItsName(t *testing.T) {
	if os.Getuid() != 0 {
		lab.Missing(t, "needs root to become another user")
	}
	for _, user := range []string{"", "daemon"} {
		c, err := startChild("", Config{Path: "/bin/sh", Args: []string{"-c", "echo said > /dev/stderr"}, User: user})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.finish(time.Minute, nil); err != nil {
			t.Fatal(err)
		}
		if got := c.stderr.String(); got != `"said"` || c.status != "exit status 0" {
			t.Errorf("user %q: %s, %s", user, c.status, got)
		}
	}
}

// TestStderrThatIsNotReadStopsNoChild: a child that writes while no process reads, or when the relay is gone, continues.
func TestStderrThatIsNotReadStopsNoChild(t *testing.T) {
	l, w, err := newLastLine()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	w.Close()
	l.close() // though another process holds the other end
	for {
		if _, err := unix.Write(fd, make([]byte, 4096)); err != nil {
			if err != unix.EAGAIN {
				t.Errorf("write: %v, want EAGAIN", err)
			}
			break
		}
	}
}
