package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"audisp-relay/testdata/captures"
)

// socketDir is a directory with a name short enough for a unix socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tail")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// send accepts one client, writes text to it and closes the connection.
func send(t *testing.T, l net.Listener, text []byte) {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if _, err := conn.Write(text); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Log(err) // tail has had enough
	}
}

func newTail(count int) (*tail, *bytes.Buffer, *bytes.Buffer) {
	var out, notes bytes.Buffer
	return &tail{out: bufio.NewWriter(&out), notes: &notes, left: count}, &out, &notes
}

func TestTailPassesBytesOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	want := captures.Read(t, "audit-3.0.9-enriched.string.gz")
	want = append(bytes.Repeat([]byte{'x'}, 3*tailBuffer), append([]byte("\n\n\xff\x1b\n"), want...)...)
	l := listen(t, filepath.Join(socketDir(t), "s"))
	var wg sync.WaitGroup
	wg.Go(func() { send(t, l, want) })
	defer wg.Wait()
	tail, out, _ := newTail(bytes.Count(want, []byte{'\n'}))
	if err := tail.follow(t.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%d bytes came out, not the %d that went in", out.Len(), len(want))
	}
}

func TestTailComesBack(t *testing.T) {
	defer goleak.VerifyNone(t)
	path := filepath.Join(socketDir(t), "s")
	first := listen(t, path)
	var wg sync.WaitGroup
	wg.Go(func() {
		send(t, first, []byte("one\ntor"))
		send(t, first, nil) // accepted and closed at once: no new message for this
		first.Close()
		second := listen(t, path)
		send(t, second, []byte("two\nthree\nfour\n"))
	})
	defer wg.Wait()
	tail, out, notes := newTail(4)
	if err := tail.follow(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "one\ntor\ntwo\nthree\nfour\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := strings.Count(notes.String(), "waiting for it"); got != 1 {
		t.Errorf("said %d times that the socket is gone:\n%s", got, notes)
	}
}

func TestTailWaitsForTheSocket(t *testing.T) {
	defer goleak.VerifyNone(t)
	path := filepath.Join(socketDir(t), "s")
	seen := make(chan struct{})
	tail, out, _ := newTail(1)
	tail.notes = writerFunc(func(p []byte) (int, error) { close(seen); return len(p), nil })
	var wg sync.WaitGroup
	wg.Go(func() {
		<-seen // only now is there a socket
		send(t, listen(t, path), []byte("one\n"))
	})
	defer wg.Wait()
	if err := tail.follow(t.Context(), path); err != nil || out.String() != "one\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestTailEndsInTime(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(socketDir(t), "s")

	l := listen(t, path)
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept() // and says nothing
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.Write([]byte("one\nhalf"))
		cancel()
		conn.Read(make([]byte, 1))
	})
	tail, out, notes := newTail(0)
	if err := tail.follow(ctx, path); err != nil {
		t.Errorf("after a connection: %v", err)
	}
	wg.Wait()
	if notes.Len() > 0 {
		t.Errorf("notes: %s", notes)
	}
	if got := out.String(); got != "" && got != "one\nhalf\n" {
		t.Errorf("got %q", got)
	}

	tail, _, _ = newTail(0)
	err := tail.follow(ctx, path+"x")
	if err == nil || !strings.Contains(err.Error(), "audisp-relay status") {
		t.Errorf("never connected: %v", err)
	}
}

func TestTailRefusesFrames(t *testing.T) {
	defer goleak.VerifyNone(t)
	l := listen(t, filepath.Join(socketDir(t), "s"))
	data := captures.Read(t, "audit-3.0.9-raw.binary.gz")
	var wg sync.WaitGroup
	wg.Go(func() { send(t, l, data) })
	defer wg.Wait()
	tail, out, _ := newTail(0)
	err := tail.follow(t.Context(), l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), `format = "string"`) || out.Len() > 0 {
		t.Errorf("got %d bytes and %v", out.Len(), err)
	}
}

func TestTailPaintsLongRecordsInPieces(t *testing.T) {
	long := "type=USER msg=audit(1.000:1): " + strings.Repeat("\x1b", 2*tailBuffer) + "\n"
	tail, out, _ := newTail(2)
	tail.painter = &painter{zone: time.UTC}
	if _, err := tail.copy(t.Context(), strings.NewReader(long+"type=EOE msg=audit(1.000:1):\n")); !errors.Is(err, errDone) {
		t.Fatal(err)
	}
	want := "Jan  1 00:00:01.000 USER           #1 " + strings.Repeat(`\x1b`, 2*tailBuffer) + "\nJan  1 00:00:01.000 EOE            #1\n"
	if out.String() != want {
		t.Errorf("got %d bytes, want %d", out.Len(), len(want))
	}
}

func TestTailSaysWhenItCannotWrite(t *testing.T) {
	tail, _, _ := newTail(0)
	tail.out = bufio.NewWriter(writerFunc(func([]byte) (int, error) { return 0, io.ErrShortWrite }))
	_, err := tail.copy(t.Context(), strings.NewReader("one\n"))
	if !errors.As(err, new(errStream)) || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v, want a final error", err)
	}
}

func TestTailUsage(t *testing.T) {
	for _, args := range [][]string{{"--count", "-1"}, {"--seconds", "-1"}, {"--seconds", "1", "-"}} {
		cmd := newTailCmd()
		cmd.SetArgs(args)
		cmd.SetErr(io.Discard)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		var usage usageError
		if err := cmd.Execute(); !errors.As(err, &usage) {
			t.Errorf("tail %v: %v, want a usage error", args, err)
		}
	}
}

// What is no socket is never waited for.
func TestTailRefusesWhatIsNoSocket(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/audit.log", "type=EOE msg=audit(1.000:1): \n", 0o600)
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir + "/audit.log": "is a file, not a socket: `audisp-relay replay " + dir + "/audit.log`",
		dir:                "is a directory, not a socket",
		dir + "/fifo":      "is a FIFO, not a socket",
		"/dev/null":        "is a device, not a socket",
	} {
		cmd := newTailCmd()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs([]string{path})
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
