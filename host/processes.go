package host

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Process is a process of this machine.
type Process struct {
	PID, PPID int
	Comm      string
	Args      []string
	Exe       string // "" where it is not known
	Hidden    bool   // because it may not be looked at: another user's
	Replaced  bool   // its file was replaced or removed since it was started
	Started   time.Time
}

// FindProcess looks at one process.
func (m Machine) FindProcess(pid int) (Process, error) {
	p, err := m.readProcess(pid)
	if err != nil {
		return Process{}, err
	}
	return m.complete(p), nil
}

func (m Machine) complete(p process) Process {
	full := Process{PID: p.PID, PPID: p.PPID, Comm: p.Comm, Args: p.Cmdline}
	var err error
	full.Exe, err = os.Readlink(m.procPath(p.PID, "exe"))
	full.Hidden = errors.Is(err, fs.ErrPermission)
	full.Exe, full.Replaced = strings.CutSuffix(full.Exe, " (deleted)")
	full.Started, _ = m.started(p.PID)
	return full
}

// Children lists the processes that parent has started and that run.
func (m Machine) Children(parent int) ([]Process, error) {
	all, err := m.processes(childOf(parent))
	if err != nil {
		return nil, err
	}
	var children []Process
	for _, p := range all {
		if len(p.Cmdline) > 0 {
			children = append(children, m.complete(p))
		}
	}
	return children, nil
}

// Runs reports whether a process was started from the file at binary, which may have been
// replaced since.
func (m Machine) Runs(p Process, binary string) bool { return m.executes(p.PID, binary) }

// ReadFile reads a regular file of at most a MiB, or one of /proc.
func (m Machine) ReadFile(path string) ([]byte, error) { return readRegular(m.path(path)) }

// Path is a path of the machine as this process opens it.
func (m Machine) Path(path string) string { return m.path(path) }
