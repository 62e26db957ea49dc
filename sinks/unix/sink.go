// Package unix is the sink that serves records to any number of clients on a
// listening AF_UNIX stream socket, as auditd's own af_unix plugin does to one; and the one
// that connects to a socket on which a collector listens (connector), which is a
// sinks.Pump. What follows is about the first.
//
// Three kinds of goroutine live here, all waited for by Run: Run itself owns
// the listening socket and its path, one goroutine translates the events of an
// epoll instance, one accepts, and one for each client owns its connection and
// its cursor in the queue.
package unix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/host/broker"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// DefaultCheckEvery is how often the path is looked at: whether the socket of
// that name is still the one this sink listens on.
const DefaultCheckEvery = 2 * time.Second

// Sink is a listening socket and its clients.
type Sink struct {
	*sinks.Health
	// To be set before Run: waits between attempts to listen, and between looks
	// at the path; bytes of a client's send buffer.
	MinBackoff, MaxBackoff, CheckEvery time.Duration
	SendBuffer                         int

	item   string // for the monitor
	cfg    Config
	enc    format.Encoder // copied for each client
	reopen chan struct{}
	left   chan struct{} // has an element when a client ended

	connected, ended, refusals, evictions *tally

	poll *poller        // made by Run before anything is accepted
	wg   sync.WaitGroup // client goroutines

	mu      sync.Mutex // guards all below
	clients map[*client]struct{}
}

var _ sinks.Sink = (*Sink)(nil)

// New returns the sink that cfg, whose Settings are a *Config, describes. enc is copied for each
// client. It touches nothing outside.
func New(cfg config.Sink, enc format.Encoder, log *zap.Logger) sinks.Sink {
	if cfg.Settings.(*Config).Connect {
		_, pump := newConnector(cfg, enc, log)
		return pump
	}
	return newSink(cfg, enc, log)
}

func newSink(cfg config.Sink, enc format.Encoder, log *zap.Logger) *Sink {
	said := log.With(zap.String("sink", cfg.Name))
	return &Sink{
		Health:     sinks.NewHealth(cfg.Name, log),
		MinBackoff: sinks.DefaultMinBackoff,
		MaxBackoff: sinks.DefaultMaxBackoff,
		CheckEvery: DefaultCheckEvery,
		SendBuffer: DefaultSendBuffer,
		item:       sinks.Item(&cfg),
		cfg:        *cfg.Settings.(*Config),
		enc:        enc,
		reopen:     make(chan struct{}, 1),
		left:       make(chan struct{}, 1),
		connected:  &tally{log: said.Info, msg: "client connected"},
		ended:      &tally{log: said.Info, msg: "client disconnected"},
		refusals:   &tally{log: said.Warn, msg: "client refused"},
		evictions:  &tally{log: said.Warn, msg: "client disconnected: too slow"},
		clients:    make(map[*client]struct{}),
	}
}

// Reopen implements sinks.Sink: path, owner and mode are checked and set right,
// the socket is bound again where its file is gone. Clients stay.
func (s *Sink) Reopen() { sinks.Poke(s.reopen) }

// Status implements sinks.Sink.
func (s *Sink) Status() sinks.Status {
	st := s.Health.Status()
	d := &Details{Refused: s.refusals.total.Load(), Dropped: s.evictions.total.Load()}
	for _, c := range s.list() {
		d.Clients = append(d.Clients, c.status())
	}
	slices.SortFunc(d.Clients, func(a, b Client) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Pid, b.Pid))
	})
	st.Details = d
	return st
}

// Run implements sinks.Sink.
func (s *Sink) Run(ctx context.Context, q *queue.Queue) {
	r := &server{Sink: s, ctx: ctx, q: q, backoff: s.MinBackoff}
	r.run()
	r.stopListening(true)
	s.wg.Wait()
	if s.poll != nil {
		s.poll.close()
	}
	s.flush(true)
}

// flush logs what was held back of repeated messages.
func (s *Sink) flush(all bool) {
	for _, t := range []*tally{s.connected, s.ended, s.refusals, s.evictions} {
		t.flush(all)
	}
}

// server is a Sink while it runs: what belongs to the goroutine of Run.
type server struct {
	*Sink
	ctx     context.Context
	q       *queue.Queue
	lis     *listener     // nil while there is none
	accepts chan struct{} // closed when the accept goroutine of lis has ended
	backoff time.Duration
	retry   <-chan time.Time // fires when listening is to be tried again
	blind   bool             // the last look at the path failed
}

// run looks after the listening socket until ctx ends or all is delivered.
func (r *server) run() {
	tick := time.NewTicker(r.CheckEvery)
	defer tick.Stop()
	closed := r.q.Closed()
	closing := false
	r.open()

	for {
		select {
		case <-r.ctx.Done():
			return
		case <-closed:
			closed, closing = nil, true
		case <-r.left:
		case <-r.retry:
			r.open()
		case <-r.reopen:
			r.check(true)
		case <-tick.C:
			r.check(false)
			r.flush(false)
		}
		// What is held for the next client is waited for as long as ctx lives.
		if closing && r.q.Counts().Queued == 0 {
			return
		}
	}
}

// open tries to listen and plans the next attempt where it fails.
func (r *server) open() {
	r.retry = nil
	if err := r.listen(); err != nil {
		r.Fail(err)
		r.retry = time.After(r.backoff/2 + rand.N(r.backoff))
		r.backoff = min(2*r.backoff, r.MaxBackoff)
		return
	}
	r.backoff = r.MinBackoff
	r.judge()
}

func (r *server) listen() error {
	if r.poll == nil {
		p, err := newPoller()
		if err != nil {
			return err
		}
		r.poll = p
	}
	lis, err := r.bind()
	if err != nil {
		return err
	}
	r.lis, r.accepts = lis, make(chan struct{})
	go func() {
		defer close(r.accepts)
		r.accept(r.ctx, lis, r.q)
	}()
	return nil
}

// bind binds the socket, or has the monitor do it.
func (r *server) bind() (*listener, error) {
	if m := broker.Monitor(); m != nil {
		return askListen(m, r.item, &r.cfg)
	}
	return listen(&r.cfg)
}

// check finds out whether the path still leads to the socket that is listened
// on, and if not listens again. deep also sets owner and mode right, which is tried
// each time while they are not, and ends a pause between attempts.
func (r *server) check(deep bool) {
	if r.lis == nil {
		if deep {
			r.backoff = r.MinBackoff
			r.open()
		}
		return
	}

	err := r.lis.check()
	switch {
	case errors.Is(err, errReplaced):
		r.Fail(err)
		r.stopListening(false)
		r.open()
	case err != nil: // the directory cannot be looked at now; the socket stays
		r.blind = true
		r.Fail(err)
	case deep || r.blind || r.lis.flaw != nil: // the group may be there now
		r.blind = false
		r.lis.flaw = r.lis.grant(&r.cfg)
		r.judge()
	}
}

// judge says how well the sink listens.
func (r *server) judge() {
	if r.lis.flaw != nil {
		r.Fail(r.lis.flaw)
	} else {
		r.OK()
	}
}

// stopListening closes the listening socket and, where asked, removes its
// file. Clients stay.
func (r *server) stopListening(remove bool) {
	if r.lis == nil {
		return
	}
	if remove {
		if err := r.lis.remove(); err != nil {
			r.Fail(err)
		}
	}
	r.lis.close()
	<-r.accepts
	r.lis = nil
}

// Details are what the status of a sink says of its clients, or of its collector.
type Details struct {
	Pid     int      `json:"pid,omitempty"` // of the collector
	Clients []Client `json:"clients,omitempty"`
	// Refused counts clients that were turned away, Dropped those that were
	// disconnected because they were too slow.
	Refused uint64 `json:"refused,omitempty"`
	Dropped uint64 `json:"dropped,omitempty"`
	// Repeated counts messages that were sent again after a connection broke: they may
	// have come twice.
	Repeated uint64 `json:"repeated,omitempty"`
}

// Client is one connection to the socket.
type Client struct {
	Pid       int       `json:"pid"`
	UID       int       `json:"uid"`
	Program   string    `json:"program,omitempty"` // what the process called itself when it connected: any bytes, 15 at most
	Since     time.Time `json:"since"`
	Delivered uint64    `json:"delivered"` // records
	Lost      uint64    `json:"lost"`      // records it was made to skip
	Pending   int       `json:"pending"`   // records that wait for it
}

// WriteText implements sinks.Details.
func (d *Details) WriteText(line func(key string, value any)) {
	for _, c := range d.Clients {
		line("client", fmt.Sprintf("pid %d uid %d since %s: delivered %d, pending %d, lost %d",
			c.Pid, c.UID, c.Since.Local().Format(time.DateTime), c.Delivered, c.Pending, c.Lost))
	}
	line("clients refused", d.Refused)
	line("clients disconnected as too slow", d.Dropped)
}
