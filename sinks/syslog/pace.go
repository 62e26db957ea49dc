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
// a sender that waits for room, blocked or in poll(2), is woken for each message
// read: a switch a message costs more than all else. So the sender naps until
// most of what it has sent is read, and fills the room in one call. README.md has
// the figures.
const (
	minNap = time.Microsecond // and what the kernel adds, 50 µs of timer slack
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

// napping is how many sinks hold a processor in a nap, or are about to.
var napping atomic.Int32

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
// since the last wait. It returns errStalled when there was no room for long,
// or ctx's error.
func (p *pace) wait(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n > 0 {
		p.stuck = 0
	} else if p.stuck++; p.stuck == 1 {
		p.since = time.Now()
	}
	if p.stuck > shortWaits {
		return p.rest(ctx)
	}
	p.sleep()
	return nil
}

// sleep naps, and adapts the nap so that the receiver has read most of what was
// sent but does not run dry.
func (p *pace) sleep() {
	before := p.unread()
	ts := unix.NsecToTimespec(int64(max(p.nap, minNap)))
	// A nap that Go's scheduler knows of costs two to four times as much, because
	// it hands the processor on and takes it back. So it does not learn of it, as long as
	// another processor is left for everyone else.
	if napping.Add(1) < int32(runtime.GOMAXPROCS(0)) {
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
	} else {
		_ = unix.Nanosleep(&ts, nil) // an early end does no harm
	}
	napping.Add(-1)
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
