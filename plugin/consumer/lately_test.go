package consumer

import (
	"maps"
	"math"
	"testing"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/queue"
	"audisp-relay/state"
)

// TestLatelyCountsEachLossOnce: losses of an earlier run are not lost again, a total that falls back
// is not either, and what is saved continues.
func TestLatelyCountsEachLossOnce(t *testing.T) {
	now := time.Now()
	base := map[string]uint64{"lost spool": 7, "received": 1000, "delivered": 900}
	before := state.Consumer{Totals: base, Losses: []state.LossPeriod{{From: now.Add(-2 * time.Hour).Unix(), Records: map[string]uint64{"spool": 7}}}}
	var l lately
	l.init(now, before)

	var n queue.Counts
	n.Lost[queue.Full].Records = 3
	l.note(now, &n, base)
	l.note(now, &n, base)
	n.Lost[queue.Full].Records = 2
	l.note(now, &n, base)
	n.Lost[queue.Full].Records, n.Lost[queue.Kernel].Records = 4, 1
	var r Report
	l.report(&r, &n, base)
	if want := map[string]uint64{"queue-full": 4, "kernel": 1}; !maps.Equal(r.Lost1h, want) {
		t.Errorf("last hour %v, want %v", r.Lost1h, want)
	}
	day := map[string]uint64{"queue-full": 4, "kernel": 1, "spool": 7}
	if !maps.Equal(r.Lost24h, day) {
		t.Errorf("last day %v, want %v", r.Lost24h, day)
	}

	var next lately
	next.init(now, state.Consumer{Totals: totals(base, &n, false), Losses: l.saved()})
	next.report(&r, new(queue.Counts), totals(base, &n, false))
	if !maps.Equal(r.Lost24h, day) {
		t.Errorf("after a restart %v, want %v", r.Lost24h, day)
	}
	if want := map[string]uint64{"queue-full": 4, "kernel": 1}; !maps.Equal(r.LostLately, want) {
		t.Errorf("lately %v after a restart, want %v", r.LostLately, want)
	}
}

// TestRatesHaveTheFirstSecond: records that came before the first sample that the plugin takes are in
// the rate.
func TestRatesHaveTheFirstSecond(t *testing.T) {
	q := queue.New(queue.Options{Config: queue.Config{Depth: 100, Bytes: 1 << 20, Hold: true}})
	defer q.Shutdown()
	c := New(Options{Config: config.Sink{Name: "s", Type: "file", Format: "string"}, Log: zap.NewNop(), Queue: q,
		Before: state.Consumer{Totals: map[string]uint64{"received": 1000}}})
	q.Put(&record.Batch{Buf: make([]byte, 10), Recs: []record.Record{{Len: 10, Serial: 1, Millis: 1}}})
	c.Sample(time.Now())
	if r := c.Report(); r.RateIn <= 0 || r.LongRateIn <= 0 {
		t.Errorf("%v and %v records a second, one came", r.RateIn, r.LongRateIn)
	}
}

// TestLongRateOfABurst: a burst of seconds is the rate of the last seconds, and hardly that of minutes.
func TestLongRateOfABurst(t *testing.T) {
	now := time.Now().Add(-310 * time.Second)
	var l lately
	l.init(now, state.Consumer{})
	var n queue.Counts
	for second := range 310 {
		n.Received += 100
		if second >= 300 {
			n.Received += 10_000
		}
		l.note(now.Add(time.Duration(second+1)*time.Second), &n, nil)
	}
	var r Report
	l.report(&r, &n, nil)
	if r.RateIn < 5000 || r.LongRateIn < 100 || r.LongRateIn > 600 {
		t.Errorf("%v records a second in the last ten, %v in five minutes", r.RateIn, r.LongRateIn)
	}
}

func TestQuantiles(t *testing.T) {
	var d queue.Delays
	if q := quantile(&d, 0.99); q != 0 {
		t.Errorf("of nothing: %v", q)
	}
	d.Counts[3], d.Counts[7] = 99, 1 // 25 to 50 ms, 0.5 to 1 s
	for _, x := range []struct{ share, want float64 }{{0.5, 0.025 + 0.025*50/99}, {0.99, 0.05}, {0.995, 0.75}} {
		if got := quantile(&d, x.share); math.Abs(got-x.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", x.share, got, x.want)
		}
	}
	d.Counts[queue.NumDelays-1] = 10_000
	if got, want := quantile(&d, 0.99), (24 * time.Hour).Seconds(); got != want {
		t.Errorf("over a day: %v, want %v", got, want)
	}
}

// TestTwoQueuesAreOneConsumer: while a state_dir that came late is taken up, and after that, losses have their times and serials, and what
// the reader has waited stays counted.
func TestTwoQueuesAreOneConsumer(t *testing.T) {
	stop := make(chan struct{})
	now := queue.New(queue.Options{Config: queue.Config{Depth: 1, Bytes: 1 << 20, Hold: true, Lossless: true}, Stop: stop})
	later := queue.New(queue.Options{Config: queue.Config{Depth: 100, Bytes: 1 << 20, Hold: true}})
	defer later.Shutdown()
	c := New(Options{Config: config.Sink{Name: "s", Type: "file", Format: "string"}, Log: zap.NewNop(), Queue: now})
	put := make(chan struct{})
	go func() {
		defer close(put)
		now.Put(&record.Batch{Buf: make([]byte, 20), Recs: []record.Record{{Len: 10, Serial: 1, Millis: 1}, {Off: 10, Len: 10, Serial: 2, Millis: 2}}})
	}()
	for now.Counts().StallSince.IsZero() { // until the reader really waits
		time.Sleep(time.Millisecond)
	}

	now.RecordUpstreamLoss(queue.Upstream, queue.Loss{Records: 1, Events: 1, First: 9, Last: 9})
	c.AddQueue(later, state.Consumer{})
	later.RecordUpstreamLoss(queue.Upstream, queue.Loss{Records: 1, Events: 1, First: 20, Last: 20})
	r := c.Report()
	if l := r.Lost[queue.Upstream.String()]; l.Records != 2 || l.Events != 2 || l.First != 9 || l.Last != 20 || l.At.IsZero() {
		t.Errorf("with two queues lost %+v", l)
	}
	if r.Stalled == 0 {
		t.Error("with two queues the reader has not waited")
	}

	close(stop)
	<-put
	before := c.Report()
	c.MoveQueue(func(work func()) { work() })
	if r = c.Report(); r.Stalls == 0 || r.Stalls != before.Stalls || r.Stalled != before.Stalled || r.LostLately[queue.Upstream.String()] != 2 {
		t.Errorf("with the later one %d stalls of %v, were %d of %v; lost lately %v", r.Stalls, r.Stalled, before.Stalls, before.Stalled, r.LostLately)
	}
}

// TestLatelyOverALateQueue: where state_dir comes late, what an earlier run had lost is not lost
// again, and there stay as many delays as records are delivered, before and after the queues are
// made one.
func TestLatelyOverALateQueue(t *testing.T) {
	newQueue := func() *queue.Queue {
		return queue.New(queue.Options{Config: queue.Config{Depth: 100, Bytes: 1 << 20, Hold: true}})
	}
	now, later := newQueue(), newQueue()
	c := New(Options{Config: config.Sink{Name: "s", Type: "file", Format: "string"}, Log: zap.NewNop(), Queue: now})
	b := &record.Batch{Buf: make([]byte, 40)}
	for i := range 4 {
		b.Recs = append(b.Recs, record.Record{Off: uint32(10 * i), Len: 10, Serial: uint32(i), Millis: time.Now().UnixMilli()})
	}
	now.Put(b)
	cursor := now.Cursor()
	if got, err := cursor.Take(); err != nil || len(got.Recs) != 4 {
		t.Fatalf("%d records, %v", len(got.Recs), err)
	}
	cursor.Advance(3)
	cursor.Close()

	saved := state.Consumer{Totals: map[string]uint64{"received": 1000, "delivered": 993, "lost spool": 7}}
	c.Sample(time.Now())
	c.AddQueue(later, saved)
	check := func(when string, delays uint64) {
		t.Helper()
		r := c.Report()
		if len(r.Lost24h) > 0 || r.RateIn > 10 || r.LongRateIn > 10 {
			t.Errorf("%s: lost %v, %v and %v records a second", when, r.Lost24h, r.RateIn, r.LongRateIn)
		}
		if r.Delivery.Count != delays || r.Ledger["delivered"] != 993+delays {
			t.Errorf("%s: %d delays, ledger %v, want %d", when, r.Delivery.Count, r.Ledger, delays)
		}
	}
	check("with two queues", 3)
	c.MoveQueue(func(work func()) { work() })
	check("with the later one", 3)
	cursor = later.Cursor()
	cursor.Take()
	cursor.Advance(1)
	cursor.Close()
	check("at the end", 4)
	later.Shutdown()
}
