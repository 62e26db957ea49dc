package queue

import (
	"testing"
	"testing/synctest"

	"audisp-relay/audit/record"
)

// TestPositionIsAfterTheLastRecordOfTheLog: neither EOE nor a piece of a line nor
// a marker is in audit.log; after a late record it is not known what was had.
func TestPositionIsAfterTheLastRecordOfTheLog(t *testing.T) {
	q := New(Options{Config: marked(1000), Name: "box", Position: Position{Number: 77, ID: record.ID{Serial: 5}, HasID: true}})
	defer q.Close()
	c := q.Cursor()
	defer c.Close()
	if p := q.Position(); p.Number != 77 || p.ID.Serial != 5 || !p.HasID {
		t.Errorf("at the start: %+v", p)
	}
	b := events(10, 2, 1)
	want := b.ID(1)
	b.Recs = append(b.Recs, b.Recs[1])
	b.Recs[2].Type = record.TypeEOE
	q.Put(b)
	q.Put(pieces(3))
	q.RecordUpstreamLoss(Upstream, Loss{Records: 1})
	late := events(7, 1, 1)
	late.Recs[0].Flags |= record.Late
	q.Put(late)
	q.Put(events(20, 1, 1))
	taken, _ := c.Take()
	for n := range 9 {
		c.Advance(n)
		p := q.Position()
		switch {
		case p.Number != 77+uint64(n):
			t.Errorf("after %d records: number %d", n, p.Number)
		case n == 0 && p.ID.Serial != 5, n == 1 && p.ID.Serial != 10, n >= 2 && p.ID != want:
			t.Errorf("after %d records: %+v", n, p)
		}
	}
	c.Advance(len(taken.Recs))
	if p := q.Position(); p.ID.Serial != 20 || p.Number != 77+9 {
		t.Errorf("%d records, then %+v", len(taken.Recs), p)
	}
}

// TestPositionIsThatOfTheLastRecordTaken: also where blocks were stored.
func TestPositionIsThatOfTheLastRecordTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := begin(t, spooled(20), newMemDisk(1<<20))
		putEvents(q, 1, 500, 1)
		c := q.Cursor()
		defer c.Close()
		for {
			b, _ := c.Take()
			if len(b.Recs) == 0 {
				synctest.Wait()
				if c.pos == q.tail {
					break
				}
				continue
			}
			n := min(len(b.Recs), 7)
			last := b.ID(n - 1)
			c.Advance(n)
			synctest.Wait()
			if p := q.Position(); p.ID != last || p.Number != uint64(last.Serial) {
				t.Fatalf("after %d it is %+v", last.Serial, p)
			}
		}
		// What is thrown away on disk counts as passed, too.
		putEvents(q, 501, 500, 1)
		synctest.Wait()
		c.Close()
		cfg := spooled(20)
		cfg.Hold = false
		q.SetConfig(cfg)
		if p := q.Position(); p.Number != 1000 || p.ID.Serial != 1000 {
			t.Errorf("%+v", p)
		}
	})
}
