// Package monitor is the one of the relay's two processes that has rights.
//
// The monitor is the process that auditd has started. It runs as root, reads neither stdin nor a record, and
// talks to no network. It starts the worker: the same program as the system user audisp-relay, without a capability in any
// set, with no_new_privs, the same stdin, and one end of a socket pair. The worker is the plugin as it is without a monitor
// (package plugin); where that needs root's rights it asks for them over the socket (package broker).
//
// A request names an item of the configuration and what is to be done with it. The monitor has read the configuration itself, and
// gave the worker the text that it has parsed, so that both know the same; a path or a program comes from there, never from the worker.
// Whatever a sink looks at before it trusts a file or a directory is looked at in the monitor, by the same code (sinks.Warden).
//
// Signals come to the monitor, which passes them on. The worker sees the end of the stream, and its end is the monitor's. A worker
// that ends otherwise is started again, after a pause that doubles: the monitor has stdin open, so that auditd notices nothing and what
// it sends waits in the socket; what the worker had read and not delivered comes from audit.log, as after any kill. For a new program
// (plugin.AskRenew) the worker ends, and the monitor executes that in its own place. An event that two workers have died over
// the next ones do not read (package athand).
//
// Where none of the first workers gets as far as into its sandbox, as something on this host does not let it, the relay goes on in one
// process. Once one has got there that is over, for the process's life: what a worker reads then was written by others, and who takes it
// over could end it so as to have the next record parsed by root.
package monitor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/stream"
	"audisp-relay/host/athand"
	"audisp-relay/host/broker"
	"audisp-relay/plugin/sandbox"
)

// RenewCode is the status with which a worker ends for a new program to be executed.
const RenewCode = 76

// Pauses before a worker is started again, and how long one has to live for the next pause to be the first again.
const (
	minPause   = 100 * time.Millisecond
	maxPause   = 10 * time.Second
	steadyTime = 30 * time.Second
)

// freeRenewals is how many programs in a row may give way to the next one before steadyTime without a pause: who has installed a wrong
// one installs another.
const freeRenewals = 3

const (
	// readyTime is how long a worker may take to begin to work: its log may be on a disk that is slow.
	readyTime = 10 * time.Second
	// maxTries is how many first workers may end before they are confined, until the relay runs in one process.
	maxTries = 3
	// endTime is how long a worker may take to end after the end of the stream, or of auditd: it means to be gone within a second.
	endTime = 10 * time.Second
	// maxEndings is how many workers may fail to end a stream that has ended.
	maxEndings = 3
	tick       = time.Second
)

// Orphaned is what the monitor says to the worker when auditd has gone without closing the stream.
const Orphaned = "orphaned"

// Item is what a worker calls the monitor itself when it asks for its Facts, and tells what the next worker has to know.
const Item = "monitor"

// Ops of Item.
const (
	OpFacts    = "facts"
	OpConfined = "confined" // it is in its sandbox, and has read nothing yet that others have written
	OpReady    = "ready"    // it works, and may be sent signals
	OpFraming  = "framing"
	OpAtHand   = "at_hand" // for the memory of package athand
)

// Facts are what a worker cannot find out itself.
type Facts struct {
	Parent  int            // the process that has started the monitor
	Buffer  int            // what the pipe from auditd holds
	Framing stream.Framing // what another worker has found that has read from the stream before; "": none has
	// Landlock is what has become of that part of the sandbox, which a worker has from its start.
	Landlock sandbox.Part
	Ended    uint64 // workers before that have ended otherwise than they should
	// Poison are events over which two of these have died.
	Poison []athand.ID
}

// Session serves one worker, several requests at a time.
type Session interface {
	Serve(*broker.Call) (broker.Answer, error)
	// Close lets go of everything that was opened for the worker. It is called again when Serve has returned after that.
	Close()
}

// Options are what a monitor has to know.
type Options struct {
	Log      *zap.Logger
	Facts    Facts
	UID, GID int // the worker's
	// Confined says that a worker has been, of the program that was in this one's place: there is no way back to one process.
	Confined bool
	// Early is how many programs in a row before this one have given way to the next one before steadyTime.
	Early int
	// Renewing is called before Run returns Renew, with what is Early for the new program.
	Renewing func(early int)
	// Dirs lists beneath which directories a new worker may write; it is called before Open.
	Dirs func() []string
	// Open begins the session of a new worker.
	Open func() Session
	// Ready is called once, when the first worker works: the monitor gives up the rights that it does not need.
	Ready func()
	// Signals are those that are passed on.
	Signals <-chan os.Signal
	// Stderr takes what a worker writes to its stderr; nil: it has the monitor's.
	Stderr func([]byte)

	// command is the program that is run as the worker, with its arguments and environment; only tests set another one.
	command []string
	env     []string
}

// End is how the last worker has ended.
type End int

// Ends.
const (
	Ended    End = iota // with the stream
	Renew               // for a new program
	Failed              // the error says how
	NoWorker            // none works: the error says why
)

// Run runs workers until the stream ends.
func Run(o Options) (End, error) {
	if o.command == nil {
		o.command = append([]string{"/proc/self/exe"}, os.Args...)
		o.env = os.Environ()
	}

	m := &monitor{Options: o, confined: o.Confined, clock: time.NewTicker(tick)}
	defer m.clock.Stop()
	var err error
	if m.memory, err = athand.NewFile(); err != nil {
		m.Log.Warn("an event that ends the worker cannot be identified", zap.Error(err))
	}
	defer m.memory.Close()

	for {
		w, err := m.start()
		if err == nil {
			err = m.watch(w)
		}
		if end, done, err := m.ended(w, err); done {
			if end == Failed || end == NoWorker {
				return end, err
			}
			return end, nil
		}
		m.sleep(m.pause)
	}
}

// monitor belongs to one goroutine.
type monitor struct {
	Options
	clock    *time.Ticker
	confined bool // one worker has been
	works    bool // one worker has begun to
	tries    int
	endings  int
	pause    time.Duration
	orphan   bool
	pending  []os.Signal // for a worker that has no handlers yet

	memory   *os.File // nil: there is none
	suspects athand.Suspects
}

// errNotReady: a worker lives and does nothing.
var errNotReady = fmt.Errorf("it did not begin within %v", readyTime)

// errLeft: no worker closes its connection but by its end.
var errLeft = errors.New("it has closed its connection and did not end")

// watch serves a worker to its end, and returns how that was: nil as at the end of the stream.
func (m *monitor) watch(w *worker) error {
	ready := time.After(readyTime)
	isReady := w.ready
	var late, left <-chan time.Time
	for {
		select {
		case <-w.exited:
			if isReady != nil && w.isReady() { // both at once
				m.begun(w)
			}
			w.close()
			return w.how
		case <-isReady:
			isReady, ready = nil, nil
			m.begun(w)
		case <-ready:
			w.kill(errNotReady)
		case err := <-w.served:
			if err != nil {
				w.kill(fmt.Errorf("it asked for what no worker asks for: %w", err))
			}
			left = time.After(closeTime)
		case <-left:
			w.kill(errLeft)
		case sig := <-m.Signals:
			m.pass(w, sig, isReady == nil)
		case <-m.clock.C:
			if m.look(w) && late == nil {
				late = time.After(endTime)
			}
		case <-late:
			w.kill(fmt.Errorf("it did not end within %v of the end of the stream", endTime))
		}
	}
}

// begun is called when a worker works.
func (m *monitor) begun(w *worker) {
	if !m.works {
		m.works = true
		m.Ready()
	}
	for _, sig := range m.pending {
		w.signal(sig)
	}
	m.pending = nil
}

// pass passes a signal on, as soon as it does not kill.
func (m *monitor) pass(w *worker, sig os.Signal, ready bool) {
	switch {
	case ready:
		w.signal(sig)
	case sig != unix.SIGTERM && len(m.pending) < 16: // a worker does no more about TERM than to log it
		m.pending = append(m.pending, sig)
	}
}

// look reports whether the worker has to come to its end, and says so to one that cannot see it.
func (m *monitor) look(w *worker) (ending bool) {
	if os.Getppid() != m.Facts.Parent && !m.orphan {
		m.orphan = true
		go w.server.Notify(Orphaned) // it may not read
	}
	return m.orphan || hungUp(0)
}

// hungUp reports whether the other end of a stream, auditd's, is closed.
func hungUp(fd int) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(set, 0)
	return err == nil && n > 0
}

// goesOn reports whether a stream, on a socket as auditd's is, is not at its end. Of anything else that is not known.
func goesOn(fd int) bool {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil && kind == unix.SOCK_STREAM && !hungUp(fd)
}

// errEarly: no worker ends so, unless it was taken over.
var errEarly = errors.New("it has ended as at the end of the stream, but the stream continues")

// ended decides what follows the end of a worker, and returns how that was.
func (m *monitor) ended(w *worker, err error) (End, bool, error) {
	code, exited := exitCode(err)
	m.confined = m.confined || (w != nil && w.confined.Load())
	if w != nil && !m.orphan && (err == nil || code == 1) && os.Getppid() == m.Facts.Parent && goesOn(0) {
		exited = false
		if err == nil {
			err = errEarly
		}
	}

	switch {
	case err == nil:
		return Ended, true, err
	case exited && code == RenewCode:
		m.renewing(w)
		return Renew, true, err
	case m.orphan:
		return Failed, true, err
	case !m.confined:
		m.tries++
		m.Log.Warn("worker does not start: after three tries the relay runs in one process", zap.Int("try", m.tries), zap.Error(err))
		m.pause = minPause
		return NoWorker, m.tries >= maxTries, err
	case exited && code == 1: // it has said why
		return Failed, true, err
	}

	if hungUp(0) {
		if m.endings++; m.endings >= maxEndings {
			return Failed, true, err
		}
	}
	m.Facts.Ended++
	if w != nil {
		m.Facts.Framing = w.framing.Load().(stream.Framing)
	}
	m.pause = min(max(minPause, 2*m.pause), maxPause)
	if w != nil && time.Since(w.began) >= steadyTime {
		m.pause = minPause
	}

	atHand := m.suspect()
	m.Log.Error("worker has ended: it is started again, and what it had not delivered is taken from audit.log",
		zap.Error(err), zap.Duration("in", m.pause), zap.Uint64("ended_so_far", m.Facts.Ended), zap.Stringers("events_at_hand", atHand))
	return Failed, false, err
}

// renewing waits before the next program where they follow each other fast. A worker that was taken over asks for one by its exit status
// alone, and with each begins all that the monitor counts again: the pauses, and the events that workers have died over.
func (m *monitor) renewing(w *worker) {
	early := 0
	if time.Since(w.began) < steadyTime {
		early = m.Early + 1
	}
	if n := early - freeRenewals; n > 0 {
		pause := min(minPause<<min(n-1, 10), maxPause)
		m.Log.Warn("too many upgrades in a short time: the next program is executed after a pause", zap.Int("in_a_row", early), zap.Duration("in", pause))
		m.sleep(pause)
	}
	m.Renewing(early)
}

// suspect notes and returns what a worker had at hand that has died. What is poison with that the next one is not to read.
func (m *monitor) suspect() []athand.ID {
	atHand := athand.Collect(m.memory)
	for _, id := range m.suspects.Note(atHand, time.Now()) {
		m.Log.Error("event has ended two workers: it is no longer parsed and its records are delivered raw, please report this", zap.Stringer("event", id))
	}
	m.Facts.Poison = m.suspects.Poison()
	return atHand
}

// sleep waits before the next start. Signals wait for the next worker.
func (m *monitor) sleep(pause time.Duration) {
	end := time.After(pause)
	for {
		select {
		case <-end:
			return
		case sig := <-m.Signals:
			m.pass(nil, sig, false)
		}
	}
}

// exitCode returns the status with which a worker has ended by itself.
func exitCode(err error) (code int, exited bool) {
	status, ok := errors.AsType[exitStatus](err)
	return int(status), ok
}

// exitStatus is the error of a worker that has ended with a status.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }
