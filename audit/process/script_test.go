package process

import (
	"fmt"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// execOf gives the table all records of an exec. Its files are the names of PATH records, each a file of its own unless
// "=INODE" follows.
func execOf(t *Table, m Moment, pid int, exe, cwd string, args []string, files ...string) {
	var e event
	body := strings.Replace(syscall(sysExec, 0, 1, 1, pid, exe), "items=0", fmt.Sprint("items=", len(files)), 1)
	e.add(record.TypeSyscall, m, "", body)
	e.add(record.TypeExecve, m, "", execve(args...))
	if cwd != "" {
		e.add(record.TypeCWD, m, "", "cwd="+quoted(cwd))
	}
	for n, file := range files {
		name, inode, ok := strings.Cut(file, "=")
		if !ok {
			inode = fmt.Sprint(100 + n)
		}
		e.add(record.TypePath, m, "", fmt.Sprintf("item=%d name=%s inode=%s dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0", n, quoted(name), inode))
	}
	e.add(record.TypeEOE, m, "", "")
	t.Note(&e.Batch)
}

// TestScripts: the first file of an exec is a script where the arguments and the other files say so.
func TestScripts(t *testing.T) {
	const ld = "/lib64/ld-linux-x86-64.so.2"
	for _, tt := range []struct {
		name, exe, cwd string
		args           []string
		files          []string
		want           string
	}{
		{"a script", "/usr/bin/dash", "/srv", []string{"/bin/sh", "./x.sh", "-a"}, []string{"./x.sh", "/bin/sh", ld}, "/srv/x.sh"},
		{"each file twice", "/usr/bin/dash", "/srv", []string{"/bin/sh", "./x.sh"}, []string{"./x.sh=1", "./x.sh=1", "/bin/sh=2", "/bin/sh=2", ld}, "/srv/x.sh"},
		{"with an argument of the interpreter's", "/usr/bin/perl", "/srv", []string{"/usr/bin/perl", "-w", "/opt/x.pl"}, []string{"/opt/x.pl", "/usr/bin/perl", ld}, "/opt/x.pl"},
		{"by env", "/usr/bin/env", "", []string{"/usr/bin/env", "python3", "/opt/x.py"}, []string{"/opt/x.py", "/usr/bin/env", ld}, "/opt/x.py"},
		{"a script of a script", "/usr/bin/dash", "", []string{"/bin/sh", "/b", "/a"}, []string{"/a", "/b", "/bin/sh", ld}, "/a"},
		{"a static interpreter", "/bin/busybox", "/", []string{"/bin/busybox", "x.sh"}, []string{"x.sh", "/bin/busybox"}, "/x.sh"},
		{"a name in hex", "/usr/bin/dash", "/srv/a b", []string{"/bin/sh", "x y.sh"}, []string{"x y.sh", "/bin/sh", ld}, "/srv/a b/x y.sh"},
		{"above the directory", "/usr/bin/dash", "/srv/a", []string{"/bin/sh", "../.././x"}, []string{"../.././x", "/bin/sh", ld}, "/x"},

		{"a program", "/usr/bin/cat", "/", []string{"/bin/cat", "x"}, []string{"/bin/cat", ld}, ""},
		{"a program twice", "/usr/bin/perl", "/", []string{"/usr/bin/perl", "x"}, []string{"/usr/bin/perl=1", "/usr/bin/perl=1", ld}, ""},
		{"a shell with a script as its argument", "/usr/bin/dash", "/", []string{"/bin/sh", "/x.sh"}, []string{"/bin/sh", ld}, ""},
		{"a program that names its loader", "/opt/evil", "/", []string{ld, "/opt/link"}, []string{"/opt/link", ld}, ""},
		{"that, with files twice", "/opt/evil", "/", []string{ld, "/opt/link"}, []string{"/opt/link=1", "/opt/link=1", ld + "=2", ld + "=2"}, ""},
		{"the program itself", "/opt/x", "/", []string{"/bin/sh", "/opt/x"}, []string{"/opt/x", "/bin/sh", ld}, ""},
		{"other arguments", "/usr/bin/dash", "/", []string{"/bin/sh", "/y.sh"}, []string{"/x.sh", "/bin/sh", ld}, ""},
		{"another interpreter", "/usr/bin/dash", "/", []string{"/bin/bash", "/x.sh"}, []string{"/x.sh", "/bin/sh", ld}, ""},
		{"a file without a name", "/usr/bin/dash", "/", []string{"/bin/sh", "/x.sh"}, []string{"/x.sh", "", ld}, ""},
		{"a static interpreter behind a link", "/bin/busybox", "/", []string{"/bin/sh", "x.sh"}, []string{"x.sh", "/bin/sh"}, ""},
		{"above a directory that may be a link", "/usr/bin/dash", "/", []string{"/bin/sh", "/a/../x"}, []string{"/a/../x", "/bin/sh", ld}, ""},
		{"no directory", "/usr/bin/dash", "", []string{"/bin/sh", "x"}, []string{"x", "/bin/sh", ld}, ""},
		{"a directory that is gone", "/usr/bin/dash", "/srv (deleted)", []string{"/bin/sh", "x"}, []string{"x", "/bin/sh", ld}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := NewTable(Options{Labels: testLabels(t)})
			execOf(x, at(0, 10), 100, tt.exe, tt.cwd, tt.args, tt.files...)
			c := ask(x, at(1, 11), 1, 100)
			if got := c.Self.Script(); got != tt.want || c.Self.Exe() != tt.exe || !isArgs(c.Self, tt.args...) {
				t.Errorf("script %q, want %q; %+v", got, tt.want, c.Self)
			}
			checkTable(t, x)
			if x.scripts != 0 {
				t.Errorf("%d execs are awaited", x.scripts)
			}
		})
	}
}

// TestScriptsOfOthers: a child that executes nothing runs the script of its parent, and what executes something does not.
func TestScriptsOfOthers(t *testing.T) {
	x := NewTable(Options{Labels: testLabels(t)})
	execOf(x, at(0, 10), 100, "/bin/sh", "/", []string{"/bin/sh", "/root/maint-1.sh"}, "/root/maint-1.sh", "/bin/sh", "/lib/ld.so")
	give(x, at(1, 11), syscall(sysClone, 101, 0x11, 1, 100, "/bin/sh"))
	give(x, at(2, 12), syscall(sysOpen, 3, 0, 100, 101, "/bin/sh"))
	exec(x, at(3, 13), 100, 102, "/bin/a", "a")
	for pid, want := range map[int]string{100: "/root/maint-1.sh", 101: "/root/maint-1.sh", 102: ""} {
		c := ask(x, at(9, 19), 100, pid)
		labels := ""
		if want != "" {
			labels = "maint"
		}
		if got := labelsAt(x, at(9, 19), 100, pid); c.Self.Script() != want || got != labels {
			t.Errorf("process %d: script %q, labels %q", pid, c.Self.Script(), got)
		}
	}
}

// TestScriptByEnv: env executes the interpreter that a script's first line asks it for, and the script is the same.
func TestScriptByEnv(t *testing.T) {
	const ld = "/lib64/ld-linux-x86-64.so.2"
	for _, tt := range []struct {
		name   string
		env    string // the interpreter of the first line
		serial uint32 // of the second exec
		ppid   int
		pid    int
		args   []string
		want   string
	}{
		{"as given", "/usr/bin/env", 11, 1, 100, []string{"python3", "./x.py", "-a"}, "/root/maint-1/x.py"},
		{"other arguments", "/usr/bin/env", 11, 1, 100, []string{"python3", "./y.py", "-a"}, ""},
		{"fewer arguments", "/usr/bin/env", 11, 1, 100, []string{"python3", "./x.py"}, ""},
		{"another process", "/usr/bin/env", 11, 100, 101, []string{"python3", "./x.py", "-a"}, ""},
		{"after a loss", "/usr/bin/env", 12, 1, 100, []string{"python3", "./x.py", "-a"}, ""},
		{"another program", "/usr/bin/nice", 11, 1, 100, []string{"python3", "./x.py", "-a"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := NewTable(Options{Labels: testLabels(t)})
			execOf(x, at(0, 10), 100, tt.env, "/root/maint-1", []string{tt.env, "python3", "./x.py", "-a"}, "./x.py", tt.env, ld)
			exec(x, at(1, tt.serial), tt.ppid, tt.pid, "/usr/bin/python3", tt.args...)
			labels := ""
			if tt.want != "" {
				labels = "maint"
			}
			c := ask(x, at(2, tt.serial+1), tt.ppid, tt.pid)
			if got := labelsAt(x, at(2, tt.serial+1), tt.ppid, tt.pid); c.Self.Script() != tt.want || got != labels || !isArgs(c.Self, tt.args...) {
				t.Errorf("script %q, labels %q, %+v", c.Self.Script(), got, c.Self)
			}
			exec(x, at(3, tt.serial+2), tt.ppid, tt.pid, "/bin/ls", tt.args...)
			if c := ask(x, at(4, tt.serial+3), tt.ppid, tt.pid); c.Self.Script() != "" {
				t.Errorf("then the script is %q", c.Self.Script())
			}
			checkTable(t, x)
		})
	}
}

// TestScriptWithoutAllRecords: a record that is missing, or comes out of order, leaves nothing that is awaited.
func TestScriptWithoutAllRecords(t *testing.T) {
	whole := func() *event {
		var e event
		m := at(0, 10)
		e.add(record.TypeSyscall, m, "", strings.Replace(syscall(sysExec, 0, 1, 1, 100, "/usr/bin/dash"), "items=0", "items=3", 1))
		e.add(record.TypeExecve, m, "", execve("/bin/sh", "/x.sh"))
		for n, name := range []string{"/x.sh", "/bin/sh", "/lib/ld.so"} {
			e.add(record.TypePath, m, "", fmt.Sprintf("item=%d name=%q inode=%d dev=fe:00", n, name, n))
		}
		return &e
	}
	for skip := range 5 {
		e := whole()
		e.Recs = append(e.Recs[:skip], e.Recs[skip+1:]...)
		x := NewTable(Options{})
		x.Note(&e.Batch)
		for n := range 2 * len(x.execs) { // others take its place
			exec(x, at(int64(n+1), uint32(n+11)), 1, 200+n, "/bin/x", "x")
		}
		if p := ask(x, at(99, 99), 1, 100).Self; p != nil && p.Script() != "" {
			t.Errorf("without record %d: %q", skip, p.Script())
		}
		if checkTable(t, x); x.scripts != 0 {
			t.Errorf("without record %d: %d are awaited", skip, x.scripts)
		}
	}
}
