package stream

import (
	"testing"
	"testing/synctest"
	"time"
)

// busy lets a gather see reads that bring so much each, so far apart besides its
// own naps, and returns the nap it has settled on.
func busy(room float64, records, bytes int, apart time.Duration, more bool) time.Duration {
	var last time.Duration
	g := &gather{room: room, in: sleeper{}}
	for range 50 {
		began := time.Now()
		g.wait()
		last = time.Since(began)
		time.Sleep(apart)
		// What comes is what the time brings: auditd does not wait for us.
		scale := int(1 + last/apart)
		g.got(records*scale, bytes*scale, more)
	}
	return last
}

func TestGatherLetsFastRecordsComeTogether(t *testing.T) {
	const narrow, wide = 212992 / 2, 4 << 20
	for _, c := range []struct {
		name     string
		room     float64
		records  int
		bytes    int
		apart    time.Duration
		more     bool
		low, top time.Duration
	}{
		{"a record every 10 ms goes through at once", narrow, 1, 200, 10 * time.Millisecond, false, 0, 0},
		{"40 records a millisecond, wide pipe", wide, 4, 800, 100 * time.Microsecond, false, gatherMax, gatherMax},
		{"5 records a millisecond, wide pipe", wide, 5, 1000, time.Millisecond, false, gatherMin, 300 * time.Microsecond},
		{"15 records a millisecond, wide pipe", wide, 15, 3000, time.Millisecond, false, 300 * time.Microsecond, 900 * time.Microsecond},
		// Half the socket is 102 records of 200 bytes, or 8 padded frames.
		{"100 records a millisecond, narrow pipe", narrow, 10, 2000, 100 * time.Microsecond, false, 500 * time.Microsecond, 1500 * time.Microsecond},
		{"40 padded frames a millisecond, narrow pipe", narrow, 4, 4 * 8986, 100 * time.Microsecond, false, 100 * time.Microsecond, 300 * time.Microsecond},
		{"faster than is worth a nap", narrow, 1000, 200000, 100 * time.Microsecond, false, 0, 0},
		{"more than one read can take", wide, 1000, BufferSize, 100 * time.Microsecond, true, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			if nap := busy(c.room, c.records, c.bytes, c.apart, c.more); nap < c.low || nap > c.top {
				t.Errorf("%s: naps of %v, want %v to %v", c.name, nap, c.low, c.top)
			}
		})
	}
}

// idler is a Waiter at which something comes after a time.
type idler struct {
	comes time.Duration
	slept time.Duration
}

func (i *idler) Await()                { time.Sleep(i.comes) }
func (i *idler) Sleep(d time.Duration) { i.slept += d }

// TestGatherAfterIdle: what ends a silence goes through at once, though what came before it was fast.
func TestGatherAfterIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &idler{comes: 100 * time.Microsecond}
		g := &gather{room: 4 << 20, in: in}
		for range 50 {
			g.wait()
			time.Sleep(time.Microsecond)
			g.got(10, 4000, false)
		}
		if in.slept == 0 {
			t.Error("fast records do not gather")
		}
		in.comes, in.slept = time.Second, 0
		g.wait()
		if in.slept != 0 {
			t.Errorf("the first record after a second waits for %v", in.slept)
		}
	})
}
