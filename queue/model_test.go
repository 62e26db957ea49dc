package queue

import (
	"errors"
	"io"
	"regexp"
	"strconv"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
)

// spoolModel drives a queue with a spool through what can happen to it, over
// several runs of the relay. All of it runs in a bubble of synctest: waits cost
// nothing, and after each step the spiller is at rest.
type spoolModel struct {
	q    *Queue
	cfg  Config
	disk storage

	whole      bool // events are put, taken and acknowledged whole
	next       int  // serial of the next event
	saved      Position
	clients    []*client
	hadNow     map[string]bool   // those that some client took in this run
	put        map[string]bool   // records put in all runs
	reported   map[string]bool   // markers, over all runs: one may be stored and come in the next
	reportedOf [NumCauses]uint64 // records they report
	lost       [NumCauses]uint64 // records lost in the runs before
	several    bool              // there may have been more than one client
	killed     bool              // or ended while the disk hung
	had        map[string]bool   // records taken in all runs
	gone       uint64            // records lost or discarded in the runs before
	biggest    int               // records of the largest event put
	deepest    int               // largest Depth so far
	at         uint64            // last position in this run
}

// storage is a disk that can be killed and that can fail.
type storage interface {
	open(t *rapid.T) disk
	kill()            // what is there now is what the next open finds
	fault(t *rapid.T) // changes what is wrong with it
	damage(t *rapid.T)
	check(t *rapid.T)
	hangs() bool
	repair()
	end()
	remove()
}

var markerLine = regexp.MustCompile(`^type=DAEMON_ERR msg=audit\(\d+\.\d{3}:\d+\): op=relay-loss sink=box ` +
	`cause=([a-z-]+) records=(\d+) events=\d+ first=\d+ last=\d+ res=failed\n$`)

func (m *spoolModel) start(t *rapid.T) {
	m.hadNow, m.at = make(map[string]bool), 0
	m.clients = nil
	m.q = start(Options{Config: m.cfg, Name: "box", Position: m.saved}, m.disk.open(t))
}

func (m *spoolModel) drawConfig(t *rapid.T) {
	m.cfg = Config{
		Depth:   rapid.IntRange(1, 60).Draw(t, "depth"),
		Bytes:   int64(rapid.IntRange(60, 4000).Draw(t, "bytes")),
		Action:  rapid.SampledFrom([]Overflow{Ignore, Suspend}).Draw(t, "action"),
		Slow:    rapid.SampledFrom([]Slow{"", "", "", Disconnect, Drop}).Draw(t, "slow"),
		Hold:    rapid.IntRange(0, 3).Draw(t, "hold") > 0,
		Markers: true,
		Whole:   m.whole,
	}
	m.several = m.several || m.cfg.Slow != ""
	m.deepest = max(m.deepest, m.cfg.Depth)
}

func (m *spoolModel) putSome(t *rapid.T) {
	n, per := rapid.IntRange(1, 30).Draw(t, "events"), rapid.IntRange(1, 6).Draw(t, "records")
	b := events(m.next, n, per)
	m.next += n
	m.biggest = max(m.biggest, per)
	for i := range b.Recs {
		m.put[string(b.Bytes(i))] = true
		if m.whole && (i+1)%per == 0 {
			b.Recs[i].Flags |= record.End
		}
	}
	m.q.Put(b)
}

// pass lets events go by that the consumer does not want.
func (m *spoolModel) pass(t *rapid.T) {
	n := rapid.IntRange(1, 5).Draw(t, "events")
	m.q.Skip(events(m.next, n, 2))
	m.next += n
}

// ends reports whether an event or a marker ends before record n of a batch.
func ends(b record.Batch, n int) bool {
	return n == 0 || b.Recs[n-1].Flags&(record.End|record.Marker) != 0
}

func (m *spoolModel) connect(t *rapid.T) {
	if len(m.clients) < 3 && (m.cfg.Slow != "" || len(m.clients) == 0) {
		m.clients = append(m.clients, &client{cur: m.q.Cursor()})
	}
}

func (m *spoolModel) pick(t *rapid.T) int {
	if len(m.clients) == 0 {
		t.Skip("no client is connected")
	}
	return rapid.IntRange(0, len(m.clients)-1).Draw(t, "client")
}

// read lets a client take a batch or a part of it.
func (m *spoolModel) read(t *rapid.T) {
	i := m.pick(t)
	c := m.clients[i]
	b, err := c.cur.Take()
	if errors.Is(err, ErrEvicted) {
		m.leave(i)
		return
	}
	if len(b.Recs) > 0 && rapid.Bool().Draw(t, "put meanwhile") {
		m.putSome(t)
		synctest.Wait()
	}
	n := rapid.IntRange(0, len(b.Recs)).Draw(t, "taken")
	for m.whole && !ends(b, n) {
		n--
	}
	m.took(t, c, b, n)
	c.cur.Advance(n)
}

// took holds the first n records of b against what the client had before.
func (m *spoolModel) took(t *rapid.T, c *client, b record.Batch, n int) {
	if m.whole && !ends(b, len(b.Recs)) {
		t.Fatalf("a batch of %d records ends within an event", len(b.Recs))
	}
	for k := range n {
		line := string(b.Bytes(k))
		if b.Recs[k].Flags&record.Marker != 0 {
			g := markerLine.FindStringSubmatch(line)
			if g == nil {
				t.Fatalf("marker %q", line)
			}
			for cause := range NumCauses {
				if cause.String() == g[1] && !m.reported[line] {
					n, _ := strconv.ParseUint(g[2], 10, 64)
					m.reportedOf[cause] += n
				}
			}
			m.reported[line] = true
			continue
		}
		if !m.put[line] {
			t.Fatalf("%q was never put", line)
		}
		if s := b.Recs[k].Serial; s < c.serial {
			t.Fatalf("serial %d after %d", s, c.serial)
		} else {
			c.serial = s
		}
		m.hadNow[line], m.had[line] = true, true
	}
}

func (m *spoolModel) leave(i int) {
	m.clients[i].cur.Close()
	m.clients = append(m.clients[:i], m.clients[i+1:]...)
}

func (m *spoolModel) check(t *rapid.T) {
	synctest.Wait()
	sound(t, m.q)
	m.disk.check(t)
	m.bounded(t)
	p := m.q.Position()
	if p.Number < m.at {
		t.Fatalf("position %d after %d", p.Number, m.at)
	}
	m.at = p.Number
	m.checkPosition(t, p)
	c := m.q.Counts()
	if c.Delivered > uint64(len(m.hadNow)) {
		t.Fatalf("%d delivered, but %d taken by any client", c.Delivered, len(m.hadNow))
	}
	if !m.cfg.Hold && len(m.clients) == 0 && c.Queued != 0 {
		t.Fatalf("%d records held for no client", c.Queued)
	}
}

// checkPosition holds that no record that is held comes before the position.
func (m *spoolModel) checkPosition(t *rapid.T, p Position) {
	m.q.mu.Lock()
	defer m.q.mu.Unlock()
	if len(m.q.blocks) == 0 || m.q.blocks[0].recs == nil || p.First || !p.HasID {
		return
	}
	blk := m.q.blocks[0]
	for _, r := range blk.recs[m.q.head-min(blk.first, m.q.head):] {
		if r.Flags&record.Marker == 0 && r.Serial < p.ID.Serial {
			t.Fatalf("position after event %d, and %d is held", p.ID.Serial, r.Serial)
		}
	}
}

// bounded holds that no more is in memory than the bounds allow, but for what
// clients are at and the markers between.
func (m *spoolModel) bounded(t *rapid.T) {
	m.q.mu.Lock()
	defer m.q.mu.Unlock()
	if n := m.q.fresh.recs; n > max(m.deepest, m.biggest)+2*int(NumCauses) {
		t.Fatalf("%d records in memory that are not stored, Depth %d, largest event %d", n, m.deepest, m.biggest)
	}
	for _, blk := range m.q.cached {
		if m.q.crowded() && blk.views == 0 && !m.q.near(blk) {
			t.Fatalf("records %d to %d are in memory, which is full, for no client", blk.first, blk.end)
		}
	}
}

// again ends this run, in order or not, and begins the next.
func (m *spoolModel) again(t *rapid.T) {
	kill := rapid.Bool().Draw(t, "kill")
	if kill {
		m.killed = true
		synctest.Wait()
		m.disk.kill()
	}
	m.finish(t, kill)
	if !kill {
		m.saved = m.q.Position()
	}
	m.start(t)
}

func (m *spoolModel) finish(t *rapid.T, killed bool) {
	m.q.Close()
	if !killed && rapid.Bool().Draw(t, "drain") {
		m.disk.repair()
		m.drain(t)
	}
	for len(m.clients) > 0 {
		m.leave(0)
	}
	m.killed = m.killed || m.disk.hangs() // what it stores when it continues counts as lost
	m.q.Shutdown()
	synctest.Wait()
	sound(t, m.q)
	m.disk.check(t)
	m.disk.end()
	n := m.q.Counts()
	for cause := range NumCauses {
		m.lost[cause] += n.Lost[cause].Records
	}
	m.gone += n.LostRecords() + n.Discarded
}

// drain lets one client take everything. Then the balance has no rest, and what
// was reported is what was counted.
func (m *spoolModel) drain(t *rapid.T) {
	for len(m.clients) > 1 {
		m.leave(1)
	}
	if len(m.clients) == 0 {
		m.connect(t)
	}
	c := m.clients[0]
	for {
		b, err := c.cur.Take()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, ErrEvicted) {
			m.leave(0)
			m.connect(t)
			c = m.clients[0]
			continue
		}
		if len(b.Recs) == 0 {
			<-c.cur.Ready()
			continue
		}
		m.took(t, c, b, len(b.Recs))
		c.cur.Advance(len(b.Recs))
	}
	synctest.Wait()
	n := m.q.Counts()
	if n.Queued != 0 || n.QueuedBytes != 0 {
		t.Fatalf("everything was taken, but %+v", n)
	}
	if m.several {
		return
	}
	if n.Delivered > uint64(len(m.hadNow)) || (m.cfg.Hold && n.Discarded == 0 && n.Delivered != uint64(len(m.hadNow))) {
		t.Fatalf("%d records were taken, %d count as delivered", len(m.hadNow), n.Delivered)
	}
	sum, put := uint64(len(m.had))+m.gone+n.LostRecords()+n.Discarded, uint64(len(m.put))
	if !m.killed && sum != put {
		t.Fatalf("%d records were put in all runs, but %d taken, lost or discarded", len(m.put), sum)
	}
	for cause := range NumCauses {
		if lost := m.lost[cause] + n.Lost[cause].Records; lost < m.reportedOf[cause] {
			t.Fatalf("%s: %d lost, %d reported", cause, lost, m.reportedOf[cause])
		}
	}
}

// inBubble hides Deadline, which must not be asked for in a bubble.
type inBubble struct{ testing.TB }

// TestPropertyBalanceWithASpool: over random schedules of puts, clients, policies, restarts,
// kills and faults of the disk, the ledger balances after each step, records
// come in order and unaltered, and none comes that was not put.
func TestPropertyBalanceWithASpool(t *testing.T) {
	for name, st := range map[string]func(*rapid.T) storage{
		"faults": func(t *rapid.T) storage {
			return &memStorage{d: newMemDisk(int64(rapid.IntRange(100, 20000).Draw(t, "disk")))}
		},
		"files": func(t *rapid.T) storage { return newFileStorage() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rapid.Check(inBubble{t}, func(t *rapid.T) {
					m := &spoolModel{disk: st(t), next: 1, whole: rapid.Bool().Draw(t, "whole"), put: make(map[string]bool), reported: make(map[string]bool), had: make(map[string]bool)}
					m.drawConfig(t)
					m.start(t)
					defer func() { m.disk.repair(); m.q.Shutdown(); m.disk.remove() }()
					t.Repeat(map[string]func(*rapid.T){
						"put":     m.putSome,
						"put2":    m.putSome,
						"connect": m.connect,
						"read":    m.read,
						"read2":   m.read,
						"leave":   func(t *rapid.T) { m.leave(m.pick(t)) },
						"resume":  func(*rapid.T) { m.q.Resume() },
						"save":    func(*rapid.T) { m.saved = m.q.Position() },
						"note":    func(*rapid.T) { m.q.RecordUpstreamLoss(Upstream, Loss{Records: 2, Events: 1, First: 5, Last: 5}) },
						"config": func(t *rapid.T) {
							m.drawConfig(t)
							m.q.SetConfig(m.cfg)
						},
						"again":  m.again,
						"pass":   m.pass,
						"fault":  m.disk.fault,
						"damage": func(t *rapid.T) { m.disk.damage(t) },
						"":       m.check,
					})
					m.disk.kill()
					m.finish(t, false)
				})
			})
		})
	}
}
