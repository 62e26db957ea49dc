package nats

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"audisp-relay/fleet/wire"
	"audisp-relay/sinks"
)

// api is the prefix of the subjects that JetStream listens to.
const api = "$JS.API."

// Errors of JetStream by their number (nats-server, server/errors.json).
const (
	codeNotEnabled     = 10039
	codeNotFound       = 10037 // message
	codeTooLarge       = 10054
	codeStreamNotFound = 10059
	codeOtherStream    = 10060
	codeWrongLast      = 10071
	codeNotAvailable   = 10008
	codeStoreFailed    = 10077
	codeNoResources    = 10023
	codeInProcess      = 10164
)

// stored is a message that a stream has.
type stored struct {
	seq    uint64
	header nats.Header
}

// lastMessage returns the last message of this host's subject, nil where there is none. Any
// server that has the stream answers a direct get; where the stream does not allow these, its
// leader is asked.
func (p *place) lastMessage(ctx context.Context) (*stored, error) {
	subject := api + "DIRECT.GET." + p.stream + "." + p.stored
	m, err := p.request(ctx, nats.NewMsg(subject), p.times.ask)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return p.lastOfLeader(ctx)
	case err != nil:
		return nil, p.explain("read the last message of "+p.stored, err)
	}

	switch status := m.Header.Get("Status"); status {
	case "":
	case "404":
		return nil, nil
	default:
		return nil, fmt.Errorf("read the last message of %s: status %.16q %.100q", p.stored, status, m.Header.Get("Description"))
	}

	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the last message of %s: no sequence in the answer", p.stored)
	}
	return &stored{seq: seq, header: m.Header}, nil
}

// lastOfLeader is lastMessage by way of the stream's leader.
func (p *place) lastOfLeader(ctx context.Context) (*stored, error) {
	ask, _ := json.Marshal(map[string]string{"last_by_subj": p.stored}) // never fails
	m, err := p.request(ctx, &nats.Msg{Subject: api + "STREAM.MSG.GET." + p.stream, Data: ask}, p.times.ask)
	if err != nil {
		return nil, p.explain("read the last message of "+p.stored, err)
	}

	var answer struct {
		Error   *apiError `json:"error"`
		Message struct {
			Seq    uint64 `json:"seq"`
			Header string `json:"hdrs"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, fmt.Errorf("read the last message of %s: %w", p.stored, err)
	}
	switch e := answer.Error; {
	case e != nil && e.ErrCode == codeNotFound:
		return nil, nil
	case e != nil:
		return nil, p.explainStore(e)
	}

	raw, err := base64.StdEncoding.DecodeString(answer.Message.Header)
	if err != nil {
		raw = nil
	}
	return &stored{seq: answer.Message.Seq, header: parseHeader(string(raw))}, nil
}

// parseHeader reads the header of a message as a stream stores it.
func parseHeader(text string) nats.Header {
	h := make(nats.Header)
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && len(h) < 64 {
			h[name] = append(h[name], strings.TrimSpace(value))
		}
	}
	return h
}

// explain says what to do about a request that was not answered.
func (p *place) explain(what string, err error) error {
	if _, known := errors.AsType[sinks.Advised](err); known {
		return fmt.Errorf("%s: %w", what, err)
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return sinks.Advise(fmt.Errorf("%s: no stream takes it: there is no stream %s with the subject %s, or it has no leader", what, p.stream, p.stored),
			"make it: "+p.makeStream())
	case errors.Is(err, nats.ErrMaxPayload):
		return sinks.Advise(fmt.Errorf("%s: %w", what, err), "the next attempt divides it")
	case errors.Is(err, context.DeadlineExceeded):
		return sinks.Advise(fmt.Errorf("%s: no answer", what), "see the server's log, and `nats stream info "+p.stream+"`: has it a leader and a majority of its replicas")
	}
	return fmt.Errorf("%s: %w", what, err)
}

// makeStream is the command that makes the stream.
func (p *place) makeStream() string {
	return fmt.Sprintf("audisp-relay fleet init, or nats stream add %s --subjects '%s' --storage file --replicas 3 --discard new --deny-delete --deny-purge --allow-direct",
		p.stream, p.anySubject())
}

// anySubject is what the stream listens to.
func (p *place) anySubject() string { return strings.TrimSuffix(p.stored, p.host.ID) + "*" }

// explainConnect says why there is no connection.
func (p *place) explainConnect(err error) error {
	what := "connect to NATS (" + p.names() + ")"
	advice := "see whether the server runs, the way to it, and servers"
	switch text := strings.ToLower(err.Error()); {
	case errors.As(err, new(sinks.Advised)):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, nats.ErrAuthExpired), strings.Contains(text, "authentication expired"), p.cfg.expired():
		err = fmt.Errorf("the credentials have expired: %w", err)
		advice = "renew creds_file: it is read again at the next attempt"
	case errors.Is(err, nats.ErrAuthorization), strings.Contains(text, "authorization"), strings.Contains(text, "authentication"):
		advice = "see creds_file, nkey_file, user or token_file, and which users the server knows"
	case strings.Contains(text, "certificate"), strings.Contains(text, "tls"), strings.Contains(text, "x509"):
		advice = "see ca_file, cert_file, tls_first, and the server's certificate"
	}
	return sinks.Advise(fmt.Errorf("%s: %w", what, err), advice)
}

// explainPermission says which permission lacks.
func (p *place) explainPermission(err error) error {
	return sinks.Advise(fmt.Errorf("the server does not permit it: %w", err), p.permissions())
}

// permissions are what a user of this host needs.
func (p *place) permissions() string {
	return fmt.Sprintf("give its user publish: %q, %q, %q, %q and subscribe: %q", p.subject, wire.Subject(wire.Checkpoints, p.host.ID),
		api+"DIRECT.GET."+p.stream+"."+p.stored, api+"STREAM.INFO."+p.stream, "_INBOX_"+p.host.ID+".>")
}
