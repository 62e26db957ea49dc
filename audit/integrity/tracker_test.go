package integrity

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// serialsOf returns the kernel serials of a batch in the order they appear.
func serialsOf(b *record.Batch) (list []uint32) {
	seen := make(map[uint32]bool)
	for i := range b.Recs {
		if r := &b.Recs[i]; counts(r) && !seen[r.Serial] {
			seen[r.Serial] = true
			list = append(list, r.Serial)
		}
	}
	return list
}

// spread returns the serials that troubles of a kind name.
func spread(list []Gap, k Kind) (serials []uint32) {
	for _, x := range list {
		if x.Kind == k {
			for s := x.First; ; s++ {
				serials = append(serials, s)
				if s == x.Last {
					break
				}
			}
		}
	}
	return serials
}

// feed gives the records of b to tr in batches, moving the time on by step each.
// Lines of a log are given as ones that the stream has brought.
func feed(t *rapid.T, tr *Tracker, b *record.Batch, now time.Time, step time.Duration) time.Time {
	for from := 0; from < len(b.Recs); {
		n := min(rapid.IntRange(1, 60).Draw(t, "batch"), len(b.Recs)-from)
		part := &record.Batch{Buf: b.Buf, Recs: b.Recs[from : from+n]}
		if part.Recs[0].Flags&record.FromLog != 0 {
			tr.ObserveConfirmed(part, now)
		} else if k := tr.Observe(part, now); k != n {
			t.Fatalf("looks cut: %q", part.Bytes(k))
		}
		from += n
		now = now.Add(step)
	}
	return now
}

var ordinary = []string{"audit-2.8.5-audispd.string.gz", "audit-3.0.9-raw.string.gz", "audit-3.0.9-enriched.log.gz", "audit-4.2.1-enriched.binary.gz"}

// TestEventsTakenOutAreHoles takes any set of events out of a capture: exactly
// these are missing, once the window has passed, and lost once they are found nowhere.
func TestEventsTakenOutAreHoles(t *testing.T) {
	for _, name := range ordinary {
		all := audittest.Capture(t, name)
		serials := serialsOf(all)
		rapid.Check(t, func(t *rapid.T) {
			gone := make(map[uint32]bool)
			for range rapid.IntRange(0, 30).Draw(t, "runs") {
				at := rapid.IntRange(1, len(serials)-2).Draw(t, "at")
				for k := range rapid.IntRange(1, 5).Draw(t, "length") {
					if at+k < len(serials)-1 {
						gone[serials[at+k]] = true
					}
				}
			}
			b := audittest.Only(all, func(i int) bool { return !gone[all.Recs[i].Serial] || !counts(&all.Recs[i]) })
			tr := NewTracker(Options{})
			now := feed(t, tr, b, audittest.Epoch, 0)
			if got := tr.Due(now.Add(DefaultWindow - 1)); got != nil {
				t.Fatalf("before the window has passed: %v", got)
			}
			var want []uint32
			for _, s := range serials {
				if gone[s] {
					want = append(want, s)
				}
			}
			due := tr.Due(now.Add(DefaultWindow))
			if d := cmp.Diff(want, spread(due, MissingSerials)); d != "" || len(spread(due, IncompleteEvent)) > 0 {
				t.Fatalf("(-taken out +reported)\n%s", d)
			}
			if again := tr.Due(now.Add(time.Hour)); again != nil {
				t.Fatalf("reported twice: %v", again)
			}
			// Half of them turn up in the log.
			log := audittest.Only(all, func(i int) bool {
				return gone[all.Recs[i].Serial] && counts(&all.Recs[i]) && all.Recs[i].Serial%2 == 0
			})
			for i := range log.Recs {
				log.Recs[i].Flags |= record.FromLog
			}
			tr.Observe(log, now)
			want = slices.DeleteFunc(append([]uint32{}, want...), func(s uint32) bool { return s%2 == 0 })
			if d := cmp.Diff(want, append([]uint32{}, spread(tr.Lost(), MissingSerials)...)); d != "" {
				t.Fatalf("(-not in the log +lost)\n%s", d)
			}
			if c := tr.Counts(); c.Lost != uint64(len(want)) || c.Missing != uint64(len(gone)) || c.Filled != uint64(len(gone)-len(want)) {
				t.Fatalf("%d gone, %d not in the log: %+v", len(gone), len(want), c)
			}
			if more := tr.Lost(); more != nil {
				t.Fatalf("lost twice: %v", more)
			}
		})
	}
}

// TestLateEventsAreNoHoles delays any set of events by less than the window.
func TestLateEventsAreNoHoles(t *testing.T) {
	for _, name := range ordinary {
		all := audittest.Capture(t, name)
		rapid.Check(t, func(t *rapid.T) {
			late := make(map[uint32]int)
			serials := serialsOf(all)
			for range rapid.IntRange(1, 40).Draw(t, "late") {
				late[serials[rapid.IntRange(1, len(serials)-2).Draw(t, "which")]] = rapid.IntRange(1, 200).Draw(t, "by")
			}
			// Records have places 10 apart; a late event's move back.
			place := make(map[uint32]int)
			for i := range all.Recs {
				place[all.Recs[i].Off] = 10 * i
				if by := late[all.Recs[i].Serial]; counts(&all.Recs[i]) && by > 0 {
					place[all.Recs[i].Off] += 10*by + 5
				}
			}
			b := audittest.Only(all, func(int) bool { return true })
			slices.SortStableFunc(b.Recs, func(x, y record.Record) int { return place[x.Off] - place[y.Off] })
			tr := NewTracker(Options{})
			now := audittest.Epoch
			for i := range b.Recs {
				one := &record.Batch{Buf: b.Buf, Recs: b.Recs[i : i+1]}
				if tr.Observe(one, now) != 1 {
					t.Fatalf("looks cut: %q", one.Bytes(0))
				}
				now = now.Add(DefaultWindow / 450) // 200 records and their event take less than the window
				if due := tr.Due(now); due != nil {
					t.Fatalf("%v", due)
				}
			}
			if due := tr.Due(now.Add(time.Hour)); due != nil {
				t.Fatalf("%v", due)
			}
			if tr.Counts().Filled != 0 {
				t.Fatalf("%+v", tr.Counts())
			}
		})
	}
}

// TestLateIsCounted: 1 and 3 come, then 2.
func TestLateIsCounted(t *testing.T) {
	tr := NewTracker(Options{})
	tr.Observe(audittest.Lines(t, audittest.User(1)+audittest.User(3)), audittest.Epoch)
	tr.Observe(audittest.Lines(t, audittest.User(2)), audittest.Epoch.Add(DefaultWindow/2))
	if due, c := tr.Due(audittest.Epoch.Add(time.Minute)), tr.Counts(); due != nil || c.Late != 1 {
		t.Errorf("%v %+v", due, c)
	}
}

// TestRecordsTakenOutAreDamage takes single records out of a capture that has
// gone through once, so that habits are known. What must show must show, and
// no other event may.
func TestRecordsTakenOutAreDamage(t *testing.T) {
	for _, name := range ordinary {
		all := audittest.Capture(t, name)
		if audittest.IsLog(name) {
			for i := range all.Recs {
				all.Recs[i].Flags &^= record.FromLog
			}
		}
		serials := serialsOf(all)
		span := serials[len(serials)-1] - serials[0] + 1
		again := audittest.Only(all, func(int) bool { return true })
		for i := range again.Recs {
			if counts(&again.Recs[i]) {
				again.Recs[i].Serial += span
			}
		}
		type tally struct{ seen, all int }
		tallies := make(map[uint32]*tally)
		perEvent := make(map[uint32]int)
		for i := range again.Recs {
			perEvent[again.Recs[i].Serial]++
		}
		for i := range again.Recs {
			r := &again.Recs[i]
			if !counts(r) || record.Alone(r.Type) || perEvent[r.Serial] < 2 || r.Serial == serials[0] || r.Serial == serials[0]+span {
				continue // it may have begun before auditd did
			}
			tr := NewTracker(Options{})
			tr.Observe(all, audittest.Epoch)
			without := audittest.Only(again, func(k int) bool { return k != i })
			tr.Observe(without, audittest.Epoch)
			due := tr.Due(audittest.Epoch.Add(time.Minute))
			x := tallies[r.Type]
			if x == nil {
				x = new(tally)
				tallies[r.Type] = x
			}
			x.all++
			if len(due) == 1 && due[0].Kind == IncompleteEvent && due[0].First == r.Serial && due[0].Millis == r.Millis {
				x.seen++
			} else if due != nil {
				t.Fatalf("%s without %q: %v", name, again.Bytes(i), due)
			}
			lost := tr.Lost()
			if soft := r.Type == record.TypeCWD || r.Type == record.TypeProctitle || r.Type == record.TypeSockaddr; (len(lost) > 0) != (due != nil && !soft) {
				t.Fatalf("%s without %q: lost %v", name, again.Bytes(i), lost)
			}
		}
		for typ, x := range tallies {
			t.Logf("%s: %s: %d of %d show", name, record.AppendTypeName(nil, typ), x.seen, x.all)
			switch typ {
			case record.TypeSyscall, record.TypePath, record.TypeCWD, record.TypeProctitle, record.TypeExecve:
				if x.seen != x.all {
					t.Errorf("%s: %s: %d of %d show", name, record.AppendTypeName(nil, typ), x.seen, x.all)
				}
			case record.TypeEOE:
				if x.seen != 0 {
					t.Errorf("%s: an event counts as damaged for want of EOE, which the log has not", name)
				}
			}
		}
	}
}

// TestInterleavedEventsAreWhole mixes the records of neighbouring events, each
// event's in their order.
func TestInterleavedEventsAreWhole(t *testing.T) {
	for _, name := range ordinary {
		all := audittest.Capture(t, name)
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			b := audittest.Only(all, func(int) bool { return true })
			place, last := make(map[uint32]int), make(map[uint32]int)
			for i := range b.Recs {
				r := &b.Recs[i]
				place[r.Off] = max(last[r.Serial], i+rnd.IntN(60))
				last[r.Serial] = place[r.Off]
			}
			slices.SortStableFunc(b.Recs, func(x, y record.Record) int { return place[x.Off] - place[y.Off] })
			tr := NewTracker(Options{})
			tr.Observe(b, audittest.Epoch)
			if due := tr.Due(audittest.Epoch.Add(time.Hour)); due != nil {
				t.Fatalf("%s: %v", name, due)
			}
		}
	}
}

// TestEventsComePartlyFromTheLog: the records of each event come from the log or
// from the stream at random, EOE always later from the stream.
func TestEventsComePartlyFromTheLog(t *testing.T) {
	all := audittest.Capture(t, "audit-3.0.9-raw.string.gz")
	rnd := rand.New(rand.NewPCG(3, 4))
	place := make(map[uint32]int)
	for i := range all.Recs {
		r := &all.Recs[i]
		place[r.Off] = i
		if r.Type == record.TypeEOE {
			place[r.Off] += rnd.IntN(300)
		} else if rnd.IntN(2) == 0 {
			r.Flags |= record.FromLog
		}
	}
	slices.SortStableFunc(all.Recs, func(x, y record.Record) int { return place[x.Off] - place[y.Off] })
	tr := NewTracker(Options{})
	tr.Observe(all, audittest.Epoch)
	if due, c := tr.Due(audittest.Epoch.Add(time.Hour)), tr.Counts(); due != nil || c.Open != 0 || c.Filled+c.Lost != 0 {
		t.Errorf("%v %+v", due, c)
	}
}

// TestACutRecordIsReplacedFromTheLog: observed as cut it damages its event, until
// the log brings it whole.
func TestACutRecordIsReplacedFromTheLog(t *testing.T) {
	for _, fromLog := range []bool{false, true} {
		all := audittest.Capture(t, "audit-3.0.9-raw.string.gz")
		tr := NewTracker(Options{})
		at := slices.IndexFunc(all.Recs, func(r record.Record) bool { return r.Type == record.TypePath && r.Serial > all.Recs[100].Serial })
		before, rest := &record.Batch{Buf: all.Buf, Recs: all.Recs[:at]}, &record.Batch{Buf: all.Buf, Recs: all.Recs[at:]}
		tr.Observe(before, audittest.Epoch)
		short := &record.Batch{Buf: rest.Buf, Recs: slices.Clone(rest.Recs)}
		short.Recs[0].Len -= 20
		if n := tr.Observe(short, audittest.Epoch); n != 0 {
			t.Fatalf("the cut record was not seen: %d", n)
		}
		tr.ObserveTruncated(short, 0, audittest.Epoch)
		tr.Observe(&record.Batch{Buf: rest.Buf, Recs: short.Recs[1:]}, audittest.Epoch)
		r := rest.Recs[0]
		want := []Gap{{IncompleteEvent, "", r.Serial, r.Serial, 1, r.Millis, false, r.Millis}}
		if d := cmp.Diff(want, tr.Due(audittest.Epoch.Add(time.Minute))); d != "" {
			t.Fatal(d)
		}
		if fromLog {
			rest.Recs[0].Flags |= record.FromLog
			tr.Observe(&record.Batch{Buf: rest.Buf, Recs: rest.Recs[:1]}, audittest.Epoch.Add(time.Minute))
			want = nil
		}
		if d := cmp.Diff(want, tr.Lost()); d != "" {
			t.Error(d)
		}
	}
}

// TestNodesAreApart: each has its own serials; the log may name the one node and
// the stream not.
func TestNodesAreApart(t *testing.T) {
	tr := NewTracker(Options{})
	tr.Observe(audittest.Lines(t, "node=a "+audittest.User(1)+"node=b "+audittest.User(500)+"node=a "+audittest.User(2)+"node=b "+audittest.User(503)+audittest.User(3_000_000)), audittest.Epoch)
	want := []Gap{{MissingSerials, "b", 501, 502, 2, 1000_000, false, 1000_000}}
	if d := cmp.Diff(want, tr.Due(audittest.Epoch.Add(time.Minute))); d != "" {
		t.Error(d)
	}
	tr = NewTracker(Options{})
	tr.Observe(audittest.Lines(t, audittest.User(1)+audittest.User(2)+audittest.User(5)), audittest.Epoch)
	tr.Due(audittest.Epoch.Add(time.Minute))
	log := audittest.Lines(t, "node=a "+audittest.User(3)+"node=a "+audittest.User(4))
	for i := range log.Recs {
		log.Recs[i].Flags |= record.FromLog
	}
	tr.Observe(log, audittest.Epoch.Add(time.Minute))
	if lost := tr.Lost(); lost != nil || tr.Counts().Nodes != 1 {
		t.Errorf("lost %v, %+v", lost, tr.Counts())
	}
}

// TestExcludedTypesAreNotMissed: an exclude rule takes a type out of all events. That
// the log lacks it too shows when a few events have been looked for, and none is lost.
func TestExcludedTypesAreNotMissed(t *testing.T) {
	all := audittest.Capture(t, "audit-3.0.9-raw.string.gz")
	for _, typ := range []uint32{record.TypeProctitle, record.TypeCWD, record.TypeSockaddr} {
		tr := NewTracker(Options{})
		rest := audittest.Only(all, func(i int) bool { return all.Recs[i].Type != typ })
		half := len(rest.Recs) / 2
		for rest.Recs[half-1].Type != record.TypeEOE {
			half++
		}
		tr.Observe(&record.Batch{Buf: rest.Buf, Recs: rest.Recs[:half]}, audittest.Epoch)
		if due := tr.Due(audittest.Epoch.Add(time.Minute)); len(due) == 0 || len(due) > scoreMax/scoreCost {
			t.Errorf("without %s at first: %d events damaged", record.AppendTypeName(nil, typ), len(due))
		}
		if lost := tr.Lost(); lost != nil {
			t.Errorf("without %s: lost %v", record.AppendTypeName(nil, typ), lost)
		}
		tr.Observe(&record.Batch{Buf: rest.Buf, Recs: rest.Recs[half:]}, audittest.Epoch.Add(time.Minute))
		if due := tr.Due(audittest.Epoch.Add(time.Hour)); due != nil {
			t.Errorf("without %s then: %v", record.AppendTypeName(nil, typ), due)
		}
	}
	// PATH is missed at first, items= being there, and then no more.
	tr := NewTracker(Options{})
	tr.Observe(audittest.Only(all, func(i int) bool { return all.Recs[i].Type != record.TypePath }), audittest.Epoch)
	if due := tr.Due(audittest.Epoch.Add(time.Hour)); len(due) == 0 || len(due) > 20 {
		t.Errorf("without PATH: %d events damaged", len(due))
	}
}

func TestStateGoesOverARestart(t *testing.T) {
	tr := NewTracker(Options{BootID: "x"})
	tr.Observe(audittest.Lines(t, audittest.User(1)+audittest.User(2)+audittest.User(5)), audittest.Epoch)
	text, err := json.Marshal(tr.State())
	if err != nil {
		t.Fatal(err)
	}
	restore := func(boot string) (*Tracker, bool) {
		var s State
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		tr := NewTracker(Options{BootID: boot})
		return tr, tr.Restore(s)
	}
	tr, ok := restore("x")
	tr.Observe(audittest.Lines(t, audittest.User(8)), audittest.Epoch)
	if due := tr.Due(audittest.Epoch.Add(time.Minute)); !ok || !slices.Equal(spread(due, MissingSerials), []uint32{3, 4, 6, 7}) {
		t.Errorf("%v %v", ok, due)
	}
	tr, ok = restore("y")
	tr.Observe(audittest.Lines(t, audittest.User(800)), audittest.Epoch)
	if due := tr.Due(audittest.Epoch.Add(time.Minute)); ok || due != nil {
		t.Errorf("of another boot: %v %v", ok, due)
	}
}

func TestCovers(t *testing.T) {
	hole := Gap{MissingSerials, "", 5, 7, 3, 1000_000, false, 1000_000}
	for text, want := range map[string]bool{
		audittest.User(4): false, audittest.User(5): true, audittest.User(7): true, audittest.User(8): false,
		audittest.UserAt(6, 1000+2*24*3600): false, "node=b " + audittest.User(6): false,
	} {
		if got := hole.Covers(audittest.Lines(t, text), 0); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	b := audittest.Lines(t, "node=b "+audittest.User(6))
	b.Recs[0].Flags |= record.FromLog
	if !hole.Covers(b, 0) {
		t.Error("a line of the log with a node of its own is not taken")
	}
}
