package queue

import (
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// refusing returns a queue with n events of a record each, and its cursor.
func refusing(t *testing.T, n int) (*Queue, *Cursor, record.Batch) {
	t.Helper()
	q := New(Options{Name: "x", Config: Config{Depth: 1000, Bytes: 1 << 20, Hold: true, Markers: true}})
	c := q.Cursor()
	t.Cleanup(func() { c.Close(); q.Shutdown() })
	var text strings.Builder
	for range n {
		text.WriteString("x\n")
	}
	b := record.Batch{Buf: []byte(text.String())}
	for i := range n {
		b.Recs = append(b.Recs, record.Record{Off: uint32(2 * i), Len: 2, Type: 1300, Serial: uint32(i + 1), Millis: 5})
	}
	q.Put(&b)
	got, err := c.Take()
	if err != nil || len(got.Recs) != n {
		t.Fatal(len(got.Recs), err)
	}
	return q, c, got
}

// TestRefuse: the balance holds, and the marker is the next that is taken.
func TestRefuse(t *testing.T) {
	q, c, b := refusing(t, 10)
	c.Refuse(5, LossOf(&b, 2, 5))
	if n := q.Counts(); n.Delivered != 2 || n.Queued != 5 || n.LostRecords() != 3 || n.Lost[Refused].First != 3 || n.Lost[Refused].Last != 5 {
		t.Errorf("%+v", n)
	}
	marker, err := c.Take()
	if err != nil || len(marker.Recs) != 1 || !strings.Contains(string(marker.Buf), " sink=x cause=refused records=3 events=3 first=3 last=5 ") {
		t.Fatalf("%q %v", marker.Buf, err)
	}
	c.Advance(1)
	if rest, err := c.Take(); err != nil || len(rest.Recs) != 5 || rest.Recs[0].Serial != 6 {
		t.Errorf("%d records: %v", len(rest.Recs), err)
	}
	c.Advance(5)
	if n := q.Counts(); n.Received != 10 || n.Delivered != 7 || n.Markers != 1 || n.Queued != 0 {
		t.Errorf("%+v", n)
	}
}

// TestRefusedMarkerWaits: it is given again after the next records that are delivered, together with
// what was refused meanwhile; and by the next cursor if that is over.
func TestRefusedMarkerWaits(t *testing.T) {
	q, c, b := refusing(t, 10)
	c.Refuse(2, LossOf(&b, 0, 2))
	if m, _ := c.Take(); m.Recs[0].Flags&record.Marker == 0 {
		t.Fatal("no marker")
	}
	c.Refuse(1, Loss{})
	b, err := c.Take()
	if err != nil || len(b.Recs) != 8 || b.Recs[0].Flags&record.Marker != 0 {
		t.Fatalf("%q, %v", b.Buf, err)
	}
	c.Refuse(1, LossOf(&b, 0, 1))
	if m, _ := c.Take(); m.Recs[0].Flags&record.Marker == 0 {
		t.Fatal("no marker")
	}
	c.Refuse(1, Loss{})
	if b, _ = c.Take(); len(b.Recs) != 7 {
		t.Fatalf("%d records", len(b.Recs))
	}
	c.Advance(1)
	m, _ := c.Take()
	if !strings.Contains(string(m.Buf), "cause=refused records=3 events=3 first=1 last=3 ") {
		t.Errorf("%q", m.Buf)
	}
	c.Refuse(1, Loss{})

	c.Close()
	next := q.Cursor()
	defer next.Close()
	if m, err := next.Take(); err != nil || !strings.Contains(string(m.Buf), "cause=refused records=3 ") {
		t.Errorf("%q %v", m.Buf, err)
	}
}
