package unix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
	"unsafe"

	"go.uber.org/zap"
	sys "golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// Why a client's connection ends, besides queue.ErrEvicted.
var (
	errLeft      = errors.New("it closed the connection")
	errCancelled = errors.New("the sink is stopped or configured again")
	errDelivered = errors.New("the relay ends, all was delivered")
)

// What a client sends is thrown away, at most inputSize bytes each inputPause:
// one that floods the relay with input is slowed down, not served at any price.
const (
	inputSize  = 16 << 10
	inputPause = time.Millisecond
)

// client is one connection. It belongs to its goroutine, that of serve, except
// where said otherwise.
type client struct {
	fd       int
	id       int32 // in the poller
	uid, pid int   // SO_PEERCRED: of the process that connected
	program  string
	since    time.Time
	cur      *queue.Cursor // Lost and Pending from anywhere
	enc      format.Encoder
	poll     *poller

	// From the poller: there is input (or its end); it can be written again; both
	// directions are closed.
	input, writable, gone chan struct{}
	hungUp                bool          // gone is closed; guarded by poller.mu
	done                  chan struct{} // closed when the goroutine has ended, cursor and all

	rest  []byte           // what is still to be written of a record or line
	torn  []record.Record  // that record, or those of the event
	open  bool             // the last record written continues in the next one
	mute  bool             // the client will send no more
	full  bool             // the socket takes no more for now
	again <-chan time.Time // when to continue to read input

	delivered atomic.Uint64
	finished  atomic.Uint64 // records counted as skipped though they were delivered
}

// serve delivers to c until it leaves, is too slow, ctx ends or the queue is
// closed and all of it delivered.
func (s *Sink) serve(ctx context.Context, c *client) {
	err := sinks.Guard(func() error { return c.deliverAll(ctx) })
	c.drainInput() // what is left unread makes the client's read fail
	// Close the cursor before the socket: a client that connects while it is open would
	// start after the records that this one had not read, and they would be lost. So the
	// cursor, and the place in the list, must be gone before the other side sees the end,
	// and before the poller cannot inform reap any more that c has left.
	c.cur.Close()
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
	s.poll.remove(c)
	sys.Close(c.fd)
	close(c.done)
	sinks.Poke(s.left)

	t := s.ended
	if errors.Is(err, queue.ErrEvicted) {
		t = s.evictions
	}
	t.add(zap.Int("uid", c.uid), zap.Int("pid", c.pid), zap.String("why", err.Error()),
		zap.Uint64("delivered", c.delivered.Load()), zap.Uint64("lost", c.lost()))
}

// status may be called from anywhere.
func (c *client) status() Client {
	return Client{Pid: c.pid, UID: c.uid, Program: c.program, Since: c.since,
		Delivered: c.delivered.Load(), Lost: c.lost(), Pending: c.cur.Pending()}
}

func (c *client) lost() uint64 { return c.cur.Lost() - min(c.finished.Load(), c.cur.Lost()) }

// deliverAll returns why it ended, never nil.
func (c *client) deliverAll(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return errCancelled
		}
		b, err := c.cur.Take()
		switch {
		case err == io.EOF:
			return errDelivered
		case err != nil:
			return err
		case len(b.Recs) == 0:
			err = c.wait(ctx, c.cur.Ready())
		default:
			err = c.deliver(ctx, b)
		}
		if err != nil {
			return err
		}
	}
}

// deliver writes what can be written of b at once. Where that ends within a
// record it finishes the record, waiting for the client.
func (c *client) deliver(ctx context.Context, b record.Batch) error {
	if b.Recs[0].Flags&record.Cont == 0 && c.open {
		return c.endLine(ctx)
	}
	if n := sinks.Orphans(&b, c.open); n > 0 { // it came, or had to skip, in the middle
		c.cur.Advance(n)
		return nil
	}

	out := c.enc.Encode(b)
	n, err := c.write(out.Bytes)
	whole, end := out.Records(n)
	c.count(b.Recs[:whole])
	if n == end {
		c.cur.Advance(whole)
		if err == nil && n < len(out.Bytes) {
			err = c.waitWritable(ctx)
		}
		return err
	}

	// The rest of a record is kept apart, because the queue may make the client
	// skip while it waits; the record is acknowledged when all of it is written.
	c.rest = append(c.rest[:0], out.Bytes[n:out.End(whole)]...)
	span := out.Span(whole)
	c.torn = append(c.torn[:0], b.Recs[whole:whole+span]...)
	c.cur.Advance(whole) // b and out are not valid from here on

	before := c.cur.Lost()
	if err == nil {
		err = c.finish(ctx)
	}
	if err != nil {
		return err
	}
	if c.cur.Lost() != before {
		c.finished.Add(uint64(span))
	}
	c.count(c.torn)
	c.cur.Advance(whole + span)
	return nil
}

// count counts recs, the pieces of a long line once, as delivered.
func (c *client) count(recs []record.Record) {
	if len(recs) == 0 {
		return
	}
	n := uint64(0)
	for i := range recs {
		if recs[i].Flags&record.Cont == 0 {
			n++
		}
	}
	c.delivered.Add(n)
	c.open = recs[len(recs)-1].Flags&record.Open != 0
}

// endLine ends a line the client got the beginning of and had to skip the rest,
// so that the next record does not run into it.
func (c *client) endLine(ctx context.Context) error {
	c.open = false
	if c.enc.Format != format.String {
		return nil
	}
	c.rest = append(c.rest[:0], '\n')
	return c.finish(ctx)
}

// finish writes what is in rest, waiting for the client.
func (c *client) finish(ctx context.Context) error {
	for {
		n, err := c.write(c.rest)
		c.rest = c.rest[n:]
		if err != nil || len(c.rest) == 0 {
			return err
		}
		if err := c.waitWritable(ctx); err != nil {
			return err
		}
	}
}

// write writes as much of p as the socket takes now. It is no error if that is
// not all.
//
// The system call is a raw one: it does not wait, and each that the runtime notices wakes its monitor thread, which
// costs a third of the relay's time at a thousand events a second.
func (c *client) write(p []byte) (n int, err error) {
	for n < len(p) {
		k, _, err := sys.RawSyscall(sys.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(&p[n])), uintptr(len(p)-n))
		switch err {
		case 0:
			n += int(k)
		case sys.EINTR:
		case sys.EAGAIN:
			return n, nil
		case sys.EPIPE, sys.ECONNRESET:
			return n, errLeft
		default:
			return n, fmt.Errorf("write: %w", err)
		}
	}
	return n, nil
}

// waitWritable waits until the socket takes more.
func (c *client) waitWritable(ctx context.Context) error {
	c.full = true
	if err := c.watch(); err != nil {
		return err
	}
	if err := c.wait(ctx, c.writable); err != nil {
		return err
	}
	c.full = false
	return c.watch()
}

// watch has the poller wait for what is needed now.
func (c *client) watch() error {
	var events uint32
	if !c.mute {
		events |= sys.EPOLLIN
	}
	if c.full {
		events |= sys.EPOLLOUT
	}
	return c.poll.watch(c, events)
}

// wait waits for ready, meanwhile throwing away what the client sends.
func (c *client) wait(ctx context.Context, ready <-chan struct{}) error {
	for {
		select {
		case <-ready:
			return nil
		case <-c.input:
			c.readInput()
		case <-c.again:
			c.again = nil
			c.readInput()
		case <-c.gone:
			return errLeft
		case <-c.cur.Evicted():
			return queue.ErrEvicted
		case <-ctx.Done():
			return errCancelled
		}
	}
}

// readInput throws away what the client sent, up to a bound. That the client has
// shut down its sending side only means that it will send no more.
func (c *client) readInput() {
	if c.again == nil && c.discard() {
		c.again = time.After(inputPause)
	}
}

// drainInput throws away what the client sent before its connection is closed,
// up to a bound.
func (c *client) drainInput() {
	for range 64 {
		if !c.discard() {
			return
		}
	}
}

// discard reads once. It reports whether there may be more.
func (c *client) discard() (more bool) {
	var junk [inputSize]byte
	n, err := sys.Read(c.fd, junk[:])
	if err == nil && n == 0 && !c.mute {
		c.mute = true
		c.watch()
	}
	return n > 0 || err == sys.EINTR
}
