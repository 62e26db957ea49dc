package unix

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
)

func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	sinktest.Run(t, sinktest.Target{
		Place:   newPlace,
		Formats: []format.Format{format.String, format.Binary},
	})
}

// newPlace is a client that connects again whenever its connection ends.
func newPlace(t *testing.T) sinktest.Place {
	path := sock(t)
	c := &consumer{path: path, gate: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{})}
	close(c.gate)
	go c.run()
	t.Cleanup(c.end)
	aside := filepath.Join(filepath.Dir(path), "aside")
	return sinktest.Place{
		New: func(enc format.Encoder) sinks.Sink {
			c.mu.Lock()
			c.format = enc.Format
			c.mu.Unlock()
			cfg := settings(path)
			s := newSink(config.Sink{Name: "s", Settings: &cfg}, enc, zap.NewNop())
			s.CheckEvery = 10 * time.Millisecond
			s.SendBuffer = tornBuffer
			return s
		},
		Read:   c.read,
		Finish: c.finish,
		Break: func() {
			os.Rename(path, aside)
			if err := os.WriteFile(path, []byte("in the way"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		Repair: func() { os.Remove(path) },
		Stall:  c.stall,
		Resume: c.resume,
	}
}

type consumer struct {
	path       string
	stop, done chan struct{}

	mu     sync.Mutex // guards all below
	format format.Format
	gate   chan struct{} // closed while reading is allowed
	conn   net.Conn
	before []byte // of connections that ended
	now    []byte
	misses int // failed attempts to connect
	ended  bool
}

func (c *consumer) run() {
	defer close(c.done)
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		conn, err := net.Dial("unix", c.path)
		if err != nil {
			c.mu.Lock()
			c.misses++
			c.mu.Unlock()
			time.Sleep(time.Millisecond)
			continue
		}
		c.mu.Lock()
		c.conn = conn
		if c.ended {
			conn.Close()
		}
		c.mu.Unlock()
		c.take(conn)
		conn.Close()
		c.mu.Lock()
		c.before = append(c.before, whole(c.format, c.now)...)
		c.now = nil
		c.mu.Unlock()
	}
}

func (c *consumer) take(conn net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		c.mu.Lock()
		gate := c.gate
		c.mu.Unlock()
		select {
		case <-gate:
		case <-c.stop:
			return
		}
		n, err := conn.Read(buf)
		c.mu.Lock()
		c.now = append(c.now, buf[:n]...)
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *consumer) read() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(append([]byte(nil), c.before...), c.now...)
}

// finish waits until no connection is left and none can be made.
func (c *consumer) finish() {
	misses := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.misses
	}
	for n := misses(); misses() < n+2; time.Sleep(time.Millisecond) {
	}
}

func (c *consumer) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gate = make(chan struct{})
}

func (c *consumer) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.gate)
}

func (c *consumer) end() {
	close(c.stop)
	c.mu.Lock()
	c.ended = true
	if c.conn != nil {
		c.conn.Close()
	}
	c.mu.Unlock()
	<-c.done
}

// whole returns the records of b that are complete.
func whole(f format.Format, b []byte) []byte {
	end := 0
	if f != format.Binary {
		for end = len(b); end > 0 && b[end-1] != '\n'; end-- {
		}
		return b[:end]
	}
	for len(b)-end >= stream.HeaderSize {
		size := stream.HeaderSize + int(binary.NativeEndian.Uint32(b[end+12:]))
		if len(b)-end < size {
			break
		}
		end += size
	}
	return b[:end]
}
