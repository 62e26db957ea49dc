package nats

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/fleet/wire"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/engine"
	"audisp-relay/sinks/sinktest"
	servers "audisp-relay/test/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newHostID() engine.Host {
	var id [16]byte
	rand.Read(id[:])
	return engine.Host{ID: hex.EncodeToString(id[:]), Name: "web1", Boot: "fedcba9876543210fedcba9876543210"}
}

// proxy stands between a sink and its server, and can be cut or held up.
type proxy struct {
	t  *testing.T
	to string

	mu      sync.Mutex
	l       net.Listener
	address string
	conns   map[net.Conn]bool
	held    *hold // not nil: nothing passes until it has ended
	wg      sync.WaitGroup
}

// hold is a time in which nothing passes and no connection ends.
type hold struct {
	end  chan struct{}
	lost bool // what came meanwhile is gone, and its connections with it; written before end is closed
}

func newProxy(t *testing.T, url string) *proxy {
	p := &proxy{t: t, to: strings.TrimPrefix(url, "nats://"), address: "127.0.0.1:0", conns: make(map[net.Conn]bool)}
	p.listen()
	t.Cleanup(func() {
		p.pass()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.address }

func (p *proxy) listen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Error(err)
		return
	}
	p.l, p.address = l, l.Addr().String()
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", p.to)
			if err != nil {
				c.Close()
				continue
			}
			p.mu.Lock()
			p.conns[c], p.conns[up] = true, true
			p.mu.Unlock()
			p.wg.Go(func() { p.copy(up, c) })
			p.wg.Go(func() { p.copy(c, up) })
		}
	})
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		held := p.held
		p.mu.Unlock()
		if held != nil {
			if <-held.end; held.lost {
				return
			}
		}
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l.Close()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = &hold{end: make(chan struct{})}
}

// pass ends a hold: what came meanwhile passes now.
func (p *proxy) pass() { p.resume(false) }

// resume ends a hold: what came meanwhile passes now, or is lost.
func (p *proxy) resume(lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		p.held.lost = lost
		close(p.held.end)
		p.held = nil
	}
}

// rig is a sink at work, with a queue of its own.
type rig struct {
	t    *testing.T
	cfg  *Config
	host engine.Host
	dir  string
	q    *queue.Queue
	s    *sink
	stop func()
}

func newRig(t *testing.T, cfg *Config) *rig {
	t.Helper()
	r := &rig{t: t, cfg: cfg, host: newHostID(), dir: t.TempDir()}
	r.q = queue.New(queue.Options{Name: "fleet", Config: queue.Config{Depth: 1 << 20, Bytes: 256 << 20, Lossless: true, Hold: true, Markers: true}})
	t.Cleanup(r.q.Shutdown)
	return r
}

// start runs a sink until stop or the end of the test.
func (r *rig) start() {
	r.s = testSink(r.cfg, r.host, r.dir, format.Encoder{})
	r.stop = runSink(r.s, r.q)
	r.t.Cleanup(r.stop)
}

func (r *rig) put(first, n int) {
	for _, b := range sinktest.Batches(sinktest.Lines(first, n), 4096) {
		r.q.Put(&b)
	}
}

func (r *rig) drained() {
	r.t.Helper()
	r.until("delivery", func() bool { return r.q.Counts().Queued == 0 })
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not so; queue %+v, status %+v, %+v", what, r.q.Counts(), r.s.Status(), r.s.Counts())
		}
	}
}

// says waits until the sink says of itself what has each of the words.
func (r *rig) says(words ...string) {
	r.t.Helper()
	r.until("status with "+strings.Join(words, ", "), func() bool {
		st := r.s.Status()
		for _, w := range words {
			if !strings.Contains(st.Error+st.Flaw, w) {
				return false
			}
		}
		return true
	})
}

// exact holds what the stream has of the host against lines first..first+n.
func (r *rig) exact(a *servers.Admin, n int) {
	r.t.Helper()
	got, err := servers.NewReader(a, wire.StreamRecords, wire.Subject(wire.Records, r.host.ID)).Read()
	if err != nil {
		r.t.Fatal(err)
	}
	if want := sinktest.Lines(0, n); string(got) != string(want) {
		r.t.Fatalf("the stream has %d lines, want %d", strings.Count(string(got), "\n"), n)
	}
}

// testConfig is that of a sink which connects to urls.
func testConfig(urls ...string) *Config {
	return &Config{Servers: urls, Compression: "zstd", Gather: 1, Retain: defaultRetain, Keep: defaultKeep}
}

func testSink(c *Config, host engine.Host, dir string, enc format.Encoder) *sink {
	s := newSink(config.Sink{Name: "fleet", Format: "string", Settings: c, StateDir: dir}, enc, host, zap.NewNop())
	s.MinBackoff, s.MaxBackoff = 5*time.Millisecond, 200*time.Millisecond
	return s
}

// runSink runs a sink until what it returns is called.
func runSink(s sinks.Sink, q *queue.Queue) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, q)
	}()
	return func() {
		cancel()
		<-done
	}
}
