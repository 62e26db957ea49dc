package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/queue/spool"
)

func TestShutdownDoesNotWaitForAHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		d.hangUp(true)
		q := start(Options{Config: spooled(1000), Name: "box"}, d)
		putEvents(q, 1, 100, 1)
		began := time.Now()
		q.Shutdown()
		if took := time.Since(began); took > leaveTime*3/2 {
			t.Errorf("it took %v", took)
		}
		if n := balance(t, q); n.Lost[Shutdown].Records != 100 || q.Position().Number != 0 {
			t.Errorf("%+v, position %+v", n, q.Position())
		}
		d.hangUp(false)
	})
}

// TestTheRestIsStoredAtTheEnd, and the next run delivers it, after what the
// first has delivered.
func TestTheRestIsStoredAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		q := start(Options{Config: spooled(1000), Name: "box"}, d)
		want := putEvents(q, 1, 300, 1)
		c := q.Cursor()
		b, _ := c.Take()
		had := text(record.Batch{Buf: b.Buf, Recs: b.Recs[:100]})
		c.Advance(100)
		q.RecordUpstreamLoss(Upstream, Loss{Records: 3, Events: 1, First: 301, Last: 301})
		q.Close()
		c.Close()
		q.Shutdown()
		n, pos := balance(t, q), q.Position()
		if n.Queued != 200 || n.LostRecords() != 0 || pos.Number != 100 || !pos.HasID || pos.ID.Serial != 100 {
			t.Errorf("%+v, position %+v", n, pos)
		}
		q = start(Options{Config: spooled(10), Name: "box", Position: Position{Number: pos.Number, ID: pos.ID, HasID: true}}, d.reopened())
		defer q.Shutdown()
		if at := q.ResumeAt(); !at.HasID || at.ID.Serial != 300 {
			t.Errorf("it continues at %+v, not after the last stored one", at)
		}
		if p := q.Position(); p != pos {
			t.Errorf("position %+v, was %+v", p, pos)
		}
		c = q.Cursor()
		defer c.Close()
		records, markers := texts(all(t, q, c))
		if had+strings.Join(records, "") != want {
			t.Errorf("%d records in the second run", len(records))
		}
		if len(markers) != 1 || !strings.Contains(markers[0], "cause=upstream records=3") {
			t.Errorf("markers %q", markers)
		}
		if n := balance(t, q); n.TakenOver != 200 || n.Received != 200 || n.Delivered != 200 {
			t.Errorf("%+v", n)
		}
		if p := q.Position(); p.ID.Serial != 300 {
			t.Errorf("position %+v", p)
		}
	})
}

// TestStoredFramesAreThereAfterAKill: all of them, the first in part, and new
// records continue after them.
func TestStoredFramesAreThereAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		q := begin(t, spooled(20), d)
		putEvents(q, 1, 1000, 1)
		synctest.Wait()
		killed := d.reopened()
		first, stored := killed.frames[0].f, int(killed.next)
		next := first.First + uint64(first.Records)/2
		q = start(Options{Config: spooled(20), Name: "box", Position: Position{Number: next}}, killed)
		defer q.Shutdown()
		putEvents(q, stored+1, 1, 1)
		c := q.Cursor()
		defer c.Close()
		want := ""
		for s := int(next) + 1; s <= stored+1; s++ {
			want += text(*events(s, 1, 1))
		}
		if got := all(t, q, c); got != want {
			t.Errorf("got %d bytes of %d: %.80q", len(got), len(want), got)
		}
		synctest.Wait()
		sound(t, q)
		if n := balance(t, q); n.Delivered != uint64(stored)+1-next {
			t.Errorf("%+v", n)
		}
	})
}

// TestDamagedFramesAreSkippedAndReported: neighbours at once, at their place.
func TestDamagedFramesAreSkippedAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		q := begin(t, spooled(20), d)
		putEvents(q, 1, 1000, 1)
		synctest.Wait()
		third, fourth := d.frames[2].f, d.frames[3].f
		d.damage(2)
		d.damage(3)
		c := q.Cursor()
		defer c.Close()
		got := all(t, q, c)
		gone := third.Records + fourth.Records
		marker := strings.Index(got, "type=DAEMON_ERR")
		records, markers := texts(got)
		if len(records) != 1000-int(gone) || len(markers) != 1 ||
			!strings.Contains(markers[0], fmt.Sprintf("cause=spool records=%d events=%d first=%d last=%d ", gone, gone, third.FirstSerial, fourth.LastSerial)) {
			t.Fatalf("%d records, %q", len(records), markers)
		}
		if before := strings.Count(got[:marker], "\n"); before != int(third.First) {
			t.Errorf("the marker comes after %d records, not %d", before, third.First)
		}
		synctest.Wait()
		sound(t, q)
		if n := balance(t, q); n.Lost[Spool].Records != uint64(gone) || n.Delivered != 1000-uint64(gone) || len(d.frames) != 0 {
			t.Errorf("%d frames are left, %+v", len(d.frames), n)
		}
	})
}

// TestFramesThatOpenCouldNotRead are reported at their place, unless the position
// says that they were delivered, or reported, before.
func TestFramesThatOpenCouldNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		q := begin(t, spooled(20), d)
		putEvents(q, 1, 1000, 1)
		synctest.Wait()
		for _, passed := range []bool{false, true} {
			n := d.reopened()
			lost := n.frames[5].f
			n.lose(5)
			next := uint64(0)
			if passed {
				next = lost.First + uint64(lost.Records)
			}
			q := start(Options{Config: spooled(20), Name: "box", Position: Position{Number: next}}, n)
			c := q.Cursor()
			_, markers := texts(all(t, q, c))
			got := balance(t, q).Lost[Spool].Records
			if (passed && (len(markers) != 0 || got != 0)) || (!passed && (len(markers) != 1 || got != uint64(lost.Records))) {
				t.Errorf("passed %v: %d lost, %q", passed, got, markers)
			}
			c.Close()
			q.Shutdown()
		}
	})
}

// TestAFrameThatCannotBeReadIsTriedAgain, and then given up.
func TestAFrameThatCannotBeReadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		q := begin(t, spooled(20), d)
		putEvents(q, 1, 100, 1)
		synctest.Wait()
		d.fail(errDisk)
		c := q.Cursor()
		defer c.Close()
		c.Take()
		synctest.Wait()
		d.fail(nil)
		records, markers := texts(all(t, q, c))
		if n := balance(t, q); len(markers) != 1 || n.Lost[Spool].Records == 0 || len(records)+int(n.Lost[Spool].Records) != 100 {
			t.Errorf("%d records, %q, %+v", len(records), markers, n)
		}
	})
}

// TestCloseThenDrainFromDisk: a closed queue still loads.
func TestCloseThenDrainFromDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := begin(t, spooled(20), newMemDisk(1<<20))
		want := putEvents(q, 1, 1000, 1)
		q.Close()
		c := q.Cursor()
		defer c.Close()
		var got strings.Builder
		for {
			b, err := c.Next(context.Background())
			if err != nil {
				break
			}
			got.WriteString(text(b))
			c.Advance(len(b.Recs))
		}
		if got.String() != want {
			t.Errorf("%d bytes of %d", got.Len(), len(want))
		}
	})
}

// TestQueueAndSpoolFitTogether: the queue and spool.Spool fit together, over a restart.
func TestQueueAndSpoolFitTogether(t *testing.T) {
	dir := t.TempDir()
	open := func() *spool.Spool {
		s, err := spool.Open(spool.Options{Dir: dir, MaxSize: 16 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	q := New(Options{Config: spooled(1000), Name: "box", Spool: open()})
	var want strings.Builder
	for i := range 200 {
		b := events(i*100+1, 100, 2)
		want.WriteString(text(*b))
		q.Put(b)
	}
	q.Close()
	q.Shutdown()
	if n := balance(t, q); n.LostRecords() != 0 || n.Queued != 40000 {
		t.Fatalf("%+v", n)
	}
	q = New(Options{Config: spooled(1000), Name: "box", Spool: open(), Position: Position{Number: q.Position().Number}})
	q.Close()
	c := q.Cursor()
	var got strings.Builder
	for {
		b, err := c.Next(context.Background())
		if err != nil {
			break
		}
		got.WriteString(text(b))
		c.Advance(len(b.Recs))
	}
	c.Close()
	if got.String() != want.String() {
		t.Errorf("%d bytes of %d", got.Len(), want.Len())
	}
	q.Shutdown()
	if n := balance(t, q); n.Delivered != 40000 || n.SpoolBytes > 1000 {
		t.Errorf("%+v", n)
	}
}

// TestNumbersContinueAfterAllThatWereEverStored, also after a frame that cannot be counted.
func TestNumbersContinueAfterAllThatWereEverStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, hold := range []bool{true, false} {
			d := newMemDisk(1 << 20)
			q := begin(t, spooled(20), d)
			putEvents(q, 1, 100, 1)
			synctest.Wait()
			found := d.reopened()
			found.next = 1000
			cfg := spooled(20)
			cfg.Hold = hold
			q = begin(t, cfg, found)
			c := q.Cursor()
			all(t, q, c)
			q.Put(events(1, 1, 1))
			all(t, q, c)
			c.Close()
			if p := q.Position(); p.Number != 1001 {
				t.Errorf("hold %v: %+v", hold, p)
			}
			sound(t, q)
		}
	})
}

// TestSpoolUnderLoad: reader, client, spiller and whoever asks for the state run at
// once, and a spool that is too small makes a lossless reader wait.
func TestSpoolUnderLoad(t *testing.T) {
	s, err := spool.Open(spool.Options{Dir: t.TempDir(), MaxSize: 1 << 20, SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	cfg := spooled(2000)
	cfg.Lossless = true
	q := New(Options{Config: cfg, Name: "box", Spool: s})
	const batches, size = 400, 250
	go func() {
		for i := range batches {
			q.Put(events(i*size+1, size, 1))
		}
		q.Close()
	}()
	for q.Counts().StallSince.IsZero() { // until memory and spool are full
		time.Sleep(time.Millisecond)
	}
	c := q.Cursor()
	next := uint32(1)
	for {
		b, err := c.Next(context.Background())
		if err != nil {
			break
		}
		for i := range b.Recs {
			if b.Recs[i].Serial != next {
				t.Fatalf("serial %d, want %d", b.Recs[i].Serial, next)
			}
			next++
		}
		c.Advance(len(b.Recs))
		if p := q.Position(); p.Number != uint64(next-1) || p.ID.Serial != next-1 {
			t.Fatalf("after %d: %+v", next-1, p)
		}
		balance(t, q)
	}
	c.Close()
	q.Shutdown()
	if n := balance(t, q); next != batches*size+1 || n.LostRecords() != 0 || n.Spilled == 0 {
		t.Errorf("up to %d, %+v", next, n)
	}
}
