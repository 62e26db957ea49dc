package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
)

// testLabels are labels by key, program, script and arguments: "soft" and "one" are passed on, the others are not.
func testLabels(t testing.TB) *Labels {
	l := new(Labels)
	for _, err := range []error{
		l.AddKey("soft"), l.Add(OfExe, `tool 1$`, "one"), l.Add(OfExe, `tool 2$`, "two"), l.Add(OfScript, `^/root/maint-`, "maint"),
		l.Take(OfExe, `tool 3$`, "one"), l.Take(OfScript, `clean`, "soft"), l.PassOn("soft"), l.PassOn("one"),
		l.Add(OfCmdline, `-Dweb`, "web"), l.Take(OfCmdline, `--visible`, "web"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// withKey gives a SYSCALL record an audit key.
func withKey(body, key string) string {
	return strings.Replace(body, "key=(null)", "key="+key, 1)
}

// execWithKey gives the table an exec with a key.
func execWithKey(t *Table, m Moment, ppid, pid int, exe, key string) {
	var e event
	e.add(record.TypeSyscall, m, "", withKey(syscall(sysExec, 0, 1, ppid, pid, exe), key))
	e.add(record.TypeExecve, m, "", execve("x"))
	t.Note(&e.Batch)
}

// labelsAt returns the labels of a process at a moment.
func labelsAt(t *Table, m Moment, ppid, pid int) string {
	c := ask(t, m, ppid, pid)
	return strings.Join(slices.Collect(c.Labels), " ")
}

func TestLabels(t *testing.T) {
	fork := func(x *Table, m Moment, ppid, pid, child int) {
		give(x, m, syscall(sysClone, child, 0x11, ppid, pid, "/bin/sh"))
		give(x, Moment{m.Millis, m.Serial + 1}, syscall(sysOpen, 3, 0, pid, child, "/bin/sh")) // that it has this number is certain by that
	}
	for _, tt := range []struct {
		name string
		do   func(x *Table)
		want string // the labels of 101, a child of 100
	}{
		{"by its key", func(x *Table) { execWithKey(x, at(1, 11), 100, 101, "/bin/a", `"soft"`) }, "soft"},
		{"by one of several keys", func(x *Table) { execWithKey(x, at(1, 11), 100, 101, "/bin/a", "6101736F667401") }, "soft"},
		{"by another key", func(x *Table) { execWithKey(x, at(1, 11), 100, 101, "/bin/a", `"software"`) }, ""},
		{"by its program", func(x *Table) { exec(x, at(1, 11), 100, 101, "/bin/tool 2", "x") }, "two"},
		{"by both", func(x *Table) { execWithKey(x, at(1, 11), 100, 101, "/bin/tool 2", `"soft"`) }, "soft two"},
		{"by its parent", func(x *Table) {
			execWithKey(x, at(1, 11), 1, 100, "/bin/tool 1", `"soft"`)
			exec(x, at(2, 12), 100, 101, "/bin/a", "x")
		}, "soft one"},
		{"by its parent, and it is taken away", func(x *Table) {
			execWithKey(x, at(1, 11), 1, 100, "/bin/tool 1", `"soft"`)
			exec(x, at(2, 12), 100, 101, "/bin/tool 3", "x")
		}, "soft"},
		{"that the parent keeps for itself", func(x *Table) {
			exec(x, at(1, 11), 1, 100, "/bin/tool 2", "x")
			exec(x, at(2, 12), 100, 101, "/bin/a", "x")
		}, ""},
		{"by its program before", func(x *Table) {
			exec(x, at(1, 11), 100, 101, "/bin/tool 1", "x")
			exec(x, at(2, 12), 100, 101, "/bin/a", "x")
		}, "one"},
		{"of its program before, that it keeps for itself", func(x *Table) {
			exec(x, at(1, 11), 100, 101, "/bin/tool 2", "x")
			exec(x, at(2, 12), 100, 101, "/bin/a", "x")
		}, ""},
		{"by a fork", func(x *Table) {
			execWithKey(x, at(1, 11), 1, 100, "/bin/sh", `"soft"`)
			fork(x, at(2, 12), 1, 100, 101)
		}, "soft"},
		{"by a fork from before the parent had it", func(x *Table) {
			fork(x, at(1, 11), 1, 100, 101)
			execWithKey(x, at(2, 13), 1, 100, "/bin/sh", `"soft"`)
			exec(x, at(3, 14), 100, 101, "/bin/a", "x")
		}, ""},
		{"by a call that names the program", func(x *Table) { give(x, at(1, 11), syscall(sysOpen, 3, 0, 100, 101, "/bin/tool 2")) }, "two"},
		{"by the parent's exec, which comes late", func(x *Table) {
			exec(x, at(2, 12), 100, 101, "/bin/a", "x")
			if got := labelsAt(x, at(3, 12), 100, 101); got != "" {
				t.Errorf("before it came: %q", got)
			}
			execWithKey(x, at(1, 11), 1, 100, "/bin/sh", `"soft"`)
		}, "soft"},
		{"by a parent after a loss", func(x *Table) {
			execWithKey(x, at(1, 11), 1, 100, "/bin/sh", `"soft"`)
			x.Lost("", 12, 13)
			execWithKey(x, at(2, 14), 100, 101, "/bin/tool 2", `"soft2"`)
		}, "two"},
		{"by a parent, when the kernel says late that it has lost some", func(x *Table) {
			execWithKey(x, at(1000, 11), 1, 100, "/bin/sh", `"soft"`)
			exec(x, at(3000, 12), 100, 101, "/bin/tool 2", "x")
			x.LostBetween(start+2000, start+2500)
		}, "two"},
		{"by a path that is too long", func(x *Table) {
			exec(x, at(1, 11), 1, 100, "/bin/tool 1", "x")
			exec(x, at(2, 12), 100, 101, "/"+strings.Repeat("a", matchedText)+"/tool 2", "x")
		}, ""},
		{"of a path that the kernel could not give", func(x *Table) {
			execWithKey(x, at(1, 11), 1, 100, "/bin/tool 1", `"soft"`)
			exec(x, at(2, 12), 100, 101, "<too_long>", "x")
		}, "soft"},
		{"of the longest path", func(x *Table) {
			execWithKey(x, at(1, 11), 1, 100, "/bin/tool 1", `"soft"`)
			exec(x, at(2, 12), 100, 101, "/"+strings.Repeat("a", 4096+11-2), "x") // PATH_MAX, " (deleted)", no NUL
		}, "soft"},
		{"of a program whose file is deleted", func(x *Table) {
			execWithKey(x, at(1, 11), 100, 101, "/bin/tool 2", `"soft"`)
			give(x, at(2, 12), syscall(sysOpen, 3, 0, 100, 101, "/bin/tool 2 (deleted)"))
		}, "soft two"},
		{"of a call for which the kernel had no memory", func(x *Table) {
			execWithKey(x, at(1, 11), 100, 101, "/bin/tool 2", `"soft"`)
			give(x, at(2, 12), syscall(sysOpen, 3, 0, 100, 101, "<no_memory>"))
		}, "soft two"},
		{"of a child whose fork returns when it has executed something, under another parent", func(x *Table) {
			execWithKey(x, at(5, 11), 1, 101, "/bin/a", `"soft"`)
			give(x, at(1, 12), syscall(sysClone3, 101, 0x7fff1234, 1, 100, "/bin/sh"))
		}, "soft"},
		{"the same, and the fork's record comes first", func(x *Table) {
			give(x, at(1, 12), syscall(sysClone3, 101, 0x7fff1234, 1, 100, "/bin/sh"))
			execWithKey(x, at(5, 11), 1, 101, "/bin/a", `"soft"`)
		}, "soft"},
		{"by an ancestor that is forgotten", func(x *Table) {
			execWithKey(x, at(1, 11), 1, 100, "/bin/sh", `"soft"`)
			exec(x, at(2, 12), 100, 101, "/bin/a", "x")
			x.remove(x.byPID[100])
		}, "soft"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := NewTable(Options{Labels: testLabels(t)})
			quiet(x, 1, 10)
			exec(x, at(0, 10), 1, 100, "/bin/sh", "sh")
			tt.do(x)
			if got := labelsAt(x, at(4000, 99), 100, 101); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			checkTable(t, x)
		})
	}
}

// TestInitPassesNothingOn: whoever has lost its parent is a child of process 1.
func TestInitPassesNothingOn(t *testing.T) {
	x := NewTable(Options{Labels: testLabels(t)})
	exec(x, at(0, 1), 0, 1, "/sbin/tool 1", "init")
	exec(x, at(1, 2), 0, 1, "/sbin/init", "init")
	exec(x, at(2, 3), 1, 100, "/bin/a", "x")
	for pid, want := range map[int]string{1: "one", 100: ""} {
		if got := labelsAt(x, at(9, 9), 1, pid); got != want {
			t.Errorf("process %d: %q, want %q", pid, got, want)
		}
	}
}

// TestLabelsOfThoseThatRun: what /proc has said at the start has labels, too, in whatever order it was read.
func TestLabelsOfThoseThatRun(t *testing.T) {
	x := NewTable(Options{Labels: testLabels(t)})
	for n, exe := range []string{"/bin/tool 3", "/bin/sh", "/bin/tool 1"} {
		pid, ppid := int32(102-n), int32(101-n)
		if pid == 100 {
			ppid = 1
		}
		text := appendProgram(nil, []byte(exe), []byte("x"))
		x.started = append(x.started, &Process{text: string(text), exeLen: uint16(len(exe)), millis: start + int64(n), pid: pid, ppid: ppid, from: fromProc})
	}
	quiet(x, 10, 11)
	for pid, want := range map[int]string{100: "one", 101: "one", 102: ""} {
		if got := labelsAt(x, at(20, 20), 1, pid); got != want {
			t.Errorf("process %d: %q, want %q", pid, got, want)
		}
	}
}

// TestOtherLabels: a reload gives other labels to what is known.
func TestOtherLabels(t *testing.T) {
	x := NewTable(Options{Labels: testLabels(t)})
	execWithKey(x, at(0, 10), 1, 100, "/bin/tool 2", `"soft"`)
	exec(x, at(1, 11), 100, 101, "/bin/a", "x")

	other := new(Labels)
	for _, err := range []error{other.Add(OfExe, "a$", "a"), other.AddKey("soft"), other.PassOn(AllLabels)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		labels        *Labels
		parent, child string
	}{
		{testLabels(t), "soft two", "soft"}, {other, "soft", "a soft"}, {nil, "", ""}, {testLabels(t), "two", ""},
	} {
		x.SetLabels(tt.labels)
		if parent, child := labelsAt(x, at(9, 19), 1, 100), labelsAt(x, at(9, 19), 100, 101); parent != tt.parent || child != tt.child {
			t.Errorf("%q, %q, want %q, %q", parent, child, tt.parent, tt.child)
		}
	}
}

// TestLabelsAreBounded: no more than there is room for, and no expression that takes long.
func TestLabelsAreBounded(t *testing.T) {
	l := new(Labels)
	for n := range MaxLabels {
		if err := l.AddKey(fmt.Sprint("k", n)); err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{
		"more than 64 labels":      l.AddKey("one more"),
		"repetitions multiply":     l.Add(OfExe, `[a-z]{900}[0-9]{900}`, "k1"),
		"is longer than":           l.Add(OfExe, strings.Repeat("a", maxExpression+1), "k1"),
		"no regular expression":    l.Add(OfExe, `(`, "k1"),
		`there is no label "none"`: l.PassOn("none"),
		`no name for a label`:      new(Labels).AddKey(AllLabels),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %s", err, what)
		}
	}
	if err := l.PassOn(AllLabels); err != nil || l.passed != 1<<64-1 {
		t.Errorf("%v, passed on %x", err, l.passed)
	}
	for n := 0; ; n++ {
		if err := l.Add(OfExe, `^/srv/.*/(a|b|c)+$`, "k5"); err != nil {
			if n != maxExpressions {
				t.Errorf("%d expressions: %v", n, err)
			}
			break
		}
	}
	// The worst that a process can do with a name: some milliseconds, and once for each.
	began := time.Now()
	l.of(OfExe, "/srv/"+strings.Repeat("ab", matchedText/2-5)+"x")
	t.Logf("%d expressions took %v", maxExpressions, time.Since(began))
}

// TestChangesAreBounded: hostile paths do not fill the memory.
func TestChangesAreBounded(t *testing.T) {
	x := NewTable(Options{Labels: testLabels(t)})
	for n := range 3 * maxChanges {
		exec(x, at(int64(n), uint32(n+1)), 1, 100, fmt.Sprint("/bin/", n), "x")
	}
	if n := len(x.changes[OfExe]); n > maxChanges {
		t.Errorf("%d are remembered", n)
	}
}

// TestOutcomesAreBounded: a process may have any of many outcomes, and each is right.
func TestOutcomesAreBounded(t *testing.T) {
	l := new(Labels)
	const labels = 13
	for n := range labels {
		if err := l.Add(OfCmdline, fmt.Sprintf("-%c", 'a'+n), fmt.Sprintf("%c", 'a'+n)); err != nil {
			t.Fatal(err)
		}
	}
	x := NewTable(Options{Labels: l})
	for n := range 1 << labels {
		args, want := []string{"x"}, ""
		for bit := range labels {
			if n&(1<<bit) != 0 {
				args = append(args, fmt.Sprintf("-%c", 'a'+bit))
				want += fmt.Sprintf(" %c", 'a'+bit)
			}
		}
		pid := 100 + n%300
		m := exec(x, at(int64(n), uint32(n+1)), 1, pid, "/bin/x", args...)
		if got := labelsAt(x, m, 1, pid); got != strings.TrimPrefix(want, " ") {
			t.Fatalf("%q: %q", args, got)
		}
		if len(x.outcomes) > maxOutcomes || len(x.outcome) != len(x.outcomes) {
			t.Fatalf("%d outcomes are remembered, %d places", len(x.outcomes), len(x.outcome))
		}
	}
}
