package queue

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/queue/spool"
)

// TestLastingFaultIsSaidOnceAMinute: what cannot be deleted is tried again each second. That is no line of the log each second.
func TestLastingFaultIsSaidOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk(1 << 20)
		var said []string
		q := start(Options{Config: spooled(50), Name: "box", Log: func(err error) { said = append(said, err.Error()) }}, d)
		fail := func(err error, d *memDisk) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.tick = err
		}

		fail(errors.New("read-only file system"), d)
		time.Sleep(10*time.Minute + time.Second/2)
		synctest.Wait()
		if n := len(said); n < 9 || n > 11 {
			t.Errorf("said %d times in ten minutes", n)
		}
		before := len(said)
		fail(errDisk, d)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(said) != before+1 || said[before] != errDisk.Error() {
			t.Errorf("another fault is said as %v", said[before:])
		}
		q.Shutdown()
	})
}

// TestSpoolWithTooManyFramesIsFull: for whoever asks, and in the log, though its disk has room.
func TestSpoolWithTooManyFramesIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []error
		q := start(Options{Config: spooled(1), Name: "box", Log: func(err error) { said = append(said, err) }}, newMemDisk(1<<30))
		b := events(1, 1, 1)
		for range maxStored {
			q.Put(b)
		}
		synctest.Wait()
		if n := q.Counts(); len(said) > 0 || !n.FullSince.IsZero() || n.LostRecords() > 0 {
			t.Fatalf("full before it is: %v, %+v", said, n)
		}
		for range 10 {
			q.Put(b)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := q.Counts(); n.FullSince.IsZero() || n.Lost[Full].Records == 0 {
			t.Errorf("full since %v, %d lost", n.FullSince, n.Lost[Full].Records)
		}
		if len(said) != 1 || !errors.Is(said[0], spool.ErrFull) {
			t.Errorf("said: %v", said)
		}
		q.Shutdown()
	})
}
