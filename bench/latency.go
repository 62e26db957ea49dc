package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/test/lab"
)

// latencyGoals are the rates, in events a second, with the highest p99 the design allows
// the relay at each, in milliseconds.
var latencyGoals = []struct {
	rate int
	p99  float64
}{{100, 0.5}, {1000, 1}, {5000, 2}, {15000, 2.5}}

// passer is a program that passes its stdin on to the readers of a unix socket.
type passer struct {
	who   string
	relay bool
	argv  func(t *scope, dir, socket string) []string
}

func (b *bench) passers() []passer {
	return []passer{
		{relaySocket, true, func(t *scope, dir, socket string) []string {
			return []string{b.relay, "-c", b.relayConf(t, dir, "", unixSink("local", socket, ""))}
		}},
		{"socat - UNIX-LISTEN", false, func(t *scope, _, socket string) []string {
			return []string{tool(t, "socat"), "-u", "-", "UNIX-LISTEN:" + socket}
		}},
	}
}

// latency is what a program adds between the write of an event's SYSCALL record into its
// stdin and the moment a reader of its socket has that record.
func (b *bench) latency(t *scope) {
	for _, g := range latencyGoals {
		what := fmt.Sprintf("latency at %d events/s, p99", g.rate)
		for _, p := range b.passers() {
			if b.leavesOut(p.relay) {
				continue
			}
			b.measure(what, p.who, func(t *scope) {
				r := b.latencyOnce(t, p, g.rate)
				r.What = what
				if p.relay {
					r = r.goal(fmt.Sprintf("≤ %g", g.p99), r.Value <= g.p99)
				}
				b.add(r)
			})
		}
	}
}

func (b *bench) latencyOnce(t *scope, p passer, rate int) row {
	dir := b.caseDir(t)
	socket := filepath.Join(dir, "s")
	child := startChild(t, nil, p.argv(t, dir, socket)...)
	conn := dialPasser(t, socket)
	defer conn.Close()

	events := newTimedEvents(rate * b.seconds)
	arrived := make(chan error, 1)
	go func() { arrived <- events.receive(conn) }()
	began, err := lab.CPU(child.pid())
	lab.Check(t, err, "CPU time")
	lab.Check(t, events.send(child, rate), "feed %s", p.who)
	// A receiver that lost events waits until the connection is closed under it.
	late := time.AfterFunc(5*time.Second, func() { conn.Close() })
	err = <-arrived
	late.Stop()
	used, cpuErr := lab.CPU(child.pid())
	lab.Check(t, errors.Join(err, cpuErr), "read from %s", p.who)

	took := events.latencies()
	if len(took) == 0 {
		t.Fatalf("%s passed no event on", p.who)
	}
	ms := func(share float64) float64 {
		return took[min(int(share*float64(len(took))), len(took)-1)].Seconds() * 1e3
	}
	return row{Who: p.who, Value: ms(0.99), Unit: "ms", Detail: fmt.Sprintf("p50 %.2f, max %.1f, CPU %.0f µs an event, %d of %d arrived",
		ms(0.5), ms(1), (used-began).Seconds()*1e6/float64(len(events.sent)), len(took), len(events.sent))}
}

// dialPasser connects to a socket as soon as it is there.
func dialPasser(t *scope, socket string) *net.UnixConn {
	var last error
	for range 200 {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		if err == nil {
			time.Sleep(100 * time.Millisecond) // until it has accepted
			return conn
		}
		last = err
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("connect to the program: %v", last)
	return nil
}

// timedEvents are events of which the times are noted: element i is that of serial
// firstTimed + i, in nanoseconds since begin, 0 while it has not come.
type timedEvents struct {
	begin    time.Time
	sent     []atomic.Int64
	received []int64 // of the goroutine in receive, then of the one that waited for it
}

const firstTimed = 5_000_000

func newTimedEvents(count int) *timedEvents {
	return &timedEvents{begin: time.Now(), sent: make([]atomic.Int64, count), received: make([]int64, count)}
}

// An event of the load generator (test/lab), as auditd writes it.
const (
	timedSyscall = `arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffd5a0e3f90 a2=0 a3=0 items=1 ppid=1 pid=4711 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=3 comm="opener" exe="/usr/bin/opener" subj=unconfined key="labload"` + "\x1dARCH=x86_64 SYSCALL=openat AUID=\"user\" UID=\"root\" GID=\"root\" EUID=\"root\" SUID=\"root\" FSUID=\"root\" EGID=\"root\" SGID=\"root\" FSGID=\"root\""
	timedPath    = `item=0 name="/tmp/load/f000017" inode=1234 dev=00:2a mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0` + "\x1dOUID=\"root\" OGID=\"root\""
)

var timedRecords = [][2]string{{"SYSCALL", timedSyscall}, {"CWD", `cwd="/root"`}, {"PATH", timedPath}, {"PROCTITLE", "proctitle=6F70656E6572"}, {"EOE", ""}}

// send writes the events into the stdin of a program at an even rate, each record by
// itself, as auditd does.
func (e *timedEvents) send(c *child, rate int) error {
	runtime.LockOSThread() // for the slack of its timers, which is a thread's own
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return err
	}

	first := time.Now()
	var line []byte
	for i := range e.sent {
		if ahead := time.Until(first.Add(time.Duration(i) * time.Second / time.Duration(rate))); ahead > 50*time.Microsecond {
			pause := unix.NsecToTimespec(int64(ahead))
			_ = unix.Nanosleep(&pause, nil) // a signal that ends it early makes one event early
		}
		now := time.Now()
		id := fmt.Sprintf("audit(%d.%03d:%d)", now.Unix(), now.Nanosecond()/1e6, firstTimed+i)
		for n, r := range timedRecords {
			line = append(append(append(append(append(line[:0], "type="...), r[0]...), " msg="...), id...), ": "...)
			line = append(append(line, r[1]...), '\n')
			if n == 0 {
				e.sent[i].Store(int64(time.Since(e.begin)))
			}
			if _, err := unix.Write(int(c.feed.Fd()), line); err != nil {
				return err
			}
		}
	}
	return nil
}

// receive reads until the last SYSCALL record has come, or the connection ends, and notes when
// each of them came.
func (e *timedEvents) receive(conn *net.UnixConn) error {
	const mark = "type=SYSCALL msg=audit("
	buf := make([]byte, 1<<20)
	kept := 0
	for {
		n, err := conn.Read(buf[kept:])
		now := int64(time.Since(e.begin))
		if err != nil {
			return nil // those that have not come are counted
		}

		have := buf[:kept+n]
		end := bytes.LastIndexByte(have, '\n') + 1
		for line := range bytes.Lines(have[:end]) {
			rest, ok := bytes.CutPrefix(line, []byte(mark))
			if !ok {
				continue
			}
			_, rest, _ = bytes.Cut(rest, []byte{':'})
			digits, _, _ := bytes.Cut(rest, []byte{')'})
			serial, err := strconv.Atoi(string(digits))
			if err != nil || serial < firstTimed || serial-firstTimed >= len(e.received) {
				return fmt.Errorf("unexpected record %.80q", line)
			}
			e.received[serial-firstTimed] = now
		}
		if e.received[len(e.received)-1] != 0 {
			return nil
		}
		kept = copy(buf, have[end:])
	}
}

// latencies returns how long those events took that came, in ascending order.
func (e *timedEvents) latencies() []time.Duration {
	took := make([]time.Duration, 0, len(e.received))
	for i, at := range e.received {
		if at != 0 {
			took = append(took, time.Duration(at-e.sent[i].Load()))
		}
	}
	slices.Sort(took)
	return took
}
