package process

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// FuzzTable reads bytes as a stream: the table holds together, and answers.
func FuzzTable(f *testing.F) {
	var e event
	for i, body := range []string{
		syscall(sysExec, 0, 1, 1, 100, "/bin/bash"), syscall(sysClone, 101, 0x11, 1, 100, "/bin/bash"), syscall(sysClone3, 100, 0, 101, 101, "/bin/bash"),
		syscall(sysOpen, 3, 1, 100, 101, "/bin/bash"), syscall(sysExit, 0, 0, 100, 101, "/bin/bash"), syscall(sysClone, 102, 0x11, 102, 102, "/bin/a b"),
	} {
		e.add(record.TypeSyscall, at(int64(i), uint32(10+i)), "", body)
		e.add(record.TypeExecve, at(int64(i), uint32(10+i)), "", execve("bash", "a b", ""))
		f.Add(bytes.Clone(e.Buf), uint16(i))
	}
	e.add(record.TypeConfig, at(9, 90), "", "op=remove_rule res=1")
	e.add(record.TypeSyscall, at(5, 9), "other", syscall(sysExec, 0, 1, 1, 100, "/x"))
	e.add(record.TypeSyscall, at(5, 1<<31), "", syscall(sysExec, 0, 1, 1, 100, "/x"))
	e.add(record.TypeSyscall, at(10, 91), "", withKey(strings.Replace(syscall(sysExec, 0, 1, 100, 102, "/bin/sh"), "items=0", "items=3", 1), `"soft"`))
	e.add(record.TypeExecve, at(10, 91), "", execve("/bin/sh", "./x"))
	e.add(record.TypeCWD, at(10, 91), "", `cwd="/srv"`)
	for n, name := range []string{"./x", "/bin/sh", "/lib/ld.so"} {
		e.add(record.TypePath, at(10, 91), "", fmt.Sprintf("item=%d name=%q inode=%d dev=fe:00", n, name, n))
	}
	for n, exe := range []string{"/usr/sbin/sshd", "/usr/bin/containerd-shim", "/usr/bin/runc"} {
		e.add(record.TypeSyscall, at(11, uint32(92+n)), "", inSession(syscall(sysExec, 0, 1, 1, 200+n, exe), 0))
		e.add(record.TypeSyscall, at(12, uint32(95+n)), "", syscall(sysExec, 0, 1, 200+n, 300+n, "/bin/sh"))
	}
	f.Add(e.Buf, uint16(99))

	f.Fuzz(func(t *testing.T, data []byte, bound uint16) {
		x := NewTable(Options{MaxBytes: 200 + int(bound), Labels: testLabels(f), Hashed: int64(bound)})
		r := stream.NewReader(bytes.NewReader(data))
		var b record.Batch
		for {
			if err := r.Next(&b); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			x.Note(&b)
			checkTable(t, x)
			for i := range b.Recs {
				c := Context{WantsEntry: true}
				if x.Of(&c, &b, i, len(b.Recs)); c.Depth > MaxAncestors || (c.Entry == nil) != (c.EntryType == "") {
					t.Fatalf("%+v", c)
				}
				for label := range c.Labels {
					if !slices.Contains([]string{"soft", "one", "two", "maint", "web"}, label) {
						t.Fatalf("label %q", label)
					}
				}
				for _, p := range []*Process{c.Self, c.Parent, c.SpawnedBy, c.Entry} {
					if p != nil && p.Script() != "" && p.Script()[0] != '/' {
						t.Fatalf("script %q", p.Script())
					}
					if p != nil && (p.Exe() == "" || len(p.Comm()) > maxComm || len(p.args()) > maxArgs) {
						t.Fatalf("%+v", p)
					}
				}
			}
			if len(b.Recs) > 0 {
				x.Lost("", b.Recs[0].Serial, b.Recs[0].Serial+uint32(bound))
			}
		}
	})
}

// FuzzAbsolute: a path that is certain is the one that path.Join makes of a directory and a name.
func FuzzAbsolute(f *testing.F) {
	for _, seed := range [][2]string{{"/srv", "./x"}, {"/", "../x"}, {"/a/b", "../../../x//y/."}, {"/a", "/b/../c"}, {"", "x"}, {"/srv (deleted)", "x"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, cwd, name string) {
		if name == "" || strings.Contains(name+cwd, "\x00") {
			return
		}
		if cwd != "" {
			cwd = path.Clean("/" + cwd) // as the kernel gives it
		}
		got, ok := absolute(make([]byte, 0, 8), []byte(cwd), []byte(name))
		want := path.Clean(name)
		if name[0] != '/' {
			want = path.Join(cwd, name)
		}
		if ok && string(got) != want {
			t.Errorf("%q from %q on: %q, want %q", name, cwd, got, want)
		}
	})
}

// FuzzLiteral: what an expression is said to have in all that it matches is there.
func FuzzLiteral(f *testing.F) {
	for _, seed := range [][2]string{
		{`^\S*java .*-Dweb`, "/bin/java -x -Dweb"}, {"(?i)abc", "ABC"}, {"a(bc|d)+e{2,3}f*", "abcdeee"}, {"[a-c]x?", "b"}, {"\ufffd", "\xff"},
		{"x{0}y", "y"}, {"(abc){2}", "abcabc"}, {"a|b", "b"}, {"ab$", "ab\n"}, {"\\x{110000}", ""}, {"(?i:k)elvin", "\u212aelvin"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		re, has, err := compile(expr)
		if err == nil && re.MatchString(text) && !strings.Contains(text, has) {
			t.Errorf("%q matches %q, which has no %q", expr, text, has)
		}
	})
}
