package syslog

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/remote"
)

// trial is a sinks.Trial of this type of sink, with a connection of its own.
type trial struct {
	*sinks.Trial
	w     *writer
	addrs []netip.AddrPort // of the server, in the order of the resolver
	link  *link            // TCP
	relp  *relpConn
}

// try implements sinks.Kind.Try: each step uses what a connection of the sink uses.
func try(ctx context.Context, t *sinks.Trial) {
	w := newWriter(*t.Sink.Settings.(*Config), format.Encoder{Format: format.String})
	w.timeout = t.Timeout - t.Timeout/10 // what it says at its end says more than the end of the step
	w.opening = w.timeout
	w.findHost()
	y := &trial{Trial: t, w: w}
	if w.cfg.Transport == "local" {
		y.local(ctx)
		return
	}
	defer y.close()
	if !t.Do(ctx, "name resolution", y.resolve) || !t.Do(ctx, "connect", y.connect) {
		return
	}

	if w.cfg.TLS() && (!t.Do(ctx, "tls", y.startTLS) || !t.Do(ctx, "authentication", y.authenticate)) {
		return
	}
	if !t.Do(ctx, "protocol", y.open) {
		return
	}
	t.Do(ctx, "acknowledgement", y.deliver)
}

func (y *trial) close() {
	switch {
	case y.Hung(): // a step uses it yet
	case y.relp != nil:
		_ = y.relp.close(true)
	case y.link != nil:
		y.link.leave()
	}
}

// resolve looks the server's name up.
func (y *trial) resolve(ctx context.Context, s *sinks.Step) (err error) {
	y.addrs, err = remote.Resolve(ctx, s, y.w.cfg.Address, "address", y.w.name.lookUp)
	return err
}

// connect tries one address after the other, each for its part of the time.
func (y *trial) connect(ctx context.Context, s *sinks.Step) error {
	return remote.Connect(ctx, s, y.addrs, y.Timeout, y.connectTo, explainConnect)
}

// connectTo connects to one address, and returns from which.
func (y *trial) connectTo(ctx context.Context, addr string) (local net.Addr, err error) {
	if y.w.cfg.Transport == "udp" {
		// The socket is thrown away: deliver makes its own, as the sink does. A route has been found.
		c, err := (&net.Dialer{}).DialContext(ctx, "udp", addr)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.LocalAddr(), nil
	}

	if y.link, err = y.w.connectTCP(ctx, addr); err != nil {
		y.link = nil
		return nil, err
	}
	return y.link.LocalAddr(), nil
}

// explainConnect says why no connection was made.
func explainConnect(addr string, err error) error { return remote.ExplainConnect(addr, "address", err) }

// open begins the session.
func (y *trial) open(ctx context.Context, s *sinks.Step) error {
	if y.w.cfg.Transport != "relp" {
		s.Text = "syslog has no session to open"
		return nil
	}
	y.relp = &relpConn{link: y.link}
	if err := y.relp.open(ctx, y.w.opening); err != nil {
		return err
	}

	s.Text = "RELP session open"
	_, offers, _ := strings.Cut(string(y.relp.offers), "\n")
	for line := range strings.Lines(offers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "relp_version", "relp_software", "commands":
			s.Fact(name, "%.200s", value)
		}
	}
	if software := s.Facts["relp_software"]; software != "" {
		s.Text += " with " + software
	}
	return nil
}

// message returns the test message as the sink would send it.
func (y *trial) message() *chunk {
	r, c := &y.w.render, new(chunk)
	r.stamp(time.Now())
	text := r.clean([]byte(y.Message() + "\n"))
	r.message(c, text)
	c.marks = append(c.marks, mark{end: len(c.buf), recs: 1})
	return c
}

// deliver sends the test message, and waits for what can be known of it.
func (y *trial) deliver(ctx context.Context, s *sinks.Step) error {
	s.Fact("id", "%s", y.ID)
	switch y.w.cfg.Transport {
	case "relp":
		if _, err := y.relp.send(ctx, y.message()); err != nil {
			return explainSend(err)
		}
		s.Text = "the server has acknowledged the test message, id " + y.ID
		return nil
	case "udp":
		return y.deliverUDP(ctx, s)
	}
	return y.deliverStream(ctx, s)
}

// explainSend says what to do where a server was silent.
func explainSend(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return advise(errors.New("the server does not acknowledge the test message in time"),
			"see what the server's queue and output wait for; a larger --timeout shows whether it is only slow")
	}
	return err
}

// Times for which a server is listened to that says nothing where all is well.
const (
	settleWait = 500 * time.Millisecond
	lookPause  = 5 * time.Millisecond
)

// deliverUDP sends a datagram, and waits a moment for a refusal.
func (y *trial) deliverUDP(ctx context.Context, s *sinks.Step) error {
	c, err := y.w.dialUDP(ctx)
	if err != nil {
		return explainConnect(y.w.cfg.Address, err)
	}
	defer c.close(true)
	_, err = c.send(ctx, y.message())
	for end := time.Now().Add(min(settleWait, y.Timeout)); err == nil && time.Now().Before(end); {
		time.Sleep(lookPause)
		err = c.idle()
	}

	if err != nil {
		return explainConnect(y.w.cfg.Address, err)
	}
	s.Verdict = sinks.Unknown
	s.Text = "sent, and not refused; UDP has no answer: look for id " + y.ID + " at the receiver"
	return nil
}

// deliverStream sends the message over TCP or TLS: what acknowledges it is the server's kernel.
func (y *trial) deliverStream(ctx context.Context, s *sinks.Step) error {
	y.w.sent.fresh()
	c := &streamConn{link: y.link, sent: &y.w.sent}
	explain := func(err error) error {
		return explainSend(c.explain(err, &y.w.cfg, true))
	}
	if _, err := c.send(ctx, y.message()); err != nil {
		return explain(err)
	}
	for len(y.w.sent.ends) > 0 {
		if err := c.idle(); err != nil {
			return explain(err)
		}
		if ctx.Err() != nil {
			return advise(errors.New("the server's kernel takes nothing of the test message"), "see whether the server reads from this port and what blocks it")
		}
		time.Sleep(lookPause)
	}

	took := time.Now()
	for time.Since(took) < settleWait && ctx.Err() == nil {
		if err := c.idle(); err != nil {
			return explain(err)
		}
		time.Sleep(lookPause)
	}
	s.Verdict = sinks.Unknown
	s.Text = "the server's kernel has the test message; syslog over TCP has no answer of the server itself: look for id " + y.ID + " there, or use relp"
	if len(c.answer) > 0 {
		s.Doubt("see what listens there and correct the port in address", "it answered %q, which no syslog server does", c.answer)
	}
	return nil
}
