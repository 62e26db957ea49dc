package integrity

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// logged gives the events first to last to tr as lines of the log.
func logged(t *testing.T, tr *Tracker, first, last uint32) {
	t.Helper()
	b := audittest.Lines(t, audittest.UserAt(1, 1000))
	b.Recs[0].Flags |= record.FromLog
	for s := first; ; s++ {
		b.Recs[0].Serial = s
		tr.Observe(b, audittest.Epoch)
		if s == last {
			return
		}
	}
}

func streamed(t *testing.T, tr *Tracker, first, last uint32) {
	t.Helper()
	b := audittest.Lines(t, audittest.UserAt(1, 1000))
	for s := first; ; s++ {
		b.Recs[0].Serial = s
		tr.Observe(b, audittest.Epoch)
		if s == last {
			return
		}
	}
}

func holes(tr *Tracker) (runs [][2]uint32) {
	for _, x := range tr.Due(audittest.Epoch.Add(time.Minute)) {
		if x.Kind == MissingSerials {
			runs = append(runs, [2]uint32{x.First, x.Last})
		}
	}
	return runs
}

// TestALineOfTheLogDoesNotMoveTheWindow: wherever its serial lies. Later losses show
// as without it, and none is claimed that was none.
func TestALineOfTheLogDoesNotMoveTheWindow(t *testing.T) {
	for _, forged := range []uint32{1051, 1060, 1099, 1300, 1700, 200_000, 1000 + windowSize, 5_000_000, 1 << 31, 4_000_000_000, 0, 1, 999, 1049} {
		tr := NewTracker(Options{})
		streamed(t, tr, 1000, 1049)
		logged(t, tr, forged, forged)
		if got := holes(tr); got != nil {
			t.Errorf("%d: %v after the line", forged, got)
		}
		streamed(t, tr, 1050, 1099)
		streamed(t, tr, 1600, 1699)
		streamed(t, tr, 1700, 1720)
		want := [][2]uint32{{1100, 1599}}
		if forged == 1300 { // a lost event whose serial was guessed
			want = [][2]uint32{{1100, 1299}, {1301, 1599}}
		}
		if d := cmp.Diff(want, holes(tr)); d != "" {
			t.Errorf("%d: (-want +got)\n%s", forged, d)
		}
	}
}

// TestStrayLinesOfTheLogDoNotAddUp: of the serials that lie outside of the window
// only a run without others between counts.
func TestStrayLinesOfTheLogDoNotAddUp(t *testing.T) {
	tr := NewTracker(Options{})
	streamed(t, tr, 1000, 1049)
	for k := range uint32(100) {
		logged(t, tr, 5_000_000+k, 5_000_000+k)
		logged(t, tr, 1040, 1040)
	}
	streamed(t, tr, 1050, 1060)
	if got := holes(tr); got != nil || tr.Counts().Reboots != 0 {
		t.Errorf("%v %+v", got, tr.Counts())
	}
}

// TestTheStreamPassesWhatTheLogHad: only what the log did not have of the time
// before is a hole, however long that was.
func TestTheStreamPassesWhatTheLogHad(t *testing.T) {
	for _, n := range []uint32{60, 1000, windowSize / 2, windowSize - 10, windowSize + 10, 3 * windowSize} {
		tr := NewTracker(Options{})
		streamed(t, tr, 1000, 1049)
		logged(t, tr, 1050, 1069)
		logged(t, tr, 1073, 1050+n)
		streamed(t, tr, 1050+n+5, 1050+n+40)
		if d := cmp.Diff([][2]uint32{{1070, 1072}, {1050 + n + 1, 1050 + n + 4}}, holes(tr)); d != "" {
			t.Errorf("%d: (-want +got)\n%s", n, d)
		}
	}
}

// TestConfirmedRecordsMoveTheWindow: the stream's copies of lines that were given before move the
// window, and open no event again.
func TestConfirmedRecordsMoveTheWindow(t *testing.T) {
	tr := NewTracker(Options{})
	streamed(t, tr, 1000, 1049)
	logged(t, tr, 1050, 1069)
	b := audittest.Lines(t, audittest.UserAt(1, 1000))
	for s := uint32(1050); s <= 1060; s++ {
		b.Recs[0].Serial = s
		tr.Confirm(b, 0, audittest.Epoch)
	}
	if s := tr.State().Nodes[0]; s.Serial != 1060 || !slices.Equal(s.Ahead, []Run{{First: 1061, Last: 1069}}) || s.Missing != nil {
		t.Errorf("%+v", s)
	}
	if c := tr.Counts(); c.Open != 0 || c.Late+c.Filled+c.Strays != 0 {
		t.Errorf("%+v", c)
	}
}

// TestAheadGoesOverARestart: what the log gave after the last of the stream is
// not missing in the next run.
func TestAheadGoesOverARestart(t *testing.T) {
	tr := NewTracker(Options{BootID: "x"})
	streamed(t, tr, 1000, 1049)
	logged(t, tr, 1050, 1055)
	logged(t, tr, 1058, 1060)
	text, err := json.Marshal(tr.State())
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	tr = NewTracker(Options{BootID: "x"})
	if !tr.Restore(s) {
		t.Fatal("not restored")
	}
	streamed(t, tr, 1062, 1070)
	if d := cmp.Diff([][2]uint32{{1056, 1057}, {1061, 1061}}, holes(tr)); d != "" {
		t.Error(d)
	}
	s.Nodes[0].Ahead = []Run{{First: 1, Last: 1 << 31}, {First: 1051, Last: 4_000_000_000}} // damaged
	tr = NewTracker(Options{BootID: "x"})
	tr.Restore(s)
	if tr.nodes[""].ahead.n != 0 {
		t.Error("a run outside of the window was taken over")
	}
}

// TestTheLogBeginsANode: where nothing is known of a node its lines begin the
// window, but not one alone.
func TestTheLogBeginsANode(t *testing.T) {
	for _, forged := range []uint32{1, 900, 200_000, 3_000_000_000} {
		for _, n := range []uint32{6, 14, 40} {
			tr := NewTracker(Options{})
			logged(t, tr, forged, forged)
			logged(t, tr, 1000, 1000+n)
			streamed(t, tr, 1000+n+4, 1000+n+30)
			if d := cmp.Diff([][2]uint32{{1000 + n + 1, 1000 + n + 3}}, holes(tr)); d != "" {
				t.Errorf("%d, %d: (-want +got)\n%s", forged, n, d)
			}
		}
	}
}

// TestTheStreamOpensNoEventTwice: the log has the first record of an event, the
// stream the rest, and the other way round.
func TestTheStreamOpensNoEventTwice(t *testing.T) {
	all := audittest.Capture(t, "audit-3.0.9-raw.string.gz")
	for k := range uint32(4) {
		tr := NewTracker(Options{})
		for i := range all.Recs {
			one := &record.Batch{Buf: all.Buf, Recs: slices.Clone(all.Recs[i : i+1])}
			if r := &one.Recs[0]; r.Type != record.TypeEOE && (r.Off/7+k)%4 == 0 {
				r.Flags |= record.FromLog
			}
			tr.Observe(one, audittest.Epoch)
		}
		if due, c := tr.Due(audittest.Epoch.Add(time.Hour)), tr.Counts(); due != nil || c.Open != 0 {
			t.Errorf("%d: %v %+v", k, due, c)
		}
	}
}
