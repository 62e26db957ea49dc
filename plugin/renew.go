package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/stream"
	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
	"audisp-relay/plugin/monitor"
	"audisp-relay/plugin/sandbox"
)

// A new program can take the place of the one that runs without auditd taking part: the plugin
// ends as it does at the end of the stream, but between two records, and then executes the
// new program. To auditd that is the process it has started, with the same stdin, and what it
// sends meanwhile waits in the socket.

// ErrRenew is what Run returns when the plugin has ended for a new program to be executed in its
// process.
var ErrRenew = errors.New("a new program is to be executed")

// renewPatience is how long the stream may take to come to the end of a record: one that a lossless
// consumer has stopped does not come there.
const renewPatience = 2500 * time.Millisecond

// renewal is what a request for a new program and the goroutines that obey it share.
type renewal struct {
	program string // "": why says why there can be none
	why     string // set before the control socket is there
	request atomic.Int32
	granted chan struct{} // has an element when reading has ended for the request
	stdin   *stdin        // nil: why is set
	env     []string      // for it
}

// States of renewal.request. Whoever asks may take back an open one; with one that the reader has taken the
// process ends.
const (
	noRequest = iota
	openRequest
	takenRequest
)

func newRenewal(program string) *renewal {
	r := &renewal{program: program, granted: make(chan struct{}, 1)}
	if program == "" {
		r.why = "the path of the program is not known"
	}
	return r
}

// possible says why no new program can be executed, nil where one can.
func (r *renewal) possible() error {
	if r.why != "" {
		return errors.New(r.why)
	}
	if m := broker.Monitor(); m != nil {
		return m.Do(renewItem, opCheck, nil, nil)
	}
	return runnable.Check(r.program)
}

// grant makes a request, and waits until the stream has come to the end of a record.
func (r *renewal) grant(ctx context.Context) error {
	if err := r.possible(); err != nil {
		return err
	}
	ends := errors.New("the plugin ends")
	if !r.request.CompareAndSwap(noRequest, openRequest) {
		return ends
	}
	if r.stdin != nil {
		r.stdin.interrupt() // nothing may come for hours
	}

	patience := time.After(renewPatience)
	for {
		select {
		case <-r.granted:
			return nil
		case <-ctx.Done():
			return ends
		case <-patience:
			if r.request.CompareAndSwap(openRequest, noRequest) {
				return errors.New("the stream did not come to the end of a record: a lossless consumer may have stopped it, see audisp-relay status")
			}
		}
	}
}

// asked reports whether there is a request that the reader has not taken.
func (r *renewal) asked() bool { return r.request.Load() == openRequest }

// answerRenew serves the request for a new program: it is answered when the stream has come to the end
// of a record, from where on nothing but the end of the process follows.
func (p *Plugin) answerRenew(ctx context.Context, w io.Writer) {
	if err := p.renew.grant(ctx); err != nil {
		p.log.Warn("upgrade refused: no new program is executed", zap.Error(err))
		json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
		return
	}
	json.NewEncoder(w).Encode(map[string]int{"pid": broker.Pid()})
}

// leaves reports whether reading is to end here, for a new program. It belongs to the reader.
func (p *Plugin) leaves(r *stream.Reader) bool {
	return p.renew.asked() && r.Whole() && p.renew.request.CompareAndSwap(openRequest, takenRequest)
}

// AskRenew asks the plugin whose run_dir is dir to execute the program that is now at its path.
// When it returns nil the plugin is about to do so.
func AskRenew(dir string) error {
	var answer struct {
		Pid   int    `json:"pid"`
		Error string `json:"error"`
	}
	if err := ask(dir, "renew", &answer); err != nil {
		return err
	}
	if answer.Error != "" || answer.Pid == 0 {
		return fmt.Errorf("the plugin does not execute another program: %s", answer.Error)
	}
	return nil
}

// Renew executes the new program in this process, with its arguments, after Run has returned ErrRenew. It
// returns only if that fails; where the sandbox allows it, the present program is tried then.
func (p *Plugin) Renew() error {
	if broker.Monitor() != nil { // which executes it
		os.Exit(monitor.RenewCode)
	}
	if p.sandbox.Self {
		return fmt.Errorf("execute %s: %w", p.renew.program, sandbox.ExecSelf())
	}
	env := slices.Concat(os.Environ(), p.renew.env, p.sandbox.Env)
	err := runnable.Check(p.renew.program) // a worker that was taken over ends this way without having asked
	if err == nil {
		err = syscall.Exec(p.renew.program, os.Args, env)
	}
	again := syscall.Exec("/proc/self/exe", os.Args, env)
	return fmt.Errorf("execute %s: %w; and the present program again: %w", p.renew.program, err, again)
}

// openStdin opens stdin in such a way that a new program can take it over. What is no socket, such as a terminal, may
// be shared with other programs, and is read as it is.
func (r *renewal) openStdin() io.Reader {
	if !isSocket(0) {
		r.why = "stdin is no socket"
		return os.NewFile(0, "stdin")
	}
	in, err := newStdin(0)
	if err != nil {
		r.why = "wait for stdin: " + err.Error()
		unix.SetNonblock(0, false)
		return os.NewFile(0, "stdin")
	}
	r.stdin = in
	return in
}
