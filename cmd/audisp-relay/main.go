// Command audisp-relay is a plugin of the Linux audit daemon: it reads the
// dispatcher stream on stdin and delivers it to sockets, files, child programs
// and servers. Its other commands set that up, look at it and read what it wrote.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// version is set by the build (-ldflags "-X main.version=...").
var version = "dev"

// exitError ends the program with a code when all there is to say has been
// said already.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// checkedOut is stdout, and notes that something could not be written, as on a full disk: most commands do not look. It belongs to
// one goroutine.
type checkedOut struct {
	io.Writer
	err error // the first
}

func (o *checkedOut) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// terminalOf returns the terminal that w is, nil if it is none.
func terminalOf(w io.Writer) *terminal {
	if out, ok := w.(*checkedOut); ok {
		w = out.Writer
	}
	t, _ := w.(*terminal)
	return t
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := newRootCmd()
	root.SetArgs(args)
	out := &checkedOut{Writer: safe(os.Stdout)}
	root.SetOut(out)
	root.SetErr(safe(os.Stderr))
	cmd, err := root.ExecuteC()
	code, exits := errors.AsType[exitError](err)
	_, misused := errors.AsType[usageError](err)
	if err == nil && out.err != nil && !errors.Is(out.err, syscall.EPIPE) { // else head has had enough
		err = out.err
	}

	switch {
	case err == nil:
		return 0
	case exits:
		return code.code
	case misused:
		fmt.Fprintf(safe(os.Stderr), "audisp-relay: %s\n", usageLine(cmd, err))
		return 2
	default:
		fmt.Fprintf(safe(os.Stderr), "audisp-relay: %v\n", err)
		return 1
	}
}
