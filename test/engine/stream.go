package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"audisp-relay/fleet/wire"
)

// Admin is a connection to servers that may do all there.
type Admin struct {
	t  testing.TB
	JS jetstream.JetStream
}

// NewAdmin connects to servers, with further options where they want to know who it is.
func NewAdmin(t testing.TB, urls []string, opts ...nats.Option) *Admin {
	t.Helper()
	all := ""
	for _, u := range urls {
		all += u + ","
	}
	opts = append([]nats.Option{nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond),
		nats.IgnoreAuthErrorAbort(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}, opts...)
	nc, err := nats.Connect(all[:len(all)-1], opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := nc.StatusChanged(nats.CLOSED)
		nc.Close()
		<-closed
	})
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return &Admin{t: t, JS: js}
}

// Records is how the stream of batches is to be, with that many replicas.
func Records(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: wire.StreamRecords, Subjects: []string{wire.AllSubjects(wire.Records)}, Storage: jetstream.FileStorage,
		Replicas: replicas, Discard: jetstream.DiscardNew, DenyDelete: true, DenyPurge: true, AllowDirect: true,
	}
}

// Make makes or changes a stream; servers that have just started may need a moment for it.
func (a *Admin) Make(c jetstream.StreamConfig) {
	a.t.Helper()
	a.Try("make a stream", func(ctx context.Context) error {
		_, err := a.JS.CreateOrUpdateStream(ctx, c)
		return err
	})
}

// Try does something until it works. Servers without a leader do not answer, so it soon asks again,
// and waits longer each time.
func (a *Admin) Try(what string, f func(context.Context) error) {
	a.t.Helper()
	patience := 200 * time.Millisecond
	for deadline := time.Now().Add(hang); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		patience = min(2*patience, 5*time.Second)
		err := f(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("%s: %v", what, err)
		}
	}
}

// Reader reads the batches of one subject, each once, and holds them against what their headers
// promise.
type Reader struct {
	a       *Admin
	stream  string
	subject string
	next    uint64 // sequence in the stream
	Heads   []wire.Header
	Body    []byte // of all batches, one after the other

	epoch string
	seq   uint64 // next
	parts []byte // of a batch that is not whole yet
	part  wire.Part
	zip   *zstd.Decoder
}

// NewReader returns a Reader of a subject.
func NewReader(a *Admin, stream, subject string) *Reader {
	zip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(wire.MaxBody))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(zip.Close)
	return &Reader{a: a, stream: stream, subject: subject, next: 1, zip: zip}
}

// Read reads what has come since, and returns all bodies. A stream that is not there has none. An
// error says that sequence numbers have a hole, or come twice.
func (r *Reader) Read() ([]byte, error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		m, err := r.message(ctx)
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			return r.Body, nil
		case err != nil:
			return r.Body, nil // the servers are away: what was read is known
		}
		r.next = m.Sequence + 1
		if err := r.take(m); err != nil {
			return r.Body, fmt.Errorf("message %d: %w", m.Sequence, err)
		}
	}
}

func (r *Reader) message(ctx context.Context) (*jetstream.RawStreamMsg, error) {
	s, err := r.a.JS.Stream(ctx, r.stream)
	if err != nil {
		return nil, err
	}
	return s.GetMsg(ctx, r.next, jetstream.WithGetMsgSubject(r.subject))
}

// take takes a message in.
func (r *Reader) take(m *jetstream.RawStreamMsg) error {
	var h wire.Header
	if err := h.Parse(m.Header.Get); err != nil {
		return err
	}
	if h.Epoch != r.epoch {
		r.epoch, r.seq = h.Epoch, h.Seq
	}
	if h.Seq != r.seq {
		return fmt.Errorf("batch of record %d, expected %d", h.Seq, r.seq)
	}
	if h.Part.K == 1 {
		r.parts, r.part = nil, wire.Part{}
	}
	if h.Part.N > 0 && h.Part.K != r.part.K+1 {
		return fmt.Errorf("part %v after %v", h.Part, r.part)
	}
	r.parts, r.part = append(r.parts, m.Data...), h.Part
	if h.Part.K < h.Part.N {
		return nil
	}

	body := r.parts
	r.parts, r.part = nil, wire.Part{}
	if h.Encoding == wire.Zstd {
		var err error
		if body, err = r.zip.DecodeAll(body, nil); err != nil {
			return err
		}
	}
	r.Body = append(r.Body, body...)
	r.Heads = append(r.Heads, h)
	r.seq = h.Next()
	return nil
}
