package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// event is a batch that grows record by record.
type event struct{ record.Batch }

// add adds a record that a stream of lines would have.
func (e *event) add(typ uint32, m Moment, node, body string) {
	text := fmt.Sprintf("type=%s msg=audit(%d.%03d:%d): %s\n", record.AppendTypeName(nil, typ), m.Millis/1000, m.Millis%1000, m.Serial, body)
	if node != "" {
		text = "node=" + node + " " + text
	}
	e.Recs = append(e.Recs, record.Record{Off: uint32(len(e.Buf)), Len: uint32(len(text)), Type: typ, Serial: m.Serial, Millis: m.Millis, NodeLen: uint16(len(node))})
	e.Buf = append(e.Buf, text...)
}

// Numbers of system calls of x86_64.
const (
	sysOpen, sysClone, sysExec, sysExit, sysClone3 = 2, 56, 59, 231, 435
)

// syscall is the body of a SYSCALL record.
func syscall(nr int, exit int, a0 uint64, ppid, pid int, exe string) string {
	result := fmt.Sprintf(" success=yes exit=%d", exit)
	if exit < 0 {
		result = fmt.Sprintf(" success=no exit=%d", exit)
	}
	if nr == sysExit {
		result = ""
	}
	return fmt.Sprintf("arch=c000003e syscall=%d%s a0=%x a1=0 a2=0 a3=0 items=0 ppid=%d pid=%d auid=1000 uid=0 gid=0 euid=0 suid=0 "+
		"fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm=%s exe=%s subj=unconfined key=(null)", nr, result, a0, ppid, pid, quoted(comm(exe)), quoted(exe))
}

// comm is what the kernel calls a process that has executed a file.
func comm(exe string) string {
	name := exe[strings.LastIndexByte(exe, '/')+1:]
	return name[:min(len(name), maxComm)]
}

func quoted(text string) string {
	if record.NeedsHex([]byte(text)) {
		return fmt.Sprintf("%X", text)
	}
	return `"` + text + `"`
}

// execve is the body of an EXECVE record.
func execve(args ...string) string {
	body := fmt.Sprintf("argc=%d", len(args))
	for i, arg := range args {
		body += fmt.Sprintf(" a%d=%s", i, quoted(arg))
	}
	return body
}

// exec gives the table an exec, and returns its moment.
func exec(t *Table, m Moment, ppid, pid int, exe string, args ...string) Moment {
	var e event
	e.add(record.TypeSyscall, m, "", syscall(sysExec, 0, 1, ppid, pid, exe))
	e.add(record.TypeExecve, m, "", execve(args...))
	t.Note(&e.Batch)
	return m
}

// give gives the table another call.
func give(t *Table, m Moment, body string) {
	var e event
	e.add(record.TypeSyscall, m, "", body)
	t.Note(&e.Batch)
}

// quiet gives the table the events with serials from first to last, of which it learns nothing else.
func quiet(t *Table, first, last uint32) {
	var e event
	for n := first; n <= last; n++ {
		e.add(record.TypeCWD, at(int64(n), n), "", `cwd="/"`)
	}
	t.Note(&e.Batch)
}

// ask returns what the table knows of a call at a moment.
func ask(t *Table, m Moment, ppid, pid int) (c Context) {
	askInto(&c, t, m, ppid, pid)
	return c
}

func askInto(c *Context, t *Table, m Moment, ppid, pid int) {
	var e event
	e.add(record.TypeSyscall, m, "", syscall(sysOpen, 3, 0, ppid, pid, "/bin/any"))
	t.Of(c, &e.Batch, 0, 1)
}

// argsOf returns the arguments of a process.
func argsOf(p *Process) (args []string) {
	for arg := range p.Args {
		args = append(args, arg)
	}
	return args
}

// checkTable checks what has to hold of a table at any time.
func checkTable(t testing.TB, x *Table) {
	t.Helper()
	bytes, n := 0, 0
	for pid, p := range x.byPID {
		depth := 0
		for ; p != nil; p = p.prev {
			if p.pid != pid || p.state&gone != 0 || (p.prev != nil && serialBefore(p.serial, p.prev.serial)) {
				t.Fatalf("pid %d: %+v before %+v", pid, p.prev, p)
			}
			bytes, n, depth = bytes+p.size(), n+1, depth+1
		}
		if depth > maxPrograms || (depth > 1 && x.depth[pid] != depth) {
			t.Fatalf("pid %d has %d programs, counted %d", pid, depth, x.depth[pid])
		}
	}
	for pid := range x.depth {
		if x.byPID[pid] == nil {
			t.Fatalf("a depth of process %d, which is not known", pid)
		}
	}
	if bytes != x.bytes || (bytes > x.o.MaxBytes && n > 1) {
		t.Fatalf("%d bytes, counted %d, allowed %d", bytes, x.bytes, x.o.MaxBytes)
	}
	var last *Process
	for p := x.oldest; p != nil; p = p.newer {
		if p.older != last {
			t.Fatal("the order of eviction is broken")
		}
		last, n = p, n-1
	}
	awaited := 0
	for i := range x.execs {
		if x.execs[i].awaits {
			awaited++
		}
	}
	if awaited != x.scripts {
		t.Fatalf("%d execs are awaited, counted %d", awaited, x.scripts)
	}
	if n != 0 || x.newest != last {
		t.Fatalf("%d processes are not in the order of eviction", n)
	}
}

func isArgs(p *Process, want ...string) bool { return p != nil && slices.Equal(argsOf(p), want) }
