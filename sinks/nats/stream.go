package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"audisp-relay/sinks"
	"audisp-relay/sinks/engine"
)

// smallMessage is what a server or a stream should take at least, in bytes: a batch of ordinary
// size that does not compress.
const smallMessage = 128 << 10

// finding is what is not as it should be with a stream, and what corrects it.
type finding struct{ text, fix string }

// look looks at the stream once for each connection. Records are delivered whatever it finds; who
// may not look goes without.
func (p *place) look(ctx context.Context) error {
	if p.looked {
		return nil
	}
	info, err := p.streamInfo(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, nats.ErrPermissionViolation):
		p.looked = true
		p.log.Info("settings of the stream not checked: the server does not permit it",
			zap.String("stream", p.stream), zap.String("permission", api+"STREAM.INFO."+p.stream))
		return nil
	case err != nil:
		return err
	}

	p.looked = true
	c := &info.Config
	p.maxMsg, p.keeps = max(0, int(c.MaxMsgSize)), c.MaxAge
	p.certain = c.Discard == jetstream.DiscardNew && c.MaxMsgsPerSubject <= 0 && c.Retention == jetstream.LimitsPolicy

	var list []string
	for _, f := range p.findings(c) {
		list = append(list, f.text+": "+f.fix)
	}
	now := strings.Join(list, "; ")
	if before := p.flaw.Swap(&now); now != "" && (before == nil || *before != now) {
		p.log.Warn("stream is not as it should be", zap.String("stream", p.stream), zap.Strings("findings", list))
	}
	return nil
}

// streamInfo asks for the settings of the stream.
func (p *place) streamInfo(ctx context.Context) (*jetstream.StreamInfo, error) {
	m, err := p.request(ctx, nats.NewMsg(api+"STREAM.INFO."+p.stream), p.times.ask)
	if err != nil {
		if errors.Is(err, nats.ErrNoResponders) {
			err = sinks.Advise(errors.New("no answer from JetStream"), "enable JetStream in the server's configuration and for this account")
		}
		return nil, p.explain("look at stream "+p.stream, err)
	}

	var answer struct {
		Error *apiError `json:"error"`
		jetstream.StreamInfo
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", p.stream, err)
	}
	if answer.Error != nil {
		return nil, p.explainStore(answer.Error)
	}
	return &answer.StreamInfo, nil
}

// findings says what a stream's settings do to evidence.
func (p *place) findings(c *jetstream.StreamConfig) (list []finding) {
	add := func(found bool, fix, format string, args ...any) {
		if found {
			list = append(list, finding{fmt.Sprintf(format, args...), fix})
		}
	}

	edit := "nats stream edit " + p.stream + " "
	add(c.Discard == jetstream.DiscardOld, edit+"--discard new", "discard: old: when the stream is full it deletes the oldest records, and says so nowhere")
	add(c.Replicas < 2, edit+"--replicas 3", "one replica: what the server's disk loses is lost, and while that server is down nothing is stored")
	add(c.Replicas == 2, edit+"--replicas 3", "two replicas: while one of them is down nothing is stored")
	add(c.Storage == jetstream.MemoryStorage, "make it again with --storage file", "it is in memory: a restart of the servers loses all of it")
	add(c.Retention != jetstream.LimitsPolicy, "make it again with --retention limits", "retention: messages are removed once they are read")
	add(c.MaxMsgsPerSubject > 0, edit+"--max-msgs-per-subject -1", "max_msgs_per_subject is %d: older batches of a host are deleted", c.MaxMsgsPerSubject)
	add(!c.DenyDelete || !c.DenyPurge, "make it again with --deny-delete --deny-purge", "messages can be deleted from it, or purged, by whoever may manage it")
	add(!c.AllowDirect, edit+"--allow-direct", "allow_direct is off: this host needs the permission for %sSTREAM.MSG.GET.%s, which reads the records of all hosts", api, p.stream)
	add(c.NoAck, edit+"--ack", "it acknowledges nothing")
	add(c.Sealed, "make another one", "it is sealed: nothing can be stored")

	small := c.MaxMsgSize > 0 && int(c.MaxMsgSize) < smallMessage
	add(small, edit+"--max-msg-size -1", "max_msg_size is %d bytes: batches go out in parts", c.MaxMsgSize)
	if p.nc != nil {
		most := p.nc.MaxPayload()
		add(most < smallMessage, "set max_payload: 1MB in the servers' configuration", "max_payload of the server is %d bytes: batches go out in parts", most)
	}
	return list
}

// explainStore says what it means that JetStream refuses something.
func (p *place) explainStore(e *apiError) error {
	what := fmt.Errorf("stream %s: %w", p.stream, e)
	full := strings.Contains(e.Text, "maximum bytes") || strings.Contains(e.Text, "maximum messages")
	switch {
	case e.ErrCode == codeWrongLast || e.ErrCode == codeInProcess:
		return fmt.Errorf("%w: %w", engine.ErrMoved, e)
	case full:
		return sinks.Advise(fmt.Errorf("%w: the stream is full", what), "make room: nats stream edit "+p.stream+" --max-bytes or --max-msgs, or a shorter --max-age; records wait until there is some")
	case e.ErrCode == codeTooLarge:
		if now := p.limit(p.tail.Header); p.maxMsg == 0 || now < p.maxMsg {
			p.maxMsg = max(now, minBody)
		}
		p.maxMsg = max(p.maxMsg/2, minBody)
		p.looked = false
		return sinks.Advise(fmt.Errorf("%w: max_msg_size is smaller than the batch", what), "the next attempt divides it; nats stream edit "+p.stream+" --max-msg-size -1 makes that unnecessary")
	case e.ErrCode == codeStreamNotFound:
		return sinks.Advise(fmt.Errorf("%w: there is no such stream", what), "make it: "+p.makeStream())
	case e.ErrCode == codeOtherStream:
		return sinks.Advise(fmt.Errorf("%w: another stream takes the subject %s", what, p.subject), "see `nats stream ls --subjects`, and partitions")
	case e.ErrCode == codeNotEnabled:
		return sinks.Advise(what, "enable JetStream for this account")
	case e.ErrCode == codeNotAvailable:
		return sinks.Advise(what, "the cluster has no leader at present: see `nats server report jetstream`")
	case e.ErrCode == codeNoResources, e.ErrCode == codeStoreFailed:
		return sinks.Advise(what, "see the disks and the JetStream limits of the servers: nats server report jetstream")
	}
	return what
}
