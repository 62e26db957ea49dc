package queue

import (
	"testing"

	"audisp-relay/audit/record"
)

// TestMoreFollowsTake: batches of several blocks are handed out together, in order, and are
// acknowledged by one number of records.
func TestMoreFollowsTake(t *testing.T) {
	q := New(Options{Config: Config{Depth: 1 << 20, Bytes: 64 << 20, Lossless: true, Hold: true}})
	defer q.Shutdown()
	c := q.Cursor()
	defer c.Close()
	line := make([]byte, 1000)
	const total = 500 // some eight blocks
	for range total {
		q.Put(&record.Batch{Buf: line, Recs: []record.Record{{Len: uint32(len(line)), Flags: record.NoID}}})
	}
	if b := c.More(); len(b.Recs) != 0 {
		t.Errorf("More before Take gives %d records", len(b.Recs))
	}
	for done := 0; done < total; {
		b, err := c.Take()
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := c.Number(); !ok || n != uint64(done) {
			t.Errorf("number %d, want %d", n, done)
		}
		n := len(b.Recs)
		for blocks := 1; blocks < 3; blocks++ {
			n += len(c.More().Recs)
		}
		c.Advance(n - 1) // not the last one
		if done += n - 1; q.Position().Number != uint64(done) {
			t.Fatalf("position %d, want %d", q.Position().Number, done)
		}
		if n == 1 {
			c.Take()
			c.Advance(1)
			break
		}
	}
	if n := q.Counts(); n.Queued != 0 || n.Delivered != total {
		t.Errorf("%+v", n)
	}
	for _, blk := range q.free {
		if blk.views != 0 {
			t.Errorf("a block that is free has %d views", blk.views)
		}
	}
}
