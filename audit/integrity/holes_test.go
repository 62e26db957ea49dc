package integrity

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// run is records of programs with serials from one to another.
func run(from, to uint32, sec int64) string {
	var s strings.Builder
	for serial := from; ; serial++ {
		s.WriteString(audittest.UserAt(serial, sec))
		if serial == to {
			return s.String()
		}
	}
}

func TestMissingSerialsAreHoles(t *testing.T) {
	hole := func(first, last uint32, sec int64) []Gap {
		return []Gap{{MissingSerials, "", first, last, last - first + 1, sec * 1000, false, sec * 1000}}
	}
	for _, c := range []struct {
		name, text string
		want       []Gap
		counts     Counts
	}{
		{"dense", run(1, 100, 1000), nil, Counts{}},
		{"wrap", run(1<<32-5, 5, 1000), nil, Counts{Wraps: 1}},
		{"hole over the wrap", run(1<<32-5, 1<<32-3, 1000) + run(2, 5, 1000), hole(1<<32-2, 1, 1000), Counts{Wraps: 1, Holes: 1, Missing: 4}},
		{"reboot", run(5000, 5100, 1000) + run(1, 50, 1100), nil, Counts{Reboots: 1}},
		{"reboot, clock set back", run(900_000, 900_100, 1000) + run(1, 50, 500), nil, Counts{Reboots: 1}},
		{"long hole", run(1, 10, 1000) + run(900_001, 900_100, 1200), hole(11, 900_000, 1000), Counts{Holes: 1, Missing: 899_990}},
		{"one stray", run(1, 10, 1000) + audittest.UserAt(3_000_000_000, 1000) + run(11, 20, 1000), nil, Counts{Strays: 1}},
		{"very old ones", run(1_000_000, 1_000_010, 1000) + run(3, 9, 900) + run(1_000_011, 1_000_020, 1000), nil, Counts{Strays: 7}},
		{"auditd's own", run(1, 10, 1000) + "type=DAEMON_ROTATE msg=audit(1000.000:7777): op=rotate-logs auid=0 pid=1 res=success\n" + run(11, 12, 1000), nil, Counts{}},
		{"started within", run(20, 30, 1000) + run(15, 19, 1000), nil, Counts{}},
		{"EOE alone", run(1, 9, 1000) + "type=EOE msg=audit(1000.000:10): \n" + run(11, 12, 1000),
			[]Gap{{IncompleteEvent, "", 10, 10, 1, 1000_000, false, 1000_000}}, Counts{Damaged: 1, Open: 1}},
		{"AVC alone", run(1, 9, 1000) + "type=AVC msg=audit(1000.000:10): avc:  denied  { read } for  pid=1 tclass=file permissive=0\n" + run(11, 12, 1000), nil, Counts{}},
		{"the first event is not whole", "type=PROCTITLE msg=audit(1000.000:1): proctitle=\"x\"\ntype=EOE msg=audit(1000.000:1): \n" + run(2, 9, 1000), nil, Counts{}},
	} {
		tr := NewTracker(Options{})
		b := audittest.Lines(t, c.text)
		if n := tr.Observe(b, audittest.Epoch); n != len(b.Recs) {
			t.Errorf("%s: %q looks cut", c.name, b.Bytes(n))
		}
		if d := cmp.Diff(c.want, tr.Due(audittest.Epoch.Add(time.Minute))); d != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, d)
		}
		c.counts.Nodes = 1
		if d := cmp.Diff(c.counts, tr.Counts()); d != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, d)
		}
	}
}

// TestALongHoleIsFilledFromTheLog: longer than the window, and in order.
func TestALongHoleIsFilledFromTheLog(t *testing.T) {
	const first, last = 11, 400_000
	tr := NewTracker(Options{})
	for s := uint32(1); s < first; s++ {
		tr.Observe(audittest.Lines(t, audittest.UserAt(s, 1000)), audittest.Epoch)
	}
	for s := uint32(last + 1); s < last+40; s++ {
		tr.Observe(audittest.Lines(t, audittest.UserAt(s, 1200)), audittest.Epoch)
	}
	if due := tr.Due(audittest.Epoch); len(due) != 1 || due[0].Missing != last-first+1 {
		t.Fatalf("%+v", due)
	}
	b := audittest.Lines(t, audittest.UserAt(1, 1100))
	b.Recs[0].Flags |= record.FromLog
	for s := uint32(first); s <= last-5; s++ {
		b.Recs[0].Serial = s
		tr.Observe(b, audittest.Epoch)
	}
	var missing uint64
	for _, x := range tr.Lost() {
		missing += x.Events()
	}
	if c := tr.Counts(); missing != 5 || c.Lost != 5 || c.Reboots != 0 {
		t.Errorf("%d lost, want 5: %+v", missing, c)
	}
}

// TestHolesThatWereFilledBeforeTheSerialsBeganAgain: what the log has brought is not lost because the serials are others
// before that was asked for.
func TestHolesThatWereFilledBeforeTheSerialsBeganAgain(t *testing.T) {
	later := audittest.Lines(t, audittest.UserAt(1, 1100))
	for name, c := range map[string]struct{ next, lost uint32 }{
		"a reboot":    {next: 1},
		"a long hole": {next: 900_001, lost: 900_000 - 5200},
	} {
		tr := NewTracker(Options{})
		streamed(t, tr, 5000, 5100)
		streamed(t, tr, 5111, 5200)
		if got := holes(tr); len(got) != 1 {
			t.Fatalf("%s: holes %v", name, got)
		}
		logged(t, tr, 5101, 5110)
		for k := range uint32(outliersEnough) {
			later.Recs[0].Serial = c.next + k
			tr.Observe(later, audittest.Epoch)
		}
		tr.Due(audittest.Epoch.Add(time.Minute))
		lost, all := uint32(0), tr.Lost()
		for _, x := range all {
			lost += x.Missing
		}
		if lost != c.lost {
			t.Errorf("%s: %d lost, want %d: %+v", name, lost, c.lost, all)
		}
	}
}

// TestMoreHolesThanReportsInALongStream: how many serials are missing is right, although most were joined, and most
// have left the window before that was asked for.
func TestMoreHolesThanReportsInALongStream(t *testing.T) {
	const events = 200_000
	tr := NewTracker(Options{})
	b := audittest.Lines(t, audittest.User(1))
	for range events {
		tr.Observe(b, audittest.Epoch)
		b.Recs[0].Serial += 3
	}
	tr.Due(audittest.Epoch.Add(time.Minute))
	lost := uint64(0)
	for _, x := range tr.Lost() {
		lost += x.Events()
	}
	if c := tr.Counts(); lost != 2*(events-1) || c.Lost != lost || c.Missing != lost {
		t.Errorf("%d lost, want %d: %+v", lost, 2*(events-1), c)
	}
}

// TestPatienceDelaysIncompleteEvents: while the kernel holds up who makes records, what an event lacks may still come; that a serial is
// missing shows as soon as ever.
func TestPatienceDelaysIncompleteEvents(t *testing.T) {
	const patience = time.Minute
	tr := NewTracker(Options{Patience: func() time.Duration { return patience }})
	text := run(1, 9, 1000) + "type=EOE msg=audit(1000.000:10): \n" + run(11, 12, 1000) + run(14, 15, 1000)
	tr.Observe(audittest.Lines(t, text), audittest.Epoch)
	kinds := func(now time.Time) (list []Kind) {
		for _, x := range tr.Due(now) {
			list = append(list, x.Kind)
		}
		return list
	}
	if d := cmp.Diff([]Kind{MissingSerials}, kinds(audittest.Epoch.Add(patience))); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff([]Kind{IncompleteEvent}, kinds(audittest.Epoch.Add(patience+DefaultWindow))); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
