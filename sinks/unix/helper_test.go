package unix

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hang is when a test gives up on what has to happen.
const hang = time.Minute

// shortDir is a t.TempDir whose name leaves room for a socket's, and that
// others may enter.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ur")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func settings(path string) Config {
	return Config{Path: path, Mode: 0o660, Owner: fmt.Sprint(os.Getuid()), Group: fmt.Sprint(os.Getgid()),
		MaxClients: 16}
}

// bench is a sink that runs, and its queue.
type bench struct {
	t      testing.TB
	path   string
	queue  *queue.Queue
	sink   *Sink
	logs   *observer.ObservedLogs
	cancel context.CancelFunc
	done   chan struct{}
}

func lossless() queue.Config {
	return queue.Config{Depth: 1 << 20, Bytes: 64 << 20, Lossless: true, Slow: queue.Disconnect}
}

// tornBuffer makes nearly every write end within a record: the kernel fills a
// send buffer in pieces of half its size less 64 bytes.
const tornBuffer = 5000

// start runs a sink on cfg and a queue of qc.
func start(t testing.TB, cfg Config, qc queue.Config) *bench {
	t.Helper()
	return startIn(t, format.String, tornBuffer, cfg, qc)
}

func startIn(t testing.TB, f format.Format, sendBuffer int, cfg Config, qc queue.Config) *bench {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	s := newSink(config.Sink{Name: "s", Settings: &cfg}, format.Encoder{Format: f}, zap.New(core))
	s.CheckEvery = 20 * time.Millisecond
	s.SendBuffer = sendBuffer
	s.MinBackoff, s.MaxBackoff = 5*time.Millisecond, 20*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	b := &bench{t: t, path: cfg.Path, queue: queue.New(queue.Options{Config: qc, Stop: ctx.Done()}), sink: s, logs: logs, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		s.Run(ctx, b.queue)
	}()
	t.Cleanup(b.stop)
	return b
}

func (b *bench) stop() {
	b.cancel()
	b.wait()
}

// wait waits until Run has returned.
func (b *bench) wait() {
	b.t.Helper()
	select {
	case <-b.done:
	case <-time.After(hang):
		b.t.Fatalf("Run did not return; status %+v, queue %+v", b.sink.Status(), b.queue.Counts())
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hang); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, hang)
		}
	}
}

// listening waits until the sink can be connected to. To be called first.
func (b *bench) listening() {
	b.t.Helper()
	eventually(b.t, "a listening sink", func() bool {
		c, err := net.Dial("unix", b.path)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	eventually(b.t, "the end of that connection", func() bool {
		return b.sink.ended.total.Load() == 1
	})
}

// dial connects one client and waits until it is served.
func (b *bench) dial() *net.UnixConn {
	b.t.Helper()
	n := len(b.sink.Status().Details.(*Details).Clients)
	var conn net.Conn
	eventually(b.t, "a connection", func() (ok bool) {
		var err error
		conn, err = net.Dial("unix", b.path)
		return err == nil
	})
	b.t.Cleanup(func() { conn.Close() })
	b.clients(n + 1)
	return conn.(*net.UnixConn)
}

// clients waits until that many are served.
func (b *bench) clients(n int) {
	b.t.Helper()
	eventually(b.t, fmt.Sprint(n, " clients"), func() bool { return len(b.sink.Status().Details.(*Details).Clients) == n })
}

// degraded waits for a failure whose text contains part.
func (b *bench) degraded(part string) {
	b.t.Helper()
	eventually(b.t, "degraded with "+part, func() bool {
		st := b.sink.Status()
		return st.Degraded && bytes.Contains([]byte(st.Error), []byte(part))
	})
}

func (b *bench) healthy() {
	b.t.Helper()
	eventually(b.t, "a sink that works", func() bool { return !b.sink.Status().Degraded })
}

// put feeds n numbered lines and returns them.
func (b *bench) put(first, n int) []byte {
	lines := sinktest.Lines(first, n)
	for _, batch := range sinktest.Batches(lines, 16<<10) {
		b.queue.Put(&batch)
	}
	return lines
}

// balance holds the queue's equation, with n records put in.
func (b *bench) balance(n uint64) queue.Counts {
	b.t.Helper()
	c := b.queue.Counts()
	if c.Received != n || c.Delivered+c.Discarded+c.Queued+c.LostRecords() != n {
		b.t.Errorf("of %d records: %+v", n, c)
	}
	return c
}

// readAll returns what conn gives until its end.
func readAll(t testing.TB, conn net.Conn) []byte {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(hang))
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("read to the end: %v (after %d bytes)", err, len(got))
	}
	return got
}

// readExactly holds that want comes next.
func readExactly(t testing.TB, conn net.Conn, want []byte) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(hang))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("read %d bytes, want %d: %v", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("got other bytes than were put: %.300q\nwant %.300q", got, want)
	}
}

// reader reads in the background all that conn gives.
type reader struct {
	mu   sync.Mutex
	got  []byte
	err  error
	done chan struct{}
}

func readFrom(conn net.Conn) *reader {
	r := &reader{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			r.mu.Lock()
			r.got = append(r.got, buf[:n]...)
			r.err = err
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return r
}

func (r *reader) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		lab.Missing(t, "owners and other users need root")
	}
}

func sock(t testing.TB) string { return filepath.Join(shortDir(t), "s") }

var _ sinks.Sink = (*Sink)(nil)
