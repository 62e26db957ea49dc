package plugin

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/state"
)

// metricsName is the socket within run_dir where metrics are read.
const metricsName = "metrics.sock"

// Times of the places where metrics are read. Only tests change the first.
var metricsTextEvery = 15 * time.Second

const (
	metricsRetry   = time.Second     // between attempts at a place that fails
	metricsRequest = 2 * time.Second // for a client to send its request
	metricsAnswer  = 5 * time.Second // for a client to take the answer
	certEvery      = time.Minute     // between looks at the certificate without a client
)

// Exposition gives the numbers of a Report in Prometheus' format. Its methods may be called from
// any goroutine, several at a time.
type Exposition interface {
	http.Handler                 // with the numbers of the process
	WriteText(w io.Writer) error // without them
}

// metrics runs the places where the numbers can be read. It belongs to the main goroutine, at the
// end to the one that closes it.
type metrics struct {
	p      *Plugin
	runDir string // which a reload does not change
	cfg    config.Metrics
	end    context.CancelFunc
	ended  <-chan struct{}
	made   func() Exposition // makes it when it is asked for first, which is not before reading has begun
}

// startMetrics opens the places that the configuration names.
func (p *Plugin) startMetrics() *metrics {
	m := &metrics{p: p, runDir: p.cfg.RunDir}
	if p.opt.Metrics == nil {
		return m
	}
	report := func() (r *Report) { // nil after a panic
		p.safely("metrics", func() { r = p.Report() })
		return r
	}
	m.made = sync.OnceValue(func() Exposition { return p.opt.Metrics(report) })
	m.start(p.cfg.Metrics)
	return m
}

// apply makes the places those of a changed configuration.
func (m *metrics) apply(cfg config.Metrics) {
	if m == nil || m.made == nil || cfg == m.cfg {
		return
	}
	m.close()
	m.start(cfg)
}

// start opens the places. One that cannot be opened is tried again.
func (m *metrics) start(cfg config.Metrics) {
	ctx, end := context.WithCancel(context.Background())
	m.cfg, m.end = cfg, end
	m.p.metricsCert.Store(0)
	var wg sync.WaitGroup
	run := func(work func()) {
		wg.Go(func() { m.p.safely("metrics", work) })
	}
	if cfg.Socket {
		socket := &control{path: filepath.Join(m.runDir, metricsName), item: metricsItem}
		run(func() { m.serve(ctx, &metricsSocket{socket}) })
	}
	if cfg.Listen != "" {
		run(func() { m.serve(ctx, &metricsPort{cfg: cfg, noteCert: m.certNoter()}) })
	}
	if cfg.TextFile != "" {
		run(func() { m.writeFile(ctx, cfg.TextFile) })
	}
	m.ended = inBackground(wg.Wait)
}

// close ends them. A disk that hangs, or a client, is not waited for longer than a moment.
func (m *metrics) close() {
	if m.end == nil {
		return
	}
	m.end()
	awaitFor(leaveTime, m.ended)
	m.end = nil
}

// metricsPlace is where metrics are served by HTTP.
type metricsPlace interface {
	open() (net.Listener, error)
	there() bool // what was opened last still leads here
	drop()       // what was opened last
	String() string
}

// serve serves at a place until ctx ends, and opens it again when it is lost.
func (m *metrics) serve(ctx context.Context, place metricsPlace) {
	failed := new(lastError)
	var serving sync.WaitGroup
	look := func(time.Time) {
		if place.there() {
			return
		}
		place.drop()
		ln, err := place.open()
		m.note(failed, place.String(), err)
		if err == nil {
			serving.Go(func() { m.answer(ctx, ln) })
		}
	}
	look(time.Now())
	every(metricsRetry, ctx.Done(), look)
	place.drop()
	serving.Wait()
}

// note logs that a place cannot be used, and that it can again.
func (m *metrics) note(failed *lastError, place string, err error) {
	switch changed := failed.replace(err); {
	case changed && err != nil:
		m.p.log.Warn("metrics not available yet: trying again every second", zap.String("place", place), zap.Error(err))
	case changed:
		m.p.log.Info("metrics available again", zap.String("place", place))
	}
}

// certNoter returns what takes note, from any goroutine, of a look at the certificate: of its end, and in the log that it cannot be
// used, and that it can again. Clients are turned away meanwhile, and only they would know why.
func (m *metrics) certNoter() func(*tls.Certificate, error) {
	var mu sync.Mutex
	failed := new(lastError)
	return func(pair *tls.Certificate, err error) {
		if err == nil && pair.Leaf != nil {
			m.p.metricsCert.Store(pair.Leaf.NotAfter.Unix())
		}
		mu.Lock()
		changed := failed.replace(err)
		mu.Unlock()
		switch {
		case changed && err != nil:
			m.p.log.Warn("certificate of metrics cannot be used: clients are turned away until it can", zap.Error(err))
		case changed:
			m.p.log.Info("certificate of metrics can be used again")
		}
	}
}

// answer serves the clients of a listener until that is closed or ctx ends.
func (m *metrics) answer(ctx context.Context, ln net.Listener) {
	limited := limitConns(ln)
	if t, ok := ln.(*tlsListener); ok {
		ln = tls.NewListener(limited, t.config)
	} else {
		ln = limited
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(m.answerRequest),
		ReadHeaderTimeout: metricsRequest, ReadTimeout: metricsRequest, WriteTimeout: metricsAnswer,
		MaxHeaderBytes: 8 << 10,
	}

	// Clients of the network make these errors at will.
	server.ErrorLog, _ = zap.NewStdLogAt(m.p.log.limited(), zapcore.DebugLevel)
	server.SetKeepAlivesEnabled(false) // so that clients that do nothing hold no connection
	defer context.AfterFunc(ctx, func() { server.Close() })()
	server.Serve(ln)
	server.Close()
	limited.wait(leaveTime / 2)
}

// answerRequest answers GET /metrics.
func (m *metrics) answerRequest(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/metrics" {
		http.Error(w, "the one path there is: /metrics", http.StatusNotFound)
		return
	}
	m.p.safely("metrics", func() { m.made().ServeHTTP(w, r) })
}

// writeFile replaces the text file from time to time until ctx ends, and then removes it, so that nobody reads the
// last numbers of a relay that has gone.
func (m *metrics) writeFile(ctx context.Context, path string) {
	failed := new(lastError)
	write := func(time.Time) {
		m.p.safely("metrics", func() {
			var text bytes.Buffer
			err := m.made().WriteText(&text)
			if err == nil {
				err = putText(path, text.Bytes())
			}
			m.note(failed, path, err)
		})
	}
	write(time.Now())
	every(metricsTextEvery, ctx.Done(), write)
	if err := removeText(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.note(failed, path, err)
	}
}

func putText(path string, text []byte) error {
	if m := broker.Monitor(); m != nil {
		return askPut(m, textItem, text)
	}
	return state.ReplaceFile(path, text, 0o644)
}

func removeText(path string) error {
	if m := broker.Monitor(); m != nil {
		return m.Do(textItem, opRemove, nil, nil)
	}
	return os.Remove(path)
}

// metricsSocket is the unix socket.
type metricsSocket struct{ *control }

func (s *metricsSocket) open() (net.Listener, error) {
	if err := s.listen(); err != nil {
		return nil, err
	}
	return s.ln, nil
}

func (s *metricsSocket) String() string { return s.path }

// metricsPort is a TCP port, with TLS where there is a certificate.
type metricsPort struct {
	cfg      config.Metrics
	ln       net.Listener                  // nil: not open
	looked   time.Time                     // at the certificate, without a client
	noteCert func(*tls.Certificate, error) // takes note of each look at it
}

func (s *metricsPort) open() (net.Listener, error) {
	var secure *tls.Config
	if s.cfg.CertFile != "" {
		pair, err := s.certificate()
		if err != nil {
			return nil, err
		}
		s.looked = time.Now()
		s.noteCert(pair, nil)
		secure = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := s.certificate()
			s.noteCert(pair, err)
			return pair, err
		}}
	}

	ln, err := s.listen()
	if err != nil {
		return nil, err
	}
	if s.ln = ln; secure != nil {
		return &tlsListener{ln, secure}, nil
	}
	return ln, nil
}

// listen binds the port, or has the monitor do it.
func (s *metricsPort) listen() (net.Listener, error) {
	if m := broker.Monitor(); m != nil {
		return askListener(m, portItem)
	}
	return net.Listen("tcp", s.cfg.Listen)
}

// certificate reads the certificate, at each connection, since it is renewed from time to time.
func (s *metricsPort) certificate() (*tls.Certificate, error) {
	cert, err := config.ReadRegular(s.cfg.CertFile)
	if err != nil {
		return nil, err
	}
	key, err := config.ReadKeyFile(s.cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, errors.New("metrics.cert_file " + s.cfg.CertFile + ": " + err.Error())
	}
	return &pair, nil
}

// there looks at the certificate now and then, too: a renewal that went wrong is in the log before a client comes, and of one that
// nobody has made the end is known.
func (s *metricsPort) there() bool {
	if s.ln != nil && s.cfg.CertFile != "" && time.Since(s.looked) >= certEvery {
		s.looked = time.Now()
		s.noteCert(s.certificate())
	}
	return s.ln != nil
}

func (s *metricsPort) String() string { return s.cfg.Listen }

func (s *metricsPort) drop() {
	if s.ln != nil {
		s.ln.Close()
		s.ln = nil
	}
}

// tlsListener is a listener whose clients speak TLS, which begins when they are let in.
type tlsListener struct {
	net.Listener
	config *tls.Config
}
