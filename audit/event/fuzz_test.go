package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/testdata/captures"
)

// inPieces reads n bytes at a time.
type inPieces struct {
	r io.Reader
	n int
}

func (in inPieces) Read(p []byte) (int, error) { return in.r.Read(p[:min(len(p), in.n)]) }

// FuzzAssembler gives an Assembler with little room a stream of anything: each
// record must come out once, byte by byte, and what is held stays within limits.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte("type=SYSCALL msg=audit(1.000:1): a\n"+audittest.User(2)+"type=EOE msg=audit(1.000:1): \n"), uint16(9))
	f.Add([]byte("node=a type=EOE msg=audit(1.000:5): \nnode=a type=EOE msg=audit(1.000:5): \n"), uint16(80))
	f.Add(append(bytes.Repeat([]byte("x"), 3*record.MaxRecord), audittest.User(2)...), uint16(7000))
	for _, name := range []string{"audit-4.2.1-raw.string.gz", "audit-3.0.9-node.string.gz", "audit-4.2.1-enriched.binary.gz"} {
		f.Add(captures.Read(f, name)[:6_000], uint16(3000))
	}
	f.Fuzz(func(t *testing.T, data []byte, how uint16) {
		o := AssemblerOptions{MaxEvents: 1 + int(how%5), MaxBytes: 3 * record.MaxRecord, MaxRecords: 1 + int(how%7), MaxEventBytes: 100 + int(how)}
		left := make(map[string]int)
		records, in, out := 0, 0, 0
		c := &catcher{t: t}
		o.Out = func(b *record.Batch) {
			c.out(b)
			for i := range b.Recs {
				out += int(b.Recs[i].Len)
			}
		}
		a := NewAssembler(o)
		r := stream.NewReader(inPieces{bytes.NewReader(data), 32 + int(how)})
		now := audittest.Epoch
		var b record.Batch
		for {
			err := r.Next(&b)
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			for i := range b.Recs {
				left[string(b.Bytes(i))]++
				in += len(b.Bytes(i))
			}
			records += len(b.Recs)
			a.Add(&b, now)
			now = now.Add(time.Duration(how) * time.Millisecond)
			a.Expire(now)
			n := a.Counts()
			if n.Open > o.MaxEvents || n.Bytes > o.MaxBytes || a.spares > maxSpare || len(a.touched) > 0 || (n.LateEOE == 0 && out+n.Bytes < in) {
				t.Fatalf("%d spare bytes, %d touched, %d of %d bytes given, %+v", a.spares, len(a.touched), out, in, n)
			}
		}
		a.Flush()
		for _, e := range c.events {
			for _, text := range e.recs {
				if left[text]--; left[text] < 0 {
					t.Fatalf("given more often than it came: %q", text)
				}
				records--
			}
		}
		n := a.Counts()
		if uint64(records) != n.LateEOE || n.Open != 0 || n.Bytes != 0 || len(c.events) != int(n.Events) {
			t.Fatalf("%d records and %d events short, %+v", records, int(n.Events)-len(c.events), n)
		}
		for text, k := range left {
			if k > 0 && !bytes.Contains([]byte(text), []byte("audit(")) {
				t.Fatalf("%d of %q are missing", k, text)
			}
		}
	})
}

// TestAssemblerDoesNotAllocate: neither for events over the end of a batch nor for
// those that lie within each other.
func TestAssemblerDoesNotAllocate(t *testing.T) {
	for name, list := range map[string][]*record.Batch{
		"as it came":  bulk(audittest.Capture(t, "audit-3.0.9-node.string.gz")),
		"interleaved": interleaved(bulk(audittest.Capture(t, "audit-3.0.9-enriched.string.gz"))),
	} {
		events := 0
		a := NewAssembler(AssemblerOptions{Out: func(x *record.Batch) { events += len(x.Recs) }})
		now := audittest.Epoch
		round := func() {
			again(list)
			for _, b := range list {
				now = now.Add(500 * time.Millisecond)
				a.Add(b, now)
				a.Expire(now)
			}
		}
		for range 10 {
			round()
		}
		if n := testing.AllocsPerRun(20, round); n > 0 {
			t.Errorf("%s: %v allocations in %d batches", name, n, len(list))
		}
	}
}

// TestAssemblerMemoryIsBounded: events that never end, very long ones, and many
// nodes.
func TestAssemblerMemoryIsBounded(t *testing.T) {
	c := &catcher{t: t}
	a := NewAssembler(AssemblerOptions{Out: c.out})
	long := "type=PATH msg=audit(1000.000:1): " + string(bytes.Repeat([]byte("x"), 60_000)) + "\n"
	b := audittest.Lines(t, long)
	for serial := range uint32(1000) {
		b.Recs[0].Serial = serial
		for range 2 {
			c.add(a, b, audittest.Epoch)
		}
		c.events = c.events[:0]
	}
	buffers := 0
	for e := a.all.head; e != nil; e = e.links[inFirst].next {
		buffers += e.size()
	}
	if n := a.Counts(); n.Bytes > DefaultMaxBytes || n.Bytes < DefaultMaxBytes/2 || buffers > 3*DefaultMaxBytes {
		t.Errorf("%d bytes of buffers, %+v", buffers, n)
	}
	a.Flush()
	if a.spares > maxSpare || a.spares < maxSpare/2 {
		t.Errorf("%d bytes are kept", a.spares)
	}
}

// TestOnlyItsOwnNodeCompletesAnEvent: of 2000 nodes each has an event that waits for its EOE, which
// only a record of the same node completes.
func TestOnlyItsOwnNodeCompletesAnEvent(t *testing.T) {
	var text, next bytes.Buffer
	const nodes = 2000
	for k := range nodes {
		fmt.Fprintf(&text, "node=n%d type=PROCTITLE msg=audit(1000.000:1): proctitle=\"x\"\n", k)
		fmt.Fprintf(&next, "node=n%d %s", 7*k%nodes, audittest.User(2)) // in another order
	}
	c := &catcher{t: t}
	a := NewAssembler(AssemblerOptions{Out: c.out})
	c.add(a, audittest.Lines(t, text.String()), audittest.Epoch)
	if n := a.Counts(); n.Open != nodes || n.Events != 0 {
		t.Fatalf("%+v", n)
	}
	c.add(a, audittest.Lines(t, next.String()), audittest.Epoch)
	if n := a.Counts(); n.Open != 0 || n.Events != 2*nodes || n.PartialLimit > 0 {
		t.Fatalf("%+v", n)
	}
	for k := 0; k < 2*nodes; k += 2 {
		node := []byte(fmt.Sprintf("node=n%d ", 7*(k/2)%nodes))
		if !bytes.HasPrefix([]byte(c.events[k].recs[0]), node) || !bytes.HasPrefix([]byte(c.events[k+1].recs[0]), node) {
			t.Fatalf("events %d: %q", k, c.events[k].recs)
		}
	}
}
