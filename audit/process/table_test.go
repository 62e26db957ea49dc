package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// start is when the tests begin.
const start = int64(1_700_000_000_000)

func at(millis int64, serial uint32) Moment { return Moment{start + millis, serial} }

func TestWhoHasStartedWhat(t *testing.T) {
	x := NewTable(Options{})
	shell := exec(x, at(0, 10), 1, 100, "/bin/bash", "bash", "-l")
	exec(x, at(5, 11), 100, 101, "/usr/bin/sudo", "sudo", "id")
	id := exec(x, at(9, 12), 100, 101, "/usr/bin/id", "id")

	c := ask(x, at(10, 13), 100, 101)
	if c.PPID != 100 || c.Parent.Exe() != "/bin/bash" || !isArgs(c.Parent, "bash", "-l") || c.Parent.Comm() != "bash" {
		t.Errorf("parent: %+v", c.Parent)
	}
	if when, ok := c.Parent.Exec(); !ok || when != shell {
		t.Errorf("the parent's exec: %v, %v", when, ok)
	}
	if when, _ := c.Self.Exec(); when != id || c.Self.Exe() != "/usr/bin/id" || c.SpawnedBy.Exe() != "/usr/bin/sudo" {
		t.Errorf("self: %+v, spawned by %+v", c.Self, c.SpawnedBy)
	}
	if c := ask(x, at(6, 11), 100, 101); c.Self.Exe() != "/usr/bin/sudo" || c.SpawnedBy.Exe() != "/bin/bash" {
		t.Errorf("before: %+v, spawned by %+v", c.Self, c.SpawnedBy)
	}
	if c := ask(x, at(1, 9), 1, 100); c.Self != nil {
		t.Errorf("before all: %+v", c.Self)
	}
	checkTable(t, x)
}

func TestAncestors(t *testing.T) {
	x := NewTable(Options{})
	for pid := 100; pid < 112; pid++ {
		exec(x, at(int64(pid), uint32(pid)), pid-1, pid, fmt.Sprint("/bin/", pid), "x")
	}
	c := ask(x, at(200, 200), 111, 112)
	var got []string
	for _, p := range c.Ancestors[:c.Depth] {
		got = append(got, p.Exe())
	}
	if want := []string{"/bin/110", "/bin/109", "/bin/108", "/bin/107", "/bin/106", "/bin/105"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// What an ancestor has executed since does not count.
	exec(x, at(300, 112), 1, 110, "/bin/other", "x")
	if c := ask(x, at(301, 113), 111, 112); c.Ancestors[0].Exe() != "/bin/110" {
		t.Errorf("%+v", c.Ancestors[0])
	}
}

// TestWhatIsNotCertain: what a loss, an end, another exec or a clock may have made wrong is not said.
func TestWhatIsNotCertain(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(x *Table)
		ask  Moment
		want string // what its parent runs
	}{
		{"nothing happens", func(*Table) {}, at(99, 99), "/bin/bash"},
		{"serials are missing", func(x *Table) { quiet(x, 52, 60) }, at(99, 99), ""},
		{"serials are missing after it", func(x *Table) { quiet(x, 152, 160); quiet(x, 50, 140) }, at(99, 99), "/bin/bash"},
		{"serials come late", func(x *Table) { quiet(x, 60, 70); quiet(x, 50, 54); quiet(x, 57, 59); quiet(x, 55, 56) }, at(99, 99), "/bin/bash"},
		{"events are lost", func(x *Table) { x.Lost("", 50, 60) }, at(99, 99), ""},
		{"events are lost after it", func(x *Table) { x.Lost("", 150, 160) }, at(99, 99), "/bin/bash"},
		{"events were lost before", func(x *Table) { x.Lost("", 2, 3) }, at(99, 99), "/bin/bash"},
		{"the kernel loses", func(x *Table) { x.LostBetween(start+50, start+60) }, at(99, 99), ""},
		{"the kernel loses after it", func(x *Table) { x.LostBetween(start+150, start+160) }, at(99, 99), "/bin/bash"},
		{"it ends", func(x *Table) { give(x, at(50, 50), syscall(sysExit, 0, 0, 1, 100, "/bin/bash")) }, at(99, 99), ""},
		{"it ends after it", func(x *Table) { quiet(x, 50, 149); give(x, at(150, 150), syscall(sysExit, 0, 0, 1, 100, "/bin/bash")) }, at(99, 99), "/bin/bash"},
		{"it runs something else", func(x *Table) { give(x, at(50, 50), syscall(sysOpen, 3, 0, 1, 100, "/bin/dash")) }, at(99, 99), "/bin/dash"},
		{"it fails to", func(x *Table) { give(x, at(50, 50), syscall(sysExec, -2, 0, 1, 100, "/bin/bash")) }, at(99, 99), "/bin/bash"},
		{"it executes what has no path", func(x *Table) {
			give(x, at(50, 50), strings.Replace(syscall(sysExec, 0, 0, 1, 100, "/x"), `exe="/x"`, "exe=(null)", 1))
		}, at(99, 99), ""},
		{"a rule is taken out", func(x *Table) {
			var e event
			e.add(record.TypeConfig, at(50, 50), "", `auid=0 ses=1 op=remove_rule key="x" list=4 res=1`)
			x.Note(&e.Batch)
		}, at(99, 99), ""},
		{"the clock is earlier", func(*Table) {}, at(-1, 99), ""},
		{"serials begin again after few", func(x *Table) { give(x, at(60_000, 5), syscall(sysOpen, 3, 0, 1, 7, "/x")) }, at(60_099, 99), ""},
		{"serials begin again", func(x *Table) { give(x, Moment{start + 50, 4_000_000_000}, syscall(sysOpen, 3, 0, 1, 7, "/x")) }, Moment{start + 99, 4_000_000_001}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := NewTable(Options{})
			exec(x, at(0, 10), 1, 100, "/bin/bash", "bash")
			quiet(x, 11, 49)
			tt.then(x)
			got := ""
			if p := ask(x, tt.ask, 100, 200).Parent; p != nil {
				got = p.Exe()
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			checkTable(t, x)
		})
	}
}

// TestForkOfAnotherNumber: a fork in a container returns a number that a process of the host has, which has executed something
// since the fork began: that process stays what it is.
func TestForkOfAnotherNumber(t *testing.T) {
	for _, late := range []bool{false, true} {
		x := NewTable(Options{})
		x.o.Live = true
		x.reuse.note(sample{Millis: start, Last: 500, Max: 1 << 22})
		exec(x, at(0, 10), 1, 100, "/bin/evil", "evil")
		fork := func() { give(x, at(1, 12), syscall(sysClone, 101, 0x4111, 1, 100, "/bin/evil")) }
		if late {
			fork()
		}
		victim := exec(x, at(500, 11), 7, 101, "/bin/victim", "victim")
		if !late {
			fork()
		}
		c := ask(x, at(600, 13), 7, 101)
		if c.Self == nil || c.Self.at() != victim || !isArgs(c.Self, "victim") {
			t.Errorf("late %v: %+v", late, c.Self)
		}
		checkTable(t, x)
	}
}

// TestLongCall: an event that comes before an earlier one, and whose call began long ago, casts no doubt on others.
func TestLongCall(t *testing.T) {
	x := NewTable(Options{})
	exec(x, at(1000, 10), 1, 100, "/bin/a", "a", "b")
	give(x, at(-60_000, 12), syscall(sysOpen, 3, 0, 1, 200, "/bin/waits"))
	give(x, at(1001, 13), syscall(sysOpen, 3, 0, 1, 100, "/bin/a"))
	quiet(x, 11, 11)
	if c := ask(x, at(1002, 14), 1, 100); !isArgs(c.Self, "a", "b") {
		t.Errorf("%+v", c.Self)
	}
	checkTable(t, x)
}

// TestQuotedWords: laurel2audit writes success="yes".
func TestQuotedWords(t *testing.T) {
	x := NewTable(Options{})
	give(x, at(0, 10), strings.Replace(syscall(sysExec, 0, 1, 1, 100, "/bin/a"), "success=yes", `success="yes"`, 1))
	if c := ask(x, at(1, 11), 1, 100); c.Self == nil || c.Self.from != fromExec {
		t.Errorf("%+v", c.Self)
	}
}

// TestLateRecords: records that are given late have their place in the past.
func TestLateRecords(t *testing.T) {
	x := NewTable(Options{})
	exec(x, at(30, 30), 1, 100, "/bin/c", "c")
	exec(x, at(10, 10), 1, 100, "/bin/a", "a")
	exec(x, at(20, 20), 1, 100, "/bin/b", "b", "1")
	exec(x, at(20, 20), 1, 100, "/bin/b", "b", "1") // from the log, once more
	for _, tt := range []struct {
		serial uint32
		want   string
	}{{15, "/bin/a"}, {20, "/bin/b"}, {29, "/bin/b"}, {30, "/bin/c"}} {
		if p := ask(x, at(int64(tt.serial), tt.serial), 100, 5).Parent; p == nil || p.Exe() != tt.want {
			t.Errorf("at %d: %+v, want %s", tt.serial, p, tt.want)
		}
	}
	if p := ask(x, at(25, 25), 100, 5).Parent; !isArgs(p, "b", "1") {
		t.Errorf("%q", argsOf(p))
	}
	checkTable(t, x)
}

// TestEmptyFirstArgument: it has a blank after it, as in the command line of an event's own process.
func TestEmptyFirstArgument(t *testing.T) {
	x := NewTable(Options{})
	exec(x, at(0, 10), 1, 100, "/bin/sh", "", "-c", "id")
	p := ask(x, at(1, 11), 1, 100).Self
	if got := string(p.AppendArgs([]byte("x"))); got != "x -c id" {
		t.Errorf("%q", got)
	}
	if got := string(p.AppendCommandLine(nil)); got != "'' -c id" {
		t.Errorf("%q", got)
	}
}

func TestArguments(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, tt := range []struct {
		name, body string
		want       []string
		cut        bool
		line       string
	}{
		{"usual", execve("ls", "-l"), []string{"ls", "-l"}, false, "ls -l"},
		{"quotes", execve("sh", "-c", "a  b", "", "it's", `"`, `\`, "$x"), []string{"sh", "-c", "a  b", "", "it's", `"`, `\`, "$x"}, false, `sh -c 'a  b' '' 'it'\''s' '"' '\' $x`},
		{"one empty", execve(""), []string{""}, false, "''"},
		{"none", "argc=0", nil, false, ""},
		{"long", execve("a", "b", long, "c"), []string{"a", "b"}, true, "a b"},
		{"more records", `argc=3 a0="a" a1="b"`, []string{"a", "b"}, true, "a b"},
		{"a piece", `argc=2 a0="a" a1_len=4 a1[0]=41`, []string{"a"}, true, "a"},
		{"a NUL in it", `argc=2 a0="a" a1=410042`, []string{"a"}, true, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := NewTable(Options{})
			var e event
			e.add(record.TypeSyscall, at(0, 10), "", syscall(sysExec, 0, 0, 1, 100, "/bin/x"))
			e.add(record.TypeExecve, at(0, 10), "", tt.body)
			x.Note(&e.Batch)
			p := ask(x, at(1, 11), 100, 5).Parent
			if got := argsOf(p); !slices.Equal(got, tt.want) || p.ArgsCut() != tt.cut || p.HasArgs() != (len(tt.want) > 0) {
				t.Errorf("%q, cut %v; want %q, cut %v", got, p.ArgsCut(), tt.want, tt.cut)
			}
			if got := string(p.AppendCommandLine([]byte("> "))); got != "> "+tt.line {
				t.Errorf("%s, want %s", got, tt.line)
			}
		})
	}
}

// TestForks: who was forked and executes nothing runs what its parent runs, if the number is the host's.
func TestForks(t *testing.T) {
	const pidfd, container = 0x1200011, 0x20000000
	begin := func(live bool) *Table {
		x := NewTable(Options{})
		if x.o.Live = live; live {
			x.reuse.note(sample{Millis: start, Last: 500, Max: 1 << 22})
		}
		exec(x, at(0, 10), 1, 100, "/bin/bash", "bash", "x.sh")
		return x
	}
	x := begin(false)
	give(x, at(1, 11), syscall(sysClone, 101, pidfd, 1, 100, "/bin/bash"))
	if p := ask(x, at(2, 12), 101, 102).Parent; p != nil {
		t.Errorf("nothing says that 101 is of the host: %+v", p)
	}
	give(x, at(3, 12), syscall(sysOpen, 3, 0, 100, 101, "/bin/bash"))
	if c := ask(x, at(4, 13), 101, 102); !isArgs(c.Parent, "bash", "x.sh") || c.Ancestors[0].PID() != 100 {
		t.Errorf("its event says it: %+v", c.Parent)
	}
	if c := ask(x, at(4, 13), 100, 101); c.SpawnedBy == nil || c.SpawnedBy.PID() != 100 {
		t.Errorf("it was spawned by %+v", c.SpawnedBy)
	}

	x = begin(true)
	give(x, at(1, 11), syscall(sysClone, 101, pidfd, 1, 100, "/bin/bash"))
	x.tellHost(ask(x, at(1, 11), 1, 100).Self, start+2)
	if p := ask(x, at(2, 12), 101, 102).Parent; !isArgs(p, "bash", "x.sh") {
		t.Errorf("/proc says it: %+v", p)
	}
	give(x, at(3, 12), syscall(sysClone, 100, container, 1, 200, "/bin/runc"))
	if p := ask(x, at(4, 13), 100, 102).Parent; !isArgs(p, "bash", "x.sh") {
		t.Errorf("a number that is in use is another's: %+v", p)
	}

	x = begin(false)
	give(x, at(1, 11), syscall(sysClone, 101, 0x3d0f00, 1, 100, "/bin/bash"))
	give(x, at(3, 12), syscall(sysOpen, 3, 0, 100, 101, "/bin/bash"))
	if p := ask(x, at(4, 13), 101, 102).Parent; p == nil || p.HasArgs() {
		t.Errorf("a thread is no process: %+v", p)
	}
	checkTable(t, x)
}

// TestLateCallOfAnUnseenProgram: what only audit.log had names another program than the exec before it.
func TestLateCallOfAnUnseenProgram(t *testing.T) {
	x := NewTable(Options{})
	exec(x, at(0, 10), 1, 100, "/bin/a", "a", "secret")
	quiet(x, 11, 11)
	give(x, at(20, 20), syscall(sysOpen, 3, 0, 1, 100, "/bin/b"))
	quiet(x, 12, 14)
	give(x, at(15, 15), syscall(sysOpen, 3, 0, 1, 100, "/bin/b"))
	quiet(x, 16, 19)
	for serial, want := range map[uint32]string{14: "/bin/a", 15: "/bin/b", 20: "/bin/b", 21: "/bin/b"} {
		if c := ask(x, at(int64(serial), serial), 1, 100); c.Self == nil || c.Self.Exe() != want || c.Self.HasArgs() != (want == "/bin/a") {
			t.Errorf("at %d: %+v", serial, c.Self)
		}
	}
	checkTable(t, x)
}

// TestOtherHosts: records of another node say nothing of this one's processes, nor are they asked of them.
func TestOtherHosts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		o     Options
		known bool
	}{
		{"the first node", Options{}, true},
		{"local", Options{IsLocal: func(node []byte) bool { return string(node) == "a" }}, true},
		{"not local", Options{IsLocal: func(node []byte) bool { return string(node) == "b" }}, false},
	} {
		x := NewTable(tt.o)
		var e event
		e.add(record.TypeSyscall, at(0, 10), "a", syscall(sysExec, 0, 0, 1, 100, "/bin/a"))
		e.add(record.TypeSyscall, at(1, 11), "a", syscall(sysOpen, 3, 0, 100, 200, "/bin/x"))
		x.Note(&e.Batch)
		var c Context
		if x.Of(&c, &e.Batch, 1, 2); (c.Parent != nil) != tt.known {
			t.Errorf("%s: %+v", tt.name, c.Parent)
		}
		var other event
		other.add(record.TypeSyscall, at(2, 12), "c", syscall(sysOpen, 3, 0, 100, 200, "/bin/x"))
		if x.Of(&c, &other.Batch, 0, 1) {
			t.Errorf("%s: another node has %+v", tt.name, c)
		}
	}
}
