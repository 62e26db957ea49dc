package syslog

import "time"

// unacked keeps the messages that were written to a TCP connection and not
// acknowledged by the peer's kernel. When the connection breaks they are sent
// again on the next: whole messages, in order, before any other. It never holds
// much more than the socket's send buffer.
type unacked struct {
	buf  []byte
	head int   // what lies before it in buf is acknowledged
	ends []int // of the messages from head on

	// What was acknowledged on the present connection: the peer's kernel has
	// had it, its server perhaps not.
	total  tally
	points []tally   // totals at earlier times, oldest first
	last   time.Time // something was acknowledged
}

// tally is an amount of messages.
type tally struct{ bytes, messages int64 }

// Points are so far apart, and reach back so far, 16 MiB, at least.
const (
	pointBytes = 4 << 10
	maxPoints  = 4096
)

// add appends the first n messages of c.
func (u *unacked) add(c *chunk, n int) {
	if n == 0 {
		return
	}
	if u.head > len(u.buf)/2 {
		u.compact()
	}
	base := len(u.buf)
	u.buf = append(u.buf, c.buf[:c.begin(n)]...)
	for _, m := range c.marks[:n] {
		u.ends = append(u.ends, base+m.end)
	}
}

// settle lets go of the messages that have nothing among the last n bytes.
func (u *unacked) settle(n int) {
	acked := len(u.buf) - max(n, 0)
	i, before := 0, u.head
	for i < len(u.ends) && u.ends[i] <= acked {
		u.head = u.ends[i]
		i++
	}
	if i > 0 {
		u.note()
		u.total.bytes += int64(u.head - before)
		u.total.messages += int64(i)
		u.last = time.Now()
	}
	u.ends = u.ends[:copy(u.ends, u.ends[i:])]
	if len(u.ends) == 0 {
		u.buf, u.head = u.buf[:0], 0
	}
}

func (u *unacked) note() {
	if len(u.points) == 2*maxPoints {
		u.points = u.points[:copy(u.points, u.points[maxPoints:])]
	}
	if k := len(u.points); k == 0 || u.total.bytes-u.points[k-1].bytes >= pointBytes {
		u.points = append(u.points, u.total)
	}
}

func (u *unacked) compact() {
	for i := range u.ends {
		u.ends[i] -= u.head
	}
	u.buf = u.buf[:copy(u.buf, u.buf[u.head:])]
	u.head = 0
}

// bytes returns the messages kept. They are valid until the next call of add.
func (u *unacked) bytes() []byte { return u.buf[u.head:] }

// forget lets go of everything.
func (u *unacked) forget() {
	u.settle(0)
	u.fresh()
}

// fresh begins with another connection.
func (u *unacked) fresh() { u.total, u.points = tally{}, u.points[:0] }

// newest returns how many messages the last n acknowledged bytes are, or a few more.
func (u *unacked) newest(n int) int {
	before := int64(0) // of the last point that is n bytes or more ago
	for _, p := range u.points {
		if u.total.bytes-p.bytes < int64(n) {
			break
		}
		before = p.messages
	}
	return int(u.total.messages - before)
}
