package plugin

import (
	"context"
	"sync/atomic"
	"time"

	"audisp-relay/host"
)

const (
	// auditdEvery is how often auditd's configuration and its state report are read: two small files.
	auditdEvery = time.Minute
	// auditdFirst is how long after the start they are read first.
	auditdFirst = 5 * time.Second
	// auditdStateAge is how old its state report may be to be shown. auditd makes one every
	// report_interval seconds (since 4.0.5) or when it gets SIGCONT, which the relay does not send.
	auditdStateAge = 5 * time.Minute
)

// AuditdQueue is what auditd said last of its queue to its plugins.
type AuditdQueue struct {
	At         time.Time `json:"at"`        // when it said so, five minutes ago at most
	Depth      int       `json:"depth"`     // records that waited
	MaxDepth   int       `json:"max_depth"` // at most since auditd was started
	Limit      int       `json:"q_depth"`
	Overflowed bool      `json:"overflowed"` // it was full at least once, and dropped records
}

// auditdFiles is what auditd's files say.
type auditdFiles struct {
	room  int64        // bytes that its log keeps, 0: no limit, no log or not known
	queue *AuditdQueue // nil: auditd has said nothing lately
}

// auditdWatch reads auditd's files now and then. Its goroutine may hang with their disk.
type auditdWatch struct {
	logOf func() (host.LogInfo, error)
	state func() (host.AuditdState, error)
	since time.Time // before that a state report may be of an earlier auditd

	now atomic.Pointer[auditdFiles] // nil before the first look
}

// startAuditdWatch looks at auditd's files from now on. What it returns ends that.
func (p *Plugin) startAuditdWatch() (end func()) {
	if p.opt.In != nil {
		return func() {} // a stream that is not auditd's
	}
	since := p.started
	if auditd, err := (host.Machine{}).FindProcess(p.parent); err == nil && !auditd.Started.IsZero() {
		since = auditd.Started
	}
	p.auditd = &auditdWatch{
		logOf: func() (host.LogInfo, error) { return host.LogOf(p.parent) },
		state: host.Machine{}.ReadState,
		since: since,
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := inBackground(func() { p.safely("auditd", func() { p.auditd.run(ctx) }) })
	return func() {
		cancel()
		awaitFor(leaveTime, ended)
	}
}

func (w *auditdWatch) run(ctx context.Context) {
	select {
	case now := <-time.After(auditdFirst):
		w.look(now)
	case <-ctx.Done():
		return
	}
	every(auditdEvery, ctx.Done(), w.look)
}

// look reads the files once. What cannot be read is not known.
func (w *auditdWatch) look(now time.Time) {
	f := new(auditdFiles)
	// With mistakes in auditd.conf its other lines count.
	if log, _ := w.logOf(); log.Written {
		f.room = log.Room
	}
	s, err := w.state()
	fresh := err == nil && s.Written.After(w.since) && now.Sub(s.Written) <= auditdStateAge
	if fresh && s.Depth > 0 { // q_depth is written after the others: one that lacks it was read too early
		f.queue = &AuditdQueue{At: s.Written, Depth: s.Queue, MaxDepth: s.MaxQueue, Limit: s.Depth, Overflowed: s.Overflowed}
	}
	w.now.Store(f)
}

// report adds to in, which has its rates, what is known.
func (w *auditdWatch) report(in *Input) {
	f := w.now.Load()
	if f == nil {
		return
	}
	in.AuditdQueue = f.queue
	if growth := in.LogGrowth(); f.room > 0 && growth > 0 {
		in.LogReach = float64(f.room) / growth
	}
}
