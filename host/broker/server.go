package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How much a worker may ask for. At its start, with many rotated logs, one asks for some thousands; a file that is rotated takes some
// twenty.
const (
	maxRunning = 256   // requests that are being served; those that wait for a program's end count, too
	burst      = 16384 // requests at once
	perSecond  = 8192  // requests a second in the long run; more of them wait
)

// sendTime is how long a worker may take to make room for an answer.
const sendTime = 5 * time.Second

// Call is a request as the monitor gets it.
type Call struct {
	Item, Op string
	FDs      []int // what came with it; closed after the handler
	args     json.RawMessage
}

// NewCall returns a request as Serve makes one of these arguments in JSON. It is for tests of handlers.
func NewCall(item, op, args string, fds ...int) *Call {
	return &Call{Item: item, Op: op, FDs: fds, args: json.RawMessage(args)}
}

// Args reads the arguments.
func (c *Call) Args(to any) error {
	if err := json.Unmarshal(c.args, to); err != nil {
		return fmt.Errorf("arguments of %q: %w", c.Op, err)
	}
	return nil
}

// Unknown is the error for an op that an item does not have.
func (c *Call) Unknown() error { return fmt.Errorf("%.40q cannot be done with %.80q", c.Op, c.Item) }

// Answer is what a handler gives: the result, and descriptors that are closed once they were sent.
type Answer struct {
	Result any
	FDs    []int
}

// Give returns the answer that gives a file away, which it closes. err is that of opening it.
func Give(f *os.File, err error) (a Answer, _ error) {
	if err != nil {
		return a, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return a, err
	}
	a.FDs = []int{fd}
	return a, nil
}

// Handler serves requests, several at a time.
type Handler func(*Call) (Answer, error)

// OneByOne returns a Handler that serves one request at a time, while others wait. It is for what takes a process or much memory.
func OneByOne(serve Handler) Handler { return AtMost(1, serve) }

// AtMost returns a Handler that serves so many requests at a time, while others wait. It is for what a disk that hangs may hold up, each
// on a thread that stays when the worker has gone: this process may have ten thousand.
func AtMost(n int, serve Handler) Handler {
	busy := make(chan struct{}, n)
	return func(c *Call) (Answer, error) {
		busy <- struct{}{}
		defer func() { <-busy }()
		return serve(c)
	}
}

// Limit returns a Handler that refuses what comes more often than so many times at once, and so many a second in the long run. It is
// for what starts programs, of which a worker that was taken over would have the monitor start thousands.
func Limit(burst, perSecond float64, serve Handler) Handler {
	var mu sync.Mutex
	pace := newPace(burst, perSecond, time.Now())
	return func(c *Call) (a Answer, err error) {
		mu.Lock()
		may := pace.may(time.Now())
		mu.Unlock()
		if !may {
			return a, fmt.Errorf("%.40q of %.80q is asked for too often", c.Op, c.Item)
		}
		return serve(c)
	}
}

// Server is the monitor's end of the connection to one worker.
type Server struct {
	conn    *net.UnixConn
	handle  Handler
	running chan struct{}
	wg      sync.WaitGroup
}

// NewServer returns the server of a socket, which it then owns.
func NewServer(socket *os.File, handle Handler) (*Server, error) {
	defer socket.Close()
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, fmt.Errorf("connection to the worker: %w", err)
	}
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("connection to the worker: no unix socket")
	}
	return &Server{conn: uc, handle: handle, running: make(chan struct{}, maxRunning)}, nil
}

// Serve serves requests until the worker has closed its end, which is no error, or sends what is no request. It returns when all
// handlers have ended.
func (s *Server) Serve() error {
	defer s.wg.Wait()
	defer s.conn.Close()
	buf, oob := make([]byte, maxMessage+1), make([]byte, oobSize)
	pace := newPace(burst, perSecond, time.Now())

	for {
		n, oobn, flags, _, err := s.conn.ReadMsgUnix(buf, oob)
		fds, wrong := descriptors(oob[:oobn])
		if n == 0 || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, unix.ECONNRESET) {
			closeAll(fds) // an empty message may have some, and reads as the end
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from the worker: %w", err)
		}
		if wrong != nil {
			return wrong
		}
		if n > maxMessage || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			closeAll(fds)
			return fmt.Errorf("%w: too long", errMessage)
		}

		m, err := parse(buf[:n])
		if err == nil && m.ID == 0 {
			err = fmt.Errorf("%w: it has no id", errMessage)
		}
		if err != nil {
			closeAll(fds)
			return err
		}
		time.Sleep(pace.next(time.Now()))
		s.start(m, fds)
	}
}

// start serves a request in a goroutine of its own.
func (s *Server) start(m *message, fds []int) {
	select {
	case s.running <- struct{}{}:
	default:
		closeAll(fds)
		answer := message{ID: m.ID}
		answer.fail(unix.EAGAIN)
		_ = s.send(&answer, nil)
		return
	}
	s.wg.Go(func() {
		defer func() { <-s.running }()
		s.serve(m, fds)
	})
}

func (s *Server) serve(m *message, fds []int) {
	defer closeAll(fds)
	answer := message{ID: m.ID}
	got, err := s.guarded(&Call{Item: m.Item, Op: m.Op, FDs: fds, args: m.Data})
	defer func() { closeAll(got.FDs) }()
	if err == nil && got.Result != nil {
		answer.Data, err = json.Marshal(got.Result)
	}
	if err == nil && len(answer.Data) > maxMessage-1024 {
		err = unix.EMSGSIZE
	}
	if err != nil {
		answer.Data = nil
		answer.fail(err)
		_ = s.send(&answer, nil)
		return
	}
	_ = s.send(&answer, got.FDs)
}

// send sends an answer. A worker that has gone needs none, and one that does not read gets none.
func (s *Server) send(m *message, fds []int) error {
	s.conn.SetWriteDeadline(time.Now().Add(sendTime))
	return send(s.conn, m, fds)
}

// guarded calls the handler. The monitor survives a panic in it.
func (s *Server) guarded(c *Call) (a Answer, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%.40q of %.80q panicked in the relay's monitor: %v", c.Op, c.Item, fault)
		}
	}()
	return s.handle(c)
}

// Notify says something to the worker that it has not asked for.
func (s *Server) Notify(what string) error { return s.send(&message{Op: what}, nil) }

// Close ends the connection, and with it Serve.
func (s *Server) Close() error { return s.conn.Close() }

// send sends a message. It waits while the other end does not read.
func send(conn *net.UnixConn, m *message, fds []int) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(text) > maxMessage || len(fds) > maxFDs {
		return syscall.EMSGSIZE
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err = conn.WriteMsgUnix(text, oob, nil)
	return err
}
