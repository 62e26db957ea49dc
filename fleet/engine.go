// Package fleet reads what a fleet's relays have published to an engine, and says of each host
// whether its trail is complete. It publishes nothing and keeps nothing on the engine but
// consumers in memory, which the engine forgets.
//
// The engine is NATS with JetStream. Nothing here takes "nothing more came" for the end of a
// stream: what is read is compared with the stream's own numbers.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"audisp-relay/fleet/wire"
)

// Bounds of a connection, of one question to the engine, and of asking it again: a cluster whose
// leader has gone needs some seconds for another.
const (
	connectTime = 5 * time.Second
	askTime     = 5 * time.Second
	askPatience = 30 * time.Second
)

// inboxPrefix is where the engine answers: a permission that Permissions names.
const inboxPrefix = "_INBOX_audit_reader"

// Access says how to reach the engine, and as which user. Files are read when Dial is called.
type Access struct {
	URL          string // nats://HOST:PORT or tls://HOST:PORT, several with commas
	Creds        string // file with a JWT and a seed
	NKey         string // file with a seed
	User         string
	PasswordFile string // its first line
	CA           string // PEM file, "": those of the system
	Cert, Key    string // PEM files of a client
}

// Engine is a connection. One goroutine at a time uses it.
type Engine struct {
	url    string // for messages, without a password
	nc     *nats.Conn
	js     jetstream.JetStream
	denied atomic.Pointer[string] // what the server refused last
	// cancel ends the question that is being asked: one that the server refuses is never answered
	cancel atomic.Pointer[context.CancelFunc]
}

// Dial connects. The error says what to do.
func Dial(a Access) (*Engine, error) {
	e := &Engine{url: shownURL(a.URL)}
	opts, err := a.options()
	if err != nil {
		return nil, err
	}
	opts = append(opts, nats.Name("audisp-relay fleet"), nats.Timeout(connectTime), nats.CustomInboxPrefix(inboxPrefix),
		nats.MaxReconnects(-1), nats.ReconnectWait(connectTime/10), nats.ErrorHandler(e.note))
	e.nc, err = nats.Connect(a.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w%s", e.url, err, adviceOf(err))
	}
	e.js, err = jetstream.New(e.nc)
	if err != nil {
		e.nc.Close()
		return nil, fmt.Errorf("%s: %w", e.url, err)
	}
	return e, nil
}

// Close ends the connection.
func (e *Engine) Close() { e.nc.Close() }

// options makes the client's options of what was asked.
func (a *Access) options() (opts []nats.Option, err error) {
	if a.Creds != "" {
		opts = append(opts, nats.UserCredentials(a.Creds))
	}
	if a.NKey != "" {
		opt, err := nats.NkeyOptionFromSeed(a.NKey)
		if err != nil {
			return nil, fmt.Errorf("--nkey %s: %w", a.NKey, err)
		}
		opts = append(opts, opt)
	}
	if a.User != "" {
		password, err := firstLine(a.PasswordFile)
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserInfo(a.User, password))
	}

	if a.CA != "" {
		opts = append(opts, nats.RootCAs(a.CA))
	}
	if a.Cert != "" || a.Key != "" {
		if a.Cert == "" || a.Key == "" {
			return nil, errors.New("--tls-cert and --tls-key go together")
		}
		opts = append(opts, nats.ClientCert(a.Cert, a.Key))
	}
	return opts, nil
}

// firstLine returns a password from its file, "" without one.
func firstLine(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("--password-file: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), nil
}

// shownURL is a URL without its password or token.
func shownURL(list string) string {
	var shown []string
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" {
			_, host, found := strings.Cut(one, "@")
			if !found {
				host = one
			}
			shown = append(shown, wire.Clean(host, 255))
			continue
		}
		u.User = nil
		shown = append(shown, u.String())
	}
	return strings.Join(shown, ",")
}

// note keeps what the server refuses: a request that it does not allow is never answered.
func (e *Engine) note(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		text := wire.Clean(err.Error(), 300)
		e.denied.Store(&text)
		if cancel := e.cancel.Load(); cancel != nil {
			(*cancel)()
		}
	}
}

// failed makes the one line of an error: what was asked, why it failed, what to do.
func (e *Engine) failed(what string, err error) error {
	denied := e.denied.Swap(nil)
	_, apart := errors.AsType[*jetstream.APIError](err)
	if denied != nil && !apart {
		return fmt.Errorf("%s: %s: %s; permit it as `audisp-relay fleet init` shows for the reader", e.url, what, *denied)
	}
	return fmt.Errorf("%s: %s: %w%s", e.url, what, err, adviceOf(err))
}

// adviceOf says what to do about an error.
func adviceOf(err error) string {
	switch {
	case errors.Is(err, nats.ErrNoServers):
		return ": check the address, and that the server runs"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return ": check --creds, --nkey or --user"
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return ": make the streams with `audisp-relay fleet init --apply`"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return ": JetStream is off for this account, or no server leads the stream at the moment"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return ": the server does not answer, or does not permit the request"
	}
	return ""
}

// ask asks the engine something, for a while again where that fails in a way that may pass.
func (e *Engine) ask(ctx context.Context, what string, question func(context.Context) error) error {
	for began := time.Now(); ; {
		once, cancel := context.WithTimeout(ctx, askTime)
		e.cancel.Store(&cancel)
		err := question(once)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case hopeless(err), e.denied.Load() != nil, time.Since(began) > askPatience:
			return e.failed(what, err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

// stream returns what the engine says of a stream.
func (e *Engine) stream(ctx context.Context, name string, opts ...jetstream.StreamInfoOpt) (info *jetstream.StreamInfo, err error) {
	err = e.ask(ctx, "stream "+name, func(ctx context.Context) error {
		s, err := e.js.Stream(ctx, name)
		if err != nil {
			return err
		}
		info, err = s.Info(ctx, opts...)
		return err
	})
	return info, err
}

// streams returns the streams of batches, the oldest first: a host may have moved from one to
// another. It is an error that there is none.
func (e *Engine) streams(ctx context.Context) (list []*jetstream.StreamInfo, err error) {
	err = e.ask(ctx, "list of streams", func(ctx context.Context) error {
		list = list[:0]
		lister := e.js.ListStreams(ctx, jetstream.WithStreamListSubject("audit.>"))
		for info := range lister.Info() {
			if name := info.Config.Name; name == wire.StreamEvents || wire.IsRecordStream(name) {
				list = append(list, info)
			}
		}
		if err := lister.Err(); !errors.Is(err, jetstream.ErrEndOfData) {
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: there is no stream %s or %s: make the streams with `audisp-relay fleet init --apply`", e.url, wire.StreamRecords, wire.StreamEvents)
	}
	sortByAge(list)
	return list, nil
}
