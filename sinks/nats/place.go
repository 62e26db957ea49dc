package nats

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"audisp-relay/fleet/wire"
	"audisp-relay/host/trusted"
	"audisp-relay/sinks"
	"audisp-relay/sinks/engine"
	"audisp-relay/sinks/remote"
)

// minBody is what a part of a batch has at least, whatever limits a server names.
const minBody = 512

// place is one host's subject in a stream: the engine.Place of the sink.
type place struct {
	cfg     *Config
	host    engine.Host
	log     *zap.Logger
	kind    string // kind of the subject, as in package wire
	subject string // subject that is published to
	stored  string // subject in the stream, where the server may have put a partition into it
	stream  string
	times   times

	// Of the sink's goroutine.
	nc       *nats.Conn // nil: there is none
	dial     *dialer
	own      *tls.Certificate // the client's, an empty one without
	looked   bool             // the stream's settings were looked at, on this connection
	expect   uint64           // sequence of the last message of this subject
	tail     engine.Tail      // the last message of this subject
	maxMsg   int              // max_msg_size of the stream, 0: none is known
	keeps    time.Duration    // max_age of the stream
	certain  bool             // nothing but max_age removes a message
	stamps   map[string]stamp // of the files that the connection was made with
	stampsAt time.Time        // when they were looked at

	moved       atomic.Bool
	waiting     atomic.Pointer[context.CancelCauseFunc] // of the request that waits for an answer
	connections remote.Connections
	server      atomic.Pointer[string]
	flaw        atomic.Pointer[string] // what is not as it should be with the stream
}

var (
	_ engine.Place     = (*place)(nil)
	_ engine.Announcer = (*place)(nil)
)

// stamp tells a file from what replaces it.
type stamp struct {
	size int64
	mod  time.Time
}

func newPlace(c *Config, host engine.Host, log *zap.Logger) *place {
	p := &place{cfg: c, host: host, log: log, kind: wire.Records, stream: wire.StreamRecords, times: defaultTimes(), own: new(tls.Certificate)}
	if c.Each {
		p.kind, p.stream = wire.Events, wire.StreamEvents
	}
	p.subject = wire.Subject(p.kind, host.ID)
	p.stored = p.subject
	if c.Partitions > 0 {
		n := wire.Partition(host.ID, c.Partitions)
		p.stored, p.stream = wire.PartSubject(p.kind, n, host.ID), wire.StreamOf(n)
	}
	return p
}

// open makes a connection where there is none. nats.go gives one up for good after some errors,
// such as that a message was larger than the server takes now. The end of ctx ends the connection.
func (p *place) open(ctx context.Context) error {
	if p.nc != nil && !p.nc.IsClosed() {
		return nil
	}
	p.disconnect()
	if p.host.ID == "" {
		return sinks.Advise(errors.New("this host has no id: neither /etc/machine-id nor /proc/sys/kernel/random/boot_id can be read"),
			"run systemd-machine-id-setup")
	}
	p.stamps, p.stampsAt = p.cfg.stamps(), time.Now()
	if p.host.Borrowed {
		p.log.Warn("no /etc/machine-id: this host is identified by its boot id, which changes at each boot; run systemd-machine-id-setup")
	}
	return p.connect(ctx)
}

// stamps looks at the files that a connection is made with.
func (c *Config) stamps() map[string]stamp {
	seen := make(map[string]stamp)
	for _, path := range c.Reads() {
		if path == "" {
			continue
		}
		if info, err := trusted.Stat(path); err == nil {
			seen[path] = stamp{info.Size(), info.ModTime()}
		}
	}
	return seen
}

// Reads implements config.Reader. Those that are not configured are "".
func (c *Config) Reads() []string {
	return append(c.files().Reads(), c.CredsFile, c.NkeyFile, c.PasswordFile, c.TokenFile)
}

// Last implements engine.Place.
func (p *place) Last(ctx context.Context) (*engine.Tail, error) {
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	p.moved.Store(false)
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	m, err := p.lastMessage(ctx)
	if err != nil {
		p.moved.Store(true)
		return nil, err
	}
	if m == nil {
		p.expect, p.tail = 0, engine.Tail{}
		return nil, nil
	}

	tail := engine.Tail{Number: m.seq}
	if err := tail.Header.Parse(m.header.Get); err != nil {
		tail.Header = wire.Header{} // what another program has put there
	}
	p.expect, p.tail = m.seq, tail
	return &tail, nil
}

// Send implements engine.Place. What is larger than the server takes goes out in parts, one
// after the other; after a break it continues with the part that is missing.
func (p *place) Send(ctx context.Context, b *engine.Batch) error {
	if p.nc == nil || p.nc.IsClosed() {
		return engine.ErrMoved
	}
	h := b.Header
	limit := p.limit(h)
	if len(b.Body) <= limit {
		return p.publish(ctx, h, b.Body)
	}

	n := (len(b.Body) + limit - 1) / limit
	size := (len(b.Body) + n - 1) / n
	first := 1
	if t := &p.tail; t.Epoch == h.Epoch && t.Seq == h.Seq && t.Part.N == n && t.Part.K < n {
		first = t.Part.K + 1
	}
	for k := first; k <= n; k++ {
		h.Part = wire.Part{K: k, N: n}
		if err := p.publish(ctx, h, b.Body[(k-1)*size:min(k*size, len(b.Body))]); err != nil {
			return err
		}
	}
	return nil
}

// limit returns how many bytes the body of a message with that header may have.
func (p *place) limit(h wire.Header) int {
	h.Part = wire.Part{K: 9999, N: 9999}
	head := len("NATS/1.0\r\n\r\n") + len(nats.ExpectedLastSubjSeqHdr) + len(nats.ExpectedStreamHdr) + len(p.stream) + 32
	for _, f := range h.Append(nil) {
		head += len(f.Name) + len(f.Value) + len(": \r\n")
	}
	most := int(p.nc.MaxPayload())
	if p.maxMsg > 0 {
		most = min(most, p.maxMsg)
	}
	return max(most-head, minBody)
}

// ack is what a stream answers to a message (ADR-1 of NATS).
type ack struct {
	Error  *apiError `json:"error"`
	Stream string    `json:"stream"`
	Seq    uint64    `json:"seq"`
}

// readAck reads what was answered to a message on subject. Anyone who listens to that may answer, too:
// what says neither where the message was stored nor why it was not is an error.
func readAck(subject string, answer []byte) (a ack, err error) {
	if err := json.Unmarshal(answer, &a); err != nil || (a.Error == nil && a.Seq == 0) {
		return a, sinks.Advise(fmt.Errorf("publish to %s: an answer that is no acknowledgement: %.100q", subject, answer),
			"see what subscribes to this subject besides the stream")
	}
	return a, nil
}

// apiError is how JetStream refuses something.
type apiError struct {
	Code    int    `json:"code"`
	ErrCode int    `json:"err_code"`
	Text    string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%.200q (error %d)", e.Text, e.ErrCode) }

// publish has one message stored after the last one of the subject, and nowhere else.
func (p *place) publish(ctx context.Context, h wire.Header, body []byte) error {
	m := &nats.Msg{Subject: p.subject, Header: nats.Header(h.Map()), Data: body}
	m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(p.expect, 10))
	m.Header.Set(nats.ExpectedStreamHdr, p.stream)
	answer, err := p.request(ctx, m, p.times.ack)
	if err != nil {
		p.moved.Store(true)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			_ = p.nc.ForceReconnect() // another server may have a way to the stream's leader
		}
		return p.explain("publish to "+p.subject, err)
	}

	a, err := readAck(p.subject, answer.Data)
	if err != nil {
		return err
	}
	if a.Error != nil {
		return p.explainStore(a.Error)
	}
	p.expect = a.Seq
	p.tail = engine.Tail{Header: h, Number: a.Seq}
	return nil
}

// Announce implements engine.Announcer: checkpoints have a stream of their own.
func (p *place) Announce(ctx context.Context, checkpoint []byte) error {
	if p.nc == nil {
		return errors.New("no connection at present")
	}
	subject := wire.Subject(wire.Checkpoints, p.host.ID)
	answer, err := p.request(ctx, &nats.Msg{Subject: subject, Data: checkpoint}, p.times.ask)
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("publish to %s: no stream takes it: make the stream %s (audisp-relay fleet init)", subject, wire.StreamCheckpoints)
	}
	if err != nil {
		return p.explain("publish to "+subject, err)
	}
	a, err := readAck(subject, answer.Data)
	if err == nil && a.Error != nil {
		err = fmt.Errorf("publish to %s: %w", subject, a.Error)
	}
	return err
}

// Keeps implements engine.Place.
func (p *place) Keeps() (time.Duration, bool) { return p.keeps, p.certain }

// Moved implements engine.Place.
func (p *place) Moved() bool { return p.moved.Load() }

// stampsEvery is how often the files of a connection are looked at.
const stampsEvery = 5 * time.Second

// Tick implements engine.Place: files that have changed are used at once, with a new connection.
func (p *place) Tick(context.Context) error {
	if p.nc == nil || time.Since(p.stampsAt) < stampsEvery {
		return nil
	}
	p.stampsAt = time.Now()
	for path, now := range p.cfg.stamps() {
		if now != p.stamps[path] {
			p.log.Info("secrets or certificates have changed: reconnecting", zap.String("file", path))
			return p.Reopen()
		}
	}
	return nil
}

// Reopen implements engine.Place.
func (p *place) Reopen() error {
	p.disconnect()
	p.moved.Store(true)
	return nil
}

// Close implements engine.Place.
func (p *place) Close() error {
	p.disconnect()
	return nil
}

func (p *place) disconnect() {
	if p.nc == nil {
		return
	}
	if !p.nc.IsClosed() {
		closed := p.nc.StatusChanged(nats.CLOSED)
		p.nc.Close()
		select {
		case <-closed:
		case <-time.After(time.Second):
		}
	}
	p.nc, p.looked = nil, false
}
