package lab

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// LoadUID is the login uid the load runs under, so that rules see it and
	// nothing else of the machine.
	LoadUID = 1000
	// LoadKey is the key of the load's rule: key="labload" stands in the SYSCALL
	// record of each of its events and in no other SYSCALL record.
	LoadKey = "labload"
)

// Load describes a run of the load generator: opens in a watched directory,
// each one audit event of five records (SYSCALL, CWD, PATH, PROCTITLE, EOE).
type Load struct {
	Rate     int           // events a second, 0 for as many as the kernel allows
	Duration time.Duration // how long
	Count    int           // stop after so many, 0 for no limit
	Files    int           // names the sequence runs through, 0 for 1000
	// Unwatched makes the same opens without a rule for them, so without events.
	Unwatched bool
}

// LoadResult is what the generator made.
type LoadResult struct {
	Made    int
	Elapsed time.Duration
	Files   int    // the sequence starts again after so many
	Dir     string // of the files
}

// Rate made, events a second.
func (r LoadResult) Rate() float64 { return float64(r.Made) / r.Elapsed.Seconds() }

// Text stands exactly once in each event of the load, in its PATH record, as text
// or in any JSON made of it (see CountString).
func (r LoadResult) Text() string { return r.Dir + "/f" }

// LoadRun is a load in progress.
type LoadRun struct {
	t    TB
	proc *Process
	out  *bytes.Buffer
	res  LoadResult
}

// Load runs the generator to its end.
func (a *Auditd) Load(l Load) LoadResult {
	a.t.Helper()
	return a.StartLoad(l).Wait()
}

// StartLoad sets the rule for a fresh directory and starts the generator in
// it. It returns when all files are made, just before the first event. The rule
// goes with auditd.
func (a *Auditd) StartLoad(l Load) *LoadRun {
	a.t.Helper()
	bin := filepath.Join(a.dir, "load")
	if _, err := os.Stat(bin); err != nil {
		program, err := Program("audisp-relay/test/load")
		if err == nil {
			err = os.WriteFile(bin, program, 0o755)
		}
		Check(a.t, err, "the load generator")
	}

	dir, err := os.MkdirTemp(a.dir, "watched")
	Check(a.t, err, "load")
	if !l.Unwatched {
		a.WatchRule(dir, LoadKey, LoadUID)
	}
	res := LoadResult{Files: cmp.Or(l.Files, 1000), Dir: dir}
	run := &LoadRun{t: a.t, out: new(bytes.Buffer), res: res}
	run.proc = startProcess(a.t, exec.Command(bin, "-dir", dir, "-auid", strconv.Itoa(LoadUID),
		"-rate", strconv.Itoa(l.Rate), "-for", l.Duration.String(), "-count", strconv.Itoa(l.Count),
		"-files", strconv.Itoa(res.Files)), run.out)
	last := filepath.Join(dir, fmt.Sprintf("f%06d", res.Files-1))
	Wait(a.t, 20*time.Second, "the load generator", func() (bool, string) {
		_, err := os.Stat(last)
		return err == nil, fmt.Sprint(err)
	})
	return run
}

// Wait for the generator to end.
func (r *LoadRun) Wait() LoadResult {
	r.t.Helper()
	<-r.proc.Exited()
	if !r.proc.cmd.ProcessState.Success() {
		r.t.Fatalf("load: %v: %s", r.proc.cmd.ProcessState, r.proc.Stderr())
	}
	var ns int64
	if _, err := fmt.Sscanf(r.out.String(), "made %d elapsed %d", &r.res.Made, &ns); err != nil {
		r.t.Fatalf("load printed %q: %v", r.out, err)
	}
	r.res.Elapsed = time.Duration(ns)
	return r.res
}

// End stops the generator before its time, without a result.
func (r *LoadRun) End() { r.proc.Stop() }

// PID of the generator, for example to stop and continue it.
func (r *LoadRun) PID() int { return r.proc.PID() }

// WatchRule makes the kernel audit opens for writing below dir by the login uid.
func (a *Auditd) WatchRule(dir, key string, auid int) {
	a.t.Helper()
	a.Ctl("-a", "always,exit", "-F", "arch=b64", "-S", "open,openat", "-F", "dir="+dir,
		"-F", "perm=wa", "-F", "auid="+strconv.Itoa(auid), "-k", key)
}

// SetBacklog sets the kernel's queue limit, in records.
func (a *Auditd) SetBacklog(records int) {
	a.t.Helper()
	a.Ctl("-b", strconv.Itoa(records))
}

// Ctl runs auditctl; rules and settings it changes are restored with the lab.
// Never -e 2 and never -f 2: neither can be undone.
func (a *Auditd) Ctl(args ...string) {
	a.t.Helper()
	if joined := strings.Join(args, " "); strings.Contains(joined, "-e 2") || strings.Contains(joined, "-f 2") {
		a.t.Fatalf("auditctl %s cannot be undone", joined)
	}
	if _, err := command("auditctl", args...); err != nil {
		a.t.Fatalf("%v", err)
	}
}

// Mark sends a user message through the kernel and returns a text that stands
// in its record and nowhere else. The kernel's queue keeps the order, so who
// has the mark has had everything before it.
func (a *Auditd) Mark() string {
	a.t.Helper()
	a.marks++
	mark := fmt.Sprintf("lab-mark-%d-%d-", a.pid, a.marks)
	a.Ctl("-m", mark)
	return mark
}

// Drain waits until audit.log and all the given files have everything that
// was audited before the call, and returns the mark that is their last line. A mark
// can be lost where records are lost; it is sent again until one arrives everywhere.
func (a *Auditd) Drain(files ...string) string {
	a.t.Helper()
	return a.DrainTo(append([]string{a.Log()}, files...)...)
}

// DrainTo is Drain without a look at audit.log, which auditd may be configured not to write.
func (a *Auditd) DrainTo(files ...string) string {
	a.t.Helper()
	const limit = 60 * time.Second
	for deadline := time.Now().Add(limit); ; {
		mark := a.Mark()
		err := wait(3*time.Second, "", func() (bool, string) {
			for _, f := range files {
				if !tailHas(f, mark) {
					return false, f
				}
			}
			return true, ""
		})
		if err == nil {
			return mark
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("drain: after %v the mark %s is not everywhere%v", limit, mark, err)
		}
	}
}

// tailHas looks for text in the last part of a file.
func tailHas(path, text string) bool {
	const tail = 256 << 10
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false
	}
	data, err := io.ReadAll(io.NewSectionReader(f, max(0, size-tail), tail))
	return err == nil && bytes.Contains(data, []byte(text))
}

// CountString counts the occurrences of text in a file, also in one without
// line ends.
func CountString(path, text string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, keep := 0, 0
	buf := make([]byte, 1<<20)
	for {
		got, err := f.Read(buf[keep:])
		data := buf[:keep+got]
		n += bytes.Count(data, []byte(text))
		// The end may be the start of the next one; a whole one is never kept.
		keep = min(len(text)-1, len(data))
		copy(buf, data[len(data)-keep:])
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// LoadSeen is what a stream holds of a load.
type LoadSeen struct {
	Events  int      // SYSCALL records of the load
	Paths   int      // PATH records of its files
	Missing int      // files skipped in the sequence of PATH records (modulo LoadResult.Files)
	Holes   []string // the first of them: "f000012 … f000019 after 4711 events"
}

// Seen follows the load's sequence through a stream of text records.
func (r LoadResult) Seen(paths ...string) (LoadSeen, error) {
	var seen LoadSeen
	syscallHas := []byte(fmt.Sprintf(`key="%s"`, LoadKey))
	pathHas := []byte(`name="` + r.Text())
	want := 0

	err := eachLine(paths, func(line []byte) bool {
		switch recordType(line) {
		case "SYSCALL":
			if bytes.Contains(line, syscallHas) {
				seen.Events++
			}
		case "PATH":
			i := bytes.Index(line, pathHas)
			if i < 0 || len(line) < i+len(pathHas)+6 {
				break
			}
			got, err := strconv.Atoi(string(line[i+len(pathHas) : i+len(pathHas)+6]))
			if err != nil {
				break
			}
			if gap := (got - want + r.Files) % r.Files; gap > 0 {
				seen.Missing += gap
				if len(seen.Holes) < maxExamples {
					last := (got - 1 + r.Files) % r.Files
					seen.Holes = append(seen.Holes, fmt.Sprintf("f%06d … f%06d after %d events", want, last, seen.Paths))
				}
			}
			want = (got + 1) % r.Files
			seen.Paths++
		}
		return true
	})
	return seen, err
}
