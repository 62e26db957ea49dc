package syslog

// unacked keeps the messages that were written to a TCP connection and not
// acknowledged by the peer's kernel. When the connection breaks they are sent
// again on the next: whole messages, in order, before any other. It never holds
// much more than the socket's send buffer.
type unacked struct {
	buf  []byte
	head int   // what lies before it in buf is acknowledged
	ends []int // of the messages from head on
}

// add appends the first n messages of c.
func (u *unacked) add(c *chunk, n int) {
	if n == 0 {
		return
	}
	if u.head > len(u.buf)/2 {
		u.compact()
	}
	base := len(u.buf)
	u.buf = append(u.buf, c.buf[:c.marks[n-1].end]...)
	for _, m := range c.marks[:n] {
		u.ends = append(u.ends, base+m.end)
	}
}

// settle lets go of the messages of which nothing is among the last n bytes.
func (u *unacked) settle(n int) {
	acked := len(u.buf) - max(n, 0)
	i := 0
	for i < len(u.ends) && u.ends[i] <= acked {
		u.head = u.ends[i]
		i++
	}
	u.ends = u.ends[:copy(u.ends, u.ends[i:])]
	if len(u.ends) == 0 {
		u.buf, u.head = u.buf[:0], 0
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
func (u *unacked) forget() { u.settle(0) }
