package syslog

import (
	"time"

	"golang.org/x/sys/unix"
)

// way is a way to wait for room in the socket of a local daemon.
type way int

const (
	byNap  way = iota // sleep for a while, then send what fits
	inSend            // let sendmmsg(2) wait, woken for each message that was read
	ways
)

const (
	// window is how many messages are sent in one way before the two are compared.
	window = 256
	// tryEvery is how many windows go by before the dearer way is measured again:
	// if it is twice as dear that costs 3 %.
	tryEvery = 32
)

// choice finds the way that takes less CPU time a message. That depends on how dear
// timers and wake-ups are on this machine, virtual ones above all, and on how fast the
// daemon reads, so both are measured while messages go. The zero value begins with a
// window of each. It belongs to the goroutine that sends.
type choice struct {
	way way // for the next messages

	messages int           // sent in this window
	cpu      time.Duration // that they took
	windows  int

	// cost is the CPU time a message, in ns, smoothed over eight windows; 0 is not
	// measured yet.
	cost [ways]float64
}

// learn notes that messages went in c.way and took cpu, and chooses the next
// way after each window.
func (c *choice) learn(messages int, cpu time.Duration) {
	c.messages += messages
	c.cpu += cpu
	if c.messages < window {
		return
	}

	sample := float64(c.cpu) / float64(c.messages)
	cost := &c.cost[c.way]
	if *cost == 0 {
		*cost = sample
	} else {
		*cost += (sample - *cost) / 8
	}
	c.messages, c.cpu = 0, 0

	cheaper, dearer := byNap, inSend
	if c.cost[inSend] < c.cost[byNap] {
		cheaper, dearer = inSend, byNap
	}
	c.windows++
	c.way = cheaper
	if c.windows%tryEvery == 0 {
		c.way = dearer
	}
}

// threadTime returns the CPU time that the calling thread has taken.
func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // of an error 0 for both ways, which is no choice
	return time.Duration(t.Nano())
}
