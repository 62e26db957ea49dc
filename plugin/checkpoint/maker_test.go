package checkpoint

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"audisp-relay/fleet/wire"
)

var begin = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// next asks for the checkpoint of one sink, the zero Due for none.
func next(t *testing.T, m *Maker, after time.Duration, received uint64) Due {
	t.Helper()
	list, err := m.Next(begin.Add(after), []Progress{{"siem", received}})
	if err != nil || len(list) > 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if len(list) == 0 {
		return Due{}
	}
	if got := list[0].Time; !got.Equal(begin.Add(after)) {
		t.Errorf("made at %v, want %v", got, begin.Add(after))
	}
	return list[0]
}

func open(t *testing.T, dir string) *Maker {
	t.Helper()
	m, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWhenTheyAreDue: at the start, every 10 s while records come, every 60 s otherwise, never later
// than was promised.
func TestWhenTheyAreDue(t *testing.T) {
	m := open(t, "")
	for _, test := range []struct {
		after    time.Duration
		received uint64
		reason   string
		pause    time.Duration
	}{
		{0, 5, wire.ReasonStart, Active},
		{9 * time.Second, 6, "", 0},
		{10 * time.Second, 6, wire.ReasonTick, Active},
		{19 * time.Second, 6, "", 0},
		{20 * time.Second, 6, wire.ReasonTick, Idle}, // promised, though nothing came
		{79 * time.Second, 6, "", 0},
		{80 * time.Second, 6, wire.ReasonTick, Idle},
		{85 * time.Second, 7, "", 0},
		{90 * time.Second, 7, wire.ReasonTick, Active}, // sooner than promised: records come
	} {
		d := next(t, m, test.after, test.received)
		if d.Reason != test.reason || (d.Reason != "" && d.Next.Sub(d.Time) != test.pause) {
			t.Errorf("after %v: %+v, want %s and %v", test.after, d, test.reason, test.pause)
		}
	}
}

// TestNumbersNeverComeTwice: over an end in order, a kill, and a sink that is removed and comes again.
func TestNumbersNeverComeTwice(t *testing.T) {
	dir := t.TempDir()
	seen := make(map[uint64]bool)
	epoch := ""
	use := func(d Due, reason string) {
		t.Helper()
		if d.Reason != reason || d.N == 0 || seen[d.N] || (epoch != "" && d.Epoch != epoch) || !wire.ValidEpoch(d.Epoch) {
			t.Fatalf("%+v after %v in epoch %s, want %s", d, seen, epoch, reason)
		}
		seen[d.N], epoch = true, d.Epoch
	}
	for run := range 6 {
		m := open(t, dir)
		use(next(t, m, 0, 1), wire.ReasonStart)
		use(next(t, m, Active, 2), wire.ReasonTick)
		use(next(t, m, 2*Active, 3), wire.ReasonTick)
		if run%2 == 0 {
			use(m.End(begin, "siem"), wire.ReasonEnd)
			if d := m.End(begin, "siem"); d.Sink != "" {
				t.Errorf("two last words: %+v", d)
			}
			use(next(t, m, 3*Active, 3), wire.ReasonStart)
		}
	}
	if len(seen) != 6*3+3*2 {
		t.Errorf("%d checkpoints", len(seen))
	}
}

// TestASinkThatLeaves begins again with a start.
func TestASinkThatLeaves(t *testing.T) {
	m := open(t, "")
	first := next(t, m, 0, 1)
	if list, err := m.Next(begin.Add(time.Second), nil); len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	if d := m.End(begin, "siem"); d.Sink != "" {
		t.Errorf("the last word of a sink that has gone: %+v", d)
	}
	if d := next(t, m, 2*time.Second, 1); d.Reason != wire.ReasonStart || d.N <= first.N {
		t.Errorf("%+v after %+v", d, first)
	}
}

// TestADamagedFile makes a new epoch, and says why.
func TestADamagedFile(t *testing.T) {
	dir := t.TempDir()
	old := next(t, open(t, dir), 0, 1)
	path := filepath.Join(dir, fileName)
	for _, text := range []string{"", "{", `{"sinks":{"siem":null}}`, `{"sinks":{"siem":{"epoch":"x","n":1}}}`, `{"sinks":{"siem":{"epoch":"0011223344556677","n":-1}}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := New(dir)
		if err == nil {
			t.Errorf("%q was taken", text)
		}
		if d := next(t, m, 0, 1); d.Epoch == old.Epoch || d.N != 1 {
			t.Errorf("%q: %+v after %+v", text, d, old)
		}
	}
}

// TestADiskThatFails costs nothing but the promise over kills.
func TestADiskThatFails(t *testing.T) {
	m := open(t, filepath.Join(t.TempDir(), "gone"))
	list, err := m.Next(begin, []Progress{{"siem", 1}})
	if err == nil || len(list) != 1 || list[0].N != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"sinks":{"siem":{"epoch":"0011223344556677","n":7}}}`))
	f.Add([]byte(`null`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, fileName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, _ := New(dir)
		if d := next(t, m, 0, 1); d.N == 0 || !wire.ValidEpoch(d.Epoch) {
			t.Errorf("%+v", d)
		}
	})
}
