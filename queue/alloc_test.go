package queue

import (
	"bytes"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
)

// TestNoAllocationPerRecord: from the bytes of a string stream to those a
// consumer gets, memory is used again and again.
func TestNoAllocationPerRecord(t *testing.T) {
	in := events(1, 200, 5).Buf
	sp := stream.NewSplitter()
	q := New(Options{Config: Config{Depth: 16384, Bytes: 32 << 20, Hold: true}})
	c := q.Cursor()
	defer c.Close()
	var b record.Batch
	var enc format.Encoder
	got := 0
	once := func() {
		sp.Cut(&b, copy(sp.Space(), in))
		q.Put(&b)
		for {
			v, err := c.Take()
			if err != nil || len(v.Recs) == 0 {
				return
			}
			e := enc.Encode(v)
			got += bytes.Count(e.Bytes, []byte{'\n'})
			c.Advance(len(v.Recs))
		}
	}
	once()
	runs := 200
	if n := testing.AllocsPerRun(runs, once); n > 2 { // the list of blocks grows now and then
		t.Errorf("%v allocations for 1000 records", n)
	}
	if want := 1000 * (runs + 2); got != want {
		t.Errorf("%d records came out, want %d", got, want)
	}
}
