package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"audisp-relay/audit/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// events returns a batch of n events with serials from first on, each of
// perEvent records.
func events(first, n, perEvent int) *record.Batch {
	var b record.Batch
	for i := range n {
		for k := range perEvent {
			line := fmt.Sprintf("type=SYSCALL msg=audit(1.000:%d): record %d\n", first+i, k)
			b.Recs = append(b.Recs, record.Record{
				Off: uint32(len(b.Buf)), Len: uint32(len(line)), Type: 1300, Serial: uint32(first + i), Millis: 1000,
			})
			b.Buf = append(b.Buf, line...)
		}
	}
	return &b
}

// pieces returns a line that comes in n records.
func pieces(n int) *record.Batch {
	var b record.Batch
	for i := range n {
		r := record.Record{Off: uint32(len(b.Buf)), Len: 4, Flags: record.NoID}
		if i > 0 {
			r.Flags |= record.Cont
		}
		text := "abc\n"
		if i < n-1 {
			r.Flags |= record.Open
			text = "abcd"
		}
		b.Buf = append(b.Buf, text...)
		b.Recs = append(b.Recs, r)
	}
	return &b
}

func text(b record.Batch) string {
	var s strings.Builder
	for i := range b.Recs {
		s.Write(b.Bytes(i))
	}
	return s.String()
}

// drain takes everything there is now.
func drain(t *testing.T, c *Cursor) string {
	t.Helper()
	var s strings.Builder
	for {
		b, err := c.Take()
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if len(b.Recs) == 0 {
			return s.String()
		}
		s.WriteString(text(b))
		c.Advance(len(b.Recs))
	}
}

func balance(t *testing.T, q *Queue) Counts {
	t.Helper()
	c := q.Counts()
	if sum := c.Delivered + c.Filtered + c.Discarded + c.Queued + c.LostRecords(); sum != c.Received {
		t.Errorf("received %d, accounted for %d: %+v", c.Received, sum, c)
	}
	return c
}

func lossy(depth int) Config {
	return Config{Depth: depth, Bytes: 1 << 20, Action: Syslog, Hold: true}
}

func TestRecordsComeOutInOrder(t *testing.T) {
	q := New(Options{Config: lossy(100000)})
	var want strings.Builder
	for i := range 100 {
		b := events(i*40, 40, 5)
		want.WriteString(text(*b))
		q.Put(b)
	}
	c := q.Cursor()
	defer c.Close()
	if got := drain(t, c); got != want.String() {
		t.Errorf("%d bytes came out of %d, or others", len(got), want.Len())
	}
	if n := balance(t, q); n.Delivered != 20000 || n.Queued != 0 || n.QueuedBytes != 0 {
		t.Errorf("%+v", n)
	}
}

func TestFullLossyQueueDropsTheNewestWholeEvents(t *testing.T) {
	q := New(Options{Config: lossy(12)})
	q.Put(events(1, 4, 5)) // two fit
	if n := balance(t, q); n.Queued != 10 || n.Lost[Full].Records != 10 || n.Lost[Full].Events != 2 || n.Lost[Full].First != 3 || n.Lost[Full].Last != 4 {
		t.Errorf("%+v", n)
	}
	c := q.Cursor()
	defer c.Close()
	drain(t, c)
	// The rest of an event that was dropped goes the same way, though there is room.
	q.Put(events(4, 1, 2))
	q.Put(events(5, 1, 2))
	if got, want := drain(t, c), text(*events(5, 1, 2)); got != want {
		t.Errorf("got %q", got)
	}
	if n := balance(t, q); n.Lost[Full].Events != 2 || n.Lost[Full].Records != 12 {
		t.Errorf("%+v", n)
	}
}

func TestBoundInBytes(t *testing.T) {
	one := events(1, 1, 1)
	q := New(Options{Config: Config{Depth: 1000, Bytes: int64(3 * len(one.Buf)), Hold: true}})
	q.Put(events(1, 9, 1))
	if n := balance(t, q); n.Queued != 3 || n.Lost[Full].Records != 6 {
		t.Errorf("%+v", n)
	}
}

func TestAnEventLargerThanTheQueuePassesAnEmptyOne(t *testing.T) {
	for _, lossless := range []bool{false, true} {
		q := New(Options{Config: Config{Depth: 3, Bytes: 100, Lossless: lossless, Hold: true}})
		q.Put(events(1, 1, 50))
		if n := balance(t, q); n.Queued != 50 {
			t.Errorf("lossless %v: %+v", lossless, n)
		}
	}
}

func TestSuspendUntilResume(t *testing.T) {
	var reported []Overflow
	q := New(Options{Config: Config{Depth: 2, Bytes: 1 << 20, Action: Suspend, Hold: true}, Trigger: func(o Overflow) { reported = append(reported, o) }})
	q.Put(events(1, 3, 1))
	c := q.Cursor()
	defer c.Close()
	drain(t, c)
	q.Put(events(4, 2, 1)) // there is room, but it is suspended
	if n := balance(t, q); !n.Suspended || n.Lost[Full].Records != 1 || n.Lost[Suspended].Records != 2 {
		t.Errorf("%+v", n)
	}
	q.Resume()
	q.Put(events(6, 1, 1))
	if got, want := drain(t, c), text(*events(6, 1, 1)); got != want {
		t.Errorf("after resume: %q", got)
	}
	if len(reported) != 1 || reported[0] != Suspend {
		t.Errorf("called with %v", reported)
	}
}

func TestSingleAndHaltAreTriggeredOnce(t *testing.T) {
	for _, action := range []Overflow{Single, Halt} {
		var reported []Overflow
		q := New(Options{Config: Config{Depth: 1, Bytes: 1 << 20, Action: action, Hold: true}, Trigger: func(o Overflow) { reported = append(reported, o) }})
		q.Put(events(1, 100, 1))
		q.Put(events(200, 100, 1))
		if len(reported) != 1 || reported[0] != action {
			t.Errorf("%s: called with %v", action, reported)
		}
		if n := balance(t, q); n.Lost[Full].Records != 199 {
			t.Errorf("%+v", n)
		}
	}
}

func TestWithoutAClientRecordsAreDiscarded(t *testing.T) {
	q := New(Options{Config: Config{Depth: 10, Bytes: 1 << 20}})
	q.Put(events(1, 3, 1))
	c := q.Cursor()
	q.Put(events(4, 3, 1))
	if got, want := drain(t, c), text(*events(4, 3, 1)); got != want {
		t.Errorf("got %q", got)
	}
	q.Put(events(7, 3, 1))
	c.Close()
	if n := balance(t, q); n.Discarded != 6 || n.Delivered != 3 || n.LostRecords() != 0 {
		t.Errorf("%+v", n)
	}
}

func TestHoldKeepsWhatTheLastClientHadNotTaken(t *testing.T) {
	q := New(Options{Config: lossy(100)})
	q.Put(events(1, 3, 1))
	c := q.Cursor()
	b, _ := c.Take()
	c.Advance(1)
	_ = b
	c.Close()
	q.Put(events(4, 1, 1))
	c = q.Cursor()
	defer c.Close()
	if got, want := drain(t, c), text(*events(2, 3, 1)); got != want {
		t.Errorf("got %q", got)
	}
	balance(t, q)
}

func TestSlowClientIsDisconnected(t *testing.T) {
	q := New(Options{Config: Config{Depth: 10, Bytes: 1 << 20, Slow: Disconnect}})
	slow, fast := q.Cursor(), q.Cursor()
	defer fast.Close()
	var want, got strings.Builder
	for i := range 10 {
		b := events(i*3, 3, 1)
		want.WriteString(text(*b))
		q.Put(b)
		got.WriteString(drain(t, fast))
	}
	if got.String() != want.String() {
		t.Error("the fast client lost something")
	}
	select {
	case <-slow.Evicted():
	default:
		t.Fatal("the slow client was not evicted")
	}
	if _, err := slow.Take(); !errors.Is(err, ErrEvicted) {
		t.Errorf("Take: %v", err)
	}
	slow.Close()
	if n := balance(t, q); n.LostRecords() != 0 || n.Delivered != 30 {
		t.Errorf("%+v", n)
	}
}

func TestOnlySlowClientDisconnectedCostsWhatItHad(t *testing.T) {
	q := New(Options{Config: Config{Depth: 10, Bytes: 1 << 20, Slow: Disconnect}})
	c := q.Cursor()
	q.Put(events(1, 15, 1))
	c.Close()
	if n := balance(t, q); n.Lost[SlowClient].Records != 10 || n.Discarded != 5 {
		t.Errorf("%+v", n)
	}
}

func TestSlowClientSkipsAndTheFastOneLosesNothing(t *testing.T) {
	q := New(Options{Config: Config{Depth: 10, Bytes: 1 << 20, Slow: Drop}})
	slow, fast := q.Cursor(), q.Cursor()
	defer slow.Close()
	defer fast.Close()
	first, _ := slow.Take() // it is in the middle of a write all the time
	before := text(first)
	var want, got strings.Builder
	for i := range 400 {
		b := events(i*3, 3, 1)
		want.WriteString(text(*b))
		q.Put(b)
		got.WriteString(drain(t, fast))
	}
	if got.String() != want.String() {
		t.Error("the fast client lost something")
	}
	if text(first) != before {
		t.Error("what the slow client was writing has changed under it")
	}
	slow.Advance(len(first.Recs))
	rest := drain(t, slow)
	if !strings.HasSuffix(want.String(), rest) || !strings.HasPrefix(rest, "type=") {
		t.Errorf("the slow client continues with %.60q", rest)
	}
	n := balance(t, q)
	if n.LostRecords() != 0 {
		t.Errorf("%+v", n)
	}
	if lines := uint64(strings.Count(rest, "\n") + len(first.Recs)); slow.Lost()+lines < 1200 || slow.Lost() == 0 {
		t.Errorf("slow client: lost %d, had %d, of 1200", slow.Lost(), lines)
	}
}

func TestDropWithOneClientDropsTheNewest(t *testing.T) {
	q := New(Options{Config: Config{Depth: 10, Bytes: 1 << 20, Slow: Drop}})
	c := q.Cursor()
	defer c.Close()
	q.Put(events(1, 15, 1))
	if got, want := drain(t, c), text(*events(1, 10, 1)); got != want {
		t.Errorf("got %q", got)
	}
	if n := balance(t, q); n.Lost[Full].Records != 5 {
		t.Errorf("%+v", n)
	}
}

func TestLongLineWhoseTailIsDroppedIsEnded(t *testing.T) {
	q := New(Options{Config: lossy(3)})
	all := pieces(6)
	q.Put(&record.Batch{Buf: all.Buf, Recs: all.Recs[:2]})
	q.Put(&record.Batch{Buf: all.Buf, Recs: all.Recs[2:4]}) // does not fit
	q.Put(&record.Batch{Buf: all.Buf, Recs: all.Recs[4:]})
	c := q.Cursor()
	defer c.Close()
	if got := drain(t, c); got != "abcdabcd\n" {
		t.Errorf("got %q", got)
	}
	if n := balance(t, q); n.Cut != 1 || n.Received != 1 {
		t.Errorf("%+v", n)
	}
}

func TestClientThatComesWithinALongLineBeginsAfterIt(t *testing.T) {
	q := New(Options{Config: Config{Depth: 100, Bytes: 1 << 20}})
	all := pieces(4)
	q.Put(&record.Batch{Buf: all.Buf, Recs: all.Recs[:2]})
	c := q.Cursor()
	defer c.Close()
	q.Put(&record.Batch{Buf: all.Buf, Recs: all.Recs[2:]})
	q.Put(events(1, 1, 1))
	if got, want := drain(t, c), text(*events(1, 1, 1)); got != want {
		t.Errorf("got %q", got)
	}
	balance(t, q)
}

func TestRecordLargerThanABlock(t *testing.T) {
	q := New(Options{Config: lossy(100)})
	big := strings.Repeat("x", 3*blockSize) + "\n"
	q.Put(&record.Batch{Buf: []byte(big), Recs: []record.Record{{Len: uint32(len(big)), Flags: record.NoID}}})
	q.Put(events(1, 1, 1))
	c := q.Cursor()
	defer c.Close()
	if got, want := drain(t, c), big+text(*events(1, 1, 1)); got != want {
		t.Errorf("%d bytes of %d", len(got), len(want))
	}
	balance(t, q)
}

func TestEmptyPayloadIsARecord(t *testing.T) {
	q := New(Options{Config: lossy(100)})
	q.Put(&record.Batch{Recs: []record.Record{{Kind: record.Ver0, Flags: record.NoID}, {Kind: record.Ver0, Flags: record.NoID}}})
	c := q.Cursor()
	defer c.Close()
	if b, _ := c.Take(); len(b.Recs) != 2 {
		t.Errorf("%d records", len(b.Recs))
	}
}

// TestEmptyRecordsDoNotGrowABlock: a consumer that is never quite done with a
// block does not keep it for ever.
func TestEmptyRecordsDoNotGrowABlock(t *testing.T) {
	q := New(Options{Config: lossy(100)})
	c := q.Cursor()
	defer c.Close()
	one := &record.Batch{Recs: []record.Record{{Kind: record.Ver0, Flags: record.NoID}}}
	q.Put(one)
	for range 10 * maxRecs {
		q.Put(one)
		if b, _ := c.Take(); len(b.Recs) > 0 {
			c.Advance(1)
		}
	}
	if n := len(q.blocks); n > 2 || len(q.blocks[0].recs) > maxRecs {
		t.Errorf("%d blocks, %d records in the first", n, len(q.blocks[0].recs))
	}
	balance(t, q)
}

func TestNextEndsWithItsContext(t *testing.T) {
	q := New(Options{Config: lossy(1)})
	c := q.Cursor()
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkPutTake(b *testing.B) {
	for _, consumers := range []int{1, 3} {
		b.Run(fmt.Sprintf("consumers=%d", consumers), func(b *testing.B) {
			batch := events(1, 200, 5)
			var qs []*Queue
			var cs []*Cursor
			for range consumers {
				q := New(Options{Config: Config{Depth: 16384, Bytes: 32 << 20, Hold: true}})
				qs, cs = append(qs, q), append(cs, q.Cursor())
			}
			b.ReportAllocs()
			for b.Loop() {
				for i, q := range qs {
					q.Put(batch)
					for {
						v, _ := cs[i].Take()
						if len(v.Recs) == 0 {
							break
						}
						cs[i].Advance(len(v.Recs))
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch.Recs))/float64(consumers), "ns/record")
		})
	}
}
