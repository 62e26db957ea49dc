// Package otlp is the consumer that sends events to a receiver of OTLP over HTTP, such as the
// OpenTelemetry Collector: one log record an event, many in a request, each request acknowledged by
// its answer. README.md says what is promised and what not.
package otlp

import (
	"context"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/remote"
)

// Requests cost the receiver more than the records in them: one that has less than smallRequest
// bytes is followed by the next after requestEvery at the earliest.
const (
	smallRequest = 16 << 10
	requestEvery = 20 * time.Millisecond
)

// maxKept is the most bytes of a buffer that is kept for the next batch.
const maxKept = 2 << 20

// New returns the sink that cfg, whose Settings are a *Config, describes: a *sinks.Pump. It opens
// nothing: what cannot be reached makes the sink degraded while it runs. enc says what the body of
// a log record is; it belongs to the sink from now on.
func New(cfg config.Sink, enc format.Encoder, log *zap.Logger) sinks.Sink {
	return sinks.NewPump(cfg.Name, newWriter(cfg, enc), log)
}

// writer is the sinks.Writer of the sink. It belongs to the pump's goroutine.
type writer struct {
	cfg     *Config
	enc     format.Encoder
	timeout time.Duration // of a request

	client   *client // nil: none yet, or its connection failed
	headers  headers
	packer   packer
	message  *message
	dead     *deadLetters
	hostname func() (string, error)

	events []event
	plain  []byte // the request before it is packed
	limit  int    // bytes of a request; less than the configuration's where the receiver takes no more
	next   time.Time
	unsure bool // the last request may have reached the receiver: it comes twice

	repeated, refused, letters atomic.Uint64 // see Details
	connections                remote.Connections
}

var (
	_ sinks.Extra = (*writer)(nil)
	_ sinks.Paced = (*writer)(nil)
)

func newWriter(cfg config.Sink, enc format.Encoder) *writer {
	c := cfg.Settings.(*Config)
	if enc.Format == format.Binary {
		enc.Format = format.String // a frame is no text
	}
	w := &writer{
		cfg: c, enc: enc, timeout: requestTimeout, hostname: os.Hostname,
		headers: headers{files: c.Headers}, packer: packer{kind: c.Compression},
		message: newMessage(thisHost(), c.Original),
		dead:    &deadLetters{dir: c.DeadLetterDir, name: cfg.Name, most: int64(c.DeadLetterSize)},
		limit:   int(c.BatchBytes),
	}
	if enc.StripNode {
		w.message.strip = &w.enc
	}
	return w
}

// Pause implements sinks.Paced.
func (w *writer) Pause() time.Duration { return time.Until(w.next) }

// Write implements sinks.Writer. An event counts as delivered when the receiver has answered that it
// has taken the request.
func (w *writer) Write(ctx context.Context, b record.Batch) (done int, err error) {
	out := w.enc.Encode(b)
	w.events = cutEvents(w.events[:0], &b, &out)
	for rest := w.events; len(rest) > 0; {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		n, err := w.send(ctx, &b, rest[:w.fitting(&b, rest)])
		if err != nil {
			return done, err
		}
		done = rest[n-1].to
		rest = rest[n:]
	}
	return done, nil
}

// fitting returns how many events make a request.
func (w *writer) fitting(b *record.Batch, events []event) int {
	n, size := 0, 0
	for n < len(events) && n < w.cfg.BatchRecords {
		if size += events[n].size(w.cfg.Original, b); size > w.limit && n > 0 {
			break
		}
		n++
	}
	return n
}

// send sends events as one request, or the first of them where that is too large for the receiver,
// and returns how many it has taken.
func (w *writer) send(ctx context.Context, b *record.Batch, events []event) (n int, err error) {
	for {
		w.message.fill(b, events)
		began := time.Now()
		a, err := w.request(ctx)
		if err != nil {
			return 0, w.fail(err)
		}
		if w.next = (time.Time{}); len(w.plain) < smallRequest {
			w.next = began.Add(requestEvery)
		}

		switch a.outcome() {
		case taken:
			if w.unsure {
				w.repeated.Add(uint64(len(events)))
			}
			w.unsure = false
			if a.rejected > 0 {
				return 0, w.rejected(b, events, a)
			}
			return len(events), nil
		case tooLarge:
			if len(events) == 1 {
				return 0, w.refuse(b, events, a)
			}
			events = w.shrink(b, events)
		case refused:
			w.unsure = false
			return 0, w.refuse(b, events, a)
		case busy:
			w.unsure = w.unsure || a.status != http.StatusTooManyRequests // a gateway may have passed it on
			return 0, &delayed{w.fail(a.explain()), a.retryAfter}
		default:
			w.disconnect() // the files are read again: they may be what is corrected
			return 0, w.fail(a.explain())
		}
	}
}

// shrink returns as many of the events as half of what the receiver has refused as too large, and
// makes that the bound of further requests until a reopen.
func (w *writer) shrink(b *record.Batch, events []event) []event {
	w.limit = max(len(w.plain)/2, int(minBatchBytes))
	return events[:min(w.fitting(b, events), len(events)-1)]
}

// request makes a request of the message and returns the answer. On a connection that the receiver
// has ended meanwhile it is made twice.
func (w *writer) request(ctx context.Context) (*answer, error) {
	for {
		if err := w.prepare(); err != nil {
			return nil, err
		}
		p := w.client.newPayload()
		var err error
		if p.data, err = w.packer.pack(p.data, w.plain); err != nil {
			return nil, err
		}
		a, did, err := w.client.post(ctx, p, w.setHeaders)
		w.note(did)
		if err == nil {
			return a, nil
		}
		w.unsure = w.unsure || did.began
		w.disconnect()
		if !did.reused || did.late {
			return nil, err
		}
	}
}

// prepare encodes the message, and makes what a request needs.
func (w *writer) prepare() (err error) {
	if host, err := w.hostname(); err == nil {
		w.message.setHost(host)
	}
	if cap(w.plain) > maxKept {
		w.plain = nil
	}
	if w.plain, err = w.message.encode(w.plain[:0]); err != nil {
		return err
	}
	if err := w.headers.refresh(); err != nil {
		return err
	}
	if w.client == nil {
		if w.client, err = newClient(w.cfg); err != nil {
			return err
		}
		w.client.timeout = w.timeout
	}
	return nil
}

// setHeaders gives a request its headers.
func (w *writer) setHeaders(h http.Header) {
	h.Set("Content-Type", protobuf)
	if encoding := w.packer.encoding(); encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	w.headers.put(h)
}

// note counts a new connection, and keeps when its certificates expire.
func (w *writer) note(did attempt) {
	if !did.fresh {
		return
	}
	w.connections.Made()
	if did.state != nil {
		w.connections.Secured(did.state.PeerCertificates, w.client.own)
	}
}

func (w *writer) disconnect() {
	if w.client != nil {
		w.client.close()
		w.client = nil
	}
}

// Tick implements sinks.Writer: the connection is package http's, which notices its end.
func (w *writer) Tick(context.Context) error { return nil }

// Reopen implements sinks.Writer.
func (w *writer) Reopen() error {
	w.disconnect()
	w.headers.forget()
	w.dead.close()
	w.limit = int(w.cfg.BatchBytes)
	w.next = time.Time{}
	return nil
}

// Close implements sinks.Writer.
func (w *writer) Close() error {
	w.disconnect()
	w.dead.close()
	return nil
}

// Details count what is special about a receiver that answers.
type Details struct {
	// Repeated counts the events that were sent after a request whose end is not known, so that some of
	// them may have come twice.
	Repeated uint64 `json:"repeated,omitempty"`
	// Refused counts the events that the receiver has refused for good.
	Refused uint64 `json:"refused,omitempty"`
	// DeadLetters counts the files that were written of these.
	DeadLetters uint64 `json:"dead_letters,omitempty"`
	remote.ConnectionCounts
}

// WriteText implements sinks.Details.
func (d *Details) WriteText(line func(key string, value any)) {
	line("events sent again", d.Repeated)
	line("events refused", d.Refused)
	line("dead letters", d.DeadLetters)
}

// Extra implements sinks.Extra.
func (w *writer) Extra(s *sinks.Status) {
	s.Details = &Details{
		Repeated: w.repeated.Load(), Refused: w.refused.Load(), DeadLetters: w.letters.Load(), ConnectionCounts: w.connections.Counts(),
	}
}
