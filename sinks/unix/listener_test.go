package unix

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/test/lab"
)

// stale leaves a socket that no process listens on at path.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	age(t, path)
}

// age makes a file older than any bind takes.
func age(t *testing.T, path string) {
	t.Helper()
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestTakesOverStaleSocket(t *testing.T) {
	path := sock(t)
	stale(t, path)
	b := start(t, settings(path), lossless())
	conn := b.dial()
	readExactly(t, conn, b.put(0, 10))
	b.healthy()
	b.stop()
	if exists(path) {
		t.Error("the socket is still there after the end")
	}
}

func TestLeavesLiveSocketAlone(t *testing.T) {
	path := sock(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, settings(path), lossless())
	b.degraded("another sink of this relay listens there")
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the live socket does not answer any more: %v", err)
	}
	c.Close()
	l.Close() // it removes its file
	conn := b.dial()
	readExactly(t, conn, b.put(0, 10))
	b.healthy()
}

// TestSocketOfAnotherProcess: the error names the process.
func TestSocketOfAnotherProcess(t *testing.T) {
	path := sock(t)
	cmd := exec.Command(lab.NeedTool(t, "socat"), "-u", "UNIX-LISTEN:"+path+",fork", "/dev/null")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	eventually(t, "socat's socket", func() bool { return exists(path) })
	b := start(t, settings(path), lossless())
	b.degraded(fmt.Sprintf("pid %d", cmd.Process.Pid))
	b.stop()
	if !exists(path) {
		t.Error("the other process's socket was removed")
	}
}

// TestSocketThatDoesNotListenYet: it answers as a stale one does, and is none.
func TestSocketThatDoesNotListenYet(t *testing.T) {
	path := sock(t)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	b := start(t, settings(path), lossless())
	b.degraded("does not listen (yet)")
	if err := syscall.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	b.degraded("another sink of this relay listens there")
	b.stop()
	if !exists(path) {
		t.Error("the socket was removed")
	}
}

// TestSocketThatIsBeingBound: bind(2) has made the file, and no socket is found by it yet.
func TestSocketThatIsBeingBound(t *testing.T) {
	path := sock(t)
	synctest.Test(t, func(t *testing.T) {
		if err := syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0); err != nil {
			t.Fatal(err)
		}
		made := time.Now()
		if err := os.Chtimes(path, made, made); err != nil {
			t.Fatal(err)
		}
		time.Sleep(bindTime - 1)
		if err := clearPath(path); err == nil || !strings.Contains(err.Error(), "less than a second ago") || !exists(path) {
			t.Errorf("while it may be being bound: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := clearPath(path); err != nil || exists(path) {
			t.Errorf("a second later: %v", err)
		}
	})
}

// TestStaleSocketOfTheFuture: a clock that was set back does not keep it for ever.
func TestStaleSocketOfTheFuture(t *testing.T) {
	path := sock(t)
	stale(t, path)
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	if err := clearPath(path); err != nil || exists(path) {
		t.Error(err)
	}
}

func TestWhatIsNoSocketStays(t *testing.T) {
	for _, c := range []struct {
		name, want string
		make       func(path string) error
	}{
		{"file", "a regular file is in the way", func(p string) error { return os.WriteFile(p, []byte("data"), 0o600) }},
		{"directory", "a directory is in the way", func(p string) error { return os.Mkdir(p, 0o700) }},
		{"fifo", "no socket is in the way", func(p string) error { return syscall.Mkfifo(p, 0o600) }},
		{"symlink to a stale socket", "a symbolic link is in the way", func(p string) error {
			return os.Symlink(p+".target", p)
		}},
		{"datagram socket", "another process uses this socket", func(p string) error {
			l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p, Net: "unixgram"})
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := sock(t)
			stale(t, path+".target")
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			b := start(t, settings(path), lossless())
			b.degraded(c.want)
			b.stop()
			after, err := os.Lstat(path)
			if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() {
				t.Errorf("it was touched: %v, %v", after, err)
			}
			if !exists(path + ".target") {
				t.Error("the link's target was removed")
			}
		})
	}
}

func TestOnlyTheLastDirectoryIsMade(t *testing.T) {
	dir := shortDir(t)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	b := start(t, settings(filepath.Join(dir, "a", "s")), lossless())
	b.dial()
	if st, err := os.Stat(filepath.Join(dir, "a")); err != nil || st.Mode() != fs.ModeDir|0o755 {
		t.Errorf("directory made: %v, %v", st, err)
	}
	far := filepath.Join(dir, "b", "c")
	b = start(t, settings(filepath.Join(far, "s")), lossless())
	b.degraded("mkdir -p -m 0755 " + far)
	if err := os.MkdirAll(far, 0o755); err != nil {
		t.Fatal(err)
	}
	b.dial()
	b.healthy()
}

// said reports whether a line with that message and error was logged.
func said(b *bench, msg, part string) bool {
	for _, e := range b.logs.FilterMessage(msg).All() {
		if strings.Contains(fmt.Sprint(e.ContextMap()), part) {
			return true
		}
	}
	return false
}

// TestPathRemoved: the sink notices by itself that its path is gone, replaced
// by a stale socket, or by something else, and listens again; the client stays.
func TestPathRemoved(t *testing.T) {
	path := sock(t)
	b := start(t, settings(path), lossless())
	conn := b.dial()
	readExactly(t, conn, b.put(0, 10))

	os.Remove(path)
	second := b.dial()
	lines := b.put(10, 10)
	readExactly(t, conn, lines)
	readExactly(t, second, lines)

	other := path + "2"
	stale(t, other)
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	third := b.dial()
	lines = b.put(20, 10)
	readExactly(t, conn, lines)
	readExactly(t, third, lines)
	if !said(b, "sink degraded", "removed or replaced") {
		t.Error("the removal was not said")
	}

	// Another process's live socket is in place now: it stays when the sink ends.
	os.Remove(path)
	b.sink.Reopen()
	b.dial()
	l, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	b.degraded("another sink of this relay listens there")
	readExactly(t, conn, b.put(30, 10))
	b.stop()
	if !exists(path) {
		t.Error("another one's socket was removed")
	}
}

// TestReplacedJustBeforeEnd: even when the sink has had no time to notice.
func TestReplacedJustBeforeEnd(t *testing.T) {
	cfg := settings(sock(t))
	lis, err := listen(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.close()
	if err := os.Rename(cfg.Path, cfg.Path+"2"); err != nil {
		t.Fatal(err)
	}
	stale(t, cfg.Path)
	if err := lis.remove(); err != nil {
		t.Fatal(err)
	}
	if !exists(cfg.Path) {
		t.Error("removed a file that was not its own")
	}
}

// TestOneOfListenersThatStartTogether: of several that find the same stale socket at the same
// moment one has the path, and the others know that they have not.
func TestOneOfListenersThatStartTogether(t *testing.T) {
	cfg := settings(sock(t))
	for round := range 1000 {
		stale(t, cfg.Path)
		listeners := make([]*listener, 4)
		var all sync.WaitGroup
		for i := range listeners {
			all.Go(func() { listeners[i], _ = listen(&cfg) })
		}
		all.Wait()
		have := 0
		for _, l := range listeners {
			if l != nil && l.check() == nil {
				have++
			}
		}
		if have != 1 {
			t.Errorf("round %d: %d of the listeners take the path for their own", round, have)
		}
		for _, l := range listeners {
			if l != nil {
				l.remove()
				l.close()
			}
		}
	}
}

// TestManyRelaysOnOnePath: of several that start together on a stale socket one
// has the path in the end, and when it ends another one takes over.
func TestManyRelaysOnOnePath(t *testing.T) {
	path := sock(t)
	stale(t, path)
	var all []*bench
	for range 4 {
		all = append(all, start(t, settings(path), lossless()))
	}
	for len(all) > 0 {
		var works *bench
		eventually(t, "one that works, the rest degraded", func() bool {
			works = nil
			bad := 0
			for _, b := range all {
				if b.sink.Status().Degraded {
					bad++
				} else {
					works = b
				}
			}
			return bad == len(all)-1 && exists(path)
		})
		eventually(t, "a connection to it", func() bool {
			conn, err := net.Dial("unix", path)
			if err != nil {
				return false
			}
			defer conn.Close()
			for range 50 {
				if len(works.sink.Status().Details.(*Details).Clients) == 1 {
					return true
				}
				time.Sleep(time.Millisecond)
			}
			return false
		})
		works.stop()
		rest := all[:0]
		for _, b := range all {
			if b != works {
				rest = append(rest, b)
			}
		}
		all = rest
	}
}

func TestPathTooLong(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, strings.Repeat("x", 108-len(dir)-1-1))
	b := start(t, settings(path), lossless())
	b.dial() // 107 bytes work
	b.stop()
	cfg := settings(path + "x")
	if _, err := listen(&cfg); err == nil {
		t.Error("108 bytes were taken")
	}
}
