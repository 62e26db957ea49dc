package test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"audisp-relay/testdata/captures"
)

const fileSink = `
[sinks.file]
type = "file"
path = "DIR/out"
qos  = "lossless"
max_size = "0"
`

func TestCapturesReachFileAndSocketByteForByte(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, out string }{
		{"audit-3.0.9-enriched.string.gz", "audit-3.0.9-enriched.string.gz"},
		{"audit-3.0.9-enriched.binary.gz", "audit-3.0.9-enriched.string.gz"},
		{"audit-4.2.1-raw.binary.gz", "audit-4.2.1-raw.string.gz"},
	} {
		t.Run(c.in, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			r := start(t, dir, fileSink+`
[sinks.socket]
type = "unix"
path = "DIR/sock"
qos  = "lossless"
group = "root"
`, nil)
			conn := dial(t, r, "socket", filepath.Join(dir, "sock"))
			got := make(chan []byte)
			go func() {
				all, _ := io.ReadAll(conn)
				got <- all
			}()
			r.write(captures.Read(t, c.in))
			want := captures.Read(t, c.out)
			fills(t, filepath.Join(dir, "out"), want)
			until(t, "the socket has all", func() bool {
				rep := r.report()
				s := consumerOf(rep, "socket")
				return s.Queued == 0 && s.Received == consumerOf(rep, "file").Received
			})
			r.end()
			sameFile(t, filepath.Join(dir, "out"), want)
			if all := <-got; !bytes.Equal(all, want) {
				t.Errorf("%s: %d bytes on the socket, want %d", c.in, len(all), len(want))
			}
		})
	}
}

func TestTermIsNotTheEndButEOFIs(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, fileSink, nil)
	r.report() // it is up
	r.write(lines(1, 10))
	for range 3 {
		r.signal(syscall.SIGTERM)
	}
	r.write(lines(11, 10))
	until(t, "records after TERM", func() bool { return r.consumer("file").Delivered == 20*recordsPerEvent })
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, 20))
}

// execRelay is what the test binary becomes when it stands in for auditd's
// fork: it sets signals up as auditd leaves them and executes the relay.
func execRelay(how string) {
	os.Unsetenv("RELAY_TEST_EXEC")
	runtime.LockOSThread()
	if strings.Contains(how, "ignored") {
		// rt_sigaction(SIG_IGN) for everything auditd ignores.
		for sig := 1; sig < 32; sig++ {
			if sig != int(unix.SIGKILL) && sig != int(unix.SIGSTOP) && sig != int(unix.SIGCHLD) && sig != int(unix.SIGURG) {
				ignoreSignal(sig)
			}
		}
	}
	if strings.Contains(how, "blocked") {
		var set unix.Sigset_t
		for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCHLD, unix.SIGCONT} {
			set.Val[0] |= 1 << (sig - 1)
		}
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
			panic(err)
		}
	}
	err := syscall.Exec(os.Args[1], os.Args[1:], []string{})
	panic(err)
}

// TestSignalsWorkHoweverTheyWereLeft: auditd 3.0 starts plugins with all
// signals ignored, and restarts them with six blocked.
func TestSignalsWorkHoweverTheyWereLeft(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"ignored", "blocked", "ignored,blocked"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			r := start(t, dir, fileSink, func(cmd *exec.Cmd, _ [2]int) {
				cmd.Args = append([]string{os.Args[0], cmd.Path}, cmd.Args[1:]...)
				cmd.Path = os.Args[0]
				cmd.Env = []string{"RELAY_TEST_EXEC=" + how}
			})
			r.report()
			r.signal(syscall.SIGHUP)
			until(t, "reload", func() bool { return r.report().Reloads == 1 })
			r.signal(syscall.SIGUSR1)
			eventually(t, "state file", func() error { _, err := os.Stat(filepath.Join(dir, "run", "state")); return err })
			r.signal(syscall.SIGTERM)
			r.write(lines(1, 5))
			fills(t, filepath.Join(dir, "out"), lines(1, 5))
			r.end()
			sameFile(t, filepath.Join(dir, "out"), lines(1, 5))
		})
	}
}

// TestDirectDispatcherOfAuditd2: stdin is non-blocking, and the relay inherits
// auditd's end of its own stdin, so that end of file comes only if it closes it.
func TestDirectDispatcherOfAuditd2(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, fileSink, func(cmd *exec.Cmd, fds [2]int) {
		unix.SetNonblock(fds[0], true)
		// Only this relay inherits it, not those of tests that run at the same time.
		leaked, err := unix.FcntlInt(uintptr(fds[1]), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(leaked), "leaked")
		cmd.ExtraFiles = []*os.File{f, f} // start closes them on our side
		// auditd passes its own -c DIR on.
		if err := os.Rename(filepath.Join(dir, "relay.toml"), filepath.Join(dir, "audisp-relay.toml")); err != nil {
			t.Fatal(err)
		}
		cmd.Args = []string{cmd.Path, "-c", dir}
	})
	r.write(lines(1, 10))
	fills(t, filepath.Join(dir, "out"), lines(1, 10))
	r.end()
	sameFile(t, filepath.Join(dir, "out"), lines(1, 10))
}

func TestHostileStreamNeitherKillsNorGrows(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, fileSink, nil)
	chunk := make([]byte, 1<<20)
	for range 64 {
		r.write(chunk)
	}
	r.write([]byte("\n"))
	after := lines(1, 3)
	r.write(after)
	until(t, "the records after the line", func() bool { return r.consumer("file").Delivered == 1+3*recordsPerEvent })
	if n := r.report().Input; n.Oversize != 1 || n.NoID != 1 {
		t.Errorf("%+v", n)
	}
	r.end()
	got, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if want := 64<<20 + 1 + len(after); len(got) != want || !bytes.HasSuffix(got, append([]byte("\x00\n"), after...)) {
		t.Errorf("%d bytes, want %d", len(got), want)
	}
}
