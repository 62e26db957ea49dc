package spool

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/test/lab"
)

// faulty opens a spool whose file system a test can make fail.
func faulty(t testing.TB, dir string, change func(*Options)) (*Spool, *faultFS) {
	t.Helper()
	fs := &faultFS{}
	s := open(t, dir, func(o *Options) {
		o.fs = fs
		if change != nil {
			change(o)
		}
	})
	t.Cleanup(func() { fs.Set(nil) }) // before Close
	return s, fs
}

// tmpfs mounts a small file system for the test.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		lab.Missing(t, "a tmpfs cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestAFullDiskCostsNothingStored: on a full disk nothing stored is lost, nothing is half written,
// and when there is room the spool continues by itself.
func TestAFullDiskCostsNothingStored(t *testing.T) {
	for _, sync := range []Sync{None, Batch} {
		dir := tmpfs(t, "size=4m")
		s := open(t, dir, func(o *Options) { o.SegmentSize, o.Sync = 256<<10, sync })
		t.Cleanup(func() { s.Close() }) // before the unmount
		filler := filepath.Join(dir, "filler")
		var held []Frame
		next := uint64(1)
		until := func(full bool) {
			t.Helper()
			for range 10000 {
				f, err := s.Append(next, batch(next, 100+int(next%200)))
				if errors.Is(err, ErrFull) == full && (err == nil || full) {
					if err == nil {
						held, next = append(held, f), f.end()
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				held, next = append(held, f), f.end()
			}
			t.Fatal("the disk is never full")
		}
		until(true)
		for range 50 {
			if _, err := s.Append(next, batch(next, 300)); !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
		}
		if s.Size() != onDisk(t, dir) {
			t.Fatalf("%d bytes counted, %d on disk", s.Size(), onDisk(t, dir))
		}
		// Room by releasing, taken again, by another process too.
		for held[0].seg == held[1].seg {
			s.Release(held[0])
			held = held[1:]
		}
		s.Release(held[0])
		held = held[1:]
		until(false)
		until(true)
		os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as fits
		until(true)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		until(true)
		for _, f := range held {
			check(t, s, f)
		}
		kill(s)
		s = open(t, dir, nil)
		t.Cleanup(func() { s.Close() })
		if got, want := firsts(s.Frames()), firsts(held); !slices.Equal(tail(got, len(want)), want) {
			t.Fatalf("after reopening %d, want %d", got, want)
		}
		if d := s.Damage(); d.Frames+d.Bytes+d.Uncounted != 0 {
			t.Errorf("damage %+v", d)
		}
	}
}

func tail[T any](s []T, n int) []T { return s[max(0, len(s)-n):] }

// TestNoInodes: a disk on which no file can be made is full too.
func TestNoInodes(t *testing.T) {
	dir := tmpfs(t, "size=4m,nr_inodes=4")
	s := open(t, dir, func(o *Options) { o.SegmentSize = 64 << 10 })
	t.Cleanup(func() { s.Close() })
	next := uint64(1)
	for {
		f, err := s.Append(next, batch(next, 300))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		next = f.end()
	}
	if n := len(segments(t, dir)); n == 0 || n > 3 {
		t.Errorf("%d segments", n)
	}
}

// TestAfterAWriteErrorAFrameIsStoredOrNot: whatever fails while a frame is stored, it is either stored
// or not, and all that Append has taken stays readable.
func TestAfterAWriteErrorAFrameIsStoredOrNot(t *testing.T) {
	eio := unix.EIO
	for name, tt := range map[string]struct {
		ops  []string
		err  error
		sync Sync
		full bool
	}{
		"write EIO":              {ops: []string{"write"}, err: eio},
		"write ENOSPC":           {ops: []string{"write"}, err: unix.ENOSPC, full: true},
		"write EDQUOT":           {ops: []string{"write"}, err: unix.EDQUOT, full: true},
		"write and truncate EIO": {ops: []string{"write", "truncate"}, err: eio},
		"write, truncate ENOSPC": {ops: []string{"write", "truncate"}, err: unix.ENOSPC, full: true},
		"mark EIO":               {ops: []string{"mark"}, err: eio},
		"mark, truncate ENOSPC":  {ops: []string{"mark", "truncate"}, err: unix.ENOSPC, full: true},
		"all EIO":                {ops: []string{"write", "mark", "truncate", "remove", "sync"}, err: eio, sync: Batch},
		"create EIO":             {ops: []string{"create"}, err: eio},
		"create ENOSPC":          {ops: []string{"create"}, err: unix.ENOSPC, full: true},
		"write and remove EIO":   {ops: []string{"write", "remove"}, err: eio},
		"sync EIO":               {ops: []string{"sync"}, err: eio, sync: Batch},
		"sync, truncate EIO":     {ops: []string{"sync", "truncate"}, err: eio, sync: Batch},
		"sync ENOSPC":            {ops: []string{"sync"}, err: unix.ENOSPC, sync: Batch, full: true},
	} {
		for _, fresh := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				s, fs := faulty(t, dir, func(o *Options) { o.Sync = tt.sync })
				var all []Frame
				if !fresh {
					all = fill(t, s, 1, 3, 5)
				}
				if (tt.ops[0] == "create" || tt.ops[0] == "mark") && !fresh {
					s.endSegment()
				}
				fs.Fail(tt.err, tt.ops...)
				for range 3 {
					_, err := s.Append(16, batch(16, 5))
					if err == nil || errors.Is(err, ErrFull) != tt.full || !strings.Contains(err.Error(), dir) {
						t.Fatalf("Append: %v", err)
					}
				}
				fs.Set(nil)
				if n := len(segments(t, dir)); n > 2 && !slices.Contains(tt.ops, "remove") {
					t.Errorf("%d segments", n)
				}
				all = append(all, fill(t, s, 16, 3, 5)...)
				for _, f := range all {
					check(t, s, f)
				}
				s.Tick(time.Now())
				kill(s)
				good, bad, d := readable(t, dir)
				if !slices.Equal(good, firsts(all)) || len(bad) > 0 || d.Frames > 0 || d.Uncounted > 0 {
					t.Errorf("%d can be read, want %d; %+v", good, firsts(all), d)
				}
			})
		}
	}
}

// TestRandomFaultsCostNothingStored drives a spool through random errors: what Append has taken
// is there, and the sizes are right, at the end and after a kill.
func TestRandomFaultsCostNothingStored(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for seed := range uint64(15) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		s, fs := faulty(t, dir, func(o *Options) { o.SegmentSize, o.Sync = 64<<10, []Sync{None, Interval, Batch}[seed%3] })
		ops := []string{"write", "mark", "truncate", "create", "remove", "sync", "open"}
		fs.Set(func(op, path string) error {
			if slices.Contains(ops, op) && rnd.IntN(4) == 0 {
				return []error{unix.EIO, unix.ENOSPC}[rnd.IntN(2)]
			}
			return nil
		})
		var held []Frame
		var failed []uint64 // these may be there, when they could not be cut off
		next, now := uint64(1), time.Now()
		for range 300 {
			f, err := s.Append(next, batch(next, 1+rnd.IntN(60)))
			if err == nil {
				held, next = append(held, f), f.end()
			} else {
				failed = append(failed, next)
			}
			if len(held) > 50 {
				s.Release(held[0])
				held = held[1:]
			}
			if rnd.IntN(10) == 0 {
				if s.syncing != nil { // its goroutine must not draw numbers beside us
					s.synced(<-s.syncing)
				}
				now = now.Add(time.Second)
				s.Tick(now)
				for s.syncing != nil {
					s.synced(<-s.syncing)
				}
			}
		}
		fs.Set(nil)
		for _, f := range held {
			check(t, s, f)
		}
		kill(s)
		good, bad, _ := readable(t, dir)
		extra := slices.DeleteFunc(slices.Clone(good), func(n uint64) bool { return n < next })
		if len(extra) > 0 && !slices.Contains(failed, extra[0]) {
			t.Fatalf("seed %d: %d were never put in", seed, extra)
		}
		good = good[:len(good)-len(extra)]
		if len(bad) > 0 || !slices.Equal(tail(good, len(held)), firsts(held)) {
			t.Fatalf("seed %d: %d can be read, want %d", seed, good, firsts(held))
		}
	}
}

// TestAReadErrorIsNoDamage: an I/O error is not damage; at Open the place is left out and
// the file kept.
func TestAReadErrorIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	s, fs := faulty(t, dir, nil)
	all := fill(t, s, 1, 3, 5)
	fs.Fail(unix.EIO, "read")
	if _, err := s.Read(all[0], nil, nil); !errors.Is(err, unix.EIO) || errors.Is(err, ErrDamaged) {
		t.Errorf("Read: %v", err)
	}
	fs.Set(nil)
	check(t, s, all[0])
	closed(t, s)
	s = open(t, dir, nil)
	more := fill(t, s, 100, 3, 5)
	closed(t, s)

	// The first file cannot be read, then not even opened.
	for _, op := range []string{"read", "open"} {
		fs := &faultFS{}
		path := segments(t, dir)[0]
		fs.Set(func(o, p string) error {
			if o == op && p == path {
				return unix.EIO
			}
			return nil
		})
		s = open(t, dir, func(o *Options) { o.fs = fs })
		if !slices.Equal(firsts(s.Frames()), firsts(more)) || !errors.Is(s.Damage().Err, unix.EIO) {
			t.Errorf("frames %d, %+v", firsts(s.Frames()), s.Damage())
		}
		for _, f := range s.Frames()[:1] {
			s.Release(f)
		}
		kill(s)
	}
	fs2 := &faultFS{}
	fs2.Fail(unix.EIO, "list")
	if _, err := Open(Options{Dir: dir, MaxSize: 1 << 20, fs: fs2}); !errors.Is(err, unix.EIO) {
		t.Errorf("Open: %v", err)
	}
	// All is back.
	good, _, d := readable(t, dir)
	if len(good) != 6 || d.Frames+d.Bytes+d.Uncounted > 0 {
		t.Errorf("%d can be read, %+v", good, d)
	}
}

// TestADeletionThatFailsIsTriedAgain: a file that cannot be deleted is reported, tried again, and
// nothing newer goes before it.
func TestADeletionThatFailsIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	s, fs := faulty(t, dir, nil)
	a := fill(t, s, 1, 1, 5)[0]
	s.endSegment()
	b := fill(t, s, 6, 1, 5)[0]
	s.endSegment()
	fill(t, s, 11, 1, 5)
	first := segments(t, dir)[0]
	s.Release(b)
	if n := len(segments(t, dir)); n != 3 {
		t.Errorf("%d segments, want 3: the oldest goes first", n)
	}
	fs.Set(func(op, path string) error {
		if op == "remove" && path == first {
			return unix.EROFS
		}
		return nil
	})
	s.Release(a)
	now := time.Now()
	if err := s.Tick(now); !errors.Is(err, unix.EROFS) {
		t.Errorf("Tick: %v", err)
	}
	if n := len(segments(t, dir)); n != 3 {
		t.Errorf("%d segments, want 3", n)
	}
	fs.Set(nil)
	if err := s.Tick(now.Add(time.Second)); err != nil {
		t.Errorf("Tick: %v", err)
	}
	if n := len(segments(t, dir)); n != 1 {
		t.Errorf("%d segments, want 1", n)
	}
}
