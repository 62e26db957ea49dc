package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

const (
	// tailBuffer is the longest record that is shown in one piece; longer ones
	// are passed on in several.
	tailBuffer = 64 << 10

	tailFirstPause = 100 * time.Millisecond // between attempts to connect, doubled each time
	tailLastPause  = 5 * time.Second
)

// errDone ends tail when it has shown what it was asked for.
var errDone = errors.New("done")

// tail prints a stream of records.
type tail struct {
	out     *bufio.Writer
	notes   io.Writer
	painter *painter   // of records; nil: bytes as they come
	left    int        // records still to print; 0 means no limit
	events  *eventView // nil: records are not put together
	history *history   // what is shown before the stream; nil: nothing
}

// follow prints what comes from a socket until it has printed enough or ctx
// ends. It is an error if it never could connect.
func (t *tail) follow(ctx context.Context, socket string) error {
	if t.history != nil {
		if err := t.history.catchUp(ctx); err != nil || ctx.Err() != nil {
			return unlessDone(err)
		}
	}

	var lost outage
	pause := tailFirstPause
	for {
		got, err := t.session(ctx, socket, &lost)
		switch {
		case errors.Is(err, errDone):
			return nil
		case errors.As(err, new(errStream)):
			return err
		case ctx.Err() != nil && lost.connected:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w: is the plugin running, with a sink there? see `audisp-relay status`", socket, err)
		}

		if got {
			pause, lost.said = tailFirstPause, false
		}
		if !lost.said {
			t.say(&lost, fmt.Sprintf("%s: %v; waiting for it", socket, err))
			lost.said, lost.since = true, time.Now()
		}
		if err := t.flush(); err != nil {
			return err
		}

		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, tailLastPause)
	}
}

// unlessDone returns an error but for the one that says that enough was shown.
func unlessDone(err error) error {
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

// outage is a time without a connection.
type outage struct {
	connected bool // at least once
	said      bool // that there is none
	since     time.Time
}

// say shows what has happened to the connection: among the events where these are read,
// as nothing else shows what is missing there.
func (t *tail) say(lost *outage, text string) {
	if lost.connected && t.events != nil {
		t.events.notice(text)
		return
	}
	t.note(text)
}

// note writes to where errors go.
func (t *tail) note(text string) { fmt.Fprintf(t.notes, "audisp-relay: %s\n", text) }

// resume is called with each new connection. What came while there was none is shown
// from audit.log, or said to be missing.
func (t *tail) resume(ctx context.Context, lost *outage) error {
	first := !lost.connected
	if !first && lost.said && t.events != nil {
		what := "records of that time are not shown, see --since"
		if t.history != nil {
			what = "what is in audit.log of that time follows"
		}
		t.events.notice(fmt.Sprintf("connected again after %v: %s", time.Since(lost.since).Round(time.Millisecond), what))
		lost.said = false
		if err := t.flush(); err != nil {
			return err
		}
	}

	lost.connected = true
	if t.history == nil {
		return nil
	}
	err := t.readHistory(ctx, !first)
	if errors.As(err, new(errLog)) { // the stream is there
		t.events.notice(fmt.Sprintf("%v; what is in audit.log of that time is not shown", err))
		return t.flush()
	}
	return err
}

// readHistory shows what audit.log has up to a connection, with again from the last one on.
func (t *tail) readHistory(ctx context.Context, again bool) error {
	if again {
		if err := t.history.again(ctx); err != nil {
			return err
		}
	}
	return t.history.join(ctx)
}

// errStream is an error that another connection would not cure.
type errStream struct{ error }

func (e errStream) Unwrap() error { return e.error }

// session connects once and prints until the connection ends; got says whether
// anything came. Its error is never nil.
func (t *tail) session(ctx context.Context, socket string, lost *outage) (got bool, err error) {
	if info, err := os.Stat(socket); err == nil && info.Mode()&os.ModeSocket == 0 {
		return false, errStream{fmt.Errorf("%s is %s, not a socket: `audisp-relay replay %s` prints what is in a log, `tail -F %s | audisp-relay tail -` follows it",
			socket, kindOf(info.Mode()), socket, socket)}
	}

	conn, err := net.Dial("unix", socket)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return false, errStream{fmt.Errorf("%s: permission denied: run this as root or join the group that the socket belongs to", socket)}
	case err != nil:
		return false, reason(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := t.resume(ctx, lost); err != nil {
		return false, err
	}
	return t.copy(ctx, conn)
}

// kindOf says what a file is.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	}
	return "a device"
}

// copy prints what r has until r ends. Its error, never nil, is errDone when r ended like a
// file does.
func (t *tail) copy(ctx context.Context, r io.Reader) (got bool, err error) {
	if t.events != nil {
		return t.copyEvents(ctx, r)
	}
	return t.copyLines(ctx, r, r)
}

// copyLines prints records as they come. rest has what r still gives, after
// bytes that were read of it already.
func (t *tail) copyLines(ctx context.Context, r, rest io.Reader) (got bool, err error) {
	in := bufio.NewReaderSize(rest, tailBuffer)
	if first, err := in.Peek(1); err == nil && first[0] <= 1 {
		return false, errStream{errors.New(`binary frames, not lines: read them without --raw, set format = "string" for this sink, or use a program that wants frames`)}
	}

	atStart := true
	for {
		piece, err := in.ReadSlice('\n')
		if len(piece) > 0 {
			got = true
			if werr := t.print(piece, atStart); werr != nil {
				return got, werr
			}
			atStart = piece[len(piece)-1] == '\n'
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			// A record cut off by the end must not become one with the next.
			if !atStart {
				t.out.WriteByte('\n')
			}
			return got, t.end(ctx, r, err)
		}
		if in.Buffered() == 0 {
			if err := t.flush(); err != nil {
				return got, err
			}
		}
	}
}

// end flushes and says why a stream ended.
func (t *tail) end(ctx context.Context, r io.Reader, err error) error {
	if ferr := t.flush(); ferr != nil {
		return ferr
	}
	_, isConn := r.(net.Conn)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == io.EOF && !isConn:
		return errDone
	case err == io.EOF:
		return errors.New("the other side has closed the connection")
	}
	return reason(err)
}

// print writes one piece of a record; first says that it begins one.
func (t *tail) print(piece []byte, first bool) error {
	complete := piece[len(piece)-1] == '\n'
	if t.painter != nil {
		piece = t.painter.show(piece, first)
	}
	t.out.Write(piece)
	if complete && t.left > 0 {
		if t.left--; t.left == 0 {
			if err := t.flush(); err != nil {
				return err
			}
			return errDone
		}
	}
	return nil
}

// copyEvents is copy for what is put together to events.
func (t *tail) copyEvents(ctx context.Context, r io.Reader) (got bool, err error) {
	cut := stream.NewSplitter()
	var b record.Batch
	for {
		space := cut.Space()
		n, err := readSoon(r, space, t.events.patience())
		at := time.Now() // writing may take long: what has come meanwhile is not late
		if n > 0 && !got && space[0] == '{' {
			return t.copyForeign(ctx, r, bytes.Clone(space[:n]))
		}

		if n > 0 {
			got = true
			cut.Cut(&b, n)
			if err := t.takeLive(&b, at); err != nil {
				return got, err
			}
		}
		switch {
		case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
			if err := t.events.expire(at); err != nil {
				return got, err
			}
		default:
			cut.End(&b)
			if err := errors.Join(t.takeLive(&b, at), t.events.flush()); err != nil {
				return got, err
			}
			return got, t.end(ctx, r, err)
		}
	}
}

// takeLive takes records of the stream that came at a time.
func (t *tail) takeLive(b *record.Batch, at time.Time) error {
	if t.history != nil {
		t.history.dropShown(b)
	}
	return t.events.add(b, at)
}

// copyForeign prints what is no stream of records, but lines of a format such as json.
func (t *tail) copyForeign(ctx context.Context, r io.Reader, begun []byte) (got bool, err error) {
	if t.history != nil {
		return false, errStream{errors.New(`the sink has a format of events: --since wants format = "string" or "binary"`)}
	}
	if len(t.events.filters) > 0 {
		return false, errStream{errors.New(`the sink has a format of events: --filter wants format = "string" or "binary"`)}
	}
	return t.copyLines(ctx, r, io.MultiReader(bytes.NewReader(begun), r))
}

// readSoon is Read that waits for a while at most, where that is not 0: then the error is
// os.ErrDeadlineExceeded.
func readSoon(r io.Reader, p []byte, wait time.Duration) (int, error) {
	switch r := r.(type) {
	case net.Conn:
		var until time.Time
		if wait > 0 {
			until = time.Now().Add(wait)
		}
		r.SetReadDeadline(until) // of a closed connection: Read says so
	case *os.File: // stdin, which the runtime does not poll
		fds := []unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, pollTime(wait)); n == 0 || errors.Is(err, unix.EINTR) {
			return 0, os.ErrDeadlineExceeded
		}
	}
	return r.Read(p)
}

// pollTime returns a time as poll(2) wants it.
func pollTime(wait time.Duration) int {
	if wait == 0 {
		return -1
	}
	return int(wait.Milliseconds())
}

// flush writes to stdout what is gathered. bufio keeps the first error, so the
// writes need no checks of their own.
func (t *tail) flush() error {
	if err := t.out.Flush(); err != nil {
		return errStream{fmt.Errorf("write records to stdout: %w", err)}
	}
	return nil
}

// reason takes the addresses out of a network error.
func reason(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	return err
}
