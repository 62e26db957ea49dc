package queue

import (
	"context"
	"testing"
	"time"
)

// TestADoubtPutsTheFloorBack: a doubt puts a consumer back to the last mark before it, and what was
// missing keeps it there until that is delivered.
func TestADoubtPutsTheFloorBack(t *testing.T) {
	q := New(Options{Config: Config{Depth: 1000, Bytes: 1 << 20, Hold: true}})
	q.floors.every = 0
	c := q.Cursor()
	var times []time.Time
	put := func(serial uint32) {
		now := time.Now()
		times = append(times, now)
		q.Mark(now)
		q.Put(events(int(serial), 1, 1))
	}
	deliver := func(n int) {
		t.Helper()
		for n > 0 {
			b, err := c.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			k := min(n, len(b.Recs))
			c.Advance(k)
			n -= k
		}
	}
	want := func(what string, doubt time.Time, serial uint32) {
		t.Helper()
		f := q.Floor(doubt)
		switch {
		case serial == 0 && f != nil:
			t.Errorf("%s: floor at %+v, want none", what, *f)
		case serial != 0 && (f == nil || f.ID.Serial != serial):
			t.Errorf("%s: floor at %+v, want it after %d", what, f, serial)
		}
	}
	for serial := range uint32(5) {
		put(serial + 1)
		time.Sleep(2 * time.Millisecond)
	}
	want("without doubt", time.Time{}, 0)
	want("from the fourth on", times[3], 3)
	want("younger than all", time.Now(), 5)
	want("older than all", times[0].Add(-time.Hour), 1)
	if f := q.Floor(times[0].Add(-time.Hour)); f == nil || !f.First {
		t.Errorf("before the first record: %+v", f)
	}

	deliver(5)
	q.Hold(times[3])
	q.Put(events(100, 1, 1))
	want("before all is put in that was missing", time.Time{}, 3)
	q.Put(events(101, 1, 1))
	q.Unhold()
	put(6)
	want("before it is delivered", time.Time{}, 3)
	deliver(1)
	want("before all of it is", time.Time{}, 3)
	deliver(1)
	want("when it is", time.Time{}, 0)
	deliver(1)
	if p := q.Position(); p.ID.Serial != 6 {
		t.Errorf("position %+v", p)
	}

	q.Hold(times[3])
	q.Close()
	q.Put(events(102, 1, 1))
	q.Unhold()
	if f := q.Floor(time.Time{}); f == nil {
		t.Error("what came after the end does not hold the floor")
	}
}

// TestFloorIsBounded: neither marks nor holds grow without end, and what is left out of
// them only puts a consumer back further.
func TestFloorIsBounded(t *testing.T) {
	q := New(Options{Config: Config{Depth: 100_000, Bytes: 64 << 20, Hold: true}})
	q.floors.every = 0
	begin := time.Now()
	doubts := make([]time.Time, 0, 5000)
	for serial := range uint32(5000) {
		now := begin.Add(time.Duration(serial) * time.Millisecond)
		doubts = append(doubts, now)
		q.Mark(now)
		q.Put(events(int(serial+1), 1, 1))
		if serial%10 == 9 {
			q.Hold(doubts[serial-5])
			q.Put(events(100_000+int(serial), 1, 1))
			q.Unhold()
		}
	}
	if m, h := len(q.floors.marks), len(q.floors.holds); m > maxMarks || h > maxHolds {
		t.Errorf("%d marks, %d holds", m, h)
	}
	for _, at := range []int{0, 1, 100, 2500, 4990, 4999} {
		f := q.floorAt(doubts[at])
		if f.Number > uint64(at)+uint64(at)/10 {
			t.Errorf("doubt at record %d: floor at %+v", at, f)
		}
	}
	if f := q.Floor(time.Time{}); f == nil || f.Number > 5 {
		t.Errorf("nothing is delivered, and the floor is %+v", f)
	}
}

// TestFloorOfTheRunBefore: where a run has to resume before its position, the next one
// has to as well, until it was given records from there on.
func TestFloorOfTheRunBefore(t *testing.T) {
	floor := &Position{Number: 40, ID: events(4, 1, 1).ID(0), HasID: true}
	for _, tt := range []struct {
		name string
		next uint64
		give func(q *Queue)
		left bool // the floor is still the one of before
	}{
		{"nothing came", 50, func(*Queue) {}, true},
		{"the floor is not in front of it", 40, func(*Queue) {}, false},
		{"a hole was reported", 50, func(q *Queue) { q.RecordUpstreamLoss(Upstream, Loss{Events: 1, Records: 1}) }, true},
		{"what was missing came late, elsewhere", 50, func(q *Queue) { q.Hold(time.Now()); q.Unhold() }, true},
		{"records wait", 50, func(q *Queue) { q.Put(events(5, 2, 1)) }, true},
		{"records were left out", 50, func(q *Queue) { q.Skip(events(5, 2, 1)) }, false},
		{"records were refused", 50, func(q *Queue) { q.Close(); q.Put(events(5, 2, 1)) }, true},
		{"records were delivered", 50, func(q *Queue) {
			c := q.Cursor()
			q.Put(events(5, 2, 1))
			b, err := c.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			c.Advance(len(b.Recs))
		}, false},
	} {
		q := New(Options{Config: Config{Depth: 1000, Bytes: 1 << 20, Hold: true}, Position: Position{Number: tt.next, ID: events(9, 1, 1).ID(0), HasID: true}, Floor: floor})
		tt.give(q)
		if f := q.Floor(time.Time{}); (f != nil && *f == *floor) != tt.left {
			t.Errorf("%s: floor %+v", tt.name, f)
		}
	}
}
