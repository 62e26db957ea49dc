package monitor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/stream"
	"audisp-relay/host/athand"
	"audisp-relay/host/broker"
	"audisp-relay/plugin/sandbox"
)

// workerEnv is the variable that makes the program the worker, and SocketFD its end of the connection.
const (
	workerEnv = "AUDISP_RELAY_WORKER"
	SocketFD  = 3
)

// worker is a worker that runs. Its methods belong to the monitor's goroutine.
type worker struct {
	process *os.Process
	server  *broker.Server
	session Session
	began   time.Time
	ready   chan struct{} // closed when it works
	served  chan error    // has an element when it asks nothing more: nil, or what it has done wrong
	over    chan struct{} // closed when nothing is done for it any more
	exited  chan struct{} // closed when it has ended; how is known then
	how     error
	why     error // why the monitor has killed it
	stderr  *lastWords
	memory  *os.File // the monitor's

	confined atomic.Bool // before it reads what others have written

	once    sync.Once
	framing atomic.Value // stream.Framing
}

// start starts a worker.
func (m *monitor) start() (*worker, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // stdout may be a terminal, which a worker could read and write
	if err != nil {
		return nil, err
	}
	defer null.Close()

	ours, theirs, err := broker.SocketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()

	dirs := m.Dirs()
	w := &worker{
		session: m.Open(), began: time.Now(), ready: make(chan struct{}), served: make(chan error, 1), over: make(chan struct{}),
		exited: make(chan struct{}), memory: m.memory,
	}
	w.framing.Store(m.Facts.Framing)
	var facts atomic.Pointer[Facts]
	facts.Store(&m.Facts)
	w.server, err = broker.NewServer(ours, func(c *broker.Call) (broker.Answer, error) { return w.serve(c, facts.Load()) })
	if err != nil {
		w.session.Close()
		return nil, err
	}

	stderr := os.Stderr
	if m.Stderr != nil {
		if w.stderr, stderr, err = newLastWords(m.Stderr); err == nil {
			defer stderr.Close()
		}
	}
	if err == nil {
		known := m.Facts
		known.Landlock, err = w.run(m, []*os.File{os.Stdin, null, stderr, theirs}, dirs)
		facts.Store(&known) // it is served from below on
	}
	if err != nil {
		w.server.Close()
		w.session.Close()
		return nil, fmt.Errorf("start the worker: %w", err)
	}

	go func() {
		w.served <- w.server.Serve()
		close(w.over)
	}()
	return w, nil
}

// run starts the program on a thread that has given up all that the worker must not have. The thread waits for its end, and
// ends then: the kernel kills the worker when the thread ends that has started it, be it with the monitor.
func (w *worker) run(m *monitor, files []*os.File, dirs []string) (landlock sandbox.Part, err error) {
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked
		if landlock, err = sandbox.BareThread(dirs); err == nil {
			w.process, err = os.StartProcess(m.command[0], m.command[1:], &os.ProcAttr{
				Env: append(m.env, workerEnv+"=1"), Files: files,
				Sys: &syscall.SysProcAttr{
					Credential: &syscall.Credential{Uid: uint32(m.UID), Gid: uint32(m.GID)}, Pdeathsig: syscall.SIGKILL,
					// No terminal of auditd's, to which it could type (TIOCSTI), and which sends it SIGINT.
					Setsid: true,
				},
			})
		}
		failed := err != nil
		close(started)
		if !failed {
			w.wait()
		}
	}()
	<-started
	return landlock, err
}

// serve serves a request of the worker, or has the session do it.
func (w *worker) serve(c *broker.Call, facts *Facts) (a broker.Answer, err error) {
	if c.Item != Item {
		return w.session.Serve(c)
	}

	switch c.Op {
	case OpFacts:
		a.Result = facts
	case OpConfined:
		w.confined.Store(true)
	case OpReady:
		w.once.Do(func() { close(w.ready) })
	case OpFraming:
		var f stream.Framing
		if err := c.Args(&f); err != nil || len(f) > 16 {
			return a, c.Unknown()
		}
		w.framing.Store(f)
	case OpAtHand:
		var fd int
		if fd, err = athand.Duplicate(w.memory); err == nil {
			a.FDs = []int{fd}
		}
		return a, err
	default:
		return a, c.Unknown()
	}
	return a, nil
}

// wait waits for the end of the process.
func (w *worker) wait() {
	state, err := w.process.Wait()
	switch {
	case err != nil:
		w.how = err
	case state.Exited() && state.ExitCode() != 0:
		w.how = exitStatus(state.ExitCode())
	case !state.Success():
		w.how = errors.New(state.String())
	}
	close(w.exited)
}

func (w *worker) isReady() bool {
	select {
	case <-w.ready:
		return true
	default:
		return false
	}
}

func (w *worker) signal(sig os.Signal) { _ = w.process.Signal(sig) } // one that has ended needs none

// kill ends a worker that does not do as it should.
func (w *worker) kill(why error) {
	if w.why == nil {
		w.why = why
	}
	_ = w.process.Kill() // unless it has ended
}

// close lets go of a worker that has ended.
func (w *worker) close() {
	w.server.Close()
	closed := make(chan struct{})
	go func() {
		late := false
		select {
		case <-w.over:
		case <-time.After(overTime): // it waits for a program, which this ends, or for a disk
			late = true
		}
		w.session.Close()
		close(closed)
		if late { // what was opened since then
			<-w.over
			w.session.Close()
		}
	}()

	select {
	case <-closed:
	case <-time.After(closeTime): // a disk hangs: the next worker does not wait for it
	}

	if w.why != nil && w.how != nil {
		w.how = fmt.Errorf("%w (%w)", w.why, w.how)
	}
	if w.stderr == nil {
		return
	}
	if said := w.stderr.end(); said != "" && w.how != nil {
		w.how = fmt.Errorf("%w: %s", w.how, said)
	}
}

const (
	// overTime is how long what a worker had asked for last may take, before what was opened for it is closed.
	overTime = 100 * time.Millisecond
	// closeTime is how long it may take to let go of that.
	closeTime = time.Second
)

// Limits of what is kept of a worker's stderr.
const (
	maxKept = 16 << 10
	maxSaid = 2 << 10
)

// How much of it is passed on: at once, as much as a panic says, and in a second.
const (
	maxPassed       = 256 << 10
	passedPerSecond = 4 << 10
)

// lastWords reads what a worker writes to its stderr, passes it on, and keeps the first of it since the runtime has begun to say why
// the process ends.
type lastWords struct {
	pipe *os.File
	done chan struct{}
	text []byte

	room float64 // bytes that may be passed on
	at   time.Time
}

func newLastWords(pass func([]byte)) (l *lastWords, theirs *os.File, err error) {
	pipe, theirs, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	l = &lastWords{pipe: pipe, done: make(chan struct{}), room: maxPassed, at: time.Now()}
	go func() {
		defer close(l.done)
		buf := make([]byte, 4<<10)
		for {
			n, err := pipe.Read(buf)
			if n > 0 {
				pass(buf[:l.passed(n, time.Now())])
				l.take(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	return l, theirs, nil
}

// passed returns how much of n bytes is passed on.
func (l *lastWords) passed(n int, now time.Time) int {
	l.room = min(maxPassed, l.room+now.Sub(l.at).Seconds()*passedPerSecond)
	l.at = now
	n = min(n, int(l.room))
	l.room -= float64(n)
	return n
}

// take keeps what was written, from the beginning of a panic on where there is one.
func (l *lastWords) take(p []byte) {
	if len(l.text) >= maxKept && panicAt(string(l.text)) != 0 {
		l.text = l.text[:0]
	}
	l.text = append(l.text, p[:min(len(p), maxKept)]...)
	if i := panicAt(string(l.text)); i > 0 {
		l.text = l.text[i:]
	}
	l.text = l.text[:min(len(l.text), maxKept)]
}

// panicAt returns where the runtime says why the process ends, -1 where it does not.
func panicAt(text string) int {
	for _, begin := range []string{"panic: ", "fatal error: ", "SIG", "runtime: "} {
		if strings.HasPrefix(text, begin) {
			return 0
		}
		if i := strings.Index(text, "\n"+begin); i >= 0 {
			return i + 1
		}
	}
	return -1
}

// end returns what is kept, in one line of printable ASCII. It waits neither for others that have the pipe nor for where it is passed
// on to.
func (l *lastWords) end() string {
	l.pipe.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	select {
	case <-l.done:
	case <-time.After(closeTime):
		go func() { <-l.done; l.pipe.Close() }()
		return ""
	}
	l.pipe.Close()
	text := string(l.text)
	if panicAt(text) != 0 {
		return ""
	}
	return strconv.QuoteToASCII(text[:min(len(text), maxSaid)])
}

// A worker is executed by a path that does not have its name. Only the first thread can give the process its name, and that
// is the one that initialises packages.
func init() {
	if IsWorker() {
		name := []byte("audisp-relay\x00")
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0) // ps shows another one then
	}
}

// IsWorker reports whether a monitor has started this process.
func IsWorker() bool {
	kind, err := unix.GetsockoptInt(SocketFD, unix.SOL_SOCKET, unix.SO_TYPE)
	return os.Getenv(workerEnv) != "" && err == nil && kind == unix.SOCK_SEQPACKET
}

// Attach connects a worker to its monitor, and returns what that knows. The environment does not show the worker to what it may start.
func Attach() (*broker.Client, Facts, error) {
	var facts Facts
	os.Unsetenv(workerEnv)
	unix.CloseOnExec(SocketFD)
	m, err := broker.Attach(os.NewFile(SocketFD, "monitor"))
	if err != nil {
		return nil, facts, err
	}
	err = m.Do(Item, OpFacts, nil, &facts)
	return m, facts, err
}
