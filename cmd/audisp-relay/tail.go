package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

const (
	defaultSocket = "/run/audisp-relay/events.sock"

	// tailBuffer is the longest record that is shown in one piece; longer ones
	// are passed on in several.
	tailBuffer = 64 << 10

	tailFirstPause = 100 * time.Millisecond // between attempts to connect, doubled each time
	tailLastPause  = 5 * time.Second
)

// newTailCmd is `audisp-relay tail`.
func newTailCmd() *cobra.Command {
	var count, seconds int
	cmd := &cobra.Command{
		Use:   "tail [SOCKET]",
		Short: "Follow a socket, readable and coloured on a terminal",
		Long: `Connects to a unix socket (` + defaultSocket + ` if none is named, - for
stdin) and prints the records that come. On a terminal they are made readable, and
bytes that could do something to the terminal are shown as \xNN (and \ as \\). In a
pipe they come byte for byte. If the socket goes away, tail waits until it is back.
NO_COLOR turns the colours off.`,
		Args: wrongUsage(cobra.MaximumNArgs(1)),
	}
	cmd.Flags().IntVar(&count, "count", 0, "stop after so many records (0: never)")
	cmd.Flags().IntVar(&seconds, "seconds", 0, "stop after so many seconds (0: never)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if count < 0 || seconds < 0 {
			return usageError{errors.New("--count and --seconds want a number from 0 up")}
		}
		socket := defaultSocket
		if len(args) == 1 {
			socket = args[0]
		}
		ctx := cmd.Context()
		if seconds > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
			defer cancel()
		}
		t := &tail{out: bufio.NewWriterSize(cmd.OutOrStdout(), tailBuffer), notes: cmd.ErrOrStderr(), left: count}
		if isTerminal(os.Stdout) {
			t.out.Reset(os.Stdout) // it escapes itself, and has colours
			t.painter = &painter{colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", zone: time.Local}
		}
		if socket == "-" && seconds > 0 {
			return usageError{errors.New("--seconds goes with a socket, not with stdin")}
		}
		if socket == "-" {
			if _, err := t.copy(ctx, os.Stdin); !errors.Is(err, errDone) {
				return err
			}
			return nil
		}
		return t.follow(ctx, socket)
	}
	return cmd
}

// isTerminal asks the kernel for terminal settings, which only terminals have.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// errDone ends tail when it has shown what it was asked for.
var errDone = errors.New("done")

// tail prints a stream of records.
type tail struct {
	out     *bufio.Writer
	notes   io.Writer
	painter *painter // nil: bytes as they come
	left    int      // records still to print; 0 means no limit
}

// follow prints what comes from a socket until it has printed enough or ctx
// ends. It is an error if it never could connect.
func (t *tail) follow(ctx context.Context, socket string) error {
	var connected, said bool
	pause := tailFirstPause
	for {
		got, err := t.session(ctx, socket, &connected)
		switch {
		case errors.Is(err, errDone):
			return nil
		case errors.As(err, new(errStream)):
			return err
		case ctx.Err() != nil && connected:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w: is the plugin running, with a sink there? see `audisp-relay status`", socket, err)
		}
		if got {
			pause, said = tailFirstPause, false
		}
		if !said {
			fmt.Fprintf(t.notes, "audisp-relay: %s: %v; waiting for it\n", socket, err)
			said = true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, tailLastPause)
	}
}

// errStream is an error that another connection would not cure.
type errStream struct{ error }

func (e errStream) Unwrap() error { return e.error }

// session connects once and prints until the connection ends; got says whether
// anything came. Its error is never nil.
func (t *tail) session(ctx context.Context, socket string, connected *bool) (got bool, err error) {
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
	*connected = true
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
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

// copy prints records until r ends. Its error, never nil, is errDone when r ended like a
// file does.
func (t *tail) copy(ctx context.Context, r io.Reader) (got bool, err error) {
	in := bufio.NewReaderSize(r, tailBuffer)
	if first, err := in.Peek(1); err == nil && first[0] <= 1 {
		return false, errStream{errors.New(`binary frames, not lines: set format = "string" for this sink, or read it with a program that wants frames`)}
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
