package queue

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// recsOf returns records i up to j of b.
func recsOf(b *record.Batch, i, j int) *record.Batch {
	return &record.Batch{Buf: b.Buf, Recs: b.Recs[i:j]}
}

func marked(depth int) Config {
	return Config{Depth: depth, Bytes: 1 << 20, Action: Ignore, Hold: true, Markers: true}
}

func TestOneMarkerForEachEpisodeInFrontOfTheNextRecord(t *testing.T) {
	q := New(Options{Config: marked(2), Name: "box"})
	defer q.Close()
	c := q.Cursor()
	defer c.Close()
	var got strings.Builder
	for i := range 3 {
		first := 1 + 10*i
		q.Put(events(first, 4, 1)) // two are taken, at least one is not
		q.Put(events(first+4, 3, 1))
		got.WriteString(drain(t, c))
	}
	q.RecordUpstreamLoss(Kernel, Loss{Records: 7})
	q.RecordUpstreamLoss(Upstream, Loss{Records: 2, Events: 2, First: 31, Last: 32})
	q.Put(events(33, 1, 1))
	got.WriteString(drain(t, c))
	var lines []string
	for line := range strings.Lines(got.String()) {
		if _, after, ok := strings.Cut(line, "op="); ok {
			line = after
		} else {
			line = line[strings.Index(line, ".000:")+5 : strings.Index(line, ")")]
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	want := []string{
		"1", "2",
		"relay-loss sink=box cause=queue-full records=5 events=5 first=3 last=7 res=failed", "11", "12",
		"relay-loss sink=box cause=queue-full records=5 events=5 first=13 last=17 res=failed", "21", "22",
		"relay-loss sink=box cause=queue-full records=5 events=5 first=23 last=27 res=failed",
		"relay-loss sink=box cause=upstream records=2 events=2 first=31 last=32 res=failed",
		"relay-loss sink=box cause=kernel records=7 events=0 first=0 last=0 res=failed", "33",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if n := balance(t, q); n.Markers != 5 || n.Received != 22 || n.Lost[Upstream].Records != 2 || n.Lost[Kernel].Records != 7 || n.LostRecords() != 15 {
		t.Errorf("%+v", n)
	}
}

// TestAMarkerHasAHeader: one like that of auditd's own records.
func TestAMarkerHasAHeader(t *testing.T) {
	q := New(Options{Config: marked(1), Name: "box"})
	defer q.Close()
	c := q.Cursor()
	defer c.Close()
	q.RecordUpstreamLoss(Upstream, Loss{Records: 1, Events: 1, First: 9, Last: 9})
	q.Put(events(1, 1, 1))
	b, _ := c.Take()
	want := b.Recs[0]
	sp := stream.NewSplitter()
	var cut record.Batch
	sp.Cut(&cut, copy(sp.Space(), b.Bytes(0)))
	if len(cut.Recs) != 1 {
		t.Fatalf("%d records", len(cut.Recs))
	}
	got := cut.Recs[0]
	got.Flags |= record.Marker
	if got != want {
		t.Errorf("its header says %+v, its record %+v", got, want)
	}
}

// TestAQuietConsumerGetsItsMarker: soon after the first loss, and then seldom.
func TestAQuietConsumerGetsItsMarker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := marked(2)
		cfg.Action = Suspend
		q := New(Options{Config: cfg, Name: "box"})
		defer q.Close()
		q.Put(events(1, 3, 1))
		time.Sleep(10 * time.Second)
		c := q.Cursor()
		defer c.Close()
		if got := drain(t, c); strings.Contains(got, "relay-loss") {
			t.Errorf("reported before it had read up: %q", got)
		}
		var got strings.Builder
		for i := range 600 { // ten minutes of suspension
			q.Put(events(10+i, 1, 1))
			time.Sleep(time.Second)
			got.WriteString(drain(t, c))
		}
		_, markers := texts(got.String())
		n := balance(t, q)
		if len(markers) < 9 || len(markers) > 12 || !n.Suspended {
			t.Errorf("%d markers in ten minutes, %+v", len(markers), n)
		}
		q.Resume()
		q.Put(events(1000, 1, 1))
		_, more := texts(drain(t, c))
		var full, suspended uint64
		for _, m := range append(markers, more...) {
			var records uint64
			if _, after, ok := strings.Cut(m, "cause=queue-full records="); ok {
				fmt.Sscan(after, &records)
				full += records
			}
			if _, after, ok := strings.Cut(m, "cause=suspended records="); ok {
				fmt.Sscan(after, &records)
				suspended += records
			}
		}
		if full != n.Lost[Full].Records || suspended != n.Lost[Suspended].Records {
			t.Errorf("reported %d and %d, %+v", full, suspended, n)
		}
	})
}

func TestCloseReportsTheLastLoss(t *testing.T) {
	q := New(Options{Config: marked(2), Name: "box"})
	c := q.Cursor()
	defer c.Close()
	q.Put(events(1, 3, 1))
	q.Close()
	if _, markers := texts(drain(t, c)); len(markers) != 1 {
		t.Errorf("markers %q", markers)
	}
}

func TestNoMarkerWithinALine(t *testing.T) {
	q := New(Options{Config: marked(100), Name: "box"})
	c := q.Cursor()
	defer c.Close()
	b := pieces(3)
	q.Put(recsOf(b, 0, 1))
	q.RecordUpstreamLoss(Upstream, Loss{Records: 1})
	q.Put(recsOf(b, 1, 3))
	q.Put(events(1, 1, 1))
	q.Close()
	got := drain(t, c)
	if want := text(*b); !strings.HasPrefix(got, want+"type=DAEMON_ERR") {
		t.Errorf("got %q", got)
	}
}

func TestWithoutMarkersNothingIsReported(t *testing.T) {
	cfg := marked(2)
	cfg.Markers = false
	q := New(Options{Config: cfg, Name: "box"})
	c := q.Cursor()
	defer c.Close()
	q.Put(events(1, 3, 1))
	q.RecordUpstreamLoss(Upstream, Loss{Records: 1})
	q.Put(events(4, 1, 1))
	q.Close()
	if got := drain(t, c); strings.Contains(got, "relay-loss") {
		t.Errorf("got %q", got)
	}
}

// TestASlowClientLearnsExactlyWhatItMissed, though it was in the middle of a write
// and finished some of what it was made to skip.
func TestASlowClientLearnsExactlyWhatItMissed(t *testing.T) {
	for finished := range 9 {
		cfg := marked(10)
		cfg.Hold, cfg.Slow = false, Drop
		q := New(Options{Config: cfg, Name: "box"})
		slow, fast := q.Cursor(), q.Cursor()
		q.Put(events(1, 4, 2))
		b, err := slow.Take()
		if err != nil || len(b.Recs) != 8 {
			t.Fatal(len(b.Recs), err)
		}
		drain(t, fast)
		if finished%2 == 0 { // part is said to be delivered, and one record is torn
			slow.Advance(finished / 2)
		}
		q.Put(events(5, 4, 2)) // slow has to skip
		drain(t, fast)
		skipped := slow.Lost()
		delivered := finished
		switch {
		case skipped == 0:
			t.Fatal("it did not have to skip")
		case finished%2 == 0:
			delivered = finished/2 + 1
			slow.Advance(delivered)
		default:
			slow.Advance(delivered)
		}
		var records uint64
		b, err = slow.Take()
		if err != nil {
			t.Fatal(err)
		}
		missed := 8 - uint64(delivered) // it skips to the end of the block
		if len(b.Recs) > 0 && b.Recs[0].Flags&record.Marker != 0 {
			_, after, _ := strings.Cut(text(b), "records=")
			var ev, first int
			fmt.Sscanf(after, "%d events=%d first=%d", &records, &ev, &first)
			if want := 1 + delivered/2; first != want || ev != 4-delivered/2 {
				t.Errorf("%d of 8 delivered: %s", delivered, after)
			}
			slow.Advance(len(b.Recs))
		}
		if records != missed {
			t.Errorf("%d of 8 delivered: reported %d, missed %d: %q", delivered, records, missed, text(b))
		}
		slow.Close()
		fast.Close()
		q.Close()
	}
}

func TestAMarkerThatWasNotDeliveredIsTheNextClients(t *testing.T) {
	cfg := marked(4)
	cfg.Hold, cfg.Slow = false, Drop
	q := New(Options{Config: cfg, Name: "box"})
	defer q.Close()
	slow, fast := q.Cursor(), q.Cursor()
	defer fast.Close()
	q.Put(events(1, 4, 1))
	drain(t, fast)
	q.Put(events(5, 4, 1))
	b, _ := slow.Take()
	if b.Recs[0].Flags&record.Marker == 0 {
		t.Fatalf("it is not reported: %q", text(b))
	}
	slow.Advance(0)
	slow.Close()
	next := q.Cursor()
	defer next.Close()
	if got, want := drain(t, next), "records="; !strings.Contains(got, want) {
		t.Errorf("the next client gets %q", got)
	}
	if n := balance(t, q); n.Markers != 1 {
		t.Errorf("%+v", n)
	}
}
