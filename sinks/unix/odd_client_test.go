package unix

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	sys "golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
)

// TestHalfClosedClientGetsEverything: a client that says it will send no more still gets everything.
func TestHalfClosedClientGetsEverything(t *testing.T) {
	b := start(t, settings(sock(t)), lossless())
	conn := b.dial()
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	readExactly(t, conn, b.put(0, 10))
	all := b.put(10, 20_000) // enough to make it wait for the client
	b.stuck()
	readExactly(t, conn, all)
	conn.Close()
	b.clients(0)
}

// TestHalfCloseWhileFull: the end of a client's input, seen while the sink waits
// for that client, must not make it forget to continue.
func TestHalfCloseWhileFull(t *testing.T) {
	b := start(t, settings(sock(t)), lossless())
	conn := b.dial()
	all := b.put(0, 20_000)
	b.stuck()
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the sink sees it before room is made
	readExactly(t, conn, all)
}

// TestInputIsThrownAway: what clients write, how much it ever is, neither comes
// back nor disturbs nor is kept.
func TestInputIsThrownAway(t *testing.T) {
	b := start(t, settings(sock(t)), lossless())
	conn, quiet := b.dial(), b.dial()
	var wg sync.WaitGroup
	wg.Go(func() { // 4 MiB: many times what the socket takes
		junk := bytes.Repeat([]byte("GET / HTTP/1.0\r\n\x00\xff"), 2048)
		for sent := 0; sent < 4<<20; sent += len(junk) {
			if _, err := conn.Write(junk); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 20 {
		lines := b.put(i*100, 100)
		readExactly(t, quiet, lines)
		readExactly(t, conn, lines)
	}
	wg.Wait()
	b.queue.Close()
	b.wait()
	if rest := readAll(t, conn); len(rest) != 0 {
		t.Errorf("more came than was put: %q", rest)
	}
}

// TestCancelWithFullClient: ctx ends the sink though a client takes nothing.
func TestCancelWithFullClient(t *testing.T) {
	b := start(t, settings(sock(t)), lossless())
	b.dial()
	b.put(0, 20_000)
	b.stuck()
	b.queue.Close()
	b.stop()
	if exists(b.path) {
		t.Error("the socket is still there")
	}
}

// TestLongLineForLateClient: a client that comes in the middle of a line in
// pieces begins with the line after it.
func TestLongLineForLateClient(t *testing.T) {
	b := start(t, settings(sock(t)), lossless())
	early := b.dial()
	line := sinktest.LongLine(200 << 10)
	var late net.Conn
	for _, batch := range sinktest.Batches(line, 4096) {
		b.queue.Put(&batch)
		if late == nil && batch.Recs[len(batch.Recs)-1].Flags&record.Open != 0 {
			late = b.dial()
		}
	}
	next := b.put(0, 5)
	b.queue.Close()
	if got := readAll(t, early); !bytes.Equal(got, append(line, next...)) {
		t.Errorf("the first client got %d bytes, want %d", len(got), len(line)+len(next))
	}
	want := append(sinktest.Lines(2001, 1), next...) // LongLine ends with that line
	if got := readAll(t, late); !bytes.Equal(got, want) {
		t.Errorf("the late client got %d bytes: %.200q", len(got), got)
	}
	b.wait()
}

// TestSkippedLineIsEnded: a client that has the beginning of a long line and had to skip the
// rest gets a newline before the next record, and pieces without a beginning
// are left out.
func TestSkippedLineIsEnded(t *testing.T) {
	for f, nl := range map[format.Format]string{format.String: "\n", format.Binary: ""} {
		fds, err := sys.Socketpair(sys.AF_UNIX, sys.SOCK_STREAM|sys.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer sys.Close(fds[0])
		defer sys.Close(fds[1])
		q := queue.New(queue.Options{Config: lossless()})
		c := &client{fd: fds[0], cur: q.Cursor(), enc: format.Encoder{Format: f}, open: true}
		lines := []byte("x=1 middle\ntype=A msg=audit(1.000:1): a\n")
		b := record.Batch{Buf: lines, Recs: []record.Record{
			{Len: 11, Flags: record.Cont | record.NoID},
			{Off: 11, Len: uint32(len(lines) - 11), Serial: 1},
		}}
		rec := record.Batch{Buf: b.Buf, Recs: b.Recs[1:]}
		var want []byte
		want = append(append(want, nl...), c.enc.Append(nil, rec, 0)...)
		q.Put(&rec)
		deliver := func() {
			got, err := c.cur.Take()
			if err != nil || len(got.Recs) == 0 {
				t.Fatalf("%v, %v", got, err)
			}
			if err := c.deliver(context.Background(), got); err != nil {
				t.Fatal(err)
			}
		}
		deliver() // the newline
		deliver()
		// Now the beginning is missing.
		orphan := record.Batch{Buf: b.Buf, Recs: b.Recs[:1]}
		if n := sinks.Orphans(&orphan, c.open); n != 1 {
			t.Errorf("%d orphans", n)
		}
		got := make([]byte, 1000)
		n, _ := sys.Read(fds[1], got)
		if !bytes.Equal(got[:n], want) {
			t.Errorf("%q, want %q", got[:n], want)
		}
	}
}
