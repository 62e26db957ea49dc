package unix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	sys "golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/local"
	"audisp-relay/sinks/sinktest"
)

// TestConnectConformance: a collector that listens gets every record whole and in order; what it had
// not read when it closed a connection comes again on the next.
func TestConnectConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	sinktest.Run(t, sinktest.Target{
		Place:   newCollector,
		Formats: []format.Format{format.String, format.Binary},
		Repeats: true,
	})
}

func testConnector(path string, enc format.Encoder) *sinks.Pump {
	c, p := newConnector(config.Sink{Name: "s", Settings: &Config{Path: path, Connect: true}}, enc, zap.NewNop())
	p.MinBackoff, p.MaxBackoff = time.Millisecond, 10*time.Millisecond
	c.own = -1 // the collectors of the tests are in this process
	return p
}

// TestConnectCountsWhatWasRead: a collector that accepts and reads nothing, or only a part, and goes has
// had nothing of that; the next one gets all of it whole.
func TestConnectCountsWhatWasRead(t *testing.T) {
	path := sock(t)
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	c := connect(t, path, format.Encoder{})
	want := c.put(0, 200)
	for _, n := range []int{0, 1, 1000, 0, 5000} {
		conn, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := readBytes(t, conn, n); !bytes.HasPrefix(want, got) {
			t.Fatalf("a connection began with %.100q", got)
		}
		conn.Close()
	}
	conn, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := c.q.Counts().Delivered; n != 0 {
		t.Errorf("%d records count as delivered", n)
	}
	if got := readBytes(t, conn, len(want)); !bytes.Equal(got, want) {
		t.Error("the last one got something else")
	}
	c.delivered(200)
	if st := c.sink.Status(); st.Details.(*Details).Repeated == 0 || st.Degraded || (st.Details.(*Details).Pid != os.Getpid() && st.Details.(*Details).Pid != 0) {
		t.Errorf("status %+v, want repeated messages and no pid of another", st)
	}
}

// TestRestOfALineBeginsNothing: a collector that has not had the beginning of a line in pieces does not get the rest of it, which
// would look like a record of its own.
func TestRestOfALineBeginsNothing(t *testing.T) {
	path := sock(t)
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	got := make(chan string, 1)
	go func() {
		conn, err := lis.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer conn.Close()
		text, _ := io.ReadAll(conn)
		got <- string(text)
	}()

	c, _ := newConnector(config.Sink{Name: "s", Settings: &Config{Path: path, Connect: true}}, format.Encoder{}, zap.NewNop())
	c.own = -1
	write := func(text string, flags uint8) {
		t.Helper()
		b := record.Batch{Buf: []byte(text), Recs: []record.Record{{Len: uint32(len(text)), Flags: flags}}}
		if n, err := c.Write(t.Context(), b); n != 1 || err != nil {
			t.Fatalf("%q: %d, %v", text, n, err)
		}
	}
	write("type=USER_LOGIN\n", record.Cont|record.NoID)
	write("whole\n", 0)
	write("begin ", record.Open)
	write("end\n", record.Cont|record.NoID)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if text := <-got; text != "whole\nbegin end\n" {
		t.Errorf("the collector has %q", text)
	}
}

// TestConnectErrors name the place, the cause and what to do, and the sink works as soon as
// it can, also when there is nothing to write.
func TestConnectErrors(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	path := sock(t)
	c := connect(t, path, format.Encoder{})
	says := func(parts ...string) {
		t.Helper()
		eventually(t, strings.Join(parts, " "), func() bool {
			st := c.sink.Status()
			for _, p := range append(parts, path) {
				if !strings.Contains(st.Error, p) {
					return false
				}
			}
			return st.Degraded
		})
	}
	says("no such file", "start the collector")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	says("connection refused", "no process listens there")
	os.Remove(path)
	fd, err := sys.Socket(sys.AF_UNIX, sys.SOCK_SEQPACKET|sys.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sys.Bind(fd, &sys.SockaddrUnix{Name: path}), sys.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	says("neither a stream nor a datagram socket")
	sys.Close(fd)
	os.Remove(path)
}

// TestConnectToItself is refused: the sink would write to a client that it is itself.
func TestConnectToItself(t *testing.T) {
	path := sock(t)
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	c, _ := newConnector(config.Sink{Name: "s", Settings: &Config{Path: path, Connect: true}}, format.Encoder{}, zap.NewNop())
	if err := c.Tick(context.Background()); err == nil || !strings.Contains(err.Error(), "a socket of this relay itself") {
		t.Errorf("error %v", err)
	}
}

// TestConnectDatagrams: a collector with a datagram socket gets each record as a message; what it had
// not read when it closed the socket goes to the next one.
func TestConnectDatagrams(t *testing.T) {
	for _, f := range []format.Format{format.String, format.Binary} {
		path := sock(t)
		listen := func() *net.UnixConn {
			os.Remove(path)
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Now().Add(hang))
			return conn
		}
		read := func(conn *net.UnixConn, n int) (got [][]byte) {
			buf := make([]byte, 1<<20)
			for range n {
				k, err := conn.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, bytes.Clone(buf[:k]))
			}
			return got
		}
		first := listen()
		c := connect(t, path, format.Encoder{Format: f})
		c.put(0, 100)
		read(first, 5)
		first.Close()
		if n := c.q.Counts().Delivered; n != 0 {
			t.Errorf("%v: %d records count as delivered", f, n)
		}
		second := listen()
		got := read(second, 100)
		c.delivered(100)
		second.Close()
		enc := format.Encoder{Format: f}
		i := 0
		for _, b := range sinktest.Batches(sinktest.Lines(0, 100), 1<<20) {
			for j := range b.Recs {
				want := enc.Append(nil, b, j)
				if f == format.String {
					want = bytes.TrimSuffix(want, []byte("\n"))
				}
				if !bytes.Equal(got[i], want) {
					t.Fatalf("%v: message %d is %.200q, want %.200q", f, i, got[i], want)
				}
				i++
			}
		}
	}
}

// TestConnectNoticesTheEndOfAQuietCollector: while there is nothing to write, of either kind of socket, and
// says which process it was.
func TestConnectNoticesTheEndOfAQuietCollector(t *testing.T) {
	for _, kind := range []string{"unix", "unixgram"} {
		path := sock(t)
		c, _ := newConnector(config.Sink{Name: "s", Settings: &Config{Path: path, Connect: true}}, format.Encoder{}, zap.NewNop())
		c.own = -1
		var end io.Closer
		var err error
		who := path // of a datagram socket the kernel does not say
		if kind == "unix" {
			var lis net.Listener
			if lis, err = net.Listen(kind, path); err == nil {
				defer lis.Close()
				err = c.Tick(t.Context())
			}
			if err == nil {
				end, err = lis.Accept()
			}
			who = fmt.Sprintf("pid %d", os.Getpid())
		} else if end, err = net.ListenUnixgram(kind, &net.UnixAddr{Name: path, Net: kind}); err == nil {
			err = c.Tick(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Tick(t.Context()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		end.Close()
		err = c.Tick(t.Context())
		if err == nil || c.conn != nil || !strings.Contains(err.Error(), "has closed") || !strings.Contains(err.Error(), who) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestConnectLeavesACollectorThatHangs: once another listens in its place, and not before.
func TestConnectLeavesACollectorThatHangs(t *testing.T) {
	path := sock(t)
	c, _ := newConnector(config.Sink{Name: "s", Settings: &Config{Path: path, Connect: true}}, format.Encoder{}, zap.NewNop())
	c.own = -1
	said := 0
	c.fail = func(error) { said++ }
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	lis.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := c.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.waits = time.Now().Add(-silentAfter)
	os.Remove(path)
	for range 2 {
		if err := c.idle(); err != nil || said != 1 {
			t.Fatalf("missing: %v, said %d times", err, said)
		}
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = c.idle()
	if !errors.Is(err, local.ErrReplaced) {
		t.Fatalf("replaced: %v", err)
	}
	if err := c.lose(err); c.conn != nil || !strings.Contains(err.Error(), "end it") || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	if err := c.Tick(t.Context()); err != nil {
		t.Error(err)
	}
	c.Close()
}

// TestConnectSocat: both kinds of receivers that people use for a try.
func TestConnectSocat(t *testing.T) {
	for _, kind := range []string{"UNIX-LISTEN:%s,fork", "UNIX-RECV:%s"} {
		path := filepath.Join(shortDir(t), "s")
		c := connect(t, path, format.Encoder{})
		want := c.put(0, 10_000)
		_, output := socat(t, nil, "-u", "-b65536", fmt.Sprintf(kind, path), "-")
		c.delivered(10_000)
		if strings.HasPrefix(kind, "UNIX-RECV") {
			want = bytes.ReplaceAll(want, []byte("\n"), nil)
		}
		eventually(t, "all of it", func() bool { return len(output()) >= len(want) })
		if !bytes.Equal(output(), want) {
			t.Errorf("%s: %d bytes, want %d, or others", kind, len(output()), len(want))
		}
	}
}
