package syslog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/local"
	"audisp-relay/sinks/sinktest"
)

// localDaemon is a daemon with a stream socket, and a writer that is connected to it.
func localDaemon(t *testing.T) (lis net.Listener, conn net.Conn, w *writer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	w = newWriter(*localConfig(path).Settings.(*Config), format.Encoder{})
	t.Cleanup(func() {
		w.Close()
		lis.Close()
	})
	if _, err := w.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if conn, err = lis.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return lis, conn, w
}

// TestLocalStreamCountsWhatWasRead: what a daemon had in its socket when it ended is not delivered, comes
// again whole, and counts as repeated as far as the daemon may have had it.
func TestLocalStreamCountsWhatWasRead(t *testing.T) {
	lis, conn, w := localDaemon(t)
	b := sinktest.Batches(sinktest.Lines(0, 50), 64<<10)[0]
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := w.Write(context.Background(), b)
		done <- result{n, err}
	}()
	first := make([]byte, 1000)
	if _, err := io.ReadFull(conn, first); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-done:
		t.Fatalf("delivered before it was read: %+v", r)
	default:
	}
	conn.Close()
	second, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	again := make([]byte, 0, 64<<10)
	for lines(again) < 50 {
		n, err := second.Read(again[len(again):cap(again)])
		if again = again[:len(again)+n]; err != nil {
			t.Fatal(err)
		}
	}
	if r := <-done; r.n != 50 || r.err != nil {
		t.Fatalf("%+v", r)
	}
	if cut := bytes.LastIndexByte(first, '\n'); !bytes.HasPrefix(text(again), text(first[:cut])) {
		t.Errorf("the next connection began with %.200q", again)
	}
	var st sinks.Status
	if w.Extra(&st); st.Details.(*Details).Repeated != 50 || st.Details.(*Details).Doubtful != 0 {
		t.Errorf("%+v", st.Details)
	}
}

// text is what messages say, without their headers, whose times differ.
func text(messages []byte) (out []byte) {
	for line := range bytes.Lines(messages) {
		_, line, _ = bytes.Cut(line, []byte(": "))
		out = append(out, line...)
	}
	return out
}

// TestLocalStreamOutlivesADaemonThatHangs: it is reported once and kept, until another daemon has its address.
func TestLocalStreamOutlivesADaemonThatHangs(t *testing.T) {
	lis, _, w := localDaemon(t)
	var said []error
	w.fail = func(err error) { said = append(said, err) }
	s := w.conn.(*localStream)
	s.waits = time.Now()
	if err := s.look(); err != nil || len(said) != 0 {
		t.Fatalf("at first: %v, %v", err, said)
	}
	s.waits = time.Now().Add(-stallLimit)
	for range 2 {
		if err := s.look(); err != nil || len(said) != 1 {
			t.Fatalf("silent: %v, %v", err, said)
		}
	}
	for _, word := range []string{w.cfg.Address, "not read all", "restart it"} {
		if !strings.Contains(said[0].Error(), word) {
			t.Errorf("%q lacks %q", said[0], word)
		}
	}
	lis.(*net.UnixListener).SetUnlinkOnClose(false)
	os.Remove(w.cfg.Address)
	if err := s.look(); err != nil {
		t.Fatalf("its socket was removed: %v", err)
	}
	other, err := net.Listen("unix", w.cfg.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := s.look(); !errors.Is(err, local.ErrReplaced) || !w.canRetry(err, false) || w.conn != nil {
		t.Errorf("another daemon is there: %v", err)
	}
}
