package fleet

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"audisp-relay/fleet/wire"
	servers "audisp-relay/test/engine"
	"audisp-relay/test/lab"
)

// server is a nats-server of a test.
type server struct {
	t      testing.TB
	binary string
	config string
	port   int
	cmd    *exec.Cmd
	log    string
}

// startServer starts a real nats-server with JetStream on loopback, ended with the test. more is
// added to its configuration.
func startServer(t testing.TB, more string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, binary: servers.Program(t), config: filepath.Join(dir, "nats.conf"), log: filepath.Join(dir, "log")}
	s.port = lab.FreePorts(t, 1)[0]
	text := fmt.Sprintf("listen: 127.0.0.1:%d\nlog_file: %q\njetstream { store_dir: %q }\n%s\n", s.port, s.log, dir, more)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.binary, "-c", s.config)
	s.cmd.Stderr = os.Stderr // what is wrong with the configuration
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 6000 {
		if c, err := net.Dial("tcp", s.address()); err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	text, _ := os.ReadFile(s.log)
	s.t.Fatalf("the server does not listen:\n%s", text)
}

// stop kills the server as a power failure does.
func (s *server) stop() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }
func (s *server) url() string     { return "nats://" + s.address() }

// dial connects as someone.
func (s *server) dial(a Access) *Engine {
	s.t.Helper()
	a.URL = s.url()
	e, err := Dial(a)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(e.Close)
	return e
}

// withStreams returns a connection to a server that has the streams of a fleet.
func (s *server) withStreams(l Layout) *Engine {
	s.t.Helper()
	e := s.dial(Access{})
	if _, _, err := e.Apply(s.t.Context(), l); err != nil {
		s.t.Fatal(err)
	}
	return e
}

var testLayout = Layout{Replicas: 1, MaxAge: 24 * time.Hour, MaxBytes: -1}

// host plays the relay of one host.
type host struct {
	t    testing.TB
	e    *Engine
	id   string
	name string
	sink string
	kind string

	epoch string
	seq   uint64 // of the last record sent
	n     uint64
}

func newHost(t testing.TB, e *Engine, number int) *host {
	return &host{
		t: t, e: e, id: fmt.Sprintf("%032x", 0xabc0000+number), name: fmt.Sprintf("web-%d", number),
		sink: "siem", kind: wire.Records, epoch: wire.NewEpoch(),
	}
}

func (h *host) header(count uint64) wire.Header {
	at := time.Now().UTC().Truncate(time.Millisecond)
	return wire.Header{
		Host: h.id, Name: h.name, Boot: strings.Repeat("1", 32), Epoch: h.epoch, Sink: h.sink,
		Seq: h.seq + 1, Count: count, Format: "string", First: at, Until: at,
	}
}

// batch sends so many records.
func (h *host) batch(count uint64) {
	var body []byte
	for i := range count {
		body = fmt.Appendf(body, "type=USER_CMD msg=audit(%d.000:%d): cmd=%q\n", time.Now().Unix(), h.seq+i+1, h.name)
	}
	head := h.header(count)
	h.seq += count
	h.send(head, body)
}

func (h *host) send(head wire.Header, body []byte) {
	h.publish(wire.Subject(h.kind, h.id), head.Map(), body)
}

func (h *host) publish(subject string, head nats.Header, body []byte) {
	h.t.Helper()
	_, err := h.e.js.PublishMsgAsync(&nats.Msg{Subject: subject, Header: head, Data: body}, jetstream.WithStallWait(time.Minute))
	if err != nil {
		h.t.Fatal(err)
	}
}

// checkpoint sends what the host says; change, which may be nil, makes it say another thing.
func (h *host) checkpoint(reason string, change func(*wire.Checkpoint)) {
	h.t.Helper()
	h.n++
	now := time.Now().UTC()
	c := wire.Checkpoint{
		V: wire.Version, Host: h.id, Name: h.name, Boot: strings.Repeat("1", 32), Epoch: h.epoch, Sink: h.sink,
		N: h.n, Time: now, Next: now.Add(maxInterval), Seq: h.seq, Ledger: wire.Ledger{Received: h.seq, Delivered: h.seq}, Reason: reason,
	}
	if change != nil {
		change(&c)
	}
	text, err := c.Append(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.publish(wire.Subject(wire.Checkpoints, h.id), nil, text)
}

// settle waits until the engine has all that was sent.
func settle(t testing.TB, e *Engine) {
	t.Helper()
	select {
	case <-e.js.PublishAsyncComplete():
	case <-time.After(5 * time.Minute):
		t.Fatal("the engine does not acknowledge what was sent")
	}
}

// look returns what a Verifier says, by host and sink.
func look(t testing.TB, v *Verifier) (map[string]Host, *Summary) {
	t.Helper()
	hosts := make(map[string]Host)
	sum, err := v.Look(context.Background(), func(h Host) error {
		hosts[h.Host+h.Sink] = h
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hosts, sum
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
