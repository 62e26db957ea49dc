package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is what /proc says about one process. See proc(5).
type process struct {
	PID     int
	PPID    int
	Comm    string   // the kernel's 15 byte name: the file's name unless the process changed it
	Cmdline []string // empty for kernel threads and zombies
}

// procPath is a file of /proc/PID.
func (m Machine) procPath(pid int, name string) string {
	return m.path(fmt.Sprintf("/proc/%d/%s", pid, name))
}

// comm reads the name of a process.
func (m Machine) comm(pid int) (string, error) {
	b, err := os.ReadFile(m.procPath(pid, "comm"))
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}

// readProcess reads one process; the error is fs.ErrNotExist or ESRCH when
// there is no such process any more.
func (m Machine) readProcess(pid int) (process, error) {
	p, err := m.identify(pid)
	if err != nil {
		return p, err
	}
	cmdline, err := os.ReadFile(m.procPath(pid, "cmdline"))
	if err != nil {
		return p, err
	}
	if cmdline = bytes.TrimSuffix(cmdline, []byte{0}); len(cmdline) > 0 {
		p.Cmdline = strings.Split(string(cmdline), "\x00")
	}
	return p, nil
}

// identify reads the name and the parent of a process, which the kernel has. Its arguments are in its own
// memory: a process can make whoever reads them wait for ever (a page of a FUSE file, userfaultfd(2)),
// and they may have megabytes.
func (m Machine) identify(pid int) (process, error) {
	p := process{PID: pid}
	var err error
	if p.Comm, err = m.comm(pid); err != nil {
		return p, err
	}
	stat, err := os.ReadFile(m.procPath(pid, "stat"))
	if err != nil {
		return p, err
	}
	ppid, err := statField(stat, 4)
	if err != nil {
		return p, fmt.Errorf("%s: %w", m.procPath(pid, "stat"), err)
	}
	p.PPID = int(ppid)
	return p, nil
}

// statField takes a number out of /proc/PID/stat, whose fields are counted from 1. The second
// field is the name in brackets, and a process may have brackets and spaces in its name, so the
// fields are counted from the last bracket.
func statField(stat []byte, n int) (int64, error) {
	i := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[i+1:]))
	if i < 0 || len(fields) < n-2 {
		return 0, fmt.Errorf("no field %d after a process name in %q", n, stat)
	}
	return strconv.ParseInt(fields[n-3], 10, 64)
}

// processes lists what runs and is wanted, which is asked before the arguments are read (identify).
// Processes that end meanwhile are left out.
func (m Machine) processes(wanted func(process) bool) ([]process, error) {
	dir, err := os.Open(m.path("/proc"))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := m.identify(pid); err != nil || !wanted(p) {
			continue
		}
		if p, err := m.readProcess(pid); err == nil && wanted(p) {
			all = append(all, p)
		}
	}
	return all, nil
}

// childOf selects the children of a process.
func childOf(parent int) func(process) bool {
	return func(p process) bool { return p.PPID == parent }
}

// runs says whether process pid executes the file at binary: the very file,
// not only the same path, so that a replaced binary counts as not running yet.
func (m Machine) runs(pid int, binary string) bool {
	running, err := os.Stat(m.procPath(pid, "exe")) // follows the link to the inode, also if its name is gone
	if err != nil {
		return false
	}
	wanted, err := os.Stat(m.path(binary))
	return err == nil && os.SameFile(running, wanted)
}

// startedBefore says whether process pid was started well before the file at path was
// written.
func (m Machine) startedBefore(pid int, path string) bool {
	st, err := os.Stat(path)
	if err != nil {
		return false
	}
	started, err := m.started(pid)
	return err == nil && st.ModTime().Sub(started) > 2*time.Second
}

// started is when process pid was started, by the present clock: the kernel counts that from
// the boot, whose time it gives in whole seconds.
func (m Machine) started(pid int) (time.Time, error) {
	stat, err := os.ReadFile(m.procPath(pid, "stat"))
	if err != nil {
		return time.Time{}, err
	}
	const startTime = 22 // the field
	ticks, err := statField(stat, startTime)
	boot, bootErr := m.bootTime()
	if err = errors.Join(err, bootErr); err != nil {
		return time.Time{}, err
	}
	const tick = time.Second / 100 // USER_HZ, the same everywhere
	return boot.Add(time.Duration(ticks) * tick), nil
}

// bootTime reads when the machine was booted.
func (m Machine) bootTime() (time.Time, error) {
	data, err := os.ReadFile(m.path("/proc/stat"))
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			s, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Unix(s, 0), err
		}
	}
	return time.Time{}, errors.New("/proc/stat has no btime")
}

// relays lists the children of parent that run the file at binary.
func (m Machine) relays(parent int, binary string) (pids []int) {
	m.child(parent, func(pid int) bool {
		if m.runs(pid, binary) {
			pids = append(pids, pid)
		}
		return false
	})
	return pids
}

// executes says whether process pid was started from binary, which may have been replaced or removed since. /proc names a program
// without the links on the way to it: that of a drop-in's /usr/sbin/x is in /usr/bin where the two are one directory.
func (m Machine) executes(pid int, binary string) bool {
	if m.runs(pid, binary) {
		return true
	}
	exe, err := os.Readlink(m.procPath(pid, "exe"))
	if err != nil || binary == "" {
		return false
	}
	exe = strings.TrimSuffix(exe, " (deleted)")
	return exe == m.path(binary) || exe == m.unlinked(binary)
}

// unlinked is the path of a program, which may be there no more, without symbolic links in the directories on the way.
func (m Machine) unlinked(binary string) string {
	path := m.path(binary)
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path
	}
	return filepath.Join(dir, filepath.Base(path))
}

// sameProgram says whether two paths lead to one file.
func (m Machine) sameProgram(one, other string) bool {
	if one == "" || other == "" || one == other {
		return one != "" && one == other
	}
	a, err := os.Stat(m.path(one))
	if err != nil {
		return false
	}
	b, err := os.Stat(m.path(other))
	return err == nil && os.SameFile(a, b)
}

// plugin finds the child of parent that was started from binary; 0 if there is
// none.
func (m Machine) plugin(parent int, binary string) int {
	return m.child(parent, func(pid int) bool { return m.executes(pid, binary) })
}

// otherPlugin says whether parent has a child that was not started from binary.
func (m Machine) otherPlugin(parent int, binary string) bool {
	return m.child(parent, func(pid int) bool { return !m.executes(pid, binary) }) != 0
}

// child finds a child of parent; those that have ended and wait to be reaped do
// not count.
func (m Machine) child(parent int, is func(pid int) bool) int {
	all, err := m.processes(childOf(parent))
	if err != nil {
		return 0
	}
	for _, p := range all {
		if len(p.Cmdline) > 0 && is(p.PID) {
			return p.PID
		}
	}
	return 0
}

// Reload makes auditd read its configuration and its plugins again. The process
// is pinned before it is looked at, so that the signal cannot reach another one
// that got its number meanwhile (os.FindProcess holds a pidfd where the kernel
// has them, since 5.4).
func (m Machine) Reload(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("reload auditd (pid %d): %w", pid, err)
	}
	defer p.Release()
	comm, err := m.comm(pid)
	if err != nil || comm != "auditd" {
		return fmt.Errorf("reload auditd: pid %d is not auditd any more: run this again", pid)
	}
	if err := p.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload auditd (pid %d): %w", pid, err)
	}
	return nil
}

// MountPath undoes what the kernel does to blanks and backslashes of a path in /proc/PID/mountinfo
// (proc_pid_mountinfo(5)).
func MountPath(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}
