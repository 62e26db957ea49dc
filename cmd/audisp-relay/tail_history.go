package main

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"time"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
	"audisp-relay/host"
)

// How the log is joined to the stream. auditd writes a record to its log before it gives
// it to its plugins, so that at the time of a connection everything that will not come
// over it is in the log, or about to be: joinTime is for that. The stream waits
// in the socket and the queue of the relay meanwhile. An event is shown from one of the two:
// from the log if that has a record of it by the end of joinTime, and then the log is read until
// the event is complete, lastTime at most; else from the stream.
const (
	joinTime = 200 * time.Millisecond
	lastTime = 500 * time.Millisecond
	lookTime = 20 * time.Millisecond // between looks at the log

	// backTime is how much older than what was shown last an event may be that is not shown
	// yet: its time is that of when its system call began.
	backTime = time.Minute
)

// history shows what audit.log has, and keeps what was shown from being shown again. It belongs
// to the goroutine of its view.
type history struct {
	log    *auditlog.Reader
	path   string
	since  int64 // ms; nothing older is shown
	view   *eventView
	local  string // see users.Local
	batch  record.Batch
	begun  bool // a record since then was seen: those without an id count from there on
	ending bool // only what completes the events at hand is wanted

	fromLog    eventIDs // shown from the log since the last connection was lost
	earlier    eventIDs // shown from the log before that
	fromStream eventIDs // shown from the stream
	newest     int64    // ms, of what was shown
	lines      sieve    // of the log
	stream     sieve
}

// newHistory returns the history in a log, that of auditd where path is empty; local is the node= of
// this host's records.
func newHistory(path string, since time.Time, view *eventView, local string) (*history, error) {
	if path == "" {
		logs := host.AuditLogs(os.Getppid())
		if len(logs) == 0 {
			return nil, errors.New("--since: auditd's log cannot be found out: name it with --log FILE")
		}
		path = logs[len(logs)-1] // that of the running auditd
	}
	view.withLog = true
	return &history{log: auditlog.New(path), path: path, since: since.UnixMilli(), view: view, local: local}, nil
}

// catchUp shows what the log has, up to its end.
func (h *history) catchUp(ctx context.Context) error {
	at, _, err := h.log.SeekTime(h.since, 0)
	if err == nil {
		err = h.log.Go(at)
	}
	if err == nil {
		err = h.readToEnd(ctx)
	}
	if err == nil && ctx.Err() != nil { // the time is over
		err = h.view.flush()
	}
	return h.explain(err)
}

// errLog says that audit.log cannot be read.
type errLog struct{ error }

func (e errLog) Unwrap() error { return e.error }

// explain says what to do about an error of reading.
func (h *history) explain(err error) error {
	switch {
	case err == nil, errors.Is(err, errDone), errors.As(err, new(errStream)):
		return err
	case errors.Is(err, fs.ErrPermission):
		return errLog{fmt.Errorf("--since: %w: run this as root, or as a member of log_group in auditd.conf", err)}
	}
	return errLog{fmt.Errorf("--since: %w: name the log with --log FILE; without one (write_logs = no) there is nothing to read", err)}
}

// again begins with what the log has since the connection was lost.
func (h *history) again(ctx context.Context) error {
	h.earlier.addAll(&h.fromLog)
	h.fromLog, h.begun, h.ending = eventIDs{}, false, false
	h.since = max(h.since, h.newest-backTime.Milliseconds())
	return h.catchUp(ctx)
}

// join shows what was still missing from the log when the stream was connected. After it,
// the stream has all that is not shown yet.
func (h *history) join(ctx context.Context) error {
	defer h.log.Close()
	if err := h.lookFor(ctx, joinTime, func() bool { return true }); err != nil {
		return err
	}
	h.ending = true
	return h.lookFor(ctx, lastTime, func() bool { return h.view.patience() > 0 })
}

// lookFor reads the log as it grows, for a time and as long as more is needed.
func (h *history) lookFor(ctx context.Context, long time.Duration, needed func() bool) error {
	until := time.Now().Add(long)
	for needed() && time.Now().Before(until) && ctx.Err() == nil {
		if err := h.readToEnd(ctx); err != nil {
			return h.explain(err)
		}
		if err := h.view.expire(time.Now()); err != nil {
			return err
		}
		time.Sleep(lookTime)
	}
	return nil
}

// readToEnd shows the rest of the log.
func (h *history) readToEnd(ctx context.Context) error {
	for ctx.Err() == nil {
		_, err := h.log.Next(&h.batch)
		h.keepWanted()
		if err := h.view.add(&h.batch, time.Now()); err != nil {
			return err
		}

		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, auditlog.ErrSkipped), errors.Is(err, auditlog.ErrTruncated):
			h.view.notice(err.Error())
		case err != nil:
			return err
		}
	}
	return nil
}

// keepWanted takes the other records out of the batch that was read.
func (h *history) keepWanted() {
	h.lines.keep(&h.batch, func(i int) bool { return h.wants(&h.batch, i) })
}

func (h *history) wants(b *record.Batch, i int) bool {
	r := &b.Recs[i]
	if !r.HasID() {
		return h.begun && !h.ending
	}
	if r.Millis < h.since {
		return false
	}

	h.begun = true
	id := h.eventIDOf(b, i)
	switch {
	case h.fromLog.has(id):
		return true
	case h.ending || h.earlier.has(id) || h.fromStream.has(id):
		return false
	}
	h.fromLog.add(id)
	h.note(r)
	return true
}

// note notes how far in time has been shown; clocks may be wrong.
func (h *history) note(r *record.Record) {
	h.newest = max(h.newest, min(r.Millis, time.Now().UnixMilli()))
}

// dropShown takes out of a batch of the stream what was shown from the log.
func (h *history) dropShown(b *record.Batch) {
	h.stream.keep(b, func(i int) bool {
		if !b.Recs[i].HasID() {
			return true
		}
		id := h.eventIDOf(b, i)
		if h.fromLog.has(id) || h.earlier.has(id) {
			return false
		}
		h.fromStream.add(id)
		h.note(&b.Recs[i])
		return true
	})
}

// sieve takes records out of the batches of one source. The pieces of a long line go with
// its first.
type sieve struct{ dropped bool }

// keep leaves in b what is wanted.
func (s *sieve) keep(b *record.Batch, wanted func(i int) bool) {
	n := 0
	for i := range b.Recs {
		if b.Recs[i].Flags&record.Cont == 0 {
			s.dropped = !wanted(i)
		}
		if !s.dropped {
			b.Recs[n] = b.Recs[i]
			n++
		}
	}
	b.Recs = b.Recs[:n]
}

// eventID identifies an event.
type eventID struct {
	node   uint64 // a hash; 0 for none, and for this host's name
	millis int64
	serial uint32
	daemon bool // auditd's own have serials of their own
}

var nodeSeed = maphash.MakeSeed()

func (h *history) eventIDOf(b *record.Batch, i int) eventID {
	r := &b.Recs[i]
	id := eventID{millis: r.Millis, serial: r.Serial, daemon: record.OfDaemon(r.Type)}
	if node := b.Node(i); !users.Local(node, h.local) {
		id.node = maphash.Bytes(nodeSeed, node)
	}
	return id
}

// maxEventIDs is how many are remembered at least, and twice that at most.
const maxEventIDs = 1 << 16

// eventIDs are the events that were shown last.
type eventIDs struct{ young, old map[eventID]struct{} }

// has reports whether an event was shown, also without a node: log and stream may have different
// ones of this host, by name_format of auditd, of audispd or of the sink.
func (s *eventIDs) has(id eventID) bool {
	for _, id := range [2]eventID{id, {0, id.millis, id.serial, id.daemon}} {
		_, young := s.young[id]
		_, old := s.old[id]
		if young || old {
			return true
		}
	}
	return false
}

func (s *eventIDs) add(id eventID) {
	if len(s.young) >= maxEventIDs {
		s.old, s.young = s.young, nil
	}
	if s.young == nil {
		s.young = make(map[eventID]struct{})
	}
	s.young[id] = struct{}{}
}

func (s *eventIDs) addAll(of *eventIDs) {
	for _, ids := range []map[eventID]struct{}{of.old, of.young} {
		for id := range ids {
			s.add(id)
		}
	}
}
