package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/host/athand"
)

// TestDropsLast: nothing is left of a process whose last program turns out to be another's.
func TestDropsLast(t *testing.T) {
	x := NewTable(Options{})
	exec(x, at(0, 10), 1, 100, "/bin/bash", "bash")
	for n := range uint32(3) {
		give(x, at(int64(5*n+1), 5*n+11), syscall(sysOpen, 3, 0, 1, 200, fmt.Sprint("/bin/", n)))
	}
	for p := x.byPID[200]; p != nil; p = x.byPID[200] {
		x.remove(p)
	}
	checkTable(t, x)
}

// TestPoisonSaysNothing: an event that has ended the process counts as one that is lost, and others are noted while they are read.
func TestPoisonSaysNothing(t *testing.T) {
	poison := at(1, 11)
	memory, page := audittest.AtHand(t, athand.ID{Millis: poison.Millis, Serial: poison.Serial})
	var noted []athand.ID
	x := NewTable(Options{AtHand: page, Places: func(int, int64) (unit, container string, ok bool) {
		noted = append(noted, athand.Collect(memory)...)
		return "", "", false
	}})
	before := exec(x, at(0, 10), 1, 100, "/bin/bash", "bash")
	exec(x, poison, 100, 101, "/bin/bad", "bad")
	after := exec(x, at(2, 12), 100, 102, "/bin/ls", "ls")

	if want := []athand.ID{{Millis: before.Millis, Serial: before.Serial}, {Millis: after.Millis, Serial: after.Serial}}; !slices.Equal(noted, want) {
		t.Errorf("noted %v, want %v", noted, want)
	}
	for pid, known := range map[int]bool{100: false, 101: false, 102: true} {
		if c := ask(x, at(3, 13), 1, pid); (c.Self != nil) != known {
			t.Errorf("process %d: %+v", pid, c.Self)
		}
	}
	if ids := athand.Collect(memory); len(ids) != 0 {
		t.Errorf("%v is still at hand", ids)
	}
	checkTable(t, x)
}

// TestForgottenWhileLookedAt: the clock is set back while Follow looks at a process in /proc.
func TestForgottenWhileLookedAt(t *testing.T) {
	x := NewTable(Options{})
	x.o.Live = true
	x.reuse.note(sample{Millis: start, Ran: 1, Last: 500, Max: 1 << 22})
	exec(x, at(0, 10), 1, 100, "/bin/bash", "bash")
	p := ask(x, at(1, 10), 1, 100).Self
	if p == nil {
		t.Fatal("it is not known")
	}
	x.sample(sample{Millis: start - 10_000, Ran: 1001, Last: 500, Max: 1 << 22})
	x.tellHost(p, start-9999)
	if len(x.byPID) != 0 || p.state&hostPIDs != 0 {
		t.Errorf("%d processes, %+v", len(x.byPID), p)
	}
	checkTable(t, x)
}

// TestBounds: what is held is bounded whatever comes, and who is asked for stays longest.
func TestBounds(t *testing.T) {
	x := NewTable(Options{MaxBytes: 100_000})
	exec(x, at(0, 1), 1, 7, "/usr/sbin/sshd", "sshd")
	for n := range 20_000 {
		exec(x, at(int64(n), uint32(n+2)), 7, 10_000+n%3000, fmt.Sprint("/bin/", n), "x", strings.Repeat("y", n%900))
		if n%100 == 0 {
			if p := ask(x, at(int64(n), uint32(n+2)), 7, 8).Parent; p == nil {
				t.Fatalf("the parent is not known any more after %d", n)
			}
			checkTable(t, x)
		}
	}
	for n := range 2000 { // one process alone
		exec(x, at(30_000+int64(n), uint32(20_002+n)), 7, 9, fmt.Sprint("/bin/", n), "x")
	}
	checkTable(t, x)
}

// TestWaitingIsBounded: those that wait for the kernel's next pid take no more memory than those in the table.
func TestWaitingIsBounded(t *testing.T) {
	x := NewTable(Options{MaxBytes: 100_000})
	x.o.Live = true
	x.reuse.note(sample{Millis: start, Ran: 1, Last: 500, Max: 1 << 22})
	waiting := func() (bytes int) {
		for _, p := range x.fresh {
			bytes += p.size()
		}
		return bytes
	}
	for n := range 1000 {
		exec(x, at(1, uint32(n+2)), 1, 10_000+n, "/"+strings.Repeat("x", 4000), "x")
	}
	if got := waiting(); got == 0 || got > x.o.MaxBytes+8192 {
		t.Errorf("%d bytes wait", got)
	}
	x.sample(sample{Millis: start + 1000, Ran: 1001, Last: 11_000, Max: 1 << 22})
	if len(x.fresh) != 0 {
		t.Errorf("%d wait", len(x.fresh))
	}
	checkTable(t, x)
}

func TestNobodyKnowsAnything(t *testing.T) {
	var e event
	e.add(record.TypeSyscall, at(0, 10), "", syscall(sysOpen, 3, 0, 1, 100, "/bin/x"))
	var none *Current
	c := Context{Depth: 3}
	if none.Of(&c, &e.Batch, 0, 1) || new(Current).Of(&c, &e.Batch, 0, 1) || c.Depth != 0 {
		t.Errorf("%+v", c)
	}
}
