// Package sandbox gives up what the relay's process does not need once it has begun to work, so that
// whoever takes it over, by a record or by what a server answers, can do less with it.
//
// Everything is given up in all threads and for good; only exec gives back a part, in a child. What each
// part is, and in which order they come, is in docs/design.md ("Sandbox").
package sandbox

import (
	"cmp"
	"errors"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"audisp-relay/host/runnable"
)

// Names of the parts, in the order in which they are entered.
const (
	Worker       = "worker"       // another process has the rights
	Landlock     = "landlock"     // writing elsewhere than where its own files are; of a worker
	NoCoreDump   = "no_core_dump" // neither a core dump nor an ordinary process that attaches
	NoNewPrivs   = "no_new_privs" // exec gives no more rights
	Seccomp      = "seccomp"      // calls that the relay never makes
	NoPrograms   = "no_programs"  // exec and fork
	NoNewCode    = "no_new_code"  // memory that can be executed
	Capabilities = "capabilities"
)

// Options say what the process has to do from now on.
type Options struct {
	// Off is why nothing is given up but the capabilities that only widening the pipe needs; "":
	// everything is.
	Off string
	// Programs is what will start programs, "" if nothing will. Programs find all that auditd would
	// have given them, but for the calls of the filter, which they inherit.
	Programs string
	// Worker says that the process has no rights, but a monitor; Monitor that it is that. Where it is
	// neither, OneProcess is why.
	Worker, Monitor bool
	OneProcess      string
	// NoWorker says that it should be one of two, and that something on this host is against it.
	NoWorker bool
	// Landlock is what BareThread has said, for a worker.
	Landlock Part
	// Self is the one program that may be executed nevertheless, nil for none.
	Self *Self
}

// Self is the program of the process, or a newer one in its place, and what it gets. The filter lets it be
// executed with these very arguments, so an upgrade does not need a new process, and whoever takes the process
// over can start nothing else.
type Self struct {
	Path      string
	Args, Env []string
}

// filterEnv says to the program that ExecSelf executes which filter it is under already.
const filterEnv = "AUDISP_RELAY_FILTER"

// Report says which parts are on.
type Report struct {
	On    bool   `json:"on"`    // as the configuration says
	Parts []Part `json:"parts"` // none where the process is not auditd's plugin

	Self       bool   `json:"-"` // ExecSelf is the way to execute a program, and the only one
	WhyNotSelf string `json:"-"`
	// Env is what the next program has to find in its environment that is executed in the place of this one, but by ExecSelf.
	Env []string `json:"-"`
}

// Part is one of what can be given up.
type Part struct {
	Name   string `json:"name"`
	On     bool   `json:"on"`
	Failed bool   `json:"failed"`        // it should be on, and the kernel, which has it, refuses it; of the worker, that none begins
	Why    string `json:"why,omitempty"` // why it is not on
}

// notHere is why this host cannot have a part. There is nothing to do about such an error.
type notHere string

func (e notHere) Error() string { return string(e) }

// Enter gives up what o leaves to give up. A part that is not available does not keep the others from being
// tried. It interrupts every thread and waits for it, so it is for the start, before sinks can hang in a
// dead file system.
func Enter(o Options) Report {
	programs := cmp.Or(o.Off, o.Programs) // why they may be started, as they always were; "": they may not
	code := programs
	if code == "" && isCgo {
		code = "built with cgo: a C library loads code while it runs"
	}

	r := Report{On: o.Off == ""}
	inForce := os.Getenv(filterEnv)
	os.Unsetenv(filterEnv)
	f, err := newFilter(programs == "", code == "", o.Self)
	if programs == "" && o.Self != nil {
		sealed := o.Self.seal(f) // before this process's files in /proc are root's only
		if r.Self = sealed == nil; !r.Self {
			r.WhyNotSelf = sealed.Error()
			f, err = newFilter(true, code == "", nil)
		}
	}
	r.Parts = append(r.Parts, Part{Name: Worker, On: o.Worker, Failed: o.NoWorker, Why: o.OneProcess})
	if o.Worker {
		r.Parts = append(r.Parts, o.Landlock)
	}
	r.enter(NoCoreDump, o.Off, noCoreDump)
	r.filter(o.Off, programs, func() error {
		if err != nil {
			return err
		}
		return f.install(inForce)
	})
	filtered := func() error {
		if !r.has(Seccomp) {
			return notHere("without " + Seccomp)
		}
		return nil
	}
	if r.has(Seccomp) {
		r.Env = []string{filterEnv + "=" + f.name()}
	}
	r.enter(NoPrograms, programs, filtered)
	r.enter(NoNewCode, code, filtered)
	if programs == "" && !o.Worker {
		runnable.Refuse("the sandbox of this run does not allow programs, as none was configured when it began: restart auditd")
	}
	r.enter(Capabilities, "", func() error { return keepCapabilities(o) })
	return r
}

// filter enters no_new_privs and the filter. The kernel gives every thread both when one installs the
// filter (TSYNC), so the runtime does not have to stop all of them for it (see everyThread).
func (r *Report) filter(off, programs string, install func() error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r.enter(NoNewPrivs, programs, func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
	r.enter(Seccomp, off, install)
	if p := &r.Parts[len(r.Parts)-2]; p.On && !r.has(Seccomp) {
		p.On, p.Why = false, "without "+Seccomp+" one thread alone would have it"
	}
}

// keepCapabilities gives up the others. The filter comes before, since it may need CAP_SYS_ADMIN.
func keepCapabilities(o Options) error {
	switch {
	case o.Worker:
		return keep(0, 0)
	case o.Monitor:
		return keep(needed|forPrograms|forWorkers, 0)
	case o.Off == "" && o.Programs == "":
		return keep(needed, 0)
	case o.Off == "":
		return keep(needed|forPrograms, 0)
	}
	if err := keep(^widening, ^uint32(0)); err != nil {
		return err
	}
	return notHere(o.Off + ": all are kept but those that only widening the pipe needs")
}

// enter notes what becomes of a part: that there is a reason against it, or what doing it gave.
func (r *Report) enter(name, against string, do func() error) {
	p := Part{Name: name, Why: against}
	if against == "" {
		err := do()
		_, unavailable := errors.AsType[notHere](err)
		p.On, p.Failed = err == nil, err != nil && !unavailable
		if err != nil {
			p.Why = err.Error()
		}
	}
	r.Parts = append(r.Parts, p)
}

func (r *Report) has(name string) bool {
	for _, p := range r.Parts {
		if p.Name == name {
			return p.On
		}
	}
	return false
}

// Failed returns the parts that are not on though they should be.
func (r Report) Failed() (list []Part) {
	for _, p := range r.Parts {
		if p.Failed {
			list = append(list, p)
		}
	}
	return list
}

// String says all of it in one line.
func (r Report) String() string {
	if len(r.Parts) == 0 {
		return "none: this is not auditd's plugin"
	}
	var on, off []string
	for _, p := range r.Parts {
		if p.On {
			on = append(on, p.Name)
		} else {
			off = append(off, p.Name+" ("+p.Why+")")
		}
	}
	text := "on: " + cmp.Or(strings.Join(on, ", "), "nothing")
	if len(off) > 0 {
		text += "; not on: " + strings.Join(off, ", ")
	}
	return text
}

// noCoreDump keeps records out of core dumps. A process that is not dumpable can be attached to only with
// CAP_SYS_PTRACE, whoever's it is (PR_SET_DUMPABLE in prctl(2)); exec makes a child dumpable again. The hard
// limit stays, so that a child may raise its own.
func noCoreDump() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return err
	}
	limit.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
