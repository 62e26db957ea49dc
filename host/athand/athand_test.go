package athand

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// mapped returns the memory of a monitor and the same as its worker has it.
func mapped(t testing.TB, poison ...ID) (*os.File, *Page) {
	t.Helper()
	f, err := NewFile()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fd, err := Duplicate(f)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Map(fd, poison)
	if err != nil {
		t.Fatal(err)
	}
	return f, p
}

// events are records of an event each: one of this host, one of the same id from another, one without a header.
func events() *record.Batch {
	b := new(record.Batch)
	add := func(text string, r record.Record) {
		r.Off, r.Len = uint32(len(b.Buf)), uint32(len(text))
		b.Buf = append(b.Buf, text...)
		b.Recs = append(b.Recs, r)
	}
	add("type=CWD msg=audit(1700000000.005:7): cwd=\"/\"\n", record.Record{Millis: 1700000000005, Serial: 7})
	add("node=a type=CWD msg=audit(1700000000.005:7): cwd=\"/\"\n", record.Record{Millis: 1700000000005, Serial: 7, NodeLen: 1})
	add("garbage\n", record.Record{Flags: record.NoID})
	return b
}

// TestWhatIsAtHandIsSeen: the monitor sees the events that are held, each once, and none that work has ended on.
func TestWhatIsAtHandIsSeen(t *testing.T) {
	f, p := mapped(t)
	b := events()
	if ids := Collect(f); len(ids) != 0 {
		t.Errorf("at first there is %v", ids)
	}
	var held []Slot
	for i := range b.Recs {
		for range 2 {
			s := p.Take()
			if s.Hold(b, i) {
				t.Errorf("record %d is poison", i)
			}
			held = append(held, s)
		}
	}
	done, other := p.Take(), p.Take()
	done.Hold(b, 0)
	done.Clear()
	other.Hold(b, 0)
	other.Hold(b, 1)
	held[0].Give()
	held[1].Give()
	if ids := Collect(f); len(ids) != 2 || ids[0] == ids[1] || ids[0].String() != "1700000000.005:7" || ids[1].Millis != 0 {
		t.Errorf("%v", ids)
	}
	if ids := Collect(f); len(ids) != 0 {
		t.Errorf("they were collected, and there is %v", ids)
	}
}

// TestPoison: the events that are poison are, also where no slot is free; others with the same id, or none, are not.
func TestPoison(t *testing.T) {
	b := events()
	f, p := mapped(t)
	for i := range b.Recs {
		p.Take().Hold(b, i)
	}
	ids := Collect(f)
	if len(ids) != len(b.Recs) {
		t.Fatalf("%v", ids)
	}
	for k := range ids {
		f, p := mapped(t, ids[k])
		s := p.Take()
		for n := 0; n < 2*slots; n++ {
			for i := range b.Recs {
				if s.Hold(b, i) != (i == k) {
					t.Fatalf("slot %d: record %d", n, i)
				}
			}
			s = p.Take() // and at some time there is none
		}
		if s.at != nil {
			t.Error("there are more slots than there are")
		}
		s.Clear()
		s.Give()
		if ids := Collect(f); len(ids) != 1 {
			t.Errorf("%v", ids)
		}
	}
}

// TestNothingIsNotedInOneProcess: without a page there is no poison and nothing is written.
func TestNothingIsNotedInOneProcess(t *testing.T) {
	var p *Page
	s := p.Take()
	if s != (Slot{}) || s.Hold(nil, 0) {
		t.Errorf("%+v", s)
	}
	s.Clear()
	s.Give()
}

// TestSlotsAreOfOneEach: many that take and give at once never have the same slot.
func TestSlotsAreOfOneEach(t *testing.T) {
	f, p := mapped(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			b := &record.Batch{Recs: []record.Record{{Millis: int64(g), Serial: 1}}}
			for range 10000 {
				s := p.Take()
				s.Hold(b, 0)
				if s.at == nil || s.at[1] != uint64(g) {
					t.Errorf("another has the slot of %d", g)
					return
				}
				s.Give()
			}
		})
	}
	wg.Wait()
	if ids := Collect(f); len(ids) != 0 || p.free.Load() != 1<<slots-1 {
		t.Errorf("%v, free %b", ids, p.free.Load())
	}
}

// TestMemoryKeepsItsSize whatever a worker does that was taken over.
func TestMemoryKeepsItsSize(t *testing.T) {
	f, _ := mapped(t)
	for _, to := range []int64{0, size / 2, 1 << 30} {
		if err := f.Truncate(to); err == nil {
			t.Errorf("it has %d bytes now", to)
		}
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err == nil {
		t.Error("it can be sealed against writing")
	}
}

func id(n int) ID { return ID{Serial: uint32(n)} }

// TestSuspects: two deaths make an event poison, also with others between them and within a day; each is reported once.
func TestSuspects(t *testing.T) {
	now := time.Unix(1e9, 0)
	for name, x := range map[string]struct {
		deaths [][]ID
		pause  time.Duration
		want   []ID
	}{
		"once":            {[][]ID{{id(1), id(2)}}, 0, nil},
		"twice":           {[][]ID{{id(1), id(2)}, {id(3), id(1)}}, 0, []ID{id(1)}},
		"not in a row":    {[][]ID{{id(1)}, {}, {id(2)}, {id(1)}, {id(1)}}, time.Hour, []ID{id(1)}},
		"two":             {[][]ID{{id(1), id(2)}, {id(2), id(1)}}, 0, []ID{id(1), id(2)}},
		"after two days":  {[][]ID{{id(1)}, {id(1)}}, 2 * suspectTime, nil},
		"nothing at hand": {[][]ID{nil, nil}, 0, nil},
	} {
		var s Suspects
		var got []ID
		at := now
		for _, ids := range x.deaths {
			got = append(got, s.Note(ids, at)...)
			at = at.Add(x.pause)
		}
		byNumber := func(a, b ID) int { return int(a.Serial) - int(b.Serial) }
		slices.SortFunc(got, byNumber)
		kept := s.Poison()
		slices.SortFunc(kept, byNumber)
		if !slices.Equal(got, x.want) || !slices.Equal(kept, x.want) {
			t.Errorf("%s: reported %v, kept %v, want %v", name, got, kept, x.want)
		}
	}
}

// TestSuspectsAreBounded: whatever is at hand, so many are kept, and neither many of one death nor much poison makes the other kind be
// forgotten at once.
func TestSuspectsAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	var s Suspects
	s.Note([]ID{id(-1)}, now)
	s.Note([]ID{id(-1)}, now)
	for n := range 10 * maxSuspects {
		s.Note([]ID{id(n)}, now)
		if len(s.list) > maxSuspects {
			t.Fatalf("%d are kept", len(s.list))
		}
	}
	if got := s.Poison(); !slices.Equal(got, []ID{id(-1)}) {
		t.Errorf("poison %v", got)
	}
	var all []ID
	for n := range slots {
		all = append(all, id(1000+n))
	}
	s.Note(all, now)
	s.Note(all, now)
	if got := s.Note([]ID{id(1)}, now); len(got) != 0 {
		t.Errorf("poison at once: %v", got)
	}
	if got := s.Note([]ID{id(1)}, now); len(got) != 1 || len(s.list) > maxSuspects {
		t.Errorf("poison %v, %d kept", got, len(s.list))
	}
}

// FuzzCollect: whatever a worker has written is so many ids at most, that can be written and given to the next one.
func FuzzCollect(f *testing.F) {
	f.Add([]byte{})
	f.Add(slices.Repeat([]byte{0xff}, size))
	f.Add(slices.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0x80}, size/8))
	memory, err := NewFile()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { memory.Close() })
	var s Suspects
	f.Fuzz(func(t *testing.T, written []byte) {
		if _, err := memory.WriteAt(written[:min(len(written), size)], 0); err != nil {
			t.Fatal(err)
		}
		ids := Collect(memory)
		if len(ids) > slots {
			t.Errorf("%d ids", len(ids))
		}
		for i := range ids {
			if slices.Contains(ids[:i], ids[i]) {
				t.Errorf("%v is there twice", ids[i])
			}
			_ = ids[i].String()
		}
		s.Note(ids, time.Now())
		text, err := json.Marshal(s.Poison())
		var again []ID
		if err == nil {
			err = json.Unmarshal(text, &again)
		}
		if err != nil || len(text) > 16<<10 || !slices.Equal(again, s.Poison()) {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	})
}

// BenchmarkSlot shows what it costs to hold an event, and to take and give a slot for a batch of them.
func BenchmarkSlot(b *testing.B) {
	batch := events()
	var many []ID
	for n := range maxSuspects {
		many = append(many, id(n))
	}
	for name, poison := range map[string][]ID{"no poison": nil, "1 is poison": many[:1], "64 are poison": many} {
		_, p := mapped(b, poison...)
		for i, kind := range []string{"this host", "a node", "no header"} {
			b.Run(fmt.Sprintf("hold %s, %s", kind, name), func(b *testing.B) {
				s := p.Take()
				defer s.Give()
				b.ReportAllocs()
				for b.Loop() {
					s.Hold(batch, i)
				}
			})
		}
	}
	_, p := mapped(b)
	for name, p := range map[string]*Page{"take and give": p, "one process": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := p.Take()
				s.Hold(batch, 0)
				s.Give()
			}
		})
	}
}
