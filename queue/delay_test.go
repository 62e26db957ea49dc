package queue

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
)

// TestDelaysCountEveryRecord: whatever the times, each record with an id is in the interval that its
// delay belongs to, as one by one.
func TestDelaysCountEveryRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const now = 1_800_000_000_000
		var recs []record.Record
		var want Delays
		for range rapid.IntRange(0, 50).Draw(t, "records") {
			r := record.Record{Millis: now - rapid.OneOf(rapid.Int64Range(-100, 3000), rapid.Int64()).Draw(t, "ms")}
			r.Flags = rapid.SampledFrom([]uint8{0, 0, 0, record.End, record.Cont, record.NoID, record.Marker}).Draw(t, "flags")
			recs = append(recs, r)
			if r.Flags&(record.Cont|record.NoID|record.Marker) != 0 {
				continue
			}
			delay := min(max(now-min(max(r.Millis, 0), now), 0), now)
			i := 0
			for i < NumDelays-1 && delay > DelayLimit(i).Milliseconds() {
				i++
			}
			want.Counts[i]++
			want.Sum += float64(delay) / 1000
		}
		var got Delays
		got.note(recs, now)
		if got.Counts != want.Counts || got.Sum-want.Sum > 1e-3*want.Sum+1e-6 || want.Sum-got.Sum > 1e-3*want.Sum+1e-6 {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	})
}

// TestDelaysAreOfWhatIsDelivered: at every moment as many records have a delay as count as
// delivered, also with two clients.
func TestDelaysAreOfWhatIsDelivered(t *testing.T) {
	q := New(Options{Config: Config{Depth: 1000, Bytes: 1 << 20, Hold: true}})
	defer q.Shutdown()
	fast, slow := q.Cursor(), q.Cursor()
	b := events(1, 100, 1)
	was := time.Now().Add(-40 * time.Minute)
	for i := range b.Recs {
		b.Recs[i].Millis = was.UnixMilli()
	}
	q.Put(b)
	if n := q.Counts(); n.Oldest.UnixMilli() != was.UnixMilli() {
		t.Errorf("the oldest is of %v, want %v", n.Oldest, was)
	}
	for _, c := range []*Cursor{fast, slow} {
		got, err := c.Take()
		if err != nil {
			t.Fatal(err)
		}
		c.Advance(min(60, len(got.Recs)))
		if n := q.Counts(); n.Delays.Total() != n.Delivered {
			t.Errorf("%d have a delay, %d are delivered", n.Delays.Total(), n.Delivered)
		}
	}
	n := q.Counts()
	if n.Delivered != 60 {
		t.Fatalf("%d delivered, want 60", n.Delivered)
	}
	for i, count := range n.Delays.Counts {
		if in := i < NumDelays-1 && DelayLimit(i) == 2*time.Hour; in != (count == 60) {
			t.Errorf("%d records in interval %d", count, i)
		}
	}
}

// BenchmarkDelays is what the delays of delivered records cost, for each record.
func BenchmarkDelays(b *testing.B) {
	recs := make([]record.Record, 256)
	now := time.Now().UnixMilli()
	for i := range recs {
		recs[i].Millis = now - 10 + int64(i/32)
	}
	var d Delays
	b.ReportAllocs()
	for b.Loop() {
		d.note(recs, now)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(recs)), "ns/record")
}
