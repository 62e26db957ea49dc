package format

import (
	"fmt"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// batch makes records of the given kinds and bytes, lying apart as those of a
// binary stream do, or together as lines do.
func batch(apart bool, recs ...record.Record) func(texts ...string) record.Batch {
	return func(texts ...string) record.Batch {
		b := record.Batch{Recs: recs}
		for i, s := range texts {
			if apart {
				b.Buf = append(b.Buf, "HEADER"...)
			}
			b.Recs[i].Off, b.Recs[i].Len = uint32(len(b.Buf)), uint32(len(s))
			b.Buf = append(b.Buf, s...)
		}
		return b
	}
}

func TestStringIsWhatAuditdWrites(t *testing.T) {
	const ver0 = "audit(1.000:1): a\nb\x00\x1dc"
	for _, c := range []struct {
		name string
		enc  Encoder
		rec  record.Record
		in   string
		want string
	}{
		{"line", Encoder{}, record.Record{}, "type=CWD msg=audit(1.000:1): x\n", "type=CWD msg=audit(1.000:1): x\n"},
		{"frame of version 0", Encoder{}, record.Record{Kind: record.Ver0, Type: 1307}, ver0, "type=CWD msg=audit(1.000:1): a b\x00\x1dc\n"},
		{"type without a name", Encoder{}, record.Record{Kind: record.Ver0, Type: 1999}, ver0, "type=UNKNOWN[1999] msg=audit(1.000:1): a b\x00\x1dc\n"},
		{"frame of version 1", Encoder{}, record.Record{Kind: record.Ver1, Type: 1307}, "type=CWD msg=x", "type=CWD msg=x\n"},
		{"junk", Encoder{Node: "n"}, record.Record{Kind: record.Junk, Flags: record.NoID}, "a\nb", "a b\n"},
		{"node", Encoder{Node: "n"}, record.Record{}, "type=CWD x\n", "node=n type=CWD x\n"},
		{"node that is there", Encoder{Node: "n"}, record.Record{NodeLen: 1}, "node=m type=CWD x\n", "node=m type=CWD x\n"},
		{"node for ver 0 only: line", Encoder{Node: "n", NodeVer0Only: true}, record.Record{}, "type=CWD x\n", "type=CWD x\n"},
		{"node for ver 0 only: ver 0", Encoder{Node: "n", NodeVer0Only: true}, record.Record{Kind: record.Ver0, Type: 1307}, "audit(1.000:1): ", "node=n type=CWD msg=audit(1.000:1): \n"},
		{"piece of a line", Encoder{Node: "n"}, record.Record{Flags: record.Cont | record.NoID}, "rest\n", "rest\n"},
		{"EOE left out", Encoder{DropEOE: true}, record.Record{Type: record.TypeEOE}, "type=EOE x\n", ""},
	} {
		b := batch(true, c.rec)(c.in)
		e := c.enc.Encode(b)
		if got := string(e.Bytes); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if n, end := e.Records(len(e.Bytes)); n != 1 || end != len(c.want) {
			t.Errorf("%s: %d records, end %d", c.name, n, end)
		}
	}
}

func TestLinesAreNotCopied(t *testing.T) {
	b := batch(false, record.Record{}, record.Record{})("one\n", "two\n")
	var enc Encoder
	e := enc.Encode(b)
	if &e.Bytes[0] != &b.Buf[0] || string(e.Bytes) != "one\ntwo\n" {
		t.Errorf("got %q in another buffer", e.Bytes)
	}
	if n := testing.AllocsPerRun(100, func() { enc.Encode(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRecordsOfAPartlyWrittenBatch(t *testing.T) {
	for name, enc := range map[string]Encoder{"untouched": {}, "copied": {Node: "n"}} {
		b := batch(false, record.Record{}, record.Record{}, record.Record{})("one\n", "three\n", "five5\n")
		e := enc.Encode(b)
		ends := []int{e.End(0), e.End(1), e.End(2)}
		if e.Len() != 3 || ends[2] != len(e.Bytes) {
			t.Fatalf("%s: %d records, ends %v", name, e.Len(), ends)
		}
		for n := range len(e.Bytes) + 1 {
			want := 0
			for _, end := range ends {
				if end <= n {
					want++
				}
			}
			recs, end := e.Records(n)
			if recs != want || (want > 0 && end != ends[want-1]) || (want == 0 && end != 0) {
				t.Errorf("%s: %d bytes are %d records to %d, want %d", name, n, recs, end, want)
			}
		}
	}
}

func TestBinaryIsAFrameAndItsPayload(t *testing.T) {
	long := strings.Repeat("x", stream.MaxPayload+10)
	for _, c := range []struct {
		name string
		enc  Encoder
		rec  record.Record
		in   string
		want []byte
	}{
		{"line", Encoder{}, record.Record{Type: 1307}, "type=CWD x\n", stream.AppendFrame(nil, 1, 1307, []byte("type=CWD x"))},
		{"ver 0 keeps its newline", Encoder{}, record.Record{Kind: record.Ver0, Type: 5}, "audit(\n", stream.AppendFrame(nil, 0, 5, []byte("audit(\n"))},
		{"ver 1", Encoder{}, record.Record{Kind: record.Ver1, Type: 1307}, "type=CWD x", stream.AppendFrame(nil, 1, 1307, []byte("type=CWD x"))},
		{"node makes it ver 1", Encoder{Node: "n"}, record.Record{Kind: record.Ver0, Type: 1307}, "audit(", stream.AppendFrame(nil, 1, 1307, []byte("node=n type=CWD msg=audit("))},
		{"longer than a frame", Encoder{}, record.Record{}, long + "\n", stream.AppendFrame(stream.AppendFrame(nil, 1, 0, []byte(long[:stream.MaxPayload])), 1, 0, []byte("xxxxxxxxxx"))},
		{"longer than a frame, named", Encoder{Node: "n"}, record.Record{}, long + "\n", stream.AppendFrame(stream.AppendFrame(nil, 1, 0, []byte("node=n "+long[:stream.MaxPayload-7])), 1, 0, []byte("xxxxxxxxxxxxxxxxx"))},
	} {
		c.enc.Format = Binary
		e := c.enc.Encode(batch(false, c.rec)(c.in))
		if string(e.Bytes) != string(c.want) {
			t.Errorf("%s: got %.80q, want %.80q", c.name, e.Bytes, c.want)
		}
	}
}

func TestParseKnowsTheRegisteredNames(t *testing.T) {
	for _, name := range []string{"", "xml", "String"} {
		if _, err := Parse(name); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	if got := strings.Join(Names(), " "); got != "string binary json ecs ocsf laurel joined" {
		t.Errorf("names %s", got)
	}
	for i, name := range Names() {
		if k, err := Parse(name); err != nil || k.Name != name || k.Format != Format(min(i, 2)) || k.Format.Events() != (i > 1) || (k.New == nil) != (i < 2) || (k.Raw == nil) != (i < 2) {
			t.Errorf("%q is %+v, %v", name, k, err)
		}
	}
}

// counter is an EventEncoder that writes how many records it was given.
type counter struct{ calls int }

func (c *counter) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	c.calls++
	return fmt.Appendf(dst, "%d+%d\n", i, j-i)
}

// The bytes of an event are its first record's, and it is acknowledged as a whole.
func TestEventIsAcknowledgedAsAWhole(t *testing.T) {
	b := batch(false, record.Record{Serial: 1}, record.Record{Serial: 1, Flags: record.End}, // two of one id
		record.Record{Serial: 1, Flags: record.End},
		record.Record{Serial: 2}, record.Record{Serial: 2}, // queued before events were asked for
		record.Record{Serial: 2, Flags: record.Marker},
		record.Record{Serial: 3, Flags: record.Open}, record.Record{Flags: record.Cont | record.NoID},
	)("a\n", "b\n", "c\n", "d\n", "e\n", "f\n", "g", "h\n")
	b.Recs[4].Flags = record.End
	var c counter
	enc := Encoder{Format: Events, NewEvents: func() EventEncoder { return &c }}
	e := enc.Encode(b)
	if got, want := string(e.Bytes), "0+2\n2+1\n3+2\n5+1\n6+2\n"; got != want || e.Len() != 8 {
		t.Fatalf("%d records, %q, want %q", e.Len(), got, want)
	}
	for i, want := range []int{2, 1, 1, 2, 1, 1, 2, 1} {
		if got := e.Span(i); got != want {
			t.Errorf("span of record %d is %d, want %d", i, got, want)
		}
	}
	for n, want := range map[int]int{0: 0, 3: 0, 4: 2, 7: 2, 8: 3, 12: 5, 15: 5, 16: 6, 20: 8} {
		if got, _ := e.Records(n); got != want {
			t.Errorf("%d bytes are %d records, want %d", n, got, want)
		}
	}
	var each []byte
	for i := range b.Recs {
		each = enc.Append(each, b, i)
	}
	if string(each) != string(e.Bytes) {
		t.Errorf("one by one %q, together %q", each, e.Bytes)
	}
	other := Encoder{Format: Events, NewEvents: func() EventEncoder { return new(counter) }}
	if none := other.Encode(record.Batch{}); none.Len() != 0 {
		t.Error("records of an empty batch")
	}
}

// TestKindThatCannotWriteIsRefused: a format that could not write an event, or not raw, does not come into the list.
func TestKindThatCannotWriteIsRefused(t *testing.T) {
	before := len(Names())
	newEvents := func(Options) EventEncoder { return new(counter) }
	for _, k := range []Kind{{Name: "x", New: newEvents, Raw: func(*Raw, any) {}}, {Name: "x", Format: Events, New: newEvents}, {Name: "x", Format: Events, Raw: func(*Raw, any) {}}} {
		func() {
			defer func() { _ = recover() }()
			Register(k)
		}()
	}
	if got := Names(); len(got) != before {
		t.Errorf("registered %v", got)
	}
}
