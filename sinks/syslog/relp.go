package syslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// relpWindow is how many messages may wait for their acknowledgement. librelp
// takes 128 as a client; a server takes any number.
const relpWindow = 256

// relpOffers is what the client offers when it opens a session.
const relpOffers = "\nrelp_version=0\nrelp_software=audisp-relay\ncommands=syslog"

// A server may send so many hints, frames that it wants no answer to, in a time if it
// acknowledges nothing meanwhile. librelp has one, serverclose.
const (
	maxHints = 256
	hintTime = time.Minute
)

var (
	errServerClose = errors.New("the server ends the RELP session")
	errNoAnswer    = errors.New("the server has acknowledged nothing")
	errHints       = errors.New("the server sends hints without end and acknowledges nothing")
)

// relpConn is the client's end of a RELP session (see relpframe.go).
type relpConn struct {
	*link
	last uint32 // transaction number of the newest frame
	in   []byte // what was read
	used int    // bytes of it that are dealt with
	out  []byte // what is to be written

	offers []byte // the server's answer to open

	answered time.Time // when a message was acknowledged last, or the first one of the chunk sent
	news     bool      // something was acknowledged since that was set
	hints    int       // since an acknowledgement, or since
	hinted   time.Time

	// Of the chunk being sent:
	base  uint32 // the last transaction number before it
	sent  int    // messages
	done  int    // messages acknowledged, from the first on
	acked []bool // each message
}

// open begins the session, within d.
func (r *relpConn) open(ctx context.Context, d time.Duration) error {
	octx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	r.out = appendFrame(r.out[:0], r.number(), "open", []byte(relpOffers[1:]))
	if _, err := r.write(octx, r.out); err != nil {
		return openError(ctx, err)
	}

	var f relpFrame
	for {
		var err error
		if f, err = r.next(); err != nil {
			return openError(ctx, err)
		}
		if f.command != "" {
			break
		}
		if err := r.more(octx, d); err != nil {
			return openError(ctx, err)
		}
	}

	if f.command != "rsp" || f.txnr != r.last {
		return openError(ctx, fmt.Errorf("%w: it answers open with %.32q", errNotRELP, f.command))
	}
	r.offers = bytes.Clone(f.data)
	return checkOffers(f.data)
}

func openError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		err = errors.New("no answer to RELP's open")
	}
	return advise(fmt.Errorf("open a RELP session: %w", err), "see whether the server speaks RELP on this port, with TLS or without it as here")
}

// number returns the next transaction number: 1 to 999999999 and over again.
func (r *relpConn) number() uint32 {
	r.last = r.last%maxTxnr + 1
	return r.last
}

// send implements conn. It keeps up to relpWindow messages on their way and
// returns when all are acknowledged. After an error, or ctx's end, the
// connection is of no use: what is on its way would not be acknowledged.
func (r *relpConn) send(ctx context.Context, c *chunk) (int, error) {
	if err := r.idle(); err != nil {
		return 0, err
	}
	r.base, r.sent, r.done = r.last, 0, 0
	r.acked = slices.Grow(r.acked[:0], len(c.marks))[:len(c.marks)]
	clear(r.acked)
	r.answered = time.Now()

	for r.done < len(c.marks) {
		if r.sent < len(c.marks) && r.sent-r.done <= relpWindow/2 {
			if err := r.push(ctx, c); err != nil {
				return r.done, err
			}
		}
		if err := r.await(ctx); err != nil {
			return r.done, err
		}
	}
	return r.done, nil
}

// await reads what the server says next. Only an acknowledgement shows that it works:
// whatever else it says does not give it more time.
func (r *relpConn) await(ctx context.Context) error {
	const least = time.Millisecond // for what has come already
	left := r.timeout - time.Since(r.answered)
	r.news = false
	err := r.more(ctx, max(left, least))
	if err == nil {
		err = r.take()
	} else if ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w for %v: %w", errNoAnswer, r.timeout, err)
	}
	switch {
	case r.news:
		r.answered = time.Now()
	case err == nil && left <= 0:
		return fmt.Errorf("%w for %v: %w", errNoAnswer, r.timeout, os.ErrDeadlineExceeded)
	}
	return err
}

// push writes messages until the window is full.
func (r *relpConn) push(ctx context.Context, c *chunk) error {
	r.out = r.out[:0]
	start := c.begin(r.sent)
	for r.sent < len(c.marks) && r.sent-r.done < relpWindow {
		end := c.marks[r.sent].end
		r.out = appendFrame(r.out, r.number(), "syslog", c.buf[start:end])
		r.sent++
		start = end
	}
	_, err := r.write(ctx, r.out)
	return err
}

// more waits for what the server says, not longer than d.
func (r *relpConn) more(ctx context.Context, d time.Duration) error {
	r.hurry()
	n, err := r.read(ctx, r.room(), d)
	r.in = r.in[:len(r.in)+n]
	return err
}

// room returns where to read to, after a frame that is not whole yet: parseFrame
// bounds how long that gets.
func (r *relpConn) room() []byte {
	const least = 4 << 10
	r.in = r.in[:copy(r.in, r.in[r.used:])]
	r.used = 0
	if cap(r.in)-len(r.in) < least {
		r.in = append(make([]byte, 0, 2*len(r.in)+2*least), r.in...)
	}
	return r.in[len(r.in):cap(r.in)]
}

// next cuts the next frame off what was read, one without a command when more
// has to be read. Its data is valid until then.
func (r *relpConn) next() (relpFrame, error) {
	f, n, err := parseFrame(r.in[r.used:])
	if err != nil {
		return relpFrame{}, advise(err, "see whether the server speaks RELP on this port, with TLS or without it as here")
	}
	r.used += n
	return f, nil
}

// take deals with the frames that were read.
func (r *relpConn) take() error {
	for {
		f, err := r.next()
		if err != nil || f.command == "" {
			return err
		}
		if err := r.handle(f); err != nil {
			return err
		}
	}
}

func (r *relpConn) handle(f relpFrame) error {
	switch {
	case f.command == "serverclose":
		return errServerClose
	case f.command != "rsp" && f.txnr == 0:
		return r.hint() // one that this client does not know
	case f.command != "rsp":
		return advise(fmt.Errorf("%w: it sends the command %q", errNotRELP, f.command), "see whether the server speaks RELP on this port")
	}

	i := int((f.txnr + maxTxnr - r.base - 1) % maxTxnr)
	if f.txnr == 0 || i >= r.sent || r.acked[i] {
		return advise(fmt.Errorf("%w: it answers a frame %d that does not wait for it", errNotRELP, f.txnr), "see the server's log")
	}
	code, text, err := parseResponse(f.data)
	if err != nil {
		return advise(err, "see the server's log")
	}
	if code != 200 {
		return advise(fmt.Errorf("the server refuses a message: %d %.100q", code, text), "see the server's log")
	}

	r.acked[i] = true
	r.news, r.hints = true, 0
	for r.done < r.sent && r.acked[r.done] {
		r.done++
	}
	return nil
}

// hint counts a hint.
func (r *relpConn) hint() error {
	if r.hints == 0 || time.Since(r.hinted) > hintTime {
		r.hints, r.hinted = 0, time.Now()
	}
	if r.hints++; r.hints > maxHints {
		return advise(errHints, "see the server's log")
	}
	return nil
}

func (r *relpConn) idle() error {
	for range 16 {
		n, err := r.said(r.room())
		r.in = r.in[:len(r.in)+n]
		if terr := r.take(); terr != nil { // what it said before its end says more
			return terr
		}
		if n == 0 || err != nil {
			return err
		}
	}
	return nil
}

// cost implements costly: what is on its way is sent again, and what was acknowledged
// after it. Nothing may be lost, since nothing counts as delivered that was not
// acknowledged.
func (r *relpConn) cost(error) (resent, maybeLost int) { return r.sent - r.done, 0 }

// close implements conn. A session in which nothing is on its way is ended as
// RELP has it: with a frame that the server answers.
func (r *relpConn) close(orderly bool) error {
	if !orderly || r.torn || r.done < r.sent {
		return r.Close()
	}

	ctx, cancel := context.WithTimeout(context.Background(), lingerTime)
	defer cancel()
	r.timeout = lingerTime
	r.out = appendFrame(r.out[:0], r.number(), "close", nil)
	_, err := r.write(ctx, r.out)

	for err == nil {
		var f relpFrame
		if f, err = r.next(); f.command != "" { // the answer, or serverclose
			break
		}
		if err == nil {
			err = r.more(ctx, lingerTime)
		}
	}
	r.leave()
	return nil
}
