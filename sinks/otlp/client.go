package otlp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"audisp-relay/sinks/remote"
)

// Times that a receiver has.
const (
	dialTimeout    = 10 * time.Second
	requestTimeout = 30 * time.Second // of a request in all: its answer may be slow, and be read slowly
	idleTimeout    = 90 * time.Second
	maxHeaderBytes = 32 << 10 // of an answer
)

// client sends requests over one connection at a time. It belongs to one goroutine.
type client struct {
	cfg     *Config
	timeout time.Duration // of a request
	http    *http.Transport
	own     *tls.Certificate // the client's; an empty one without
	asked   atomic.Bool      // the server wanted to see it
	body    *payload         // of the last request
}

// newClient makes a client, reading the files of its TLS session.
func newClient(cfg *Config) (*client, error) {
	c := &client{cfg: cfg, timeout: requestTimeout, own: new(tls.Certificate), body: new(payload)}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // one request is in flight: HTTP/2 would add nothing but what can go wrong
	dialer := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	c.http = &http.Transport{
		Protocols: protocols, DialContext: dialer.DialContext,
		TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idleTimeout, ExpectContinueTimeout: time.Second,
		MaxIdleConns: 1, MaxIdleConnsPerHost: 1, MaxConnsPerHost: 1,
		MaxResponseHeaderBytes: maxHeaderBytes, DisableCompression: true,
	}
	if cfg.Proxy != "" { // else none: the environment of a daemon is not where one is looked for
		proxy, err := url.Parse(cfg.Proxy)
		if err != nil {
			return nil, err
		}
		c.http.Proxy = http.ProxyURL(proxy)
	}
	if !cfg.tls() {
		return c, nil
	}

	host, _, _ := net.SplitHostPort(address(cfg.URL))
	settings, own, err := cfg.files().TLS(host)
	if err != nil {
		return nil, err
	}
	c.own = own
	settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c.asked.Store(true)
		return own, nil // the server knows best whether it likes it
	}
	c.http.TLSClientConfig = settings
	return c, nil
}

// close ends the connection.
func (c *client) close() { c.http.CloseIdleConnections() }

// payload is the body of a request. What sends it may read on for a moment after the answer: the
// bytes must not be used again before it is closed.
type payload struct {
	bytes.Reader
	data   []byte
	closed atomic.Bool
}

func (p *payload) Close() error {
	p.closed.Store(true)
	return nil
}

// newPayload returns an empty payload, with the last one's memory if that is free.
func (c *client) newPayload() *payload {
	p := new(payload)
	if c.body.closed.Load() && cap(c.body.data) <= maxKept {
		p.data = c.body.data[:0]
	}
	c.body = p
	return p
}

// attempt is what became of a request, as far as its connection shows.
type attempt struct {
	reused bool // the connection was that of an earlier request: the receiver may have ended it meanwhile
	began  bool // there was a connection, so that the receiver may have got it
	fresh  bool // the connection was made for this request
	late   bool // the time of the request, or of the sink, is over
	state  *tls.ConnectionState
}

// post sends what p holds, and returns the answer.
func (c *client) post(ctx context.Context, p *payload, set func(http.Header)) (*answer, attempt, error) {
	var did attempt
	p.Reset(p.data)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		did.began, did.reused, did.fresh = true, info.Reused, !info.Reused
	}})

	request, err := http.NewRequestWithContext(traced, http.MethodPost, c.cfg.URL, nil)
	if err != nil {
		return nil, did, err
	}
	request.Body, request.ContentLength = p, int64(len(p.data))
	request.Header.Set("User-Agent", "audisp-relay")
	set(request.Header)

	response, err := c.http.RoundTrip(request) // which follows no redirect
	if err != nil {
		did.late = ctx.Err() != nil
		return nil, did, c.explain(err, did.began)
	}
	defer response.Body.Close()
	did.state = response.TLS
	a, err := readAnswer(response, time.Now())
	if err != nil {
		did.late = ctx.Err() != nil
		return nil, did, c.explain(err, did.began)
	}
	if !c.cfg.tls() && a.status == http.StatusBadRequest && wantsTLS(a.said) {
		a.flaw = errWantsTLS
	}
	return a, did, nil
}

// errWantsTLS is what a server means that answers 400 to each request in clear.
var errWantsTLS = errors.New("the receiver expects TLS there")

// wantsTLS reports whether a server says that: Go's, nginx's and Apache's words.
func wantsTLS(said string) bool {
	said = strings.ToLower(said)
	return strings.Contains(said, "http request to an https server") || strings.Contains(said, "request was sent to https port") ||
		strings.Contains(said, "plain http to an ssl-enabled server")
}

// explain says what err means, and what to do. began: there was a connection, and its TLS session.
func (c *client) explain(err error, began bool) error {
	if strings.Contains(err.Error(), "HTTP response to HTTPS client") { // package http's own error, of no type
		err = tls.RecordHeaderError{Msg: "it answers in clear"}
	}
	op, isOp := errors.AsType[*net.OpError](err)
	dialed := isOp && (op.Op == "dial" || op.Op == "proxyconnect")
	failure, isNet := errors.AsType[net.Error](err)
	late := errors.Is(err, context.DeadlineExceeded) || (isNet && failure.Timeout())

	switch {
	case dialed && c.cfg.Proxy != "":
		return remote.ExplainConnect(address(c.cfg.Proxy), "proxy", unwrapOp(op))
	case dialed:
		return remote.ExplainConnect(address(c.cfg.URL), "url", unwrapOp(op))
	case !began && c.cfg.tls() && late:
		return c.cfg.files().ExplainTLS(context.DeadlineExceeded, c.asked.Load(), "url")
	case !began && c.cfg.tls(), remote.IsAlert(err), c.asked.Load() && (remote.IsEnd(err) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)):
		said := c.cfg.files().ExplainTLS(err, c.asked.Load(), "url")
		if _, known := remote.AdviceOf(said); !known && c.cfg.Proxy != "" { // it is the proxy's own answer
			return remote.Advise(fmt.Errorf("the proxy %s does not connect: %s", c.cfg.Proxy, printable(err.Error())), "see its log, or correct proxy")
		}
		return said
	case late:
		return remote.Advise(fmt.Errorf("no whole answer within %v", c.timeout), "see what the receiver waits for, and the way to it")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), remote.IsEnd(err):
		err = fmt.Errorf("the receiver has closed the connection: %w", err)
		if !c.cfg.tls() { // its answer that it speaks TLS may be lost when it closes
			return remote.Advise(err, "see the receiver's log, and begin url with https if it speaks TLS there")
		}
		return remote.Advise(err, "see the receiver's log")
	}
	return remote.Advise(fmt.Errorf("%s", printable(err.Error())), "see what listens there, and correct url")
}

// unwrapOp leaves out the words of package net that ExplainConnect says itself.
func unwrapOp(op *net.OpError) error {
	if dns, ok := errors.AsType[*net.DNSError](op); ok {
		return dns
	}
	return op.Err
}
