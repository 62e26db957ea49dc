package process

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
)

// benchEvents are events as the rules of a usual host make them: of eight two execs, of five records each.
func benchEvents() *event {
	var e event
	for n := range 128 {
		m := at(int64(n), uint32(100+n))
		nr, body := sysOpen, ""
		if n%4 == 0 {
			nr, body = sysExec, execve("/usr/bin/python3", "-c", "print(1)", "--verbose", "/srv/data/file.txt")
		}
		e.add(record.TypeSyscall, m, "", syscall(nr, 3, 1, 1000+n%10, 2000+n, "/usr/bin/python3.11"))
		if body != "" {
			e.add(record.TypeExecve, m, "", body)
		}
		e.add(record.TypeCWD, m, "", `cwd="/srv"`)
		e.add(record.TypePath, m, "", `item=0 name="/srv/data/file.txt" inode=5 dev=fe:00 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL`)
		e.add(record.TypeProctitle, m, "", "proctitle=707974686F6E33002D63")
		e.add(record.TypeEOE, m, "", "")
	}
	return &e
}

func BenchmarkNote(b *testing.B) {
	x, e := NewTable(Options{}), benchEvents()
	b.ReportAllocs()
	for n := 0; n < b.N; n += 128 {
		for i := range e.Recs { // each time they are others
			e.Recs[i].Serial += 128
		}
		x.Note(&e.Batch)
	}
}

// BenchmarkNoteLabelled: the same where processes get labels, by twenty expressions.
func BenchmarkNoteLabelled(b *testing.B) {
	l := testLabels(b)
	for n := range 20 {
		if err := l.Add(OfExe, fmt.Sprintf(`^/opt/.*/bin/java%d$`, n), "java"); err != nil {
			b.Fatal(err)
		}
	}
	x, e := NewTable(Options{Labels: l}), benchEvents()
	b.ReportAllocs()
	for n := 0; n < b.N; n += 128 {
		for i := range e.Recs {
			e.Recs[i].Serial += 128
		}
		x.Note(&e.Batch)
	}
}

// BenchmarkExpressions: a path that was not seen before.
func BenchmarkExpressions(b *testing.B) {
	l := new(Labels)
	for n := range 20 {
		if err := l.Add(OfExe, fmt.Sprintf(`^/opt/.*/bin/java%d$`, n), "java"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		l.of(OfExe, "/opt/vendor/product-1.2.3/jre/bin/javaw")
	}
}

// BenchmarkArguments: those of one execve, as many as are kept.
func BenchmarkArguments(b *testing.B) {
	l := new(Labels)
	for n := range 20 {
		if err := l.Add(OfCmdline, fmt.Sprintf(`^\S*java .* -Dproduct%d=`, n), "product"); err != nil {
			b.Fatal(err)
		}
	}
	args := "java\x00" + strings.Repeat("-cp\x00/opt/product/lib/a.jar\x00", maxArgs/30)
	p := &Process{text: string(appendProgram(nil, []byte("/usr/bin/java"), []byte("java"))) + args, exeLen: uint16(len("/usr/bin/java"))}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		_, line = l.ofArgs(p, line)
	}
}

func BenchmarkOf(b *testing.B) {
	x, e := NewTable(Options{}), benchEvents()
	x.Note(&e.Batch)
	for pid := range 10 {
		exec(x, at(-5, uint32(50+pid)), 1, 1000+pid, "/bin/bash", "bash", "-l")
	}
	var c Context
	b.ReportAllocs()
	for n := 0; n < b.N; n++ {
		if !x.Of(&c, &e.Batch, 0, 5) || c.Parent == nil {
			b.Fatal("not known")
		}
	}
}

// BenchmarkOfEntry: of what a login has started, without its entry leader, with it, where it is kept, and as at an execve, where that of
// the parent is.
func BenchmarkOfEntry(b *testing.B) {
	for _, way := range []string{"without", "kept", "new"} {
		b.Run(way, func(b *testing.B) {
			d := &day{x: NewTable(Options{}), serial: 10}
			sshLogin(d)
			var e event
			e.add(record.TypeSyscall, d.next(), "", syscall(sysOpen, 3, 0, 603, 604, "/usr/bin/id"))
			d.entry(603)
			c := Context{WantsEntry: way != "without"}
			b.ReportAllocs()
			for b.Loop() {
				if d.x.Of(&c, &e.Batch, 0, 1); (c.Entry != nil) != c.WantsEntry {
					b.Fatalf("%+v", c)
				}
				if way == "new" {
					d.x.entries.at(c.Self).of = nil
				}
			}
		})
	}
}

// BenchmarkMemory reports what 30 000 processes take.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := NewTable(Options{MaxBytes: 1 << 30})
		for n := range 30_000 {
			exec(x, at(int64(n), uint32(n+1)), 1, n+2, "/usr/lib/postgresql/15/bin/postgres", "postgres:", "main", "cluster", fmt.Sprint("connection from host", n), "--config=/etc/postgresql/15/main.conf")
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/30_000, "heapB/process")
		b.ReportMetric(float64(x.bytes)/30_000, "countedB/process")
		runtime.KeepAlive(x)
	}
}

// BenchmarkFindInProc: what a look-up costs.
func BenchmarkFindInProc(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := FindInProc(os.Getpid(), time.Now().UnixMilli()); !ok {
			b.Fatal("not found")
		}
	}
}
