// Package syslog is the consumer that hands records to a syslog daemon or
// server: one message a record, with the text that audisp-syslog sends.
//
// Local datagrams and UDP go out many in one sendmmsg(2), TCP and TLS in one write
// of up to 64 KiB, RELP in frames that are acknowledged one by one. README.md says what is
// promised and what not.
package syslog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/remote"
)

// maxLocalBackoff is the longest pause between attempts at the local daemon,
// which costs nothing to try and comes back within moments.
const maxLocalBackoff = 2 * time.Second

// New returns the sink that cfg, whose Settings are a *Config, describes: a *sinks.Pump. It opens
// nothing: what cannot be reached makes the sink degraded while it runs. enc
// says how a record becomes text; it belongs to the sink from now on.
func New(cfg config.Sink, enc format.Encoder, log *zap.Logger) sinks.Sink {
	w := newWriter(*cfg.Settings.(*Config), enc)
	w.log, w.item = log.With(zap.String("sink", cfg.Name)), sinks.Item(&cfg)
	p := sinks.NewPump(cfg.Name, w, log)
	w.fail = p.Fail
	if w.cfg.Transport == "local" {
		p.MaxBackoff = maxLocalBackoff
	}
	return p
}

// writer is the sinks.Writer of the sink. It belongs to the pump's goroutine.
type writer struct {
	cfg     Config
	timeout time.Duration // of a receiver that takes nothing
	opening time.Duration // of a connection that is made
	acks    time.Duration // of a server that is to acknowledge what it was sent, when the connection is ended

	log  *zap.Logger
	fail func(error) // says what is wrong with a connection that lasts
	item string      // for the monitor

	conn       conn      // nil while not connected
	since      time.Time // that it is
	wrote      bool      // something went over it
	missed     absence
	render     renderer
	chunk      chunk
	part       piece   // of the next record that was sent already
	sent       unacked // over TCP and TLS
	name       namedServer
	journal    journal // local
	hostname   func() (string, error)
	answerSaid bool // that the server answers

	resent, maybeLost atomic.Uint64 // messages, of all connections that broke: see costly
	connections       remote.Connections
}

// settleTime is how long a connection has to last for its end to be no failure
// of the place: one that is made and ended over and over is to be paused for.
const settleTime = time.Second

// firstMiss is how long a server that has gone while there was nothing to send is left alone at first.
const firstMiss = time.Second

// absence is that of a server that has gone while there was nothing to send. It is tried in growing pauses: nothing else shows that it is back.
type absence struct {
	at    time.Time // of the next attempt, zero while no server is missed
	pause time.Duration
}

var (
	_ sinks.Extra   = (*writer)(nil)
	_ sinks.Steady  = (*writer)(nil)
	_ sinks.Patient = (*writer)(nil)
)

func newWriter(cfg Config, enc format.Encoder) *writer {
	cfg.MaxMessage = min(cmp.Or(cfg.MaxMessage, DefaultMaxMessage), math.MaxInt32) // no record is longer
	w := &writer{cfg: cfg, timeout: writeTimeout, opening: dialTimeout, acks: ackTime, log: zap.NewNop(), fail: func(error) {}, hostname: os.Hostname}
	w.name.lookUp = net.DefaultResolver.LookupNetIP
	if enc.Format == format.Binary {
		enc.Format = format.String // a frame is no text
	}

	w.render = renderer{
		enc:     enc,
		tag:     cfg.Tag,
		rfc5424: cfg.Protocol == "rfc5424",
		events:  enc.Format.Events(),
		pri:     priority(cfg.Facility, cfg.Severity),
	}

	w.render.newline = cfg.Transport == "local" && !w.render.rfc5424
	if cfg.Transport == "tcp" || cfg.Transport == "tls" {
		switch cfg.Framing {
		case "octet-counted":
			w.render.framing = octetCount
		case "newline":
			w.render.framing = newlineEnd
		default:
			w.render.framing = countAndNewline
		}
	}
	w.render.limit = w.maxMessage()
	return w
}

func (w *writer) Write(ctx context.Context, b record.Batch) (done int, err error) {
	for done < len(b.Recs) {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		fresh, err := w.connect(ctx)
		if err != nil {
			return done, err
		}
		w.render.fill(&w.chunk, b, done, w.part)
		n, err := w.conn.send(ctx, &w.chunk)
		w.maybeLost.Add(uint64(w.journal.note(n, w.log)))
		done, w.part = w.chunk.after(n, done, w.part)
		if err != nil && ctx.Err() != nil {
			if sinks.EndsAlone(ctx) {
				w.TakeTime()
			}
			w.leave() // in the middle of something: of no more use
			return done, ctx.Err()
		}
		if err != nil && !w.canRetry(err, fresh) {
			if done == len(b.Recs) { // as UDP may have it: nothing waits that would be tried again
				w.miss()
			}
			return done, w.broken(err)
		}
		w.wrote = w.wrote || err == nil
	}
	return done, nil
}

// Steady implements sinks.Steady: a server that takes connections may end them at once.
func (w *writer) Steady() bool {
	return w.conn != nil && (w.wrote || time.Since(w.since) >= settleTime)
}

// connect makes sure that there is a connection; fresh says it is a new one.
func (w *writer) connect(ctx context.Context) (fresh bool, err error) {
	if w.conn != nil {
		return false, nil
	}
	w.findHost()
	w.conn, err = w.dial(ctx)
	if err == nil {
		w.connections.Made()
		w.missed.at = time.Time{}
	}
	w.since, w.wrote = time.Now(), false
	return true, err
}

// findHost takes this host's name over, which may change. While it is not known it stays
// what it was.
func (w *writer) findHost() {
	host, err := w.hostname()
	if err == nil || w.render.host == "" {
		w.render.setHost(host, w.cfg.Transport == "local")
	}
}

// canRetry reports whether writing can continue at once after err: with smaller
// messages, or on a new connection to a daemon that was restarted. Reported is the
// failure of a fresh connection, of UDP, where the next attempt would seem to
// succeed, of a receiver that does not read, and one that the administrator has to do
// something about.
func (w *writer) canRetry(err error, fresh bool) bool {
	if errors.Is(err, unix.EMSGSIZE) && w.render.limit > minText {
		w.render.limit = max(w.render.limit/2, minText)
		return true
	}
	stalled := errors.Is(err, errStalled) || errors.Is(err, errTakesNothing) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, unix.ETIMEDOUT)
	fresh = fresh || (w.cfg.Transport != "local" && time.Since(w.since) < settleTime)
	if fresh || stalled || w.cfg.Transport == "udp" || errors.As(err, new(sinks.Advised)) || remote.IsAlert(err) {
		return false
	}
	w.account(w.conn, err)
	w.disconnect(false)
	return true
}

// broken lets go of a connection that failed and says so.
func (w *writer) broken(err error) error {
	if remote.IsAlert(err) {
		err = explainTLS(err, &w.cfg, true)
	} else if s, ok := w.conn.(*streamConn); ok {
		err = s.explain(err, &w.cfg, time.Since(w.since) < settleTime)
	}
	w.account(w.conn, err)
	w.disconnect(false)
	if n := len(w.sent.ends); n > 0 {
		return fmt.Errorf("send to syslog (%s %s): %w: %d messages were not acknowledged and are sent again; %s",
			w.cfg.Transport, w.cfg.Address, err, n, w.hint(err))
	}
	return w.failure(err)
}

// failure names the place of err, and what to do.
func (w *writer) failure(err error) error {
	return fmt.Errorf("send to syslog (%s %s): %w: %s", w.cfg.Transport, w.cfg.Address, err, w.hint(err))
}

// account counts and logs what it costs that c has ended by err.
func (w *writer) account(c conn, err error) {
	ended, ok := c.(costly)
	if !ok {
		return
	}
	resent, maybeLost := ended.cost(err)
	if resent == 0 && maybeLost == 0 {
		return
	}
	w.log.Warn("connection to the syslog server broke: some messages may come twice or be lost", zap.Error(err),
		zap.Int("sent_again", resent), zap.Int("perhaps_lost", maybeLost),
		zap.Uint64("total_sent_again", w.resent.Add(uint64(resent))), zap.Uint64("total_perhaps_lost", w.maybeLost.Add(uint64(maybeLost))))
}

// Details count the messages that were sent again after a connection broke, so that they may have
// come twice, and those that a broken connection had taken and that may not have been read.
type Details struct {
	Repeated uint64 `json:"repeated,omitempty"`
	Doubtful uint64 `json:"doubtful,omitempty"`
	remote.ConnectionCounts
}

// WriteText implements sinks.Details.
func (d *Details) WriteText(line func(key string, value any)) {
	line("messages sent again", d.Repeated)
	line("messages perhaps lost", d.Doubtful)
}

func (w *writer) Extra(s *sinks.Status) {
	s.Details = &Details{Repeated: w.resent.Load(), Doubtful: w.maybeLost.Load(), ConnectionCounts: w.connections.Counts()}
}

func (w *writer) disconnect(orderly bool) {
	if w.conn != nil {
		_ = w.conn.close(orderly) // nothing is buffered that could fail now
		w.conn = nil
	}
}

// Tick implements sinks.Writer: it notices that the server has gone while there
// is nothing to send, and that it is back, and sends again what went down with a connection.
func (w *writer) Tick(ctx context.Context) error {
	w.findHost()
	if w.cfg.Transport == "udp" {
		w.follow(ctx)
	}

	if w.conn != nil {
		if err := w.conn.idle(); err != nil {
			w.miss()
			return w.broken(err)
		}
		w.listen()
		return nil
	}

	if waits := w.missed.at.IsZero() || time.Now().Before(w.missed.at); waits && len(w.sent.ends) == 0 {
		return nil
	}
	_, err := w.connect(ctx)
	if d, ok := w.conn.(*datagrams); ok && d.udp {
		d.probe()
	}
	if err != nil {
		w.miss()
	}
	return err
}

// miss puts the next attempt at a server that has gone off: by a second, twice as long after each that fails or is of no use.
func (w *writer) miss() {
	m := &w.missed
	m.pause = min(max(2*m.pause, firstMiss), sinks.DefaultMaxBackoff)
	if w.wrote || (w.cfg.Transport != "udp" && w.Steady()) { // a socket of UDP lasts with a server or without
		m.pause = firstMiss
	}
	m.at = time.Now().Add(m.pause)
}

// listen reports, once, a server that says something: it is no syslog server, and it may
// not read what is sent to it.
func (w *writer) listen() {
	s, ok := w.conn.(*streamConn)
	if !ok || len(s.answer) == 0 || w.answerSaid {
		return
	}
	w.answerSaid = true
	w.log.Warn("the server answers, which no syslog server does: see what listens there and correct the port in address",
		zap.String("address", w.cfg.Address), zap.String("answer", strconv.QuoteToASCII(string(s.answer))))
}

// leave ends the connection. What the kernel has taken it delivers after an
// orderly end, if the server takes it; on a connection that is broken already it never will. RELP messages
// that are on their way, and what a local daemon has not read, the next connection or sink sends again.
func (w *writer) leave() {
	if w.conn == nil {
		return
	}
	err := w.conn.idle()
	if s, ok := w.conn.(*streamConn); ok && err == nil {
		err = s.await(w.acks)
	}
	left := 0
	if stream := w.cfg.Transport == "tcp" || w.cfg.Transport == "tls"; stream && err == nil {
		left = len(w.sent.ends)
		w.giveUp("connection closed before the server had acknowledged all messages: some may be lost")
	} else {
		w.account(w.conn, err)
	}
	w.disconnect(err == nil && left == 0)
}

// TakeTime implements sinks.Patient: a server that is slow has more time to acknowledge what another sink will not send again.
func (w *writer) TakeTime() { w.acks = aloneTime }

// giveUp counts and logs that messages which were not acknowledged are not sent again.
func (w *writer) giveUp(why string) {
	n := len(w.sent.ends)
	w.sent.forget()
	if n > 0 {
		w.log.Warn(why, zap.Int("perhaps_lost", n), zap.Uint64("total_perhaps_lost", w.maybeLost.Add(uint64(n))))
	}
}

// Reopen implements sinks.Writer. A server that is missed, or was until a moment ago, is tried at once: it
// may have been repaired.
func (w *writer) Reopen() error {
	if !w.missed.at.IsZero() || (w.conn != nil && !w.Steady()) {
		w.missed.at = time.Now()
	}
	w.leave()
	w.render.limit = w.maxMessage()
	w.answerSaid, w.journal.said = false, false
	return nil
}

// maxMessage is how long a message may be without the newline that framing puts to it.
func (w *writer) maxMessage() int {
	if w.render.framing == countAndNewline {
		return int(w.cfg.MaxMessage) - 1
	}
	return int(w.cfg.MaxMessage)
}

func (w *writer) Close() error {
	w.leave()
	n := len(w.sent.ends)
	if n == 0 {
		return nil
	}
	// They count as sent again since the connection broke.
	w.resent.Store(w.resent.Load() - min(w.resent.Load(), uint64(n)))
	w.giveUp("connection to the syslog server broke, and the sink ended before it had another: messages are lost")
	return fmt.Errorf("syslog (%s %s): %d messages were not acknowledged when the connection broke and are lost: %s",
		w.cfg.Transport, w.cfg.Address, n, w.hint(nil))
}
