package laurel

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/testdata/captures"
)

// one returns the only batch that lines make.
func one(t testing.TB, lines string) record.Batch {
	t.Helper()
	batches := sinktest.Batches([]byte(lines), 64<<10)
	if len(batches) != 1 {
		t.Fatalf("%d batches", len(batches))
	}
	return batches[0]
}

// TestMarkerHasNumbers: a marker of loss has its numbers as numbers, which laurel would take for hex.
func TestMarkerHasNumbers(t *testing.T) {
	b := one(t, "type=DAEMON_ERR msg=audit(1700000000.123:7): op=relay-loss sink=siem cause=full records=30 events=? first=12 last=41 res=failed\n")
	b.Recs[0].Flags |= record.Marker | record.End
	got := string(New(Options{}).AppendEvent(nil, &b, 0, 1))
	want := `{"ID":"1700000000.123:7","DAEMON_ERR":{"op":"relay-loss","sink":"siem","cause":"full","records":30,"events":"?","first":12,"last":41,"res":"failed"}}` + "\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestRecordWithoutNodeGetsOne: records that carry no node get the one that is configured.
func TestRecordWithoutNodeGetsOne(t *testing.T) {
	b := one(t, "type=CWD msg=audit(1700000000.123:7): cwd=\"/\"\nnode=own type=CWD msg=audit(1700000000.123:8): cwd=\"/\"\n")
	e := New(Options{Node: "conf\"ured+"})
	got := string(e.AppendEvent(e.AppendEvent(nil, &b, 0, 1), &b, 1, 2))
	want := `{"ID":"1700000000.123:7","NODE":"conf\"ured%2b","CWD":{"cwd":"/"}}` + "\n" +
		`{"ID":"1700000000.123:8","NODE":"own","CWD":{"cwd":"/"}}` + "\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestRecordWithoutIDStandsAlone: a record whose id cannot be read is given as text, and the fields of
// the next record of its type are not mixed with it.
func TestRecordWithoutIDStandsAlone(t *testing.T) {
	b := one(t, "type=CWD msg=audit(?): cwd=\"/a\"\ntype=CWD msg=audit(1700000000.123:7): cwd=\"/b\"\n")
	got := string(New(Options{}).AppendEvent(nil, &b, 0, 2))
	want := `{"ID":"1700000000.123:7","RAW":"type=CWD msg=audit(?): cwd=\"/a\"","CWD":{"cwd":"/b"}}` + "\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestPiecesOfALongLineFollowEachOther: the pieces of a line that is longer than any record follow each other.
func TestPiecesOfALongLineFollowEachOther(t *testing.T) {
	long := strings.Repeat("a", record.MaxRecord)
	b := record.Batch{}
	for _, part := range sinktest.Batches([]byte("type=CWD msg=audit(1700000000.123:7): cwd="+long+"\n"), 64<<10) {
		for i := range part.Recs {
			r := part.Recs[i]
			r.Off = uint32(len(b.Buf))
			b.Buf = append(b.Buf, part.Bytes(i)...)
			b.Recs = append(b.Recs, r)
		}
	}
	if len(b.Recs) < 2 {
		t.Fatalf("%d records", len(b.Recs))
	}
	got := New(Options{}).AppendEvent(nil, &b, 0, len(b.Recs))
	checkLines(t, got)
	event := decodeAll(t, got)[0]
	cwd, _ := event["CWD"].(map[string]any)["cwd"].(string)
	if shown := cwd + event["RAW"].(string); strings.ReplaceAll(shown, "%aa", "aa") != long {
		t.Errorf("%d bytes of %d are shown", len(shown), len(long))
	}
}

// TestFramesAndLinesAreTheSame: a binary stream gives the events that the string stream of the same run gives.
func TestFramesAndLinesAreTheSame(t *testing.T) {
	for _, name := range []string{"audit-2.8.5-audispd", "audit-3.0.9-raw", "audit-3.0.9-enriched", "audit-3.0.9-node", "audit-4.2.1-raw", "audit-4.2.1-enriched"} {
		lines, frames := captures.Read(t, name+".string.gz"), captures.Read(t, name+".binary.gz")
		want, got := encode(t, lines), encode(t, frames)
		checkLines(t, got)
		if name == "audit-2.8.5-audispd" { // its frames carry no node
			want = bytes.ReplaceAll(want, []byte(`"NODE":"vm",`), nil)
		}
		if d := cmp.Diff(readable(want), readable(got)); d != "" {
			t.Errorf("%s (-string +binary):\n%.3000s", name, d)
		}
	}
}

// readable returns the lines of events that have an id. What is cut in its header stands in
// the output as it came, and a frame has no "type=NAME msg=" in front.
func readable(out []byte) (lines []string) {
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, `{"ID":null,`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestEncoderAllocatesNothing: an encoder that has seen its events once allocates nothing for them.
func TestEncoderAllocatesNothing(t *testing.T) {
	for _, name := range captures.Names(t, "*.string.gz") {
		events := wholeEvents(captures.Read(t, name))
		e := New(Options{Node: "n"})
		var out []byte
		encodeAll := func() {
			out = out[:0]
			for i := range events {
				out = e.AppendEvent(out, &events[i], 0, len(events[i].Recs))
			}
		}
		encodeAll()
		if n := testing.AllocsPerRun(5, encodeAll); n > 0 {
			t.Errorf("%s: %v allocations for %d events", name, n, len(events))
		}
	}
}

// TestManyKeysAreForgotten: an object may have more keys than there is room for at first, each of them
// many times, and many of them are gone when the next begins.
func TestManyKeysAreForgotten(t *testing.T) {
	var text bytes.Buffer
	text.WriteString("type=ANOM_ABEND msg=audit(1700000000.123:7):")
	for i := range 3000 {
		fmt.Fprintf(&text, " k%d=v%d", i%1000, i)
	}
	text.WriteString("\n")
	b := one(t, text.String())
	e := New(Options{})
	for i := range 300 { // the keys of records before are no longer there, nor in the way
		other := one(t, fmt.Sprintf("type=ANOM_ABEND msg=audit(1700000000.123:7): k%da=x k%da=y\n", i, i))
		want := fmt.Sprintf(`{"ID":"1700000000.123:7","ANOM_ABEND":[{"k%da":"x","k%da#2":"y"}]}`+"\n", i, i)
		if got := string(e.AppendEvent(nil, &other, 0, 1)); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	for range 2 {
		got := e.AppendEvent(nil, &b, 0, 1)
		checkLines(t, got)
		record := decodeAll(t, got)[0]["ANOM_ABEND"].([]any)[0].(map[string]any)
		if len(record) != 3000 || record["k7"] != "v7" || record["k7#2"] != "v1007" || record["k999#3"] != "v2999" {
			t.Errorf("%d keys: %v %v %v", len(record), record["k7"], record["k7#2"], record["k999#3"])
		}
	}
}

// benchEvent is the first event of a capture with that many records and the EOE.
func benchEvent(b *testing.B, name string, records int) record.Batch {
	b.Helper()
	for _, e := range wholeEvents(captures.Read(b, name)) {
		if len(e.Recs) == records+1 && bytes.Contains(e.Buf, []byte("type=SYSCALL")) {
			return e
		}
	}
	b.Fatal("no such event")
	return record.Batch{}
}

func BenchmarkEvent(b *testing.B) {
	for _, bc := range []struct {
		name, capture string
		records       int
	}{
		{"enriched5", "audit-3.0.9-enriched.string.gz", 5},
		{"enriched7", "audit-3.0.9-enriched.string.gz", 7},
		{"raw5", "audit-3.0.9-raw.string.gz", 5},
	} {
		b.Run(bc.name, func(b *testing.B) {
			event := benchEvent(b, bc.capture, bc.records)
			e := New(Options{})
			var out []byte
			b.SetBytes(int64(len(event.Buf)))
			b.ReportAllocs()
			for b.Loop() {
				out = e.AppendEvent(out[:0], &event, 0, len(event.Recs))
			}
		})
	}
}

// TestOpenValuesCostNoSquare: each of the values of a long record may begin with a quote or brace that has no end. One look for it
// over all that follows, for each of them, would take hours here.
func TestOpenValuesCostNoSquare(t *testing.T) {
	const size = 4 << 20
	for _, piece := range []string{"a='x ", "a={ ", "a={ b=} ", "a={ b=c ", "a='b={ ", "a='b=\"c ", "a={ b='c ", "'", "{ "} {
		for typ, name := range map[uint32]string{record.TypeSyscall: "SYSCALL", record.TypeExecve: "EXECVE", record.TypeCWD: "CWD"} {
			text := "type=" + name + " msg=audit(1700000000.123:7): " + strings.Repeat(piece, size/len(piece)) + "}x\n"
			b := record.Batch{Buf: []byte(text), Recs: []record.Record{{Len: uint32(len(text)), Kind: record.Line}}}
			new(record.HeaderReader).Read(&b.Recs[0], b.Buf)
			if b.Recs[0].Type != typ {
				t.Fatalf("%s is %d", name, b.Recs[0].Type)
			}
			if line := New(Options{}).AppendEvent(nil, &b, 0, 1); bytes.Count(line, []byte(`"RAW"`)) != 1 {
				t.Errorf("%s of %q: %.200s", name, piece, line)
			}
		}
	}
}
