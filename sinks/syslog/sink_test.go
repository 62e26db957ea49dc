package syslog

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/testdata/captures"
)

// running is a sink at work on a queue of its own.
type running struct {
	t    testing.TB
	sink sinks.Sink
	q    *queue.Queue
	done chan struct{}
}

func run(t testing.TB, cfg config.Sink) *running { return runWith(t, cfg, format.Encoder{}) }

func runWith(t testing.TB, cfg config.Sink, enc format.Encoder) *running {
	r := &running{
		t:    t,
		sink: New(cfg, enc, zap.NewNop()),
		q:    queue.New(queue.Options{Config: queue.Config{Depth: 1 << 20, Bytes: 1 << 30, Lossless: true, Hold: true}}),
		done: make(chan struct{}),
	}
	p := r.sink.(*sinks.Pump)
	p.MinBackoff, p.MaxBackoff = time.Millisecond, 20*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(r.done)
		r.sink.Run(ctx, r.q)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

func (r *running) put(data []byte) {
	for _, b := range sinktest.Batches(data, 64<<10) {
		r.q.Put(&b)
	}
}

// end waits until all is delivered.
func (r *running) end() {
	r.t.Helper()
	r.q.Close()
	select {
	case <-r.done:
	case <-time.After(hang):
		r.t.Fatalf("not delivered: %+v, %+v", r.sink.Status(), r.q.Counts())
	}
}

// TestUnackedIsSentAgain: a TCP peer that dies in the middle costs what it had
// taken and not read, nothing that was still on this side, and no record is torn.
func TestUnackedIsSentAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	records := sinktest.Lines(0, 60_000) // more than the buffers of both sides
	s := &server{t: t, network: "tcp", transport: "tcp", protocol: "rfc3164", address: l.Addr().String()}
	r := run(t, s.config())
	r.put(records)

	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	last, same := uint64(1<<62), 0
	eventually(t, "full buffers", func() bool { // a busy machine may let the sink wait for a moment before they are full
		n := r.q.Counts().Queued
		if same++; n != last || n == 60_000 {
			last, same = n, 0
		}
		time.Sleep(50 * time.Millisecond)
		return same >= 20
	})
	raw, err := first.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	unread := 0
	if err := raw.Control(func(fd uintptr) { unread, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }); err != nil {
		t.Fatal(err)
	}
	if err != nil || unread == 0 {
		t.Fatalf("%d bytes unread: %v", unread, err)
	}
	first.Close() // with unread data: a reset

	second, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s.wg.Go(func() { s.readStream(second) })
	r.end()
	s.wg.Wait()
	second.Close()
	got := s.read()
	if !bytes.HasSuffix(records, got) {
		t.Fatalf("what came on the second connection is not the end of what was sent: %.200q", got)
	}
	// The header of a message makes up for the newline and more.
	if missing := len(records) - len(got); missing > unread {
		t.Errorf("%d bytes of records are missing, but the peer had only %d unread", missing, unread)
	}
	if st := r.sink.Status(); st.Degraded {
		t.Errorf("degraded after all is delivered: %+v", st)
	}
}

// TestUnackedOutlivesReopen: a reopen gives nothing up to a connection that has
// broken unnoticed, and the end of the sink says what is lost with it.
func TestUnackedOutlivesReopen(t *testing.T) {
	c := &chunk{buf: []byte("aaaabbbb"), marks: []mark{{4, 1, piece{}}, {8, 2, piece{}}}}
	for _, tt := range []struct {
		conn   conn
		kept   string
		doubts [2]uint64 // in all, after the reopen and at the end
	}{{&narrow{}, "", [2]uint64{2, 4}}, {&narrow{gone: errPeerClosed}, "aaaabbbb", [2]uint64{0, 2}}} {
		w := newWriter(Config{Transport: "tcp", Address: "server:601"}, format.Encoder{})
		w.sent.add(c, 2)
		w.conn = tt.conn
		if err := w.Reopen(); err != nil || w.conn != nil || string(w.sent.bytes()) != tt.kept {
			t.Errorf("%+v: reopened: %v, kept %q, want %q", tt.conn, err, w.sent.bytes(), tt.kept)
		}
		if n := w.maybeLost.Load(); n != tt.doubts[0] {
			t.Errorf("%+v: reopened: %d perhaps lost, want %d", tt.conn, n, tt.doubts[0])
		}
		w.resent.Store(3) // two of them since the connection broke, which never happens now
		w.conn, w.sent = tt.conn, unacked{}
		w.sent.add(c, 2)
		if err := w.Close(); (err != nil) != (tt.kept != "") || (err != nil && !strings.Contains(err.Error(), "2 messages")) {
			t.Errorf("%+v: closed: %v", tt.conn, err)
		}
		want := uint64(3)
		if tt.kept != "" {
			want = 1
		}
		if n := w.maybeLost.Load(); n != tt.doubts[1] || w.resent.Load() != want {
			t.Errorf("%+v: closed: %d perhaps lost, %d sent again, want %d, %d", tt.conn, n, w.resent.Load(), tt.doubts[1], want)
		}
	}
}

func TestUnackedKeepsWhatIsNotAcknowledged(t *testing.T) {
	var u unacked
	c := &chunk{buf: []byte("aaaabbbbcccc"), marks: []mark{{4, 1, piece{}}, {8, 2, piece{}}, {12, 3, piece{}}}}
	u.add(c, 3)
	for _, tt := range []struct {
		outstanding int
		want        string
	}{{12, "aaaabbbbcccc"}, {9, "aaaabbbbcccc"}, {8, "bbbbcccc"}, {5, "bbbbcccc"}, {4, "cccc"}, {1, "cccc"}, {0, ""}, {-3, ""}} {
		u.settle(tt.outstanding)
		if got := string(u.bytes()); got != tt.want {
			t.Errorf("%d outstanding: %q is kept, want %q", tt.outstanding, got, tt.want)
		}
	}
	for range 1000 { // a peer that is always some messages late
		u.add(c, 3)
		u.settle(10)
	}
	if got := string(u.bytes()); got != "aaaabbbbcccc" || cap(u.buf) > 1000 {
		t.Errorf("%q is kept in %d bytes", got, cap(u.buf))
	}
}

// TestRestartedDaemon: the socket is replaced between two records.
func TestRestartedDaemon(t *testing.T) {
	for _, network := range []string{"unixgram", "unix"} {
		t.Run(network, func(t *testing.T) {
			s := newServer(t, network, "local", "rfc3164")
			r := run(t, s.config())
			var want []byte
			for i := range 5 {
				more := sinktest.Lines(i*100, 100)
				want = append(want, more...)
				r.put(more)
				eventually(t, "arrival", func() bool { return len(s.read()) == len(want) })
				s.close()
				s.open()
			}
			if got := s.read(); !bytes.Equal(got, want) {
				t.Error("not what was sent")
			}
			if st := r.sink.Status(); st.Failures != 0 {
				t.Errorf("a restart between records counts as failure: %+v", st)
			}
		})
	}
}

// TestQuietServerIsMissed: that a server has gone, and that it is back, is noticed while there is
// nothing to send.
func TestQuietServerIsMissed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for _, transport := range []string{"tcp", "tls", "relp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			testQuietServerIsMissed(t, transport)
		})
	}
}

func testQuietServerIsMissed(t *testing.T, transport string) {
	s := newServer(t, "tcp", transport, "rfc5424")
	r := run(t, s.config())
	r.put(sinktest.Lines(0, 10))
	eventually(t, "arrival", func() bool { return bytes.Equal(s.read(), sinktest.Lines(0, 10)) })
	s.close()
	eventually(t, "a degraded sink", func() bool { return r.sink.Status().Degraded })
	s.open()
	eventually(t, "a sink that works again", func() bool { return !r.sink.Status().Degraded })
	r.put(sinktest.Lines(10, 10))
	r.end()
	s.finish()
	if got := s.read(); !bytes.Equal(got, sinktest.Lines(0, 20)) {
		t.Errorf("got %q", got)
	}
}

// TestShortConnectionsAreFailures: a server that takes connections and something
// of what is sent, and ends them at once, is no place to hurry to.
func TestShortConnectionsAreFailures(t *testing.T) {
	var taken atomic.Int32
	address := serve(t, func(c net.Conn) {
		taken.Add(1)
		c.Read(make([]byte, 256<<10))
	})
	s := &server{t: t, network: "tcp", transport: "tcp", protocol: "rfc5424", address: address}
	w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
	defer w.Close()
	data := sinktest.Lines(0, 20_000)
	var err error
	calls := 0
	for _, b := range sinktest.Batches(data, 64<<10) {
		if _, err = w.Write(context.Background(), b); err != nil {
			calls++
		}
	}
	if n := int(taken.Load()); calls == 0 || n > calls+1 {
		t.Errorf("%d connections, %d of them failures: %v", n, calls, err)
	}
}

// TestDeadPeerIsGivenUp: one that takes nothing does not hold the sink for ever.
func TestDeadPeerIsGivenUp(t *testing.T) {
	for _, transport := range []string{"tcp", "tls", "relp"} {
		t.Run(transport, func(t *testing.T) { testDeadPeerIsGivenUp(t, transport) })
	}
}

func testDeadPeerIsGivenUp(t *testing.T, transport string) {
	s := newServer(t, "tcp", transport, "rfc5424")
	w := newWriter(*s.config().Settings.(*Config), format.Encoder{})
	defer w.Close()
	if _, err := w.connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.timeout = 50 * time.Millisecond
	switch c := w.conn.(type) {
	case *streamConn:
		c.timeout = w.timeout
	case *relpConn:
		c.timeout = w.timeout
	}
	w.since = time.Time{} // not fresh any more
	s.gate.Lock()
	defer s.gate.Unlock()
	var err error
	for _, b := range sinktest.Batches(bytes.Repeat(sinktest.Lines(0, 1000), 100), 64<<10) {
		if _, err = w.Write(context.Background(), b); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, errTakesNothing) {
		t.Errorf("error %v, want a timeout", err)
	}
}

// TestSmallerMessages: a socket that does not take long messages gets them in
// smaller pieces, in order and whole.
func TestSmallerMessages(t *testing.T) {
	w := newWriter(Config{Transport: "udp", Protocol: "rfc3164", Facility: "user", Severity: "info", Tag: "audisp-relay"}, format.Encoder{})
	c := &narrow{t: t, most: 1000}
	w.conn = c
	want := append(sinktest.LongLine(30_000), sinktest.Lines(0, 3)...)
	for _, b := range sinktest.Batches(want, 64<<10) {
		if n, err := w.Write(context.Background(), b); n != len(b.Recs) || err != nil {
			t.Fatal(n, err)
		}
	}
	if !bytes.Equal(c.got, want) {
		t.Errorf("got %d bytes, want %d", len(c.got), len(want))
	}
}

// narrow is a conn that refuses messages above a size, as sendmmsg does: those
// before go.
type narrow struct {
	t     testing.TB
	most  int
	parts joiner
	got   []byte
	gone  error // what idle says
}

func (n *narrow) send(_ context.Context, c *chunk) (int, error) {
	start := 0
	for i, m := range c.marks {
		if m.end-start > n.most {
			return i, unix.EMSGSIZE
		}
		part, text, err := split3164(c.buf[start:m.end], "")
		if err != nil {
			n.t.Error(err)
		}
		record, complete, err := n.parts.add(part, text)
		if err != nil {
			n.t.Error(err)
		}
		if complete {
			n.got = append(append(n.got, record...), '\n')
		}
		start = m.end
	}
	return len(c.marks), nil
}
func (n *narrow) idle() error    { return n.gone }
func (*narrow) close(bool) error { return nil }

// TestNewTouchesNothing: nor does a sink with nothing to send.
func TestNewTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	r := run(t, localConfig(filepath.Join(dir, "none", "log")))
	r.end()
	if st := r.sink.Status(); st.Degraded || st.Failures != 0 {
		t.Errorf("idle, but %+v", st)
	}
}

// BenchmarkRender is what the sink itself does to a record, without sending.
func BenchmarkRender(b *testing.B) {
	for _, protocol := range []string{"rfc3164", "rfc5424"} {
		b.Run(protocol, func(b *testing.B) {
			r := newRenderer("tcp", protocol, "host")
			var batch record.Batch
			for _, x := range sinktest.Batches(captures.Read(b, "audit-3.0.9-enriched.string.gz"), 64<<10) {
				if len(x.Recs) > len(batch.Recs) {
					batch = x
				}
			}
			var c chunk
			records := 0
			b.ReportAllocs()
			for b.Loop() {
				r.fill(&c, batch, 0, piece{})
				records += c.recs
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/rec")
		})
	}
}
