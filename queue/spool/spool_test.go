package spool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

func TestAppendReadRelease(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool", "NAME")
	s := open(t, dir, nil)
	all := fill(t, s, 100, 20, 5)
	for _, f := range all {
		check(t, s, f)
	}
	closed(t, s)

	s = open(t, dir, nil)
	if got, want := firsts(s.Frames()), firsts(all); !slices.Equal(got, want) {
		t.Fatalf("frames %v, want %v", got, want)
	}
	if d := s.Damage(); d.Frames+d.Bytes+d.Uncounted != 0 || d.Err != nil {
		t.Fatalf("damage %+v", d)
	}
	if s.Next() != 200 {
		t.Errorf("next is %d, want 200", s.Next())
	}
	all = append(slices.Clone(s.Frames()), fill(t, s, 200, 20, 5)...)
	if n := len(segments(t, dir)); n != 2 {
		t.Errorf("%d segments, want one of each run", n)
	}
	for i, f := range all {
		check(t, s, f)
		s.Release(f)
		s.Release(f) // does no harm
		want := 2
		if i >= 19 {
			want = 1
		}
		if n := len(segments(t, dir)); n != want {
			t.Fatalf("%d segments after release of %d, want %d", n, i, want)
		}
	}
	if err := s.Tick(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := len(segments(t, dir)); n != 0 || s.Size() != 0 {
		t.Errorf("%d segments, %d bytes left", n, s.Size())
	}
	fill(t, s, 300, 1, 1)
	closed(t, s)
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", st.Mode(), err)
	}
	st, err = os.Stat(segments(t, dir)[0])
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("segment: %v, %v", st.Mode(), err)
	}
}

// TestEveryKindOfRecord: all that a record is comes back, whatever it is, and
// the bytes of a batch need not lie together.
func TestEveryKindOfRecord(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	b := &record.Batch{Buf: []byte("....node=a type=X\x00....\n\xff\xfelast"), Recs: []record.Record{
		{Off: 4, Len: 14, Type: 7, Serial: 8, Millis: -9, Kind: record.Ver1, NodeLen: 1},
		{Off: 22, Len: 1, Flags: record.NoID | record.Open},
		{Off: 23, Len: 2, Kind: record.Junk, Flags: record.NoID | record.Cont},
		{Off: 25, Len: 0, Kind: record.Ver0, Type: 1<<32 - 1, Serial: 1<<32 - 1, Millis: 1<<62 + 1},
		{Off: 25, Len: 4, Flags: record.Marker | record.FromLog},
	}}
	f, err := s.Append(1<<63, b)
	if err != nil {
		t.Fatal(err)
	}
	if f.Records != 5 || f.Whole != 3 || f.Bytes != 21 || f.Events != 2 || f.FirstSerial != 8 || f.LastSerial != 1<<32-1 {
		t.Errorf("frame %+v", f)
	}
	buf, recs := make([]byte, 64<<10), make([]record.Record, 4096)
	got, err := s.Read(f, buf, recs)
	if err != nil {
		t.Fatal(err)
	}
	if &got.Buf[0] != &buf[0] || &got.Recs[0] != &recs[0] {
		t.Error("the buffers were not used")
	}
	off := uint32(0)
	for i := range b.Recs {
		g, w := got.Recs[i], b.Recs[i]
		if g.Off != off {
			t.Errorf("record %d begins at %d, want %d", i, g.Off, off)
		}
		off += g.Len
		g.Off, w.Off = 0, 0
		if diff := cmp.Diff(w, g); diff != "" || string(got.Bytes(i)) != string(b.Bytes(i)) {
			t.Errorf("record %d: %q %s", i, got.Bytes(i), diff)
		}
	}
	if string(got.Node(0)) != "a" {
		t.Errorf("node %q", got.Node(0))
	}
}

func TestAppendRefuses(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	big := &record.Batch{Buf: make([]byte, maxText+1), Recs: []record.Record{{Len: maxText + 1}}}
	for name, b := range map[string]*record.Batch{
		"nothing":      {},
		"much text":    big,
		"many records": {Recs: make([]record.Record, maxRecords+1)},
	} {
		if _, err := s.Append(1, b); err == nil || errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Append(1<<64-1, batch(1, 2)); err == nil {
		t.Error("record numbers beyond 64 bits are taken")
	}
	big.Recs[0].Len--
	if f, err := s.Append(1, big); err != nil {
		t.Error(err)
	} else if _, err := s.Read(f, nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Read(Frame{}, nil, nil); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	s.Release(Frame{})
}

func TestASecondProcessCannotOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	if _, err := Open(Options{Dir: dir, MaxSize: 1 << 20}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second Open: %v", err)
	}
	closed(t, s)
	closed(t, s) // does no harm
	closed(t, open(t, dir, nil))
	if _, err := s.Append(1, batch(1, 1)); err == nil {
		t.Error("a closed spool takes frames")
	}
}

// TestMaxSizeIsNeverExceeded: the bound is never exceeded, what is stored stays, and room comes
// back with each segment that is released.
func TestMaxSizeIsNeverExceeded(t *testing.T) {
	dir := t.TempDir()
	const bound = 1 << 20
	s := open(t, dir, func(o *Options) { o.MaxSize = bound })
	var held []Frame
	next, refused := uint64(1), 0
	for range 2000 {
		f, err := s.Append(next, batch(next, 60))
		switch {
		case err == nil:
			held = append(held, f)
			next += 60
		case errors.Is(err, ErrFull):
			refused++
			for range 20 {
				check(t, s, held[0])
				s.Release(held[0])
				held = held[1:]
			}
		default:
			t.Fatal(err)
		}
		if onDisk(t, dir) > bound || s.Size() != onDisk(t, dir) {
			t.Fatalf("%d bytes on disk, %d counted", onDisk(t, dir), s.Size())
		}
	}
	if refused == 0 {
		t.Fatal("it was never full")
	}
	closed(t, s)
	if onDisk(t, dir) > bound {
		t.Fatal("the end mark exceeds the bound")
	}
	// A lower bound takes nothing new until enough is gone, and loses nothing.
	s = open(t, dir, func(o *Options) { o.MaxSize = bound / 2 })
	if _, err := s.Append(next, batch(next, 60)); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	frames := s.Frames()
	if frames[len(frames)-1].end() != next || s.Damage().Frames > 0 {
		t.Fatalf("the last frame is %+v, want up to %d", frames[len(frames)-1], next)
	}
	for _, f := range frames {
		check(t, s, f)
		s.Release(f)
	}
	fill(t, s, next, 1, 60)
}

func onDisk(t testing.TB, dir string) (n int64) {
	t.Helper()
	for _, path := range segments(t, dir) {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		n += st.Size()
	}
	return n
}

// TestFullAndAllReleased: a spool whose only segment is full and not needed any
// more makes room by itself.
func TestFullAndAllReleased(t *testing.T) {
	s := open(t, t.TempDir(), func(o *Options) { o.MaxSize, o.SegmentSize = 100<<10, 1<<20 })
	for range 5 {
		for next := uint64(1); ; next += 10 {
			f, err := s.Append(next, batch(next, 10))
			if err != nil {
				t.Fatal(err)
			}
			s.Release(f)
			if next > 3000 {
				break
			}
		}
	}
}

// TestGapsInNumbersAreNoDamage: numbers that were never stored are no damage.
func TestGapsInNumbersAreNoDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	fill(t, s, 10, 2, 5)
	fill(t, s, 1000, 2, 5)
	closed(t, s)
	s = open(t, dir, nil)
	fill(t, s, 5000, 1, 5)
	kill(s)
	s = open(t, dir, nil)
	if got := firsts(s.Frames()); !slices.Equal(got, []uint64{10, 15, 1000, 1005, 5000}) {
		t.Errorf("frames %v", got)
	}
	if d := s.Damage(); d.Frames+d.Bytes+d.Uncounted != 0 {
		t.Errorf("damage %+v", d)
	}
}

// TestOfOverlappingFramesTheLaterCounts: of frames with the same numbers the later one counts, and what the
// earlier has besides is kept.
func TestOfOverlappingFramesTheLaterCounts(t *testing.T) {
	type frame struct {
		first uint64
		n     int
	}
	for name, tt := range map[string]struct{ put, want []frame }{
		"same":            {[]frame{{10, 5}, {10, 5}}, []frame{{10, 5}}},
		"longer":          {[]frame{{10, 5}, {10, 8}}, []frame{{10, 8}}},
		"back cut":        {[]frame{{10, 5}, {12, 5}}, []frame{{10, 2}, {12, 5}}},
		"front cut":       {[]frame{{10, 5}, {8, 4}}, []frame{{8, 4}, {12, 3}}},
		"in two":          {[]frame{{10, 9}, {12, 3}}, []frame{{10, 2}, {12, 3}, {15, 4}}},
		"many below one":  {[]frame{{10, 3}, {13, 3}, {16, 3}, {19, 3}, {12, 8}}, []frame{{10, 2}, {12, 8}, {20, 2}}},
		"cut twice":       {[]frame{{10, 9}, {12, 2}, {16, 1}}, []frame{{10, 2}, {12, 2}, {14, 2}, {16, 1}, {17, 2}}},
		"older after":     {[]frame{{100, 5}, {10, 5}, {200, 1}}, []frame{{10, 5}, {100, 5}, {200, 1}}},
		"touching":        {[]frame{{10, 5}, {15, 5}, {5, 5}}, []frame{{5, 5}, {10, 5}, {15, 5}}},
		"covered by two":  {[]frame{{10, 6}, {8, 5}, {13, 9}}, []frame{{8, 5}, {13, 9}}},
		"hidden and back": {[]frame{{10, 2}, {10, 9}, {10, 2}}, []frame{{10, 2}, {12, 7}}},
	} {
		for _, runs := range []bool{false, true} { // in one run, or each in its own
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, dir, nil)
				for _, f := range tt.put {
					fill(t, s, f.first, 1, f.n)
					if runs {
						closed(t, s)
						s = open(t, dir, nil)
					}
				}
				closed(t, s)
				s = open(t, dir, nil)
				var got []frame
				for _, f := range s.Frames() {
					check(t, s, f)
					got = append(got, frame{f.First, int(f.Records)})
				}
				if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(frame{})); diff != "" {
					t.Error(diff)
				}
				for _, f := range s.Frames() {
					s.Release(f)
				}
				if n := len(segments(t, dir)); n != 0 {
					t.Errorf("%d segments left", n)
				}
			})
		}
	}
}

// TestForeignFilesAreLeftAlone: what is not the spool's is neither read nor touched, nor waited for.
func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	fill(t, s, 1, 3, 3)
	closed(t, s)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"notes", "x.seg", "1.1.1.seg", ".hidden", segmentName(1, 7, 7), segmentName(1, 8, 8), segmentName(1, 9, 9)}
	for _, name := range names[:4] {
		write(name, "mine")
	}
	if err := os.Mkdir(filepath.Join(dir, names[4]), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, names[5])); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, names[6]), 0o600); err != nil {
		t.Fatal(err)
	}
	write(segmentName(5, 6, 6), "") // as a kill leaves it

	s = open(t, dir, nil)
	if d := s.Damage(); d.Frames+d.Bytes+d.Uncounted != 0 || d.Err != nil || len(s.Frames()) != 3 {
		t.Errorf("%d frames, damage %+v", len(s.Frames()), d)
	}
	for _, f := range s.Frames() {
		check(t, s, f)
		s.Release(f)
	}
	closed(t, s)
	v, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if got := slices.Sorted(slices.Values(v.Foreign)); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		t.Errorf("foreign: %q", got)
	}
	if len(v.Segments()) != 0 {
		t.Errorf("segments are left: %v", v.Segments())
	}
}

func TestNotADirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "x"), link} {
		if _, err := Open(Options{Dir: path, MaxSize: 1 << 20}); err == nil {
			t.Errorf("%s is taken for a spool", path)
		}
	}
}

// TestDirectoryIsRemoved: what comes after the next file is begun is stored in a new
// directory, which no other process can take, and is there for the next run.
func TestDirectoryIsRemoved(t *testing.T) {
	for _, sync := range []Sync{None, Interval, Batch} {
		dir := filepath.Join(t.TempDir(), "above", "spool")
		s, err := Open(Options{Dir: dir, MaxSize: 8 << 20, SegmentSize: minSegment, Sync: sync})
		if err != nil {
			t.Fatal(err)
		}
		next := uint64(1)
		add := func() (f Frame) {
			t.Helper()
			if f, err = s.Append(next, batch(next, 500)); err != nil {
				t.Fatal(err)
			}
			next += 500
			return f
		}
		add()
		if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
			t.Fatal(err)
		}
		var last Frame
		for range 10 {
			last = add()
		}
		check(t, s, last)
		if _, err := Open(Options{Dir: dir, MaxSize: 8 << 20}); !errors.Is(err, ErrLocked) {
			t.Errorf("another opens it: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		again, err := Open(Options{Dir: dir, MaxSize: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		frames := again.Frames()
		if len(frames) == 0 || frames[len(frames)-1].First != last.First {
			t.Errorf("the next run has %d frames", len(frames))
		}
		again.Close()
	}
}
