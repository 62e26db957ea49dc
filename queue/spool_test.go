package queue

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/queue/spool"
)

func spooled(depth int) Config {
	return Config{Depth: depth, Bytes: 1 << 20, Action: Ignore, Hold: true, Markers: true}
}

// begin makes a queue on d that ends with the test.
func begin(t *testing.T, cfg Config, d *memDisk) *Queue {
	t.Helper()
	q := start(Options{Config: cfg, Name: "box"}, d)
	t.Cleanup(func() {
		q.Shutdown()
		if d.misuse != "" {
			t.Errorf("the disk was %s", d.misuse)
		}
	})
	return q
}

func putEvents(q *Queue, first, n, per int) (want string) {
	var s strings.Builder
	for i := range n {
		b := events(first+i, 1, per)
		s.WriteString(text(*b))
		q.Put(b)
	}
	return s.String()
}

// TestWhatMemoryDoesNotHoldComesBackInOrder, for both policies: memory full,
// spool has room.
func TestWhatMemoryDoesNotHoldComesBackInOrder(t *testing.T) {
	for _, lossless := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := spooled(50)
			cfg.Lossless = lossless
			d := newMemDisk(1 << 30)
			q := begin(t, cfg, d)
			want := putEvents(q, 1, 5000, 2)
			synctest.Wait()
			n := balance(t, q)
			if n.Queued != 10000 || n.Stalls != 0 || n.MaxDepth > 50 || q.fresh.recs+q.cache.recs > 50 {
				t.Errorf("lossless %v: %+v", lossless, n)
			}
			if d.appends > 10000/25+1 {
				t.Errorf("%d frames for 10000 records: blocks are stored all but empty", d.appends)
			}
			c := q.Cursor()
			defer c.Close()
			if got := all(t, q, c); got != want {
				t.Errorf("lossless %v: %d bytes of %d, or others", lossless, len(got), len(want))
			}
			synctest.Wait()
			if n := balance(t, q); n.Delivered != 10000 || len(d.frames) != 0 {
				t.Errorf("%d frames are left, %+v", len(d.frames), n)
			}
			sound(t, q)
		})
	}
}

func TestBothFullAndLossyDropsTheNewestAndReportsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []error
		d := newMemDisk(2000)
		q := start(Options{Config: spooled(20), Name: "box", Log: func(err error) { said = append(said, err) }}, d)
		defer q.Shutdown()
		began := time.Now()
		putEvents(q, 1, 500, 1)
		if took := time.Since(began); took > 2*patience {
			t.Errorf("Put waited %v in all for a disk that is full", took)
		}
		synctest.Wait()
		n := balance(t, q)
		lost := n.Lost[Full]
		if lost.Records == 0 || lost.Records+n.Queued != 500 || lost.Last != 500 || n.Queued < 40 {
			t.Errorf("%+v", n)
		}
		if len(said) != 1 || !errors.Is(said[0], spool.ErrFull) {
			t.Errorf("said %v", said)
		}
		c := q.Cursor()
		defer c.Close()
		records, markers := texts(all(t, q, c))
		if len(records) != int(n.Queued) || len(markers) != 0 {
			t.Errorf("%d records, markers %q", len(records), markers)
		}
		want := putEvents(q, 501, 1, 1)
		records, markers = texts(all(t, q, c))
		if len(records) != 1 || records[0] != want || len(markers) != 1 || !strings.Contains(markers[0], fmt.Sprintf(
			" op=relay-loss sink=box cause=queue-full records=%d events=%d first=%d last=500 res=failed\n", lost.Records, lost.Events, lost.First)) {
			t.Errorf("then %q and %q", records, markers)
		}
		if n := balance(t, q); n.Markers != 1 {
			t.Errorf("%+v", n)
		}
	})
}

func TestBothFullAndLosslessWaitsUntilTheDiskHasRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := spooled(20)
		cfg.Lossless = true
		d := newMemDisk(1 << 20)
		d.fail(spool.ErrFull)
		q := begin(t, cfg, d)
		done := make(chan struct{})
		go func() {
			defer close(done)
			putEvents(q, 1, 100, 1)
		}()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := balance(t, q); n.StallSince.IsZero() || n.Queued != 20 {
			t.Errorf("it does not wait: %+v", n)
		}
		d.fail(nil) // there is room again
		<-done
		if n := balance(t, q); n.Queued != 100 || n.LostRecords() != 0 || n.Stalls == 0 || n.Stalled < 4*time.Second {
			t.Errorf("%+v", n)
		}
	})
}

// TestAHangingDiskCostsOneWait: Put does not wait again until a call has returned.
func TestAHangingDiskCostsOneWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		d.hangUp(true)
		q := begin(t, spooled(20), d)
		began := time.Now()
		putEvents(q, 1, 500, 1)
		if took := time.Since(began); took != patience {
			t.Errorf("Put waited %v", took)
		}
		if n := balance(t, q); n.Lost[Full].Records != 480 || n.SpillWaited != patience {
			t.Errorf("%+v", n)
		}
		d.hangUp(false)
		synctest.Wait()
		putEvents(q, 501, 100, 1)
		if n := balance(t, q); n.Lost[Full].Records != 480 {
			t.Errorf("it does not use the disk again: %+v", n)
		}
	})
}

// TestWithoutAClientStoredRecordsAreDiscarded: what is stored goes with the rest.
func TestWithoutAClientStoredRecordsAreDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := spooled(20)
		cfg.Hold = false
		d := newMemDisk(1 << 20)
		q := begin(t, cfg, d)
		c := q.Cursor()
		putEvents(q, 1, 500, 1)
		synctest.Wait()
		if len(d.frames) == 0 {
			t.Fatal("nothing was stored")
		}
		found := d.reopened()
		c.Close()
		synctest.Wait()
		if n := balance(t, q); n.Discarded != 500 || n.Queued != 0 || len(d.frames) != 0 {
			t.Errorf("%d frames are left, %+v", len(d.frames), n)
		}
		q = begin(t, cfg, found)
		synctest.Wait()
		if n := balance(t, q); n.Discarded != n.TakenOver || n.TakenOver == 0 || len(found.frames) != 0 {
			t.Errorf("%d frames are left of an earlier run, %+v", len(found.frames), n)
		}
	})
}

// TestASlowClientOnDiskIsEvictedWhenBothAreFull, and its successor learns it first.
func TestASlowClientOnDiskIsEvictedWhenBothAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := spooled(20)
		cfg.Hold, cfg.Slow = false, Disconnect
		d := newMemDisk(5000)
		q := begin(t, cfg, d)
		slow, fast := q.Cursor(), q.Cursor()
		defer fast.Close()
		var want, got strings.Builder
		for i := 1; ; i++ {
			want.WriteString(putEvents(q, i, 1, 1))
			got.WriteString(all(t, q, fast))
			select {
			case <-slow.Evicted():
			default:
				if i < 1000 {
					continue
				}
				t.Fatal("the slow client stays")
			}
			break
		}
		if got.String() != want.String() {
			t.Errorf("the fast client has %d bytes of %d", got.Len(), want.Len())
		}
		synctest.Wait()
		if n := balance(t, q); n.LostRecords() != 0 || len(d.frames) != 0 {
			t.Errorf("%d frames are left, %+v", len(d.frames), n)
		}
		lost := slow.Lost()
		slow.Close()
		next := q.Cursor()
		defer next.Close()
		if s := all(t, q, next); !strings.Contains(s, fmt.Sprintf("cause=slow-client records=%d events=%d first=1 ", lost, lost)) {
			t.Errorf("the next client gets %q", s)
		}
	})
}

// TestASlowClientSkipsWhatIsOnDisk and learns how much that was.
func TestASlowClientSkipsWhatIsOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := spooled(20)
		cfg.Hold, cfg.Slow = false, Drop
		q := begin(t, cfg, newMemDisk(5000))
		slow, fast := q.Cursor(), q.Cursor()
		defer slow.Close()
		defer fast.Close()
		for i := range 1000 {
			putEvents(q, i+1, 1, 1)
			all(t, q, fast)
		}
		synctest.Wait()
		sound(t, q)
		records, markers := texts(all(t, q, slow))
		if len(markers) != 1 || !strings.Contains(markers[0], fmt.Sprintf("cause=slow-client records=%d ", slow.Lost())) ||
			uint64(len(records))+slow.Lost() != 1000 {
			t.Errorf("%d records, lost %d, %q", len(records), slow.Lost(), markers)
		}
		if n := balance(t, q); n.LostRecords() != 0 || n.Delivered != 1000 {
			t.Errorf("%+v", n)
		}
	})
}

// TestSmallerBoundsSendMoreToTheDisk, larger ones take effect at once.
func TestSmallerBoundsSendMoreToTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := begin(t, spooled(10000), newMemDisk(1<<20))
		want := putEvents(q, 1, 4000, 1)
		synctest.Wait()
		q.SetConfig(spooled(100))
		synctest.Wait()
		sound(t, q)
		if q.fresh.recs > 100 || q.fresh.recs+q.cache.recs > 100 {
			t.Errorf("in memory: %v and %v", q.fresh, q.cache)
		}
		c := q.Cursor()
		defer c.Close()
		if got := all(t, q, c); got != want {
			t.Errorf("%d bytes of %d", len(got), len(want))
		}
	})
}

// TestASkipIntoABlockOnDisk: what is let go of ends within a block where it is
// not known, before it is loaded, which records were delivered.
func TestASkipIntoABlockOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := spooled(20)
		cfg.Hold, cfg.Slow = false, Drop
		q := begin(t, cfg, newMemDisk(5000))
		slow, fast := q.Cursor(), q.Cursor()
		defer slow.Close()
		putEvents(q, 1, 100, 1)
		had := uint64(0)
		for range 2 { // a block, and three records of the next
			synctest.Wait()
			b, _ := fast.Take()
			for len(b.Recs) == 0 {
				<-fast.Ready()
				b, _ = fast.Take()
			}
			n := len(b.Recs)
			if had > 0 {
				n = 3
			}
			fast.Advance(n)
			had += uint64(n)
		}
		fast.Close()
		small := cfg
		small.Depth = 1
		q.SetConfig(small) // which drops the second block from memory
		q.SetConfig(cfg)
		synctest.Wait()
		q.mu.Lock() // as makeRoom does, before the spiller has had a chance to load it
		slow.skip(had)
		q.settle(SlowClient)
		if q.later.pos != had || q.head == had {
			t.Errorf("this test does not do what it is meant to: %v, head %d, fast was at %d", q.later, q.head, had)
		}
		q.mu.Unlock()
		sound(t, q)
		records, markers := texts(all(t, q, slow))
		synctest.Wait()
		sound(t, q)
		n := balance(t, q)
		if n.Delivered != had+uint64(len(records)) || n.Queued != 0 || n.Lost[SlowClient].Records != 0 || len(markers) == 0 {
			t.Errorf("%d records and %q after %d, %+v", len(records), markers, had, n)
		}
	})
}

// TestThereIsABoundOnFrames: with a tiny queue every frame is tiny, and to know
// of all of them takes memory.
func TestThereIsABoundOnFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := begin(t, spooled(1), newMemDisk(1<<30))
		b := events(1, 1, 1)
		for range maxStored + 10 {
			q.Put(b)
		}
		if n := balance(t, q); n.Queued != maxStored+1 || n.Lost[Full].Records != 9 {
			t.Errorf("%d are queued, %d lost", n.Queued, n.Lost[Full].Records)
		}
	})
}

// TestFaultOfTheSpoolShows: while memory is short and the disk fails, or is full; a spool that has all of its size is no fault.
func TestFaultOfTheSpoolShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		d.fail(errDisk)
		q := begin(t, spooled(20), d)
		putEvents(q, 1, 100, 1)
		for _, step := range []struct {
			err  error
			want string
		}{{errDisk, errDisk.Error()}, {spool.ErrFull, ""}, {fmt.Errorf("%w: %w", spool.ErrFull, syscall.ENOSPC), "no space left"}, {errDisk, errDisk.Error()}, {nil, ""}} {
			d.fail(step.err)
			time.Sleep(2 * tickTime)
			synctest.Wait()
			if got := q.Counts().SpoolFault; !strings.Contains(got, step.want) || (step.want == "") != (got == "") {
				t.Errorf("with %v: fault %q", step.err, got)
			}
		}
	})
}

// TestSinceWhenTheSpoolIsFull: from the first batch that finds no room until one does, or until none
// needs any; a disk that fails in another way is not full.
func TestSinceWhenTheSpoolIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		d.fail(spool.ErrFull)
		q := begin(t, spooled(20), d)
		full := func() time.Time { synctest.Wait(); return q.Counts().FullSince }
		putEvents(q, 1, 5, 1)
		if at := full(); !at.IsZero() {
			t.Errorf("memory has room, and the spool is full since %v", at)
		}
		putEvents(q, 6, 100, 1)
		began := full()
		time.Sleep(10 * time.Minute)
		if at := full(); began.IsZero() || !at.Equal(began) {
			t.Errorf("full since %v, then since %v", began, at)
		}

		d.fail(errDisk)
		time.Sleep(2 * tickTime)
		if at := full(); !at.IsZero() {
			t.Errorf("it fails, and is full since %v", at)
		}
		d.fail(spool.ErrFull)
		time.Sleep(2 * tickTime)
		if at := full(); !at.After(began) {
			t.Errorf("full again since %v", at)
		}
		c := q.Cursor()
		defer c.Close()
		all(t, q, c)
		time.Sleep(2 * tickTime)
		if at := full(); !at.IsZero() {
			t.Errorf("memory has room again, and the spool is full since %v", at)
		}

		putEvents(q, 106, 100, 1)
		if at := full(); at.IsZero() {
			t.Error("not full")
		}
		d.fail(nil)
		time.Sleep(2 * tickTime)
		if at := full(); !at.IsZero() {
			t.Errorf("it takes records, and is full since %v", at)
		}
	})
}

// TestSuspendFromOutside: a Put that waits for room, too, drops its records from then on.
func TestSuspendFromOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := spooled(10)
		cfg.Lossless = true
		q := New(Options{Config: cfg, Name: "box"})
		done := make(chan struct{})
		go func() {
			defer close(done)
			putEvents(q, 1, 15, 1)
		}()
		synctest.Wait()
		q.Suspend()
		<-done
		if n := balance(t, q); n.Lost[Suspended].Records != 5 || n.Queued != 10 || !n.Suspended {
			t.Errorf("%+v", n)
		}
		c := q.Cursor()
		defer c.Close()
		all(t, q, c)
		q.Resume()
		putEvents(q, 16, 5, 1)
		if n := balance(t, q); n.Lost[Suspended].Records != 5 || n.Queued != 5 || n.Suspended {
			t.Errorf("%+v", n)
		}
		q.Shutdown()
	})
}
