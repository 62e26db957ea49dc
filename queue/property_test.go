package queue

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
)

// TestPropertyBalanceAndOrder drives a queue through random schedules of puts,
// clients that come, read, stall and go, suspensions and changes of policy. After
// each step the balance holds and so do the bounds, and nothing counts as delivered that
// no client took; every client sees serials rise.
func TestPropertyBalanceAndOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			Depth:  rapid.IntRange(1, 40).Draw(t, "depth"),
			Bytes:  int64(rapid.IntRange(60, 4000).Draw(t, "bytes")),
			Action: rapid.SampledFrom([]Overflow{Ignore, Syslog, Suspend}).Draw(t, "action"),
			Slow:   rapid.SampledFrom([]Slow{"", Disconnect, Drop}).Draw(t, "slow"),
			Hold:   rapid.Bool().Draw(t, "hold"),
		}
		q := New(Options{Config: cfg})
		m := &model{q: q, next: 1, had: make(map[string]bool)}
		t.Repeat(map[string]func(*rapid.T){
			"put":     m.put,
			"connect": m.connect,
			"read":    m.read,
			"leave":   m.leave,
			"resume":  func(*rapid.T) { q.Resume() },
			"":        func(t *rapid.T) { m.check(t) },
		})
	})
}

type client struct {
	cur    *Cursor
	serial uint32
}

type model struct {
	q       *Queue
	next    int
	clients []*client
	biggest int             // records of the largest event put
	had     map[string]bool // records that some client took
}

func (m *model) put(t *rapid.T) {
	n, per := rapid.IntRange(1, 30).Draw(t, "events"), rapid.IntRange(1, 6).Draw(t, "records")
	m.q.Put(events(m.next, n, per))
	m.next += n
	m.biggest = max(m.biggest, per)
}

func (m *model) connect(t *rapid.T) {
	if len(m.clients) < 4 && (m.q.cfg.Slow != "" || len(m.clients) == 0) {
		m.clients = append(m.clients, &client{cur: m.q.Cursor()})
	}
}

func (m *model) pick(t *rapid.T) int {
	if len(m.clients) == 0 {
		t.Skip("no client is connected")
	}
	return rapid.IntRange(0, len(m.clients)-1).Draw(t, "client")
}

func (m *model) read(t *rapid.T) {
	i := m.pick(t)
	c := m.clients[i]
	b, err := c.cur.Take()
	if errors.Is(err, ErrEvicted) {
		c.cur.Close()
		m.clients = append(m.clients[:i], m.clients[i+1:]...)
		return
	}
	if len(b.Recs) == 0 {
		return
	}
	// A put between Take and Advance may make the client skip.
	if rapid.Bool().Draw(t, "put meanwhile") {
		m.put(t)
	}
	n := rapid.IntRange(0, len(b.Recs)).Draw(t, "taken")
	for k := range n {
		if s := b.Recs[k].Serial; s < c.serial {
			t.Fatalf("serial %d after %d", s, c.serial)
		} else {
			c.serial = s
		}
		if want := text(*events(int(c.serial), 1, 1))[:20]; string(b.Bytes(k))[:20] != want {
			t.Fatalf("record %q under serial %d", b.Bytes(k), c.serial)
		}
	}
	for k := range n {
		m.had[string(b.Bytes(k))] = true
	}
	c.cur.Advance(n)
}

func (m *model) leave(t *rapid.T) {
	i := m.pick(t)
	m.clients[i].cur.Close()
	m.clients = append(m.clients[:i], m.clients[i+1:]...)
}

func (m *model) check(t *rapid.T) {
	c := m.q.Counts()
	if sum := c.Delivered + c.Filtered + c.Discarded + c.Queued + c.LostRecords(); sum != c.Received {
		t.Fatalf("received %d, accounted for %d: %+v", c.Received, sum, c)
	}
	if c.Delivered > uint64(len(m.had)) {
		t.Fatalf("%d delivered, but %d taken by any client", c.Delivered, len(m.had))
	}
	if int(c.Queued) > max(m.q.cfg.Depth, m.biggest) {
		t.Fatalf("%d records queued, bound %d, largest event %d", c.Queued, m.q.cfg.Depth, m.biggest)
	}
	var held int64
	var recs []record.Record
	for _, blk := range m.q.blocks {
		for i := range blk.recs {
			if blk.first+uint64(i) >= m.q.head {
				held += int64(blk.recs[i].Len)
				recs = append(recs, blk.recs[i])
			}
		}
	}
	if held != c.QueuedBytes || len(recs) != int(m.q.tail-m.q.head) {
		t.Fatalf("%d bytes and %d records held, %d and %d counted", held, len(recs), c.QueuedBytes, m.q.tail-m.q.head)
	}
	if !m.q.cfg.Hold && len(m.q.cursors) == 0 && c.Queued != 0 {
		t.Fatalf("%d records held for no client", c.Queued)
	}
}
