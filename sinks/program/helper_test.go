package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

// helperArg makes the test binary the child that its next argument names: a
// child has no environment that could say so.
const helperArg = "-helper"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == helperArg {
		if err := helpers[os.Args[2]](os.Args[3:]); err != nil {
			unix.Exit(3)
		}
		unix.Exit(0) // at once: os.Exit waits a second under the race detector
	}
	goleak.VerifyTestMain(m)
}

var helpers = map[string]func(args []string) error{
	"collect":  collect,
	"nibble":   nibble,
	"crash":    crash,
	"stubborn": stubborn,
	"deaf":     deaf,
	"leave":    leave,
	"report":   report,
	"host":     host,
	"blocked":  blocked,
}

// collect writes its stdin to the next free file DIR/out.N and survives SIGHUP,
// which it notes in DIR/hup.
func collect(args []string) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	go func() {
		for range hup {
			os.WriteFile(filepath.Join(args[0], "hup"), nil, 0o600)
		}
	}()
	out, err := nextFile(args[0])
	if err != nil {
		return err
	}
	_, err = io.Copy(out, os.Stdin)
	return err
}

func nextFile(dir string) (*os.File, error) {
	for i := 0; ; i++ {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("out.%06d", i)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if !os.IsExist(err) {
			return f, err
		}
	}
}

// crash takes some bytes of the stream, none at all now and then, and dies, each time in another
// way. As soon as args[1] have died it takes all.
func crash(args []string) error {
	deaths, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	out, err := nextFile(args[0])
	if err != nil {
		return err
	}
	var i int
	if _, err := fmt.Sscanf(filepath.Ext(out.Name()), ".%d", &i); err != nil {
		return err
	}
	if i >= deaths {
		_, err = io.Copy(out, os.Stdin)
		return err
	}
	if _, err := io.CopyN(out, os.Stdin, int64(i*i*31%4000)); err != nil {
		return err
	}
	switch i % 4 {
	case 0:
		return errors.New("failed")
	case 1:
		unix.Kill(os.Getpid(), unix.SIGKILL)
	case 2:
		unix.Kill(os.Getpid(), unix.SIGTERM)
		time.Sleep(time.Hour)
	}
	return nil
}

// nibble takes 1000 bytes and fails.
func nibble(args []string) error {
	out, err := nextFile(args[0])
	if err != nil {
		return err
	}
	_, err = io.CopyN(out, os.Stdin, 1000)
	return fmt.Errorf("enough: %v", err)
}

// stubborn reads nothing and cares for neither the end of input nor signals.
func stubborn([]string) error {
	signal.Ignore(unix.SIGTERM, unix.SIGHUP)
	for {
		time.Sleep(time.Hour)
	}
}

// deaf closes its stdin and lives on.
func deaf([]string) error {
	os.Stdin.Close()
	for {
		time.Sleep(time.Hour)
	}
}

// leave ends, but a child of its own keeps stdin open without reading, in its group or, with
// another argument, in one of its own.
func leave(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	attr := &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: len(args) > 1}}
	p, err := os.StartProcess(self, []string{self, helperArg, "stubborn"}, attr)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(args[0], fmt.Sprintf("grandchild.%d", p.Pid)), nil, 0o600)
}

// state is what a child finds itself in.
type state struct {
	Args, Env        []string
	Dir              string
	Blocked, Ignored string
	OOM              string
	FDs              map[string]string
	Socket, Nonblock bool
	Peek             string
	SameGroup        bool
}

// report writes its state to DIR/state.json, then ends with its input.
func report(args []string) error {
	s := state{Args: os.Args, Env: os.Environ(), FDs: make(map[string]string)}
	s.Dir, _ = os.Getwd()
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "SigBlk:"); ok {
			s.Blocked = strings.TrimSpace(v)
		}
		if v, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			ignored, err := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			if err != nil {
				return err
			}
			s.Ignored = fmt.Sprintf("%016x", ignored&^libcSignals)
		}
	}
	oom, _ := os.ReadFile("/proc/self/oom_score_adj")
	s.OOM = strings.TrimSpace(string(oom))
	for i := range 256 {
		// What closes on exec is the Go runtime's own.
		if flags, err := unix.FcntlInt(uintptr(i), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", i))
		s.FDs[fmt.Sprint(i)] = strings.SplitN(target, ":", 2)[0]
	}
	_, err = unix.GetsockoptInt(0, unix.SOL_SOCKET, unix.SO_TYPE)
	s.Socket = err == nil
	flags, err := unix.FcntlInt(0, unix.F_GETFL, 0)
	s.Nonblock = err == nil && flags&unix.O_NONBLOCK != 0
	var b [5]byte
	n, _, err := unix.Recvfrom(0, b[:], unix.MSG_PEEK)
	s.Peek = fmt.Sprint(string(b[:max(n, 0)]), err)
	group, _ := unix.Getpgid(os.Getppid())
	s.SameGroup = group == unix.Getpgrp()
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(args[0], "state.tmp"), data, 0o600); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(args[0], "state.tmp"), filepath.Join(args[0], "state.json")); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// host runs a sink with the child report, as the relay does: what it was
// started with besides its standard descriptors it does not pass on.
func host(args []string) error {
	if err := unix.CloseRange(3, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s := New(settings(self, 0, helperArg, "report", args[0]), format.Encoder{}, zap.NewNop())
	q := queue.New(queue.Options{Config: queue.Config{Depth: 1000, Bytes: 1 << 20, Hold: true}})
	for _, b := range sinktest.Batches(sinktest.Lines(0, 10), 1000) {
		q.Put(&b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(args[0], "state.json")); err == nil || os.Getppid() == 1 {
				cancel()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	s.Run(ctx, q)
	return nil
}

// blocked becomes host with those signals blocked that auditd blocks (the Go
// runtime unblocks SIGTERM and SIGHUP by itself, not the others).
func blocked(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // exec keeps the mask of this thread
	var set unix.Sigset_t
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCHLD, unix.SIGCONT} {
		set.Val[0] |= 1 << (sig - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		return err
	}
	return unix.Exec(self, []string{self, helperArg, "host", args[0]}, os.Environ())
}

// settings is a sink's configuration for a child.
func settings(path string, restarts int, args ...string) config.Sink {
	return config.Sink{
		Name: "test", Type: "program", Format: "string",
		Settings: &Config{Path: path, Args: args, MaxRestarts: restarts},
	}
}

// self is the test binary, as children of the tests.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// testSink returns a sink with pauses for impatient tests; its child's stdin
// is whatever the helper makes of it.
func testSink(t *testing.T, restarts int, helper string, args ...string) *sink {
	t.Helper()
	s := newSink(settings(self(t), restarts, append([]string{helperArg, helper}, args...)...), format.Encoder{}, zap.NewNop())
	hurry(s)
	return s
}

func hurry(s *sink) {
	s.MinBackoff, s.MaxBackoff = time.Millisecond, 10*time.Millisecond
	s.w.minPause, s.w.settle, s.w.closedAfter = time.Millisecond, 0, 10*time.Millisecond
}

// running runs s on a queue of its own until the test ends.
type running struct {
	t      *testing.T
	s      *sink
	q      *queue.Queue
	cancel func()
	end    context.CancelCauseFunc
	done   chan struct{}
}

func run(t *testing.T, s *sink) *running {
	t.Helper()
	r := &running{t: t, s: s, done: make(chan struct{})}
	r.q = queue.New(queue.Options{Config: queue.Config{Depth: 1 << 20, Bytes: 256 << 20, Hold: true}})
	var ctx context.Context
	ctx, r.end = context.WithCancelCause(context.Background())
	r.cancel = func() { r.end(nil) }
	go func() {
		defer close(r.done)
		s.Run(ctx, r.q)
	}()
	t.Cleanup(func() {
		r.cancel()
		<-r.done
	})
	return r
}

func (r *running) put(first, n int) {
	for _, b := range sinktest.Batches(sinktest.Lines(first, n), 64<<10) {
		r.q.Put(&b)
	}
}

func (r *running) eventually(what string, ok func() bool) {
	r.t.Helper()
	eventually(r.t, what, ok, func() any { return r.s.Status() })
}

func eventually(t *testing.T, what string, ok func() bool, state func() any) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: never; %+v", what, state())
		}
	}
}

// collected is what the children have written to DIR/out.N. What those before
// the last got of a line before they ended is left out.
func collected(dir string) []byte {
	names, _ := filepath.Glob(filepath.Join(dir, "out.*"))
	var all []byte
	for i, name := range names {
		data, _ := os.ReadFile(name)
		if i < len(names)-1 {
			data = data[:bytes.LastIndexByte(data, '\n')+1]
		}
		all = append(all, data...)
	}
	return all
}

// waitGone waits until a child has died and is reaped. A machine under load may need more for
// that after SIGKILL than the sink waits, which then leaves the reaping to a
// goroutine.
func (r *running) waitGone(pid int) {
	r.t.Helper()
	r.eventually("the end of pid "+strconv.Itoa(pid), func() bool { return gone(pid) })
}

func gone(pid int) bool { return unix.Kill(pid, 0) == unix.ESRCH }

func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	lab.Missing(t, "%s is not installed", name)
	return ""
}
