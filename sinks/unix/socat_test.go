package unix

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"audisp-relay/queue"
	"audisp-relay/test/lab"
)

// socat runs socat with args and its output in a file.
func socat(t *testing.T, stdin io.Reader, args ...string) (*exec.Cmd, func() []byte) {
	t.Helper()
	cmd := exec.Command(lab.NeedTool(t, "socat"), args...)
	out := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, f, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, func() []byte {
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestSocat(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"one way", []string{"-u", "UNIX-CONNECT:%", "-"}},
		{"both ways", []string{"-", "UNIX-CONNECT:%"}},
		{"half closed", []string{"-t", "1000", "-", "UNIX-CONNECT:%"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t, settings(sock(t)), lossless())
			b.listening()
			args := make([]string, len(c.args))
			for i, a := range c.args {
				args[i] = string(bytes.ReplaceAll([]byte(a), []byte("%"), []byte(b.path)))
			}
			var stdin io.Reader // nil is /dev/null: an end at once
			if c.name == "both ways" {
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				defer w.Close()
				w.Write(bytes.Repeat([]byte("what somebody types\n"), 1000))
				stdin = r
			}
			cmd, out := socat(t, stdin, args...)
			b.clients(1)
			want := b.put(0, 20_000)
			b.queue.Close()
			b.wait()
			if c.name != "both ways" { // there it waits for more input
				if err := cmd.Wait(); err != nil {
					t.Error(err)
				}
			}
			eventually(t, "all records", func() bool { return len(out()) >= len(want) })
			if !bytes.Equal(out(), want) {
				t.Error("socat got other bytes than were put")
			}
		})
	}
}

// TestStoppedSocat: a process that is stopped costs the others nothing, and its
// pid is in the status and in the log.
func TestStoppedSocat(t *testing.T) {
	b := start(t, settings(sock(t)), small(queue.Disconnect))
	b.listening()
	cmd, _ := socat(t, nil, "-u", "UNIX-CONNECT:"+b.path, "OPEN:/dev/null")
	b.clients(1)
	if pid := b.sink.Status().Details.(*Details).Clients[0].Pid; pid != cmd.Process.Pid {
		t.Errorf("pid %d, want %d", pid, cmd.Process.Pid)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	fastConn := b.dial()
	fast := readFrom(fastConn)
	all := b.load(20_000, fast)
	b.clients(1)
	b.queue.Close()
	b.wait()
	<-fast.done
	if !bytes.Equal(fast.got, all) {
		t.Error("the fast client did not get every byte")
	}
	if !said(b, "client disconnected: too slow", "too slow") {
		t.Error("the disconnection was not said")
	}
}

// TestKilledSocat: its place is free and the sink continues.
func TestKilledSocat(t *testing.T) {
	b := start(t, settings(sock(t)), lossless())
	b.listening()
	cmd, _ := socat(t, nil, "-u", "UNIX-CONNECT:"+b.path, "OPEN:/dev/null")
	b.clients(1)
	cmd.Process.Kill()
	cmd.Wait()
	b.clients(0) // with nothing to write: the hang-up alone is seen
	conn := b.dial()
	readExactly(t, conn, b.put(0, 10))
}
