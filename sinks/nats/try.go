package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"audisp-relay/sinks"
	"audisp-relay/sinks/engine"
)

// neverReached is a sequence that no stream's last message has.
const neverReached = 1 << 62

// try implements sinks.Kind.Try. A running relay's place in the stream is not touched: a message
// would stand between its batches.
func try(ctx context.Context, t *sinks.Trial) {
	p := newPlace(t.Sink.Settings.(*Config), engine.ThisHost(), zap.NewNop())
	defer func() {
		if !t.Hung() {
			p.disconnect()
		}
	}()
	if !t.Do(ctx, "connect", p.tryConnect) {
		return
	}
	t.Do(ctx, "stream", p.tryStream)
	if t.Do(ctx, "position", p.tryLast) {
		t.Do(ctx, "acknowledgement", p.tryPublish)
	}
}

func (p *place) tryConnect(ctx context.Context, s *sinks.Step) error {
	if err := p.open(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	s.Text = "connected to " + *p.server.Load()
	s.Fact("host", "%s", p.host.ID)
	s.Fact("max_payload", "%d", p.nc.MaxPayload())
	if _, err := p.nc.TLSConnectionState(); err != nil {
		s.Text += ", without TLS"
	}
	if p.host.Borrowed {
		s.Doubt("run systemd-machine-id-setup", "there is no /etc/machine-id: this host is another one after each boot")
	}
	return nil
}

func (p *place) tryStream(ctx context.Context, s *sinks.Step) error {
	info, err := p.streamInfo(ctx)
	if errors.Is(err, nats.ErrPermissionViolation) {
		s.Verdict = sinks.Unknown
		s.Text = "the settings of stream " + p.stream + " cannot be seen: the server does not permit " + api + "STREAM.INFO." + p.stream
		return nil
	}
	if err != nil {
		return err
	}
	s.Text = fmt.Sprintf("stream %s has %d messages, %d replicas", p.stream, info.State.Msgs, info.Config.Replicas)
	s.Fact("messages", "%d", info.State.Msgs)
	s.Fact("bytes", "%d", info.State.Bytes)

	fixes := ""
	for _, f := range p.findings(&info.Config) {
		if fixes != "" {
			fixes += "; "
		}
		fixes += f.fix
		s.Doubt(fixes, "%s", f.text)
	}
	return nil
}

func (p *place) tryLast(ctx context.Context, s *sinks.Step) error {
	m, err := p.lastMessage(ctx)
	if err != nil {
		return err
	}
	if m == nil {
		s.Text = "the stream has nothing of this host yet (" + p.stored + ")"
		return nil
	}
	var tail engine.Tail
	if err := tail.Header.Parse(m.header.Get); err != nil {
		s.Doubt("see what else publishes there", "the last message of %s is no batch: %v", p.stored, err)
		return nil
	}
	s.Text = fmt.Sprintf("the last batch of this host ends with record %d of sink %s, at %s", tail.Next()-1, tail.Sink, tail.Until.Format("2006-01-02 15:04:05"))
	s.Fact("epoch", "%s", tail.Epoch)
	return nil
}

// tryPublish sends a message that the stream has to refuse because it names a last message that
// is not there: all that a delivery needs has worked then, and nothing was stored.
func (p *place) tryPublish(ctx context.Context, s *sinks.Step) error {
	m := nats.NewMsg(p.subject)
	m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(neverReached, 10))
	m.Header.Set(nats.ExpectedStreamHdr, p.stream)
	answer, err := p.request(ctx, m, p.times.ask)
	if err != nil {
		return p.explain("publish to "+p.subject, err)
	}
	var a ack
	switch err := json.Unmarshal(answer.Data, &a); {
	case err != nil:
		return fmt.Errorf("publish to %s: %w", p.subject, err)
	case a.Error != nil && a.Error.ErrCode == codeWrongLast:
		s.Text = "the stream answers, and would take a batch; nothing was stored"
		return nil
	case a.Error != nil:
		return p.explainStore(a.Error)
	}
	return errors.New("the stream has stored a message with a wrong expected sequence: no exactness is possible there")
}
