package unix

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	sys "golang.org/x/sys/unix"

	"audisp-relay/host/broker"
	"audisp-relay/sinks"
)

// What a worker asks its monitor for. All but the first and the last name a socket that was listened on.
const (
	opListen  = "listen"
	opCheck   = "check"
	opGrant   = "grant"
	opRemove  = "remove"
	opConnect = "connect"
)

// listened is what is known of a socket that the monitor listens on for the worker.
type listened struct {
	Handle   uint64
	Dev, Ino uint64
	Flaw     string
}

// askListen has the monitor bind the socket of a sink.
func askListen(m *broker.Client, item string, cfg *Config) (*listener, error) {
	var now listened
	fd, err := m.Open(item, opListen, nil, &now)
	if err != nil {
		return nil, err
	}
	file, err := pollable(fd, cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Path, err)
	}
	l := &listener{path: cfg.Path, file: file, dev: now.Dev, ino: now.Ino, closed: make(chan struct{}), item: item, handle: now.Handle}
	if now.Flaw != "" {
		l.flaw = errors.New(now.Flaw)
	}
	return l, nil
}

// ask has the monitor do something with the socket.
func (l *listener) ask(m *broker.Client, op string) error {
	var replaced bool
	err := m.Do(l.item, op, l.handle, &replaced)
	if err == nil && replaced {
		return fmt.Errorf("socket %s: %w", l.path, errReplaced)
	}
	return err
}

// maxListened is how many sockets one sink may have: the one that it listens on, and the one before, which a reload ends.
const maxListened = 8

// warden is the sinks.Warden of a sink. The worker has the sockets themselves, it only knows where they are.
type warden struct {
	sinks.WardenSettings[Config]

	mu     sync.Mutex // guards all below, and orders what is done to the paths; held while a disk may hang
	last   uint64
	listen map[uint64]*listener
}

func newWarden() sinks.Warden { return &warden{listen: make(map[uint64]*listener)} }

// Close implements sinks.Warden. A worker that was killed has left its socket's file.
func (w *warden) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.listen {
		_ = l.remove() // one that stays is found stale
	}
	clear(w.listen)
}

// Serve implements sinks.Warden.
func (w *warden) Serve(c *broker.Call) (a broker.Answer, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cfg := w.Settings()
	switch c.Op {
	case opListen:
		return w.serveListen(c, cfg)
	case opConnect:
		if !cfg.Connect {
			return a, c.Unknown()
		}
		fd, err := dialFor(cfg.Path)
		if err != nil {
			return a, err
		}
		a.FDs = []int{fd}
		return a, nil
	}

	var handle uint64
	if err := c.Args(&handle); err != nil {
		return a, err
	}
	l := w.listen[handle]
	if l == nil {
		return a, c.Unknown()
	}

	switch c.Op {
	case opCheck:
		err = l.check()
	case opGrant:
		if l.path != cfg.Path { // of the sink before
			return a, c.Unknown()
		}
		err = l.grant(cfg)
	case opRemove:
		delete(w.listen, handle)
		err = l.remove()
	default:
		return a, c.Unknown()
	}

	// That of all errors is a result: the sink listens again then.
	replaced := errors.Is(err, errReplaced)
	if replaced {
		err = nil
	}
	a.Result = replaced
	return a, err
}

// dialFor connects as root for a worker that has no rights.
func dialFor(path string) (int, error) {
	place, err := broker.Find(path)
	if errno, ok := errors.AsType[sys.Errno](err); ok {
		return -1, fmt.Errorf("%w: %s", err, dialHint(errno))
	}
	if err != nil {
		return -1, err
	}
	defer place.Close()
	return dial(place.Path())
}

// serveListen binds the socket, and gives it away.
func (w *warden) serveListen(c *broker.Call, cfg *Config) (a broker.Answer, err error) {
	if cfg.Connect || cfg.Path == "" {
		return a, c.Unknown()
	}
	if len(w.listen) >= maxListened { // of sinks that did not take leave
		delete(w.listen, slices.Min(slices.Collect(maps.Keys(w.listen))))
	}

	l, err := listen(cfg)
	if err != nil {
		return a, err
	}
	defer l.close()
	fd, err := sys.FcntlInt(l.file.Fd(), sys.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		_ = l.remove() // what it says is of no use without the socket
		return a, fmt.Errorf("listen on %s: %w", cfg.Path, err)
	}

	w.last++
	w.listen[w.last] = l
	now := listened{Handle: w.last, Dev: l.dev, Ino: l.ino}
	if l.flaw != nil {
		now.Flaw = l.flaw.Error()
	}
	a.Result, a.FDs = now, []int{fd}
	return a, nil
}
