package unix

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	sys "golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/host/broker"
	"audisp-relay/host/sockdiag"
	"audisp-relay/sinks"
	"audisp-relay/sinks/local"
)

const (
	// steadyTime is how long a connection has to last until the sink counts as one that works
	// again, if nothing is delivered meanwhile.
	steadyTime = 2 * time.Second
	// silentAfter is after how long the sink reports that a collector reads nothing.
	silentAfter = 30 * time.Second
)

// connector is the sinks.Writer that connects to a collector's socket. A record is
// delivered when the collector has read it.
type connector struct {
	path string
	enc  format.Encoder
	log  *zap.Logger
	fail func(error) // says what is wrong with a connection that lasts
	item string      // for the monitor
	own  int         // pid of the relay, to whose own sockets it does not connect

	// The Pump's goroutine's.
	conn   *local.Conn // nil: there is none
	file   local.File  // that its path led to
	since  time.Time   // it was made
	read   bool        // something was delivered over it
	open   bool        // and the last record of that continues in the next
	waits  time.Time   // the collector has not read since
	silent bool        // that was reported

	pid      atomic.Int64 // of the collector
	repeated atomic.Uint64
}

var (
	_ sinks.Extra  = (*connector)(nil)
	_ sinks.Steady = (*connector)(nil)
)

func newConnector(cfg config.Sink, enc format.Encoder, log *zap.Logger) (*connector, *sinks.Pump) {
	c := &connector{path: cfg.Settings.(*Config).Path, enc: enc, log: log.With(zap.String("sink", cfg.Name)), own: broker.Pid(), item: sinks.Item(&cfg)}
	p := sinks.NewPump(cfg.Name, c, log)
	c.fail = p.Fail
	return c, p
}

// Write implements sinks.Writer. What was on its way when a connection broke is sent again
// whole on the next: how much of it was read is not known.
func (c *connector) Write(ctx context.Context, b record.Batch) (int, error) {
	if err := c.connect(); err != nil {
		return 0, err
	}
	if n := sinks.Orphans(&b, c.open); n > 0 {
		c.log.Warn(sinks.RestLeftOut, zap.Int("pieces", n))
		return n, nil
	}
	out := c.enc.Encode(b)
	if len(out.Bytes) == 0 {
		return out.Len(), nil
	}

	c.waits, c.silent = time.Now(), false
	send := c.stream
	if c.conn.Datagram() {
		send = c.datagrams
	}
	sent, err := send(ctx, &out)
	switch {
	case err == nil:
		c.read, c.open = true, sinks.EndsOpen(&b, out.Len())
		return out.Len(), nil
	case ctx.Err() != nil:
		c.drop()
		return 0, err
	}
	c.repeated.Add(uint64(sent))
	return 0, c.lose(err)
}

// stream sends what out holds and returns in how many records what was sent lies.
func (c *connector) stream(ctx context.Context, out *format.Encoded) (sent int, err error) {
	n, err := c.conn.Write(ctx, out.Bytes)
	sent, end := out.Records(n)
	if end < n {
		sent++ // in part
	}
	if err == nil {
		err = c.conn.Wait(ctx)
	}
	return sent, err
}

// datagrams sends each record as a message by itself, without the newline at its end; one
// that is longer than a message may be continues in the next.
func (c *connector) datagrams(ctx context.Context, out *format.Encoded) (sent int, err error) {
	begin := 0
	for sent < out.Len() && err == nil {
		end := out.End(sent)
		p := out.Bytes[begin:end]
		if c.enc.Format != format.Binary && len(p) > 0 && p[len(p)-1] == '\n' {
			p = p[:len(p)-1]
		}
		for len(p) > 0 && err == nil {
			k := min(len(p), local.MaxDatagram)
			_, err = c.conn.Write(ctx, p[:k])
			p = p[k:]
		}
		begin = end
		sent++
	}

	if err == nil {
		err = c.conn.Wait(ctx)
	}
	if err == nil && !c.alive() {
		err = local.ErrUnread
	}
	return sent, err
}

// alive reports whether the collector's datagram socket is still there: what was in one that was
// closed looks as if it had been read.
func (c *connector) alive() bool {
	ino, err := c.conn.Inode()
	if err != nil {
		return false
	}
	peer, err := sockdiag.Peer(ino)
	return err != nil || peer != 0 // where the kernel does not say there is nothing better
}

// connect makes sure that there is a connection.
func (c *connector) connect() error {
	if c.conn != nil {
		err := c.conn.Ended()
		if err == nil {
			return nil
		}
		return c.lose(err)
	}
	file := local.Look(c.path)
	fd, err := c.dial()
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.path, err)
	}
	pid := 0
	if cred, err := sys.GetsockoptUcred(fd, sys.SOL_SOCKET, sys.SO_PEERCRED); err == nil {
		pid = int(cred.Pid)
	}
	if pid == c.own {
		sys.Close(fd)
		return fmt.Errorf("connect to %s: that is a socket of this relay itself: name the collector's", c.path)
	}

	conn, err := local.New(fd, c.path)
	if err != nil {
		return err
	}
	conn.Idle = c.idle
	c.conn, c.file, c.since, c.read = conn, file, time.Now(), false
	c.pid.Store(int64(pid))
	c.log.Info("connected", zap.String("path", c.path), zap.Int("pid", pid), zap.Bool("datagrams", conn.Datagram()))
	return nil
}

// dial connects to the collector, or has the monitor do it.
func (c *connector) dial() (int, error) {
	if m := broker.Monitor(); m != nil {
		return m.Open(c.item, opConnect, nil, nil)
	}
	return dial(c.path)
}

// dial connects to the socket at path, a stream or a datagram socket. It does not wait.
func dial(path string) (int, error) {
	for _, kind := range []int{sys.SOCK_STREAM, sys.SOCK_DGRAM} {
		fd, err := sys.Socket(sys.AF_UNIX, kind|sys.SOCK_CLOEXEC|sys.SOCK_NONBLOCK, 0)
		if err != nil {
			return -1, fmt.Errorf("socket: %w", err)
		}
		if err = sys.Connect(fd, &sys.SockaddrUnix{Name: path}); err == nil {
			return fd, nil
		}
		sys.Close(fd)
		if err != sys.EPROTOTYPE {
			return -1, fmt.Errorf("%w: %s", err, dialHint(err))
		}
	}
	return -1, errors.New("neither a stream nor a datagram socket: have the collector listen on one of these")
}

func dialHint(err error) string {
	switch err {
	case sys.ENOENT:
		return "start the collector, or correct path"
	case sys.ECONNREFUSED:
		return "no process listens there: start the collector, or correct path"
	case sys.EAGAIN:
		return "the collector does not accept connections: see what it does"
	case sys.EACCES, sys.EPERM:
		return "let the relay write to the socket and search its directories"
	}
	return "correct path, or see what is there"
}

// lose lets go of a connection that has ended, and says how.
func (c *connector) lose(err error) error {
	defer c.drop()
	switch {
	case errors.Is(err, local.ErrReplaced):
		return fmt.Errorf("collector at %s (pid %d) does not read all it was sent, and %w: end it; the new one is connected to", c.path, c.pid.Load(), err)
	case errors.Is(err, local.ErrUnread), errors.Is(err, sys.ECONNRESET), errors.Is(err, sys.ECONNREFUSED):
		err = local.ErrUnread
	case errors.Is(err, sys.EPIPE):
		err = errors.New("the collector has closed the connection")
	}
	return fmt.Errorf("collector at %s (pid %d): %w: see why it ended, it is connected to again by itself", c.path, c.pid.Load(), err)
}

// idle is called while the collector does not read. It may still read what it has, unless another one has
// taken its place.
func (c *connector) idle() error {
	quiet := time.Since(c.waits)
	switch {
	case quiet < silentAfter:
	case c.file.Replaced():
		return local.ErrReplaced
	case !c.silent:
		c.silent = true
		c.fail(fmt.Errorf("collector at %s (pid %d) has not read all it was sent for %v: it hangs, or waits for something; see what it does, or end it",
			c.path, c.pid.Load(), quiet.Round(time.Second)))
	}
	return nil
}

func (c *connector) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn, c.open = nil, false
		c.pid.Store(0)
	}
}

// Tick implements sinks.Writer: a collector that is missing, or has gone, is noticed before there
// is something for it.
func (c *connector) Tick(context.Context) error {
	if c.conn != nil && c.conn.Datagram() && !c.alive() {
		return c.lose(sys.EPIPE) // which a datagram socket says only when it is written to
	}
	return c.connect()
}

func (c *connector) Steady() bool {
	return c.conn != nil && (c.read || time.Since(c.since) >= steadyTime)
}

func (c *connector) Reopen() error {
	c.drop()
	return nil
}

// Close implements sinks.Writer. The collector reads what it has not read yet, and then the end.
func (c *connector) Close() error {
	c.drop()
	return nil
}

func (c *connector) Extra(s *sinks.Status) {
	s.Details = &Details{Pid: int(c.pid.Load()), Repeated: c.repeated.Load()}
}
