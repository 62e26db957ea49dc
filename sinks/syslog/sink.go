// Package syslog is the consumer that hands records to a syslog daemon or
// server: one message a record, with the text that audisp-syslog sends.
//
// Local datagrams and UDP go out many in one sendmmsg(2), TCP in one write of up
// to 64 KiB. What is promised and what not stands in README.md.
package syslog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/stream"
)

// maxLocalBackoff is the longest pause between attempts at the local daemon,
// which costs nothing to try and comes back within moments.
const maxLocalBackoff = 2 * time.Second

// New returns the sink that cfg.Syslog describes, as a *sinks.Pump. It opens
// nothing: what cannot be reached makes the sink degraded while it runs. enc
// says how a record becomes text and must have the string format; it belongs to
// the sink from now on.
func New(cfg config.Sink, enc format.Encoder, log *zap.Logger) sinks.Sink {
	w := newWriter(*cfg.Syslog, enc)
	p := sinks.NewPump(cfg.Name, w, log)
	if w.cfg.Transport == "local" {
		p.MaxBackoff = maxLocalBackoff
	}
	return p
}

// writer is the sinks.Writer behind the sink. It belongs to the pump's goroutine.
type writer struct {
	cfg     config.Syslog
	invalid error // of cfg
	timeout time.Duration

	conn   conn // nil while not connected
	render renderer
	chunk  chunk
	part   int     // bytes of the next record's text that were sent already
	sent   unacked // over TCP
}

var _ sinks.Writer = (*writer)(nil)

func newWriter(cfg config.Syslog, enc format.Encoder) *writer {
	w := &writer{cfg: cfg, timeout: writeTimeout}
	enc.Format = format.String // a frame is no text
	w.render = renderer{
		enc:     enc,
		tag:     cfg.Tag,
		rfc5424: cfg.Protocol == "rfc5424",
		limit:   maxText,
	}
	w.render.pri, w.invalid = ParsePriority(cfg.Facility, cfg.Severity)
	w.render.newline = cfg.Transport == "local" && !w.render.rfc5424
	if cfg.Transport == "tcp" {
		w.render.framing = octetCount
	}
	return w
}

// Write implements sinks.Writer.
func (w *writer) Write(ctx context.Context, b stream.Batch) (done int, err error) {
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
		done, w.part = w.chunk.after(n, done, w.part)
		if err != nil && !w.mend(err, fresh) {
			return done, w.broken(err)
		}
	}
	return done, nil
}

// connect makes sure that there is a connection; fresh says it is a new one.
func (w *writer) connect(ctx context.Context) (fresh bool, err error) {
	if w.conn != nil {
		return false, nil
	}
	if w.invalid != nil {
		return false, w.invalid
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	w.render.setHost(host, w.cfg.Transport == "local")
	w.conn, err = w.dial(ctx)
	return true, err
}

// mend reports whether writing can go on at once after err: with smaller
// messages, or on a new connection to a daemon that was restarted. A failure to
// be told of is that of a fresh connection, of UDP, where the next attempt would
// seem to succeed, and of a receiver that does not read.
func (w *writer) mend(err error, fresh bool) bool {
	if errors.Is(err, unix.EMSGSIZE) && w.render.limit > minText {
		w.render.limit = max(w.render.limit/2, minText)
		return true
	}
	stalled := errors.Is(err, errStalled) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, unix.ETIMEDOUT)
	if fresh || stalled || w.cfg.Transport == "udp" {
		return false
	}
	w.disconnect()
	return true
}

// broken lets go of a connection that failed and says so.
func (w *writer) broken(err error) error {
	w.disconnect()
	if n := len(w.sent.ends); n > 0 {
		return fmt.Errorf("send to syslog (%s %s): %w: %d messages were not acknowledged and are sent again; %s",
			w.cfg.Transport, w.cfg.Address, err, n, w.hint())
	}
	return fmt.Errorf("send to syslog (%s %s): %w: %s", w.cfg.Transport, w.cfg.Address, err, w.hint())
}

func (w *writer) disconnect() {
	if w.conn != nil {
		_ = w.conn.close() // nothing is buffered that could fail now
		w.conn = nil
	}
}

// Tick implements sinks.Writer: it notices that the server has gone while there
// is nothing to send, and sends again what went down with a connection.
func (w *writer) Tick(ctx context.Context) error {
	if w.conn != nil {
		if err := w.conn.idle(); err != nil {
			return w.broken(err)
		}
		return nil
	}
	if len(w.sent.ends) == 0 {
		return nil
	}
	_, err := w.connect(ctx)
	return err
}

// leave ends the connection. What the kernel has taken it delivers after an
// orderly end; on a connection that is broken already it never will.
func (w *writer) leave() {
	if w.conn != nil && w.conn.idle() == nil {
		w.sent.forget()
	}
	w.disconnect()
}

// Reopen implements sinks.Writer.
func (w *writer) Reopen() error {
	w.leave()
	w.render.limit = maxText
	return nil
}

// Close implements sinks.Writer.
func (w *writer) Close() error {
	w.leave()
	if n := len(w.sent.ends); n > 0 {
		w.sent.forget()
		return fmt.Errorf("syslog (%s %s): %d messages were not acknowledged when the connection broke and are lost: %s",
			w.cfg.Transport, w.cfg.Address, n, w.hint())
	}
	return nil
}
