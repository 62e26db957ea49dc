package process

import (
	"fmt"
	"testing"

	"audisp-relay/audit/record"
)

// TestForksWithFlagsElsewhere: clone3(2) has its flags in memory, so that the parent of what it made is only known when an event of that says
// it (CLONE_PARENT); clone(2) of s390x has them in a1.
func TestForksWithFlagsElsewhere(t *testing.T) {
	begin := func(result string) *Table {
		x := NewTable(Options{})
		x.o.Live = true
		x.reuse.note(sample{Millis: start, Last: 500, Max: 1 << 22})
		exec(x, at(0, 10), 1, 99, "/bin/login", "login")
		exec(x, at(0, 11), 99, 100, "/bin/bash", "bash")
		give(x, at(1, 12), result+` items=0 ppid=99 pid=100 auid=1000 uid=0 gid=0 tty=pts0 ses=1 comm="bash" exe="/bin/bash" key=(null)`)
		x.tellHost(ask(x, at(1, 12), 99, 100).Self, start+2)
		return x
	}
	const clone3 = "arch=c000003e syscall=435 success=yes exit=101 a0=7fff1234 a1=58 a2=0 a3=0"
	const onS390 = "arch=80000016 syscall=120 success=yes exit=101 a0=%x a1=%x a2=0 a3=0"

	x := begin(clone3)
	c := ask(x, at(2, 13), 101, 102)
	if c.Parent == nil || !isArgs(c.Parent, "bash") || c.Parent.PPID() != 0 || c.Depth != 0 {
		t.Errorf("101 runs what 100 runs, and its parent may be any: %+v, %d ancestors", c.Parent, c.Depth)
	}
	give(x, at(3, 13), syscall(sysOpen, 3, 0, 99, 101, "/bin/bash"))
	if c = ask(x, at(4, 14), 101, 102); c.Parent == nil || c.Parent.PPID() == 100 || c.Ancestors[0] != nil && c.Ancestors[0].PID() == 100 {
		t.Errorf("its parent is 99: %+v, %+v", c.Parent, c.Ancestors[0])
	}

	x = begin(clone3)
	give(x, at(3, 13), syscall(sysOpen, 3, 0, 100, 101, "/bin/bash"))
	if c = ask(x, at(4, 14), 101, 102); c.Parent == nil || c.Parent.PPID() != 100 || c.Depth == 0 || c.Ancestors[0].PID() != 100 {
		t.Errorf("its event says it: %+v, %d ancestors", c.Parent, c.Depth)
	}

	const flags, stack uint64 = 0x1200011, 0x3ff80018000 // which has the bits of otherChild
	x = begin(fmt.Sprintf(onS390, stack, flags))
	if c = ask(x, at(2, 13), 101, 102); c.Parent == nil || c.Parent.PPID() != 100 {
		t.Errorf("a child on s390x: %+v", c.Parent)
	}
	x = begin(fmt.Sprintf(onS390, uint64(0x3ff80000000), 0x3d0f00))
	if c = ask(x, at(2, 13), 101, 102); c.Parent != nil {
		t.Errorf("a thread on s390x: %+v", c.Parent)
	}
	checkTable(t, x)
}

// TestForkInAContainerHidesNobody: in a pid namespace of their own anybody may choose the numbers that forks return, and make one while an event is
// on its way. What is known of the host's process of that number stays.
func TestForkInAContainerHidesNobody(t *testing.T) {
	x := NewTable(Options{})
	x.o.Live = true
	x.reuse.note(sample{Millis: start, Last: 500, Max: 1 << 22})
	exec(x, at(0, 10), 1, 300, "/usr/sbin/nginx", "nginx", "-g")
	exec(x, at(1, 11), 1, 400, "/bin/other", "other")
	give(x, at(2, 13), syscall(sysClone, 300, 0x11, 1, 400, "/bin/other"))
	quiet(x, 12, 12)
	if c := ask(x, at(20, 14), 300, 301); c.Parent == nil || !isArgs(c.Parent, "nginx", "-g") {
		t.Errorf("the parent is nginx: %+v", c.Parent)
	}

	// Once the kernel has come past the number, it may be a child's.
	x.sample(sample{Millis: start + 1000, Ran: 1000, Last: 600, Max: 1 << 22})
	x.sample(sample{Millis: start + 2000, Ran: 2000, Last: 550, Max: 1 << 22}) // all the way round
	give(x, at(2100, 15), syscall(sysClone, 300, 0x11, 1, 400, "/bin/other"))
	if c := ask(x, at(2101, 16), 300, 301); c.Parent != nil {
		t.Errorf("the parent is not known: %+v", c.Parent)
	}
	checkTable(t, x)
}

// TestOperationOfIOUring: a thread of the kernel's does it for the process, which its record names.
func TestOperationOfIOUring(t *testing.T) {
	x := NewTable(Options{})
	exec(x, at(0, 10), 1, 100, "/bin/bash", "bash", "-l")
	exec(x, at(5, 11), 100, 101, "/usr/bin/id", "id")
	var e event
	e.add(record.TypeCWD, at(9, 12), "", `cwd="/"`)
	e.add(record.TypeUring, at(9, 12), "", "uring_op=18 success=yes exit=4 items=1 ppid=100 pid=101 uid=0 gid=0 key=(null)")
	var c Context
	if !x.Of(&c, &e.Batch, 0, 2) || c.Self.Exe() != "/usr/bin/id" || c.PPID != 100 || !isArgs(c.Parent, "bash", "-l") || c.IsExec {
		t.Errorf("%+v", c)
	}
	e.add(record.TypeSyscall, at(9, 12), "", syscall(426, 1, 0, 1, 100, "/bin/bash"))
	if !x.Of(&c, &e.Batch, 0, 3) || c.Self.Exe() != "/bin/bash" {
		t.Errorf("the system call's process: %+v", c.Self)
	}
}
