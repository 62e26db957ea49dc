package spool

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSyncComesWhenItIsDue: what is synced when.
func TestSyncComesWhenItIsDue(t *testing.T) {
	now := time.Now()
	wait := func(s *Spool) {
		if s.syncing != nil {
			s.synced(<-s.syncing)
		}
	}
	t.Run("none", func(t *testing.T) {
		s, fs := faulty(t, t.TempDir(), nil)
		fill(t, s, 1, 10, 5)
		s.Tick(now)
		closed(t, s)
		if n := fs.Count("sync"); n != 0 {
			t.Errorf("%d syncs", n)
		}
	})
	t.Run("batch", func(t *testing.T) {
		s, fs := faulty(t, t.TempDir(), func(o *Options) { o.Sync = Batch })
		fill(t, s, 1, 10, 5)
		s.Tick(now)
		if n := fs.Count("sync"); n != 12 { // ten frames, the segment's mark, the directory
			t.Errorf("%d syncs", n)
		}
	})
	t.Run("interval", func(t *testing.T) {
		dir := t.TempDir()
		s, fs := faulty(t, dir, func(o *Options) { o.Sync, o.SegmentSize = Interval, 64<<10 })
		all := fill(t, s, 1, 30, 100) // several segments
		n := len(segments(t, dir))
		if n < 2 || fs.Count("sync") != 0 {
			t.Fatalf("%d segments, %d syncs", n, fs.Count("sync"))
		}
		s.Tick(now)
		for range 5 { // while that continues, and in the same second
			s.Tick(now.Add(time.Second / 2))
			all = append(all, fill(t, s, all[len(all)-1].end(), 30, 100)...)
		}
		wait(s)
		if got := fs.Count("sync"); got != n+1 { // and the directory
			t.Errorf("%d syncs of %d segments", got, n)
		}
		s.Tick(now.Add(time.Second))
		wait(s)
		before := fs.Count("sync")
		s.Tick(now.Add(2 * time.Second))
		wait(s)
		if got := fs.Count("sync"); got != before {
			t.Errorf("%d syncs of nothing", got-before)
		}
		for _, seg := range s.segs {
			if seg != s.cur && seg.h != nil {
				t.Error("a segment that was synced is still open")
			}
		}
		for _, f := range all {
			check(t, s, f)
			s.Release(f)
		}
		fill(t, s, 1<<20, 1, 1)
		closed(t, s)
		if got := fs.Count("sync"); got <= before {
			t.Error("not synced at the end")
		}
	})
	t.Run("interval fails", func(t *testing.T) {
		s, fs := faulty(t, t.TempDir(), func(o *Options) { o.Sync = Interval })
		fill(t, s, 1, 3, 5)
		fs.Fail(unix.EIO, "sync")
		s.Tick(now)
		wait(s)
		if err := s.Tick(now); !errors.Is(err, unix.EIO) {
			t.Errorf("Tick: %v", err)
		}
		fs.Set(nil)
		f := fill(t, s, 16, 1, 5)[0]
		if f.off != headerSize {
			t.Error("the segment is written on")
		}
		closed(t, s)
	})
}
