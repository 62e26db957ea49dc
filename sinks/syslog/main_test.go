package syslog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
)

// helperEnv makes the test binary a process of its own: "drain PATH" reads
// datagrams away, "send PATH" is the whole way from stdin to a local socket.
const helperEnv = "AUDISP_SYSLOG_TEST_HELPER"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(helperEnv) {
	case "":
		goleak.VerifyTestMain(m)
		return
	case "drain":
		err = drain(os.Args[1])
	case "send":
		err = send(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// drain reads what comes to a datagram socket, as cheaply as Go can.
func drain(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	for buf := make([]byte, 64<<10); ; {
		if _, err := unix.Read(fd, buf); err != nil && err != unix.EINTR {
			return err
		}
	}
}

// send delivers the string stream on stdin to a local socket.
func send(path string) error {
	q := queue.New(queue.Options{Config: queue.Config{Depth: 16384, Bytes: 32 << 20, Lossless: true, Hold: true}})
	sink := New(localConfig(path), format.Encoder{}, zap.NewNop())
	done := make(chan struct{})
	go func() {
		defer close(done)
		sink.Run(context.Background(), q)
	}()
	in := stream.NewReader(os.Stdin)
	var b record.Batch
	for {
		err := in.Next(&b)
		q.Put(&b)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	q.Close()
	<-done
	return nil
}

func localConfig(path string) config.Sink {
	return config.Sink{Name: "test", Type: "syslog", Format: "string", Settings: &Config{
		Transport: "local", Address: path, Protocol: "rfc3164", Facility: "user", Severity: "info", Tag: "audisp-syslog",
	}}
}

// helper returns the command that runs this binary as one of the above.
func helper(t testing.TB, role, path string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, path)
	cmd.Env = append(os.Environ(), helperEnv+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// start runs cmd until the test ends.
func start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

const hang = time.Minute

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hang); !ok(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, hang)
		}
	}
}

// eventuallySlow waits until ok, which may take long on a busy machine, and says what
// there is where that never comes.
func eventuallySlow(t testing.TB, what string, ok func() bool, there func() string) {
	t.Helper()
	const patience = 2 * time.Minute
	for deadline, pause := time.Now().Add(patience), 5*time.Millisecond; !ok(); pause = min(2*pause, time.Second/2) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v; %s", what, patience, there())
		}
		time.Sleep(pause)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// connectable reports whether a receiver can be connected to at a path. That the
// path exists does not say so: bind makes it, and listen comes later.
func connectable(path string) bool {
	for _, network := range []string{"unix", "unixgram"} {
		if c, err := net.Dial(network, path); err == nil {
			c.Close()
			return true
		}
	}
	return false
}

func lines(data []byte) int { return bytes.Count(data, []byte{'\n'}) }
