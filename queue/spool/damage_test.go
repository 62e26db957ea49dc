package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"audisp-relay/audit/record"
)

// smallLog makes a log of three runs with frames of three records, two segments
// in the first and the last run. The first two runs end in order, the last is
// killed.
func smallLog(t testing.TB) (dir string, all []Frame) {
	t.Helper()
	dir = t.TempDir()
	next := uint64(1)
	add := func(s *Spool, frames int) {
		all = append(all, fill(t, s, next, frames, 3)...)
		next += uint64(frames) * 3
	}
	s := open(t, dir, nil)
	add(s, 2)
	s.endSegment()
	add(s, 3)
	closed(t, s)
	s = open(t, dir, nil)
	add(s, 1)
	closed(t, s)
	s = open(t, dir, nil)
	add(s, 2)
	s.endSegment()
	add(s, 2)
	kill(s)
	return dir, all
}

// readable opens the spool and returns what is readable of all, by first number,
// and the frames that are damaged when they are read. Every other frame has to be
// what was written.
func readable(t testing.TB, dir string) (good []uint64, bad []Frame, d Damage) {
	t.Helper()
	s := open(t, dir, nil)
	defer closed(t, s)
	for _, f := range s.Frames() {
		_, err := s.Read(f, nil, nil)
		switch {
		case errors.Is(err, ErrDamaged):
			bad = append(bad, f)
		case err != nil:
			t.Fatal(err)
		default:
			check(t, s, f)
			good = append(good, f.First)
		}
	}
	d = s.Damage()
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	var lost uint64
	for _, f := range d.Lost {
		lost += uint64(f.Records)
		if _, err := s.Read(f, nil, nil); !errors.Is(err, ErrDamaged) {
			t.Fatalf("a lost frame can be read: %v", err)
		}
	}
	if lost != d.Records || d.Whole != d.Records {
		t.Fatalf("damage does not add up: %+v", d)
	}
	return good, bad, d
}

// TestADamagedByteCostsItsFrameOnly: a damaged byte costs the frame it is in and no other, and
// that is counted. In a mark it costs nothing.
func TestADamagedByteCostsItsFrameOnly(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	dir, all := smallLog(t)
	last := all[len(all)-1]
	flips := 0
	for _, path := range segments(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := range data {
			data[at] ^= 1 << (at % 8)
			write(t, path, data)
			good, bad, d := readable(t, dir)
			data[at] ^= 1 << (at % 8)
			where := fmt.Sprintf("byte %d of %s", at, filepath.Base(path))
			hit := slices.IndexFunc(all, func(f Frame) bool {
				return filepath.Base(path) == f.seg.name && at >= int(f.off) && at < int(f.off)+f.diskSize()
			})
			want := firsts(all)
			if hit >= 0 {
				want = slices.Delete(want, hit, hit+1)
			}
			if !slices.Equal(good, want) {
				t.Fatalf("%s: %d can be read, want %d", where, good, want)
			}
			counted := len(bad) + int(d.Frames)
			switch {
			case hit < 0 && counted > 0:
				t.Fatalf("%s: %d frames counted as lost where none is", where, counted)
			case hit >= 0 && all[hit].First == last.First && d.Uncounted == 1 && counted == 0:
				// Nothing follows it: the place is counted, not what was there.
			case hit >= 0 && counted != 1:
				t.Fatalf("%s: %d frames counted as lost, want 1: %+v", where, counted, d)
			case hit >= 0 && len(bad) == 1 && (bad[0].First != all[hit].First || bad[0].Records != 3 || d.Bytes != 0):
				t.Fatalf("%s: %+v counted as lost, want %+v", where, bad[0], all[hit])
			case hit >= 0 && len(bad) == 0 && (d.Lost[0].First != all[hit].First || d.Records != 3 || d.Uncounted != 0):
				t.Fatalf("%s: damage %+v, want %+v", where, d, all[hit])
			}
			flips++
		}
		write(t, path, data)
	}
	if flips < 3000 {
		t.Errorf("only %d bytes in the log", flips)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *Frame) diskSize() int { return headerSize + int(f.total)*metaSize + int(f.Bytes) }

// TestATornTailCostsItsFrameOnly cuts the last segment at every length.
func TestATornTailCostsItsFrameOnly(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	dir, all := smallLog(t)
	paths := segments(t, dir)
	path := paths[len(paths)-1]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := range data {
		write(t, path, data[:size])
		good, bad, d := readable(t, dir)
		var want []uint64
		whole := size == headerSize || size == 0
		for _, f := range all {
			end := int(f.off) + f.diskSize()
			if f.seg.name != filepath.Base(path) || end <= size {
				want = append(want, f.First)
				whole = whole || (end == size && f.seg.name == filepath.Base(path))
			}
		}
		if !slices.Equal(good, want) || len(bad) > 0 || d.Frames > 0 {
			t.Fatalf("cut at %d: %d and %d can be read, want %d; %+v", size, good, firsts(bad), want, d)
		}
		if torn := d.Uncounted == 1 && d.Bytes > 0; torn == whole {
			t.Fatalf("cut at %d: %+v", size, d)
		}
		// What is stored next is not touched by the tail.
		s := open(t, dir, nil)
		fill(t, s, s.Next(), 1, 3)
		kill(s)
		if again, _, d2 := readable(t, dir); len(again) != len(good)+1 || d2.Uncounted != d.Uncounted {
			t.Fatalf("cut at %d: %d can be read after one more frame, %d before; %+v", size, again, good, d2)
		}
		paths = segments(t, dir)
		if err := os.Remove(paths[len(paths)-1]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCutInTheMiddle cuts an older segment: what is missing is known exactly.
func TestCutInTheMiddle(t *testing.T) {
	dir, all := smallLog(t)
	path := segments(t, dir)[0]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := range data {
		write(t, path, data[:size])
		good, bad, d := readable(t, dir)
		lost := 0
		for _, f := range all[:2] {
			if int(f.off)+f.diskSize() > size {
				lost++
			}
		}
		if size < headerSize {
			// Not even the run is known: the next segment could be all there is of it.
			if len(good) != len(all)-2 || d.Uncounted > 1 {
				t.Fatalf("cut at %d: %d can be read, %+v", size, good, d)
			}
			continue
		}
		if len(good) != len(all)-lost || len(bad) > 0 || d.Frames != uint64(lost) || d.Records != uint64(3*lost) || d.Uncounted > 0 {
			t.Fatalf("cut at %d: %d can be read, %d frames should be lost: %+v", size, good, lost, d)
		}
	}
}

// TestADeletedSegmentIsNoticed: within a run that is noticed, at its front it cannot be.
func TestADeletedSegmentIsNoticed(t *testing.T) {
	for n := range 9 {
		dir := t.TempDir()
		s := open(t, dir, nil)
		for i := range uint64(10) {
			fill(t, s, i*100, 5, 3)
			if i < 9 {
				s.endSegment()
			}
		}
		closed(t, s)
		if err := os.Remove(segments(t, dir)[n]); err != nil {
			t.Fatal(err)
		}
		lost := 5
		if n == 0 {
			lost = 0
		}
		good, bad, d := readable(t, dir)
		if len(good) != 45 || len(bad) > 0 || int(d.Frames) != lost || int(d.Records) != 3*lost {
			t.Errorf("segment %d deleted: %d of 50 can be read: %+v", n, len(good), d)
		}
		if n > 0 && d.Lost[0].First != uint64(n-1)*100+15 {
			t.Errorf("segment %d deleted: lost from %d on", n, d.Lost[0].First)
		}
	}
}

// TestTailOverwritten: what a power cut can leave at the end of a file.
func TestTailOverwritten(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"last 4 KiB zeroed": func(data []byte) []byte {
			clear(data[len(data)-4096:])
			return data
		},
		"garbage": func(data []byte) []byte {
			for range 10000 {
				data = append(data, byte(rand.Uint32()))
			}
			return data
		},
		"garbage full of magics": func(data []byte) []byte {
			return append(data, bytes.Repeat([]byte(magic), 50000)...)
		},
		"an older part again": func(data []byte) []byte { return append(data, data[headerSize:8000]...) },
		"nothing but zeros":   func(data []byte) []byte { return append(data, make([]byte, 100000)...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, nil)
			all := fill(t, s, 1, 100, 10)
			kill(s)
			path := segments(t, dir)[0]
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			good := len(data)
			if name == "last 4 KiB zeroed" {
				good -= 4096
			}
			write(t, path, change(data))
			var want []uint64
			for _, f := range all {
				if int(f.off)+f.diskSize() <= good {
					want = append(want, f.First)
				}
			}
			got, bad, d := readable(t, dir)
			if !slices.Equal(got, want) || len(bad) > 1 || d.Uncounted != 1 || d.Frames != 0 {
				t.Errorf("%d can be read, want %d; %d damaged, %+v", got, want, firsts(bad), d)
			}
		})
	}
}

// TestAForgedFrameIsNotFound: when a damaged header makes the spool search, it does not find a frame in the
// text of a record, neither one that was copied from another place nor one made without knowing the salt.
func TestAForgedFrameIsNotFound(t *testing.T) {
	for name, change := range map[string]func(*header){
		"salt": func(h *header) { h.salt++ }, "offset": func(h *header) { h.off-- }, "file": func(h *header) { h.file-- },
	} {
		dir := t.TempDir()
		s := open(t, dir, nil)
		fill(t, s, 1, 1, 3)
		h := header{Frame: Frame{First: 100}}
		forged, err := appendFrame(nil, &h, batch(100, 2))
		if err != nil {
			t.Fatal(err)
		}
		s.place(&h)
		h.off += headerSize + metaSize
		change(&h)
		h.put(forged)
		f, err := s.Append(4, &record.Batch{Buf: forged, Recs: []record.Record{{Len: uint32(len(forged))}}})
		if err != nil {
			t.Fatal(err)
		}
		closed(t, s)
		path := filepath.Join(dir, f.seg.name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[f.off+30]++
		write(t, path, data)
		good, bad, d := readable(t, dir)
		if !slices.Equal(good, []uint64{1}) || len(bad) > 0 || d.Frames != 1 || d.Records != 1 || int(d.Bytes) != f.diskSize() {
			t.Errorf("%s: %d can be read, %d damaged, %+v", name, good, firsts(bad), d)
		}
	}
}

// TestSearchAcrossChunks: a header is found wherever in what is read at once it
// stands.
func TestSearchAcrossChunks(t *testing.T) {
	for size := chunk - headerSize - 3; size < chunk+headerSize; size++ {
		dir := t.TempDir()
		s := open(t, dir, func(o *Options) { o.SegmentSize = 1 << 20 })
		text := make([]byte, size-headerSize-metaSize)
		f, err := s.Append(1, &record.Batch{Buf: text, Recs: []record.Record{{Len: uint32(len(text))}}})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, s, 2, 1, 3)
		kill(s)
		path := segments(t, dir)[0]
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[f.off] = 0
		write(t, path, data)
		if good, _, d := readable(t, dir); !slices.Equal(good, []uint64{2}) || int(d.Bytes) != size {
			t.Fatalf("after a frame of %d bytes %d can be read, %+v", size, good, d)
		}
	}
}

// TestWhatIsReadWasWritten: whatever the files hold, what is read is what was written.
func TestWhatIsReadWasWritten(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	origin, all := smallLog(t)
	for range 300 {
		dir := copyDir(t, origin)
		for _, path := range segments(t, dir) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for range rand.IntN(4) {
				from := rand.IntN(len(data))
				part := data[from:min(len(data), from+1+rand.IntN(400))]
				switch rand.IntN(4) {
				case 0:
					clear(part)
				case 1:
					data = slices.Delete(data, from, from+len(part))
				case 2:
					data = slices.Insert(data, rand.IntN(len(data)), slices.Clone(part)...)
				case 3:
					part[0]++
				}
				if len(data) == 0 {
					break
				}
			}
			write(t, path, data)
		}
		good, bad, _ := readable(t, dir)
		for _, first := range append(good, firsts(bad)...) {
			if !slices.Contains(firsts(all), first) {
				t.Fatalf("frame %d was never written", first)
			}
		}
	}
}
