package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"audisp-relay/audit/record"
)

// scanTime bounds what reading /proc costs at the start: records wait in the pipe meanwhile. A process
// takes some 30 us.
const scanTime = 500 * time.Millisecond

// hostNamespace is what /proc/self/ns/pid of a process in the host's pid namespace points to
// (linux/proc_ns.h, PROC_PID_INIT_INO). The kernel's records have the pids of that one.
const hostNamespace = "pid:[4026531836]"

// begin reads what runs now. Elsewhere than in the host's pid namespace /proc has other pids than the records,
// and nothing is certain.
func (t *Table) begin() {
	now := time.Now()
	t.since = now.UnixMilli() - early
	if ns, err := os.Readlink("/proc/self/ns/pid"); err != nil || ns != hostNamespace {
		return
	}

	t.follows, t.find = true, t.o.Places
	s, err := readSample("/proc")
	if err != nil {
		return
	}
	t.reuse.note(s)
	t.read = func() (sample, error) {
		if since := time.Since(startOfClock).Milliseconds(); since-t.reuse.last.Ran < refreshEvery {
			return sample{}, errJustNow
		}
		return readSample("/proc")
	}

	list := scan("/proc", now.Add(scanTime))
	if s, err = readSample("/proc"); err != nil {
		return
	}
	t.reuse.note(s)
	for _, p := range list {
		t.reuse.settle(p)
	}
	t.findStarted(list, time.Now().Add(scanTime/2))
	t.started = list
}

// sampleEvery is how often Follow asks which pid was given out last, and sampleSmall on hosts with few pids.
const (
	sampleEvery = time.Second
	sampleSmall = 100 * time.Millisecond
	// refreshEvery bounds how often a sample is taken before its time, ms: it costs some 30 us.
	refreshEvery = 10
)

var errJustNow = errors.New("a sample was taken just now")

// Follow keeps up with the pids that the kernel gives out until done is closed: without that none is certain for long.
// It returns at once where it cannot. The caller owns the goroutine.
func (t *Table) Follow(done <-chan struct{}) {
	if !t.follows {
		return
	}
	pause := sampleEvery
	t.mu.Lock() // whoever asks may take a sample, too
	if t.reuse.last.Max < smallCircle {
		pause = sampleSmall
	}
	t.mu.Unlock()
	tick := time.NewTicker(pause)
	defer tick.Stop()

	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if s, err := readSample("/proc"); err == nil { // else the last one gets too old, and nothing is certain
				t.sample(s)
			}
		case p := <-t.wonder:
			if hasHostPIDs("/proc", p.pid) {
				t.tellHost(p, time.Now().UnixMilli())
			}
		}
	}
}

// hasHostPIDs reports whether a process is in the pid namespace that a proc(5) is of: it has no number in
// another one then (proc_pid_status(5), NSpid).
func hasHostPIDs(proc string, pid int32) bool {
	text, err := readSome(filepath.Join(proc, strconv.Itoa(int(pid)), "status"), 4096)
	_, rest, ok := bytes.Cut(text, []byte("\nNSpid:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return err == nil && ok && len(bytes.Fields(line)) == 1
}

// scan reads the processes in a proc(5), until a time.
func scan(proc string, until time.Time) (list []*Process) {
	dir, err := os.Open(proc)
	if err != nil {
		return nil
	}
	defer dir.Close()

	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if pid, err := strconv.ParseInt(name, 10, 32); err == nil && pid > 0 {
				if p := scanOne(filepath.Join(proc, name), int32(pid)); p != nil {
					list = append(list, p)
				}
			}
		}
		if err != nil || time.Now().After(until) {
			return list
		}
	}
}

// scanOne reads one process, nil where it has no program, has ended, or was just becoming another one.
func scanOne(dir string, pid int32) *Process {
	first, ok := readStat(dir)
	if !ok {
		return nil
	}
	exe, err := readExe(dir, pid)
	if err != nil || len(exe) == 0 || len(exe) > maxExe {
		return nil
	}
	args, err := readSome(filepath.Join(dir, "cmdline"), maxArgs+1)
	state := used | known
	if first.ppid == 1 { // of others it does not matter: see entryOf
		state |= serviceState(dir)
	}
	again, errAgain := readExe(dir, pid)
	last, ok := readStat(dir)
	if err != nil || errAgain != nil || !ok || last != first || again != exe {
		return nil
	}

	cut := len(args) > maxArgs
	if cut {
		args = args[:bytes.LastIndexByte(args[:maxArgs], 0)+1]
	} else if n := len(args); n > 0 && args[n-1] != 0 {
		args = append(args, 0) // a program has written over them
	}
	text := append(appendProgram(nil, []byte(exe), []byte(first.comm)), args...)
	return &Process{text: string(text), exeLen: uint16(len(exe)), millis: time.Now().UnixMilli(), pid: pid, ppid: first.ppid, from: fromProc, cut: cut, state: state}
}

// serviceState returns noSession and asRoot as they are of a process (fs/proc/base.c, proc_sessionid_read; proc_pid_status(5)).
func serviceState(dir string) (state uint16) {
	if text, err := readSome(filepath.Join(dir, "sessionid"), 16); err == nil && string(bytes.TrimSpace(text)) == "4294967295" {
		state |= noSession
	}
	text, err := readSome(filepath.Join(dir, "status"), 4096)
	if _, users, ok := bytes.Cut(text, []byte("\nUid:\t")); err == nil && ok && bytes.HasPrefix(users, []byte("0\t")) {
		state |= asRoot
	}
	return state
}

// stat is what shows that a process is the same and has executed nothing: an exec changes the comm, nearly
// always, and where the stack is.
type stat struct {
	comm  string
	ppid  int32
	start string // when it was started, in ticks since boot
}

// readStat reads /proc/PID/stat (proc_pid_stat(5)): "1 (comm) S 0 ...".
func readStat(dir string) (s stat, ok bool) {
	text, err := readSome(filepath.Join(dir, "stat"), 4096)
	from, to := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if err != nil || from < 0 || to < from {
		return s, false
	}
	rest := bytes.Fields(text[to+1:])
	const ppid, start = 1, 19 // fields 4 and 22
	if len(rest) <= start {
		return s, false
	}
	parent, ok := readPID(rest[ppid])
	return stat{comm: string(text[from+1 : to]), ppid: parent, start: string(rest[start])}, ok
}

// readSome reads a file's first bytes, which the kernel gives in one go.
func readSome(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := make([]byte, most)
	n, err := f.Read(text)
	if errors.Is(err, io.EOF) { // nothing is in it
		err = nil
	}
	return text[:n], err
}

// startOfClock is what sample.Ran counts from.
var startOfClock = time.Now()

// smallCircle is the number of pids that a host may give out in a few seconds. With no more than that, the number of
// the last one does not say how many were given out.
const smallCircle = 1 << 20

// readSample reads three small files in a proc(5), of which /proc/stat, which is long where there are many
// processors, only on hosts with few pids.
func readSample(proc string) (s sample, err error) {
	now := time.Now()
	s.Millis, s.Ran = now.UnixMilli(), now.Sub(startOfClock).Milliseconds()
	text, err := readSome(filepath.Join(proc, "sys/kernel/pid_max"), 64)
	if err != nil {
		return s, err
	}
	var ok bool
	if s.Max, ok = record.ParseInt(bytes.TrimSpace(text)); !ok {
		return s, fmt.Errorf("%s/sys/kernel/pid_max: %.20q is no number", proc, text)
	}

	if text, err = readSome(filepath.Join(proc, "loadavg"), 256); err != nil {
		return s, err
	}
	_, rest, _ := bytes.Cut(text, []byte("/")) // "0.20 0.18 0.12 1/80 11206"
	if _, err = fmt.Sscanf(string(rest), "%d %d", new(int64), &s.Last); err != nil {
		return s, fmt.Errorf("%s/loadavg: %.60q: %w", proc, text, err)
	}
	if s.Max < smallCircle {
		s.Forks, err = readForks(proc)
	}
	return s, err
}

// readForks reads how many processes and threads were made since boot.
func readForks(proc string) (n uint64, err error) {
	text, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(text, []byte("\nprocesses "))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	if n, err = strconv.ParseUint(string(line), 10, 64); err != nil {
		return 0, fmt.Errorf("%s/stat: no number of processes: %w", proc, err)
	}
	return n, nil
}
