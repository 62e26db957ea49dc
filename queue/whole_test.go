package queue

import (
	"errors"
	"io"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestACursorGetsNoEventInPart: whatever the sizes, a cursor gets no event in part.
func TestACursorGetsNoEventInPart(t *testing.T) {
	cfg := Config{Depth: 1 << 20, Bytes: 1 << 30, Hold: true, Whole: true}
	q := New(Options{Config: cfg, Name: "box"})
	c := q.Cursor()
	defer c.Close()
	want := 0
	for serial, size := range []int{10, 20 << 10, 30 << 10, 64 << 10, 1, 200 << 10, 50 << 10, 7} {
		b := record.Batch{Buf: []byte(strings.Repeat("x", size))}
		for _, k := range []int{size / 3, size / 3, size - 2*(size/3)} {
			off := uint32(0)
			if n := len(b.Recs); n > 0 {
				off = b.Recs[n-1].Off + b.Recs[n-1].Len
			}
			b.Recs = append(b.Recs, record.Record{Off: off, Len: uint32(k), Serial: uint32(serial), Type: 1300})
		}
		b.Recs[2].Flags |= record.End
		q.Put(&b)
		want += 3
	}
	// Of an event with as many records as a block holds, too.
	many := record.Batch{Buf: []byte(strings.Repeat("x", maxRecs))}
	for i := range maxRecs {
		many.Recs = append(many.Recs, record.Record{Off: uint32(i), Len: 1, Serial: 100, Type: 1300})
	}
	many.Recs[maxRecs-1].Flags |= record.End
	q.Put(&many)
	want += maxRecs
	q.Close()
	for {
		b, err := c.Take()
		if errors.Is(err, io.EOF) {
			break
		}
		n := len(b.Recs)
		if b.Recs[n-1].Flags&record.End == 0 {
			t.Fatalf("a batch ends within event %d", b.Recs[n-1].Serial)
		}
		want -= n
		c.Advance(n)
	}
	if want != 0 {
		t.Errorf("%d records did not come", want)
	}
}

// TestAClientThatHadTheRestOfAnEventMissedOthersOnly: a client that was made to skip while it had an event in part, and
// then had the rest of it, learns of the others only.
func TestAClientThatHadTheRestOfAnEventMissedOthersOnly(t *testing.T) {
	put := func(q *Queue, first, n int) {
		b := events(first, n, 3)
		for i := 2; i < len(b.Recs); i += 3 {
			b.Recs[i].Flags |= record.End
		}
		q.Put(b)
	}
	q := New(Options{Config: Config{Depth: 12, Bytes: 1 << 20, Slow: Drop, Markers: true, Whole: true}, Name: "box"})
	defer q.Close()
	slow, fast := q.Cursor(), q.Cursor()
	defer slow.Close()
	defer fast.Close()
	put(q, 1, 4)
	if b, err := slow.Take(); err != nil || len(b.Recs) != 12 {
		t.Fatal(len(b.Recs), err)
	}
	slow.Advance(0) // it has a part of the first event
	b, _ := fast.Take()
	fast.Advance(len(b.Recs))
	put(q, 5, 4)
	if slow.Lost() != 12 {
		t.Fatalf("it was made to skip %d records", slow.Lost())
	}
	slow.Advance(3) // now all of it
	b, err := slow.Take()
	if err != nil || len(b.Recs) != 1 || !strings.Contains(string(b.Bytes(0)), "cause=slow-client records=9 events=3 first=2 last=4 ") {
		t.Errorf("%d records, %v: %s", len(b.Recs), err, b.Buf)
	}
}
