package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// ErrGone is what every call fails with once the monitor has ended.
var ErrGone = errors.New("the relay's monitor has ended")

// Client is the worker's end. Its methods may be called from any goroutine; calls do not wait for each other.
type Client struct {
	conn    *net.UnixConn
	notices chan string // names of what the monitor has said by itself
	gone    chan struct{}

	mu      sync.Mutex // guards all below
	last    uint64
	waiting map[uint64]chan<- answered
}

type answered struct {
	m   *message
	fds []int
}

// Attach makes the socket, which it then owns, the way to the monitor of this process: Monitor returns it from then on. One
// goroutine reads it until the monitor has gone.
func Attach(socket *os.File) (*Client, error) {
	c, err := NewClient(socket)
	if err == nil {
		monitor.Store(c)
	}
	return c, err
}

// NewClient is Attach without making the process a worker: for tests of single items.
func NewClient(socket *os.File) (*Client, error) {
	defer socket.Close()
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, fmt.Errorf("connection to the relay's monitor: %w", err)
	}
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("connection to the relay's monitor: no unix socket")
	}
	c := &Client{conn: uc, notices: make(chan string, 1), gone: make(chan struct{}), waiting: make(map[uint64]chan<- answered)}
	go c.read()
	return c, nil
}

// Notices returns what the monitor says by itself. One that was not taken yet makes it drop the next.
func (c *Client) Notices() <-chan string { return c.notices }

// Gone is closed when the monitor has ended.
func (c *Client) Gone() <-chan struct{} { return c.gone }

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// read gives each answer to the call that waits for it.
func (c *Client) read() {
	buf, oob := make([]byte, maxMessage), make([]byte, oobSize)
	for {
		n, oobn, _, _, err := c.conn.ReadMsgUnix(buf, oob)
		if err != nil || n == 0 {
			break
		}
		fds, err := descriptors(oob[:oobn])
		if err != nil {
			continue
		}
		m, err := parse(buf[:n])
		if err != nil {
			closeAll(fds)
			continue
		}
		c.give(m, fds)
	}
	c.conn.Close()
	close(c.gone)
}

// give gives an answer, or notes a notice.
func (c *Client) give(m *message, fds []int) {
	if m.ID == 0 {
		closeAll(fds)
		select {
		case c.notices <- m.Op:
		default:
		}
		return
	}
	c.mu.Lock()
	to := c.waiting[m.ID]
	delete(c.waiting, m.ID)
	c.mu.Unlock()
	if to == nil {
		closeAll(fds)
		return
	}
	to <- answered{m, fds} // it has room for one
}

// Call has the monitor do op with an item, and waits until it has. args and result, which may be nil, are what JSON makes of
// them; fds go with the request and stay the caller's. The descriptors that come back, want of them, are the caller's, too. Without
// them, or with others, the call has failed.
func (c *Client) Call(item, op string, args, result any, want int, fds ...int) (got []int, err error) {
	a, err := c.ask(item, op, args, fds)
	if err != nil {
		return nil, err
	}
	err = a.m.err()
	if err == nil && len(a.fds) != want {
		err = fmt.Errorf("the relay's monitor has sent %d descriptors for %s of %s, not %d", len(a.fds), op, item, want)
	}
	if err == nil && result != nil {
		if err = json.Unmarshal(a.m.Data, result); err != nil {
			err = fmt.Errorf("the relay's monitor has sent no result for %s of %s that the worker can read: %w", op, item, err)
		}
	}
	if err != nil {
		closeAll(a.fds)
		return nil, err
	}
	return a.fds, nil
}

// Do is Call for what gives no descriptor.
func (c *Client) Do(item, op string, args, result any) error {
	_, err := c.Call(item, op, args, result, 0)
	return err
}

// Open is Call for what gives one descriptor.
func (c *Client) Open(item, op string, args, result any) (fd int, err error) {
	fds, err := c.Call(item, op, args, result, 1)
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

func (c *Client) ask(item, op string, args any, fds []int) (a answered, err error) {
	m := message{Item: item, Op: op}
	if args != nil {
		if m.Data, err = json.Marshal(args); err != nil {
			return a, err
		}
	}

	answers := make(chan answered, 1)
	c.mu.Lock()
	c.last++
	m.ID = c.last
	c.waiting[m.ID] = answers
	c.mu.Unlock()
	if err := send(c.conn, &m, fds); err != nil {
		c.mu.Lock()
		delete(c.waiting, m.ID)
		c.mu.Unlock()
		return a, fmt.Errorf("%s of %s: %w: %w", op, item, ErrGone, err)
	}

	select {
	case a = <-answers:
		return a, nil
	case <-c.gone:
		return a, fmt.Errorf("%s of %s: %w", op, item, ErrGone)
	}
}
