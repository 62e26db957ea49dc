package unix

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"audisp-relay/audit/stream"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
)

// small is a lossy queue that a load of some thousand lines overflows.
func small(slow queue.Slow) queue.Config {
	return queue.Config{Depth: 2000, Bytes: 1 << 20, Slow: slow}
}

// load puts lines in portions that a client that reads can always take in
// time: each waits until the fast reader has the one before.
func (b *bench) load(n int, fast *reader) []byte {
	b.t.Helper()
	var all []byte
	for i := 0; i < n; i += 500 {
		all = append(all, b.put(i, 500)...)
		eventually(b.t, "the fast client's share", func() bool { return fast.len() == len(all) })
	}
	return all
}

// TestSlowClientIsDisconnected: it has its stream up to a point, whole lines but
// for the last; the fast one loses nothing.
func TestSlowClientIsDisconnected(t *testing.T) {
	b := start(t, settings(sock(t)), small(queue.Disconnect))
	slow, fastConn := b.dial(), b.dial()
	fast := readFrom(fastConn)
	const n = 20_000
	all := b.load(n, fast)
	b.clients(1)
	got := readAll(t, slow)
	if !bytes.HasPrefix(all, got) || len(got) == 0 || len(got) == len(all) {
		t.Errorf("the slow client got %d of %d bytes, in order: %v", len(got), len(all), bytes.HasPrefix(all, got))
	}
	if d := b.sink.Status().Details.(*Details).Dropped; d != 1 {
		t.Errorf("dropped %d clients", d)
	}
	if !said(b, "client disconnected: too slow", "lost:") {
		t.Errorf("not said: %v", b.logs.All())
	}
	if c := b.balance(n); c.Delivered != n {
		t.Errorf("%+v", c)
	}
	b.queue.Close()
	b.wait()
	<-fast.done
	if !bytes.Equal(fast.got, all) {
		t.Error("the fast client did not get every byte")
	}
}

// TestSlowClientSkips: with drop it gets whole lines, with holes that add up.
func TestSlowClientSkips(t *testing.T) {
	for _, f := range []format.Format{format.String, format.Binary} {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			b := startIn(t, f, tornBuffer, settings(sock(t)), small(queue.Drop))
			slow, fastConn := b.dial(), b.dial()
			fast := readFrom(fastConn)
			const n = 20_000
			lines := sinktest.Lines(0, n)
			var all []byte
			enc := format.Encoder{Format: f}
			for _, batch := range sinktest.Batches(lines, 16<<10) {
				b.queue.Put(&batch)
				for i := range batch.Recs {
					all = enc.Append(all, batch, i)
				}
				eventually(t, "the fast client's share", func() bool { return fast.len() == len(all) })
			}
			b.queue.Close()
			b.clients(1)
			eventually(t, "what the log says of the fast client", func() bool { return b.logs.FilterMessage("client disconnected").Len() == 1 })
			if st := b.sink.Status().Details.(*Details).Clients[0]; st.Lost == 0 || st.Pid != os.Getpid() || st.Program != programOf(os.Getpid()) || st.Program == "" {
				t.Errorf("%+v", st)
			}
			got := readAll(t, slow)
			b.wait()
			<-fast.done
			if !bytes.Equal(fast.got, all) {
				t.Error("the fast client did not get every byte")
			}
			have := count(t, got, f)
			delivered, lost := b.lastWords()
			if delivered != uint64(have) || delivered+lost != n {
				t.Errorf("the slow client got %d of %d, counted %d and lost %d", have, n, delivered, lost)
			}
			if b.sink.Status().Details.(*Details).Dropped != 0 {
				t.Error("it was disconnected")
			}
			if c := b.balance(n); c.Delivered != n {
				t.Errorf("%+v", c)
			}
		})
	}
}

// lastWords returns what the log says of the client that left last.
func (b *bench) lastWords() (delivered, lost uint64) {
	all := b.logs.FilterMessage("client disconnected").All()
	said := all[len(all)-1].ContextMap()
	return said["delivered"].(uint64), said["lost"].(uint64)
}

// count counts the records of b, all of them whole, in order and none twice.
func count(t *testing.T, b []byte, f format.Format) (n int) {
	t.Helper()
	if f == format.Binary {
		var recs int
		for len(whole(f, b)) > 0 {
			size := stream.HeaderSize + int(binary.NativeEndian.Uint32(b[12:]))
			b = b[size:]
			recs++
		}
		if len(b) != 0 {
			t.Errorf("half a frame at the end: %q", b)
		}
		return recs
	}
	last := ""
	for line := range bytes.Lines(b) {
		_, rest, ok := bytes.Cut(line, []byte("audit(1700000000.123:"))
		serial, _, ok2 := bytes.Cut(rest, []byte(")"))
		if !ok || !ok2 || !bytes.HasPrefix(line, []byte("type=SYSCALL")) || !bytes.HasSuffix(line, []byte("\n")) ||
			bytes.Count(line, []byte("type=")) != 1 || string(serial) <= last {
			t.Fatalf("after %s: %.300q", last, line)
		}
		last = string(serial)
		n++
	}
	return n
}

// TestSlowClientHoldsLosslessQueue: the reader stalls, no client loses anything.
func TestSlowClientHoldsLosslessQueue(t *testing.T) {
	qc := small(queue.Disconnect)
	qc.Lossless = true
	b := start(t, settings(sock(t)), qc)
	slowConn, fastConn := b.dial(), b.dial()
	fast := readFrom(fastConn)
	const n = 20_000
	put := make(chan []byte)
	go func() {
		lines := b.put(0, n)
		b.queue.Close()
		put <- lines
	}()
	eventually(t, "a stalled reader", func() bool { return !b.queue.Counts().StallSince.IsZero() })
	slow := readFrom(slowConn)
	want := <-put
	<-slow.done
	<-fast.done
	if !bytes.Equal(slow.got, want) || !bytes.Equal(fast.got, want) {
		t.Errorf("slow %d, fast %d of %d bytes", len(slow.got), len(fast.got), len(want))
	}
	b.wait()
	if c := b.balance(n); c.Delivered != n || c.Stalls == 0 {
		t.Errorf("%+v", c)
	}
}

// TestNextClientContinues: with when_idle = "queue" what one has not taken goes to
// the next, beginning with the record that the first got in part only, also when
// the next connects in the moment the first has gone.
func TestNextClientContinues(t *testing.T) {
	qc := lossless()
	qc.Hold = true
	b := start(t, settings(sock(t)), qc)
	b.listening()
	const n = 40_000
	all := b.put(0, n)
	conn := b.dial()
	for range 5 {
		st := b.stuck()
		if st.Pending == 0 {
			t.Fatal("the socket took everything: the test needs more lines")
		}
		for range st.Delivered {
			all = all[bytes.IndexByte(all, '\n')+1:]
		}
		conn.Close()
		next, err := net.Dial("unix", b.path)
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		conn = next.(*net.UnixConn)
		eventually(t, "the new client", func() bool {
			now := b.sink.Status().Details.(*Details).Clients
			return len(now) == 1 && now[0].Since.After(st.Since)
		})
	}
	b.queue.Close()
	if got := readAll(t, conn); !bytes.Equal(got, all) {
		t.Errorf("the last client got %d bytes, want %d, beginning with %.200q", len(got), len(all), got)
	}
	b.wait()
	if c := b.balance(n); c.Delivered != n {
		t.Errorf("%+v", c)
	}
}

// TestCursorGoesFirst: who connects because the one before was disconnected, or
// has left, does not begin after what that one has not taken: its cursor is
// gone before its connection is, and before reap does not find it any more.
func TestCursorGoesFirst(t *testing.T) {
	qc := lossless()
	qc.Hold = true
	b := start(t, settings(sock(t)), qc)
	conn := b.dial()
	b.put(0, 5000)
	b.stuck()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		readAll(t, conn)
	}()
	b.sink.mu.Lock() // the client stays in the list
	unlock := sync.OnceFunc(b.sink.mu.Unlock)
	defer unlock()
	b.cancel()
	eventually(t, "the end of the cursor", func() bool { return b.queue.Counts().Cursors == 0 })
	b.sink.poll.mu.Lock()
	known := len(b.sink.poll.clients)
	b.sink.poll.mu.Unlock()
	select {
	case <-ended:
		t.Error("the connection ended before the client was out of the list")
	case <-time.After(50 * time.Millisecond):
	}
	unlock()
	<-ended
	if known != 1 {
		t.Errorf("the poller knew %d clients, want the one that is in the list", known)
	}
	if c := b.balance(5000); c.LostRecords() != 0 {
		t.Errorf("%+v", c)
	}
}

// stuck waits until the only client takes nothing more.
func (b *bench) stuck() (st Client) {
	b.t.Helper()
	same := 0
	eventually(b.t, "a client that takes nothing more", func() bool {
		now := b.sink.Status().Details.(*Details).Clients
		if len(now) != 1 || now[0].Delivered == 0 || now[0] != st {
			same = 0
			if len(now) == 1 {
				st = now[0]
			}
			return false
		}
		same++
		return same > 10
	})
	return st
}

// TestDiscardsWhileIdle: without clients records are counted as discarded, and a
// client gets what comes from then on.
func TestDiscardsWhileIdle(t *testing.T) {
	b := start(t, settings(sock(t)), lossless())
	b.listening()
	b.put(0, 100)
	conn := b.dial()
	readExactly(t, conn, b.put(100, 50))
	b.queue.Close()
	b.wait()
	if c := b.balance(150); c.Discarded != 100 || c.Delivered != 50 {
		t.Errorf("%+v", c)
	}
}

// TestStormOfClientsUnderLoad: clients that come, read a little and go, in any order, while
// records flow. Run with -race.
func TestStormOfClientsUnderLoad(t *testing.T) {
	cfg := settings(sock(t))
	cfg.MaxClients = 8
	b := start(t, cfg, queue.Config{Depth: 3000, Bytes: 1 << 20, Slow: queue.Drop})
	b.listening()
	before := descriptors(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				select {
				case <-stop:
					return
				default:
				}
				conn, err := net.Dial("unix", b.path)
				if errors.Is(err, syscall.EAGAIN) { // a busy machine: a thousand wait to be accepted
					time.Sleep(time.Millisecond)
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				conn.SetDeadline(time.Now().Add(5 * time.Millisecond))
				switch rand.N(4) {
				case 0:
					conn.(*net.UnixConn).CloseWrite()
				case 1:
					conn.Write(buf[:rand.N(100)])
				}
				for range rand.N(5) {
					conn.Read(buf)
				}
				conn.Close()
			}
		})
	}
	const n = 40_000
	for i := 0; i < n; i += 200 {
		b.put(i, 200)
		b.sink.Status()
		if i%5000 == 0 {
			b.sink.Reopen()
			time.Sleep(5 * time.Millisecond)
		}
	}
	close(stop)
	wg.Wait()
	b.clients(0)
	eventually(t, "no more descriptors than before the storm", func() bool { return descriptors(t) <= before })
	b.queue.Close()
	b.wait()
	b.balance(n)
	st := b.sink.Status()
	if len(st.Details.(*Details).Clients) != 0 {
		t.Errorf("clients are left: %+v", st.Details.(*Details).Clients)
	}
	if lines := b.logs.Len(); lines > 100 {
		t.Errorf("%d lines in the log", lines)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
