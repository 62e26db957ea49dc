package syslog

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A receiver's socket takes net.unix.max_dgram_qlen messages (10 by default), and
// a sender that waits for room in the kernel is woken for each message read, which
// with a slow receiver costs more than all else. So the sender can also nap until
// most of what it has sent is read, and fill the room in one call. Which of the two
// is cheaper is measured (see choice). README.md has the figures.
const (
	minNap = time.Microsecond // the kernel adds 50 µs, its timer slack
	maxNap = 200 * time.Microsecond

	// shortWaits is how many naps without any room follow one another; after
	// that the receiver is taken to have stopped.
	shortWaits = 50
	maxRest    = 20 * time.Millisecond
	// stallLimit is when a receiver that does not read is worth a complaint.
	stallLimit = 10 * time.Second
)

var (
	errStalled = errors.New("the receiver has not read anything for 10s: its socket is full")
	errUnread  = advise(errors.New("the receiver has not read all it was sent for 10s"), "see what the syslog daemon waits for, or restart it")
)

// holding is how many sinks hold one of Go's processors while they wait, or are about to.
var holding atomic.Int32

// mayHold reports whether a processor is left for everyone else while the caller holds
// its own in a raw system call that sleeps; an ordinary one costs two to four times as
// much, because Go's scheduler hands the processor on and takes it back. letGo follows
// in both cases.
func mayHold() bool { return holding.Add(1) < int32(runtime.GOMAXPROCS(0)) }

func letGo() { holding.Add(-1) }

// pace waits for room at a receiver.
type pace struct {
	fd    int
	nap   time.Duration
	stuck int       // waits in a row that gained no room
	since time.Time // of the first of these
}

// progress says that messages went without a wait.
func (p *pace) progress() { p.stuck = 0 }

// wait returns when there is likely to be room; n is how many messages have gone
// since the last wait, and how the way in which they were sent. It returns errStalled
// when there was no room for long, or ctx's error.
func (p *pace) wait(ctx context.Context, n int, how way) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n > 0 {
		p.stuck = 0
	} else if p.stuck++; p.stuck == 1 {
		p.since = time.Now()
	}
	switch {
	case p.stuck > shortWaits:
		return p.rest(ctx)
	case n > 0 && how == inSend:
		return nil // the kernel has waited
	}
	p.sleep()
	return nil
}

// sleep naps, and adapts the nap so that the receiver has read most of what was
// sent but does not run dry.
func (p *pace) sleep() {
	before := p.unread()
	ts := unix.NsecToTimespec(int64(max(p.nap, minNap)))
	if mayHold() {
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
	} else {
		_ = unix.Nanosleep(&ts, nil) // an early end does no harm
	}
	letGo()

	switch left := p.unread(); {
	case left == 0:
		p.nap = p.nap * 3 / 4
	case left > before/4:
		p.nap = min(p.nap*5/4+minNap, maxNap)
	}
}

// unread is the memory that what was sent and not read takes.
func (p *pace) unread() int {
	n, _ := unix.IoctlGetInt(p.fd, unix.SIOCOUTQ) // of an error 0
	return n
}

// rest is a long wait, up to maxRest, for a receiver that has stopped.
func (p *pace) rest(ctx context.Context) error {
	if time.Since(p.since) > stallLimit {
		return errStalled
	}
	select {
	case <-time.After(min(time.Duration(p.stuck-shortWaits)*time.Millisecond, maxRest)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
