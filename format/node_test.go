package format_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
	"audisp-relay/testdata/captures"
)

// nodes are records as they come, and as they go where node= is taken out and where it is put in.
var nodes = []struct{ name, in, stripped, added string }{
	{"none", "type=CWD msg=audit(1.000:1): x\n", "type=CWD msg=audit(1.000:1): x\n", "node=here type=CWD msg=audit(1.000:1): x\n"},
	{"one", "node=far type=CWD msg=audit(1.000:1): node=x\n", "type=CWD msg=audit(1.000:1): node=x\n", "node=far type=CWD msg=audit(1.000:1): node=x\n"},
	{"without a name", "node= type=CWD msg=audit(1.000:1): x\n", "type=CWD msg=audit(1.000:1): x\n", "node=here type=CWD msg=audit(1.000:1): x\n"},
	{"odd bytes", "node=\xff\x00type= type=CWD msg=audit(1.000:1): x\n", "type=CWD msg=audit(1.000:1): x\n", "node=\xff\x00type= type=CWD msg=audit(1.000:1): x\n"},
	{"two", "node=a node=b type=CWD msg=audit(1.000:1): x\n", "node=a node=b type=CWD msg=audit(1.000:1): x\n", "node=a node=b type=CWD msg=audit(1.000:1): x\n"},
	{"no header", "node=a type=CWD msg=audit(1.000\n", "node=a type=CWD msg=audit(1.000\n", "node=a type=CWD msg=audit(1.000\n"},
	{"nothing after it", "node=a\n", "node=a\n", "node=here node=a\n"},
}

// TestNodeOfLines: as lines, and as frames, with the frame's length.
func TestNodeOfLines(t *testing.T) {
	strip, add := format.Encoder{StripNode: true, Node: "here"}, format.Encoder{Node: "here"}
	for _, tt := range nodes {
		b := batchOf(t, tt.in)
		if got := string(strip.Encode(b).Bytes); got != tt.stripped {
			t.Errorf("%s, taken out: %q", tt.name, got)
		}
		if got := string(add.Encode(b).Bytes); got != tt.added {
			t.Errorf("%s, put in: %q", tt.name, got)
		}
		for what, want := range map[string]string{"taken out": tt.stripped, "put in": tt.added} {
			enc := format.Encoder{Format: format.Binary, StripNode: what == "taken out", Node: "here"}
			want := string(stream.AppendFrame(nil, 1, b.Recs[0].Type, []byte(strings.TrimSuffix(want, "\n"))))
			if got := string(enc.Encode(b).Bytes); got != want {
				t.Errorf("%s, a frame, %s: %q, want %q", tt.name, what, got, want)
			}
		}
	}
}

// TestNodeOfFrames: a frame of either version keeps its version, its type and its newlines.
func TestNodeOfFrames(t *testing.T) {
	const bare = "audit(1.000:1): a\nb"
	for _, tt := range []struct {
		name     string
		ver, typ uint32
		in       string
		line     string
		payload  string
	}{
		{"version 0", 0, 1307, bare, "type=CWD msg=audit(1.000:1): a b\n", bare},
		{"version 1", 1, 1307, "node=far type=CWD msg=" + bare, "type=CWD msg=audit(1.000:1): a b\n", "type=CWD msg=" + bare},
		{"version 1 without a type", 1, 1307, "node=far " + bare, "audit(1.000:1): a b\n", bare},
		{"a newline in the name", 1, 1307, "node=f\nr type=CWD msg=" + bare, "type=CWD msg=audit(1.000:1): a b\n", "type=CWD msg=" + bare},
	} {
		frame := stream.AppendFrame(nil, tt.ver, tt.typ, []byte(tt.in))
		b := batchOf(t, string(frame)+string(frame))
		if len(b.Recs) != 2 {
			t.Fatalf("%s: %d records", tt.name, len(b.Recs))
		}
		b.Recs = b.Recs[:1]
		line, exact := format.Encoder{StripNode: true}, format.Encoder{Format: format.Binary, StripNode: true}
		if got := string(line.Encode(b).Bytes); got != tt.line {
			t.Errorf("%s: %q", tt.name, got)
		}
		if got, want := string(exact.Encode(b).Bytes), string(stream.AppendFrame(nil, tt.ver, tt.typ, []byte(tt.payload))); got != want {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
		padded := format.Encoder{Format: format.Binary, StripNode: true, Padded: func() bool { return true }}
		got := padded.Encode(b).Bytes
		if n := binary.NativeEndian.Uint32(got[12:]); len(got) != stream.HeaderSize+stream.MaxPayload || int(n) != len(tt.payload) ||
			string(got[stream.HeaderSize:][:n]) != strings.ReplaceAll(tt.payload, "\n", " ") {
			t.Errorf("%s, padded: %d bytes, %q", tt.name, len(got), got[:80])
		}
	}
}

// TestLongLineWithoutNode: of a line in pieces only the first has node=, whatever the others begin with.
func TestLongLineWithoutNode(t *testing.T) {
	const head, again = "type=USER msg=audit(1.000:1): ", "node=x type=USER msg=audit(1.000:2): "
	long := "node=far " + head
	long += strings.Repeat("x", record.MaxRecord-len(long)) + again + strings.Repeat("y", record.MaxRecord-len(again)) + again + "\n"
	b := batchOf(t, long)
	enc := format.Encoder{StripNode: true}
	if got := string(enc.Encode(b).Bytes); len(b.Recs) != 3 || got != long[len("node=far "):] {
		t.Errorf("%d pieces, %d bytes, want %d: %.80q", len(b.Recs), len(got), len(long)-len("node=far "), got)
	}
}

// TestStrippingCostsNoAllocation: where no record has a node there is no copy either.
func TestStrippingCostsNoAllocation(t *testing.T) {
	enc := format.Encoder{StripNode: true, Node: "here"}
	b := batchOf(t, strings.Repeat("type=CWD msg=audit(1.000:1): x\n", 100))
	if e := enc.Encode(b); &e.Bytes[0] != &b.Buf[0] || e.Len() != 100 {
		t.Error("records without node= were copied")
	}
	for name, b := range map[string]record.Batch{"without": b, "with": batchOf(t, strings.Repeat("node=far type=CWD msg=audit(1.000:1): x\n", 100))} {
		if n := testing.AllocsPerRun(100, func() { enc.Encode(b) }); n != 0 {
			t.Errorf("%s node=: %v allocations", name, n)
		}
	}
}

// TestEventsKeepTheirNode: formats of events have the name in a field, and do not change.
func TestEventsKeepTheirNode(t *testing.T) {
	text := string(captures.Read(t, "audit-3.0.9-node.string.gz"))
	text = text[:min(len(text), 64<<10)]
	b := batchOf(t, text[:strings.LastIndex(text, "\n")+1])
	for name, enc := range encoders(nil) {
		want := bytes.Clone(enc.Encode(b).Bytes)
		enc.StripNode = true
		if got := enc.Encode(b).Bytes; !bytes.Equal(got, want) {
			t.Errorf("%s has changed", name)
		}
	}
}

// TestNameOfTheHost: the name that the text has or would have.
func TestNameOfTheHost(t *testing.T) {
	for _, tt := range []struct {
		enc  format.Encoder
		line string
		want string
	}{
		{format.Encoder{}, "type=CWD msg=audit(1.000:1): x\n", ""},
		{format.Encoder{}, "node=far type=CWD msg=audit(1.000:1): x\n", "far"},
		{format.Encoder{Node: "here"}, "type=CWD msg=audit(1.000:1): x\n", "here"},
		{format.Encoder{Node: "here"}, "node=far type=CWD msg=audit(1.000:1): x\n", "far"},
		{format.Encoder{Node: "here", NodeVer0Only: true}, "type=CWD msg=audit(1.000:1): x\n", ""},
		{format.Encoder{StripNode: true, Node: "here"}, "type=CWD msg=audit(1.000:1): x\n", "here"},
		{format.Encoder{StripNode: true, Node: "here"}, "node=far type=CWD msg=audit(1.000:1): x\n", "far"},
		{format.Encoder{StripNode: true, Node: "here"}, "node= type=CWD msg=audit(1.000:1): x\n", "here"},
		{format.Encoder{StripNode: true}, "node=far garbage\n", ""},
	} {
		b := batchOf(t, tt.line)
		if got := string(tt.enc.AppendNode(nil, &b, 0)); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.line, got, tt.want)
		}
	}
}

// FuzzStrippedNode: whatever a stream holds, only a node= in front of a header goes, what is left has
// that header in front, and every frame is as long as it says.
func FuzzStrippedNode(f *testing.F) {
	for _, tt := range nodes {
		f.Add([]byte(tt.in))
		f.Add(stream.AppendFrame(nil, 1, 1307, []byte(tt.in)))
	}
	f.Add([]byte("node=" + strings.Repeat("n", record.MaxRecord) + " type=CWD msg=audit(1.000:1): x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := batchOf(t, string(data))
		var keep format.Encoder
		strip, frames := format.Encoder{StripNode: true}, format.Encoder{Format: format.Binary, StripNode: true}
		var all []byte
		for i := range b.Recs {
			kept, cut := keep.Append(nil, b, i), strip.Append(nil, b, i)
			checkCut(t, &b.Recs[i], kept, cut)
			all = append(all, cut...)
		}
		e := strip.Encode(b)
		if !bytes.Equal(e.Bytes, all) || e.Len() != len(b.Recs) {
			t.Fatalf("together %q, one by one %q", e.Bytes, all)
		}
		for rest := frames.Encode(b).Bytes; len(rest) > 0; {
			rest = rest[stream.HeaderSize+int(binary.NativeEndian.Uint32(rest[12:])):]
		}
	})
}

// checkCut wants a record without its node=, and nothing else missing.
func checkCut(t *testing.T, r *record.Record, kept, cut []byte) {
	t.Helper()
	begins := bytes.HasPrefix(kept, []byte("node="))
	if !r.HasID() || !begins {
		if !bytes.Equal(kept, cut) {
			t.Fatalf("%q becomes %q", kept, cut)
		}
		return
	}
	var again record.Record
	new(record.HeaderReader).Read(&again, cut)
	if len(kept)-len(cut) != len("node= ")+int(r.NodeLen) || !bytes.HasSuffix(kept, cut) ||
		again.Millis != r.Millis || again.Serial != r.Serial || again.NodeLen != 0 || bytes.HasPrefix(cut, []byte("node=")) {
		t.Fatalf("%q becomes %q", kept, cut)
	}
}
