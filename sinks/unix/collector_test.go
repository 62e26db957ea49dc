package unix

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
)

// newCollector listens, and reads from one connection after the other.
func newCollector(t *testing.T) sinktest.Place {
	path := sock(t)
	c := &collector{t: t, path: path, gate: make(chan struct{})}
	close(c.gate)
	c.listen()
	t.Cleanup(c.close)
	return sinktest.Place{
		New: func(enc format.Encoder) sinks.Sink {
			c.mu.Lock()
			c.format = enc.Format
			c.mu.Unlock()
			return testConnector(path, enc)
		},
		Read:   c.read,
		Finish: c.finish,
		Break:  c.close,
		Repair: c.listen,
		Stall:  func() { c.mu.Lock(); defer c.mu.Unlock(); c.gate = make(chan struct{}) },
		Resume: func() { c.mu.Lock(); defer c.mu.Unlock(); close(c.gate) },
	}
}

type collector struct {
	t    *testing.T
	path string

	wg sync.WaitGroup

	mu     sync.Mutex // guards all below
	format format.Format
	gate   chan struct{} // closed while reading is allowed
	lis    net.Listener
	conn   net.Conn
	before []byte // of connections that ended
	now    []byte
}

func (c *collector) listen() {
	os.Remove(c.path)
	lis, err := net.Listen("unix", c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.lis = lis
	c.mu.Unlock()
	c.wg.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conn = conn
			if c.lis != lis {
				conn.Close()
			}
			c.mu.Unlock()
			c.take(conn)
		}
	})
}

func (c *collector) take(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 10_000)
	for {
		c.mu.Lock()
		gate := c.gate
		c.mu.Unlock()
		<-gate
		n, err := conn.Read(buf)
		c.mu.Lock()
		c.now = append(c.now, buf[:n]...)
		if err != nil {
			c.before, c.now, c.conn = append(c.before, whole(c.format, c.now)...), nil, nil
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *collector) close() {
	c.mu.Lock()
	if c.lis != nil {
		c.lis.Close()
		c.lis = nil
	}
	if c.conn != nil {
		c.conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

func (c *collector) read() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(append([]byte(nil), c.before...), c.now...)
}

// finish waits until no connection is left.
func (c *collector) finish() {
	eventually(c.t, "the end of the connection", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.conn == nil
	})
}

// connected is a connecting sink that runs on a queue of its own.
type connected struct {
	t    *testing.T
	sink *sinks.Pump
	q    *queue.Queue
}

func connect(t *testing.T, path string, enc format.Encoder) *connected {
	t.Helper()
	held := lossless()
	held.Hold = true // until the sink runs
	c := &connected{t: t, sink: testConnector(path, enc), q: queue.New(queue.Options{Config: held})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.sink.Run(ctx, c.q) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func (c *connected) put(first, n int) []byte {
	lines := sinktest.Lines(first, n)
	for _, b := range sinktest.Batches(lines, 20_000) {
		c.q.Put(&b)
	}
	return lines
}

func (c *connected) delivered(n uint64) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%d records delivered; %+v %+v", n, c.q.Counts(), c.sink.Status()), func() bool { return c.q.Counts().Delivered == n })
}

func readBytes(t *testing.T, conn net.Conn, n int) []byte {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(hang))
	buf := make([]byte, n)
	if _, err := io.ReadFull(conn, buf); err != nil {
		t.Fatal(err)
	}
	return buf
}
