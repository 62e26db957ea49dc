package stream_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
	"audisp-relay/testdata/captures"
)

// readAll returns copies of all records of a stream.
func readAll(t testing.TB, in io.Reader) (out record.Batch, counts stream.Counts) {
	t.Helper()
	r := stream.NewReader(in)
	var b record.Batch
	for {
		err := r.Next(&b)
		if errors.Is(err, io.EOF) {
			return out, r.Counts()
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, rec := range b.Recs {
			bytes := b.Bytes(i)
			rec.Off = uint32(len(out.Buf))
			out.Buf = append(out.Buf, bytes...)
			out.Recs = append(out.Recs, rec)
		}
	}
}

var namedX = record.TypeNumber([]byte("X-9_y"))

func TestHeadersAreRead(t *testing.T) {
	for _, c := range []struct {
		line   string
		typ    uint32
		millis int64
		serial uint32
		node   string
		ok     bool
	}{
		{"type=SYSCALL msg=audit(1795296167.053:4): arch=c000003e", 1300, 1795296167053, 4, "", true},
		{"node=web-1 type=PATH msg=audit(1795296167.053:4294967295): item=0", 1302, 1795296167053, 4294967295, "web-1", true},
		{"type=LANDLOCK_ACCESS msg=audit(1.000:0): x", 1423, 1000, 0, "", true},
		{"type=UNKNOWN[1423] msg=audit(1.000:0): x", 1423, 1000, 0, "", true},
		{"type=DAEMON_CONFIG msg=audit(1795296167.053:34) config changed,", 1203, 1795296167053, 34, "", true},
		{"type=EOE msg=audit(1795296167.053:4): ", 1320, 1795296167053, 4, "", true},
		{"node=x audit(1795296167.053:4): op=nolog", 0, 1795296167053, 4, "x", false},
		{"type=DAEMON_ERR op=format-enriched msg=NULL res=failed", 1209, 0, 0, "", false},
		{"type=SYSCALL msg=lost", 1300, 0, 0, "", false},
		{"type=NOSUCH msg=audit(1795296167.053:4): x", 3168259017, 1795296167053, 4, "", true},
		{"node=h type=X-9_y msg=audit(1795296167.053:4): x", namedX, 1795296167053, 4, "h", true},
		{"type=NOSUCH msg=lost", 0, 0, 0, "", false},
		{"type=NO\"SUCH msg=audit(1795296167.053:4): x", 0, 1795296167053, 4, "", false},
		{"type=NOSUCH" + strings.Repeat("X", 60) + " msg=audit(1795296167.053:4): x", 0, 1795296167053, 4, "", false},
		{"type=X[9] msg=audit(1795296167.053:4): x", 0, 1795296167053, 4, "", false},
		{"type= msg=audit(1795296167.053:4): x", 0, 1795296167053, 4, "", false},
		{"type=SYSCALL msg=audit(1795296167.53:4): x", 1300, 0, 0, "", false},
		{"type=SYSCALL msg=audit(1795296167.0531:4): x", 1300, 0, 0, "", false},
		{"type=SYSCALL msg=audit(1795296167.053:4294967296): x", 1300, 0, 0, "", false},
		{"type=SYSCALL msg=audit(1795296167.053:4", 1300, 0, 0, "", false},
		{"type=SYSCALL msg=audit(:4): x", 1300, 0, 0, "", false},
		{"type=UNKNOWN[99999999999] msg=audit(1.000:1): x", 2639087870, 1000, 1, "", true},
		{"type=UNKNOWN[] msg=audit(1.000:1): x", 0, 1000, 1, "", false},
		{"type=UNKNOWN[-1] msg=audit(1.000:1): x", 0, 1000, 1, "", false},
		{"type=", 0, 0, 0, "", false},
		{"node=", 0, 0, 0, "", false},
		{"node= type=SYSCALL msg=audit(1.000:1): x", 1300, 1000, 1, "", true},
		{"", 0, 0, 0, "", false},
		{"\x00\x1d\xff", 0, 0, 0, "", false},
	} {
		b, counts := readAll(t, strings.NewReader(c.line+"\n"))
		if len(b.Recs) != 1 {
			t.Errorf("%q: %d records", c.line, len(b.Recs))
			continue
		}
		r := b.Recs[0]
		if r.Type != c.typ || r.Millis != c.millis || r.Serial != c.serial || r.HasID() != c.ok {
			t.Errorf("%q: got type %d time %d serial %d id %v", c.line, r.Type, r.Millis, r.Serial, r.HasID())
		}
		if got := string(b.Node(0)); got != c.node {
			t.Errorf("%q: node %q, want %q", c.line, got, c.node)
		}
		if want := uint64(1); (counts.NoID == want) == c.ok {
			t.Errorf("%q: NoID counted %d", c.line, counts.NoID)
		}
		if got := string(b.Bytes(0)); got != c.line+"\n" {
			t.Errorf("%q came out as %q", c.line, got)
		}
	}
}

// TestIDsThatBeginAlike: they are distinguished, whichever came before.
func TestIDsThatBeginAlike(t *testing.T) {
	ids := []struct {
		text   string
		millis int64
		serial uint32
	}{
		{"1795296167.053:4", 1795296167053, 4}, {"1795296167.053:4", 1795296167053, 4}, {"1795296167.053:42", 1795296167053, 42},
		{"1795296167.054:4", 1795296167054, 4}, {"179529616.053:4", 179529616053, 4}, {"1795296167.053:4", 1795296167053, 4},
	}
	var in strings.Builder
	for _, id := range ids {
		in.WriteString("type=CWD msg=audit(" + id.text + "): x\ntype=CWD msg=audit(" + id.text + ": no id\n")
	}
	b, _ := readAll(t, strings.NewReader(in.String()))
	for i, id := range ids {
		if r := b.Recs[2*i]; !r.HasID() || r.Millis != id.millis || r.Serial != id.serial {
			t.Errorf("%s: %+v", id.text, r)
		}
		if r := b.Recs[2*i+1]; r.HasID() || r.Serial != 0 {
			t.Errorf("a cut %s has an id: %+v", id.text, r)
		}
	}
}

// TestIDIsNotReadBeyondItsRecord: the padding of a frame may continue where the
// record was cut, as if the id of the record before were complete here too.
func TestIDIsNotReadBeyondItsRecord(t *testing.T) {
	cut := frame(0, 1300, "audit(1.000:1", true, 0)
	copy(cut[stream.HeaderSize+len("audit(1.000:1"):], "): x")
	whole := frame(0, 1300, "audit(1.000:1): x", true, 0)
	b, _ := readAll(t, bytes.NewReader(append(append(bytes.Clone(whole), cut...), whole...)))
	if len(b.Recs) != 3 || !b.Recs[0].HasID() || b.Recs[1].HasID() || !b.Recs[2].HasID() {
		t.Errorf("%+v", b.Recs)
	}
}

func TestTypeNamesAgreeBothWays(t *testing.T) {
	for n := uint32(0); n < 70000; n++ {
		name := record.AppendTypeName(nil, n)
		if got := record.TypeNumber(name); got != n {
			t.Fatalf("type %d is %s, which is %d", n, name, got)
		}
	}
}

func TestLastLineWithoutNewlineIsHandedOn(t *testing.T) {
	b, counts := readAll(t, strings.NewReader("type=EOE msg=audit(1.000:1): \ntype=CWD msg=audit(1.000:1): cwd=\"/\""))
	if len(b.Recs) != 2 || string(b.Bytes(1)) != "type=CWD msg=audit(1.000:1): cwd=\"/\"\n" || counts.Unended != 1 {
		t.Errorf("got %d records, last %q, counts %+v", len(b.Recs), b.Bytes(len(b.Recs)-1), counts)
	}
}

func TestOverlongLinesComeInPiecesAndWhole(t *testing.T) {
	for _, size := range []int{record.MaxRecord - 1, record.MaxRecord, record.MaxRecord + 1, 3 * record.MaxRecord, 3*record.MaxRecord + 5, 1 << 20} {
		for _, end := range []string{"\n", ""} {
			in := strings.Repeat("\x00", size) + end
			after := "type=EOE msg=audit(1.000:1): \n"
			if end == "" {
				after = ""
			}
			for how, chunk := range chunks {
				if how == "byte" && size > 1<<18 {
					continue
				}
				b, counts := readAll(t, chunk(strings.NewReader(in+after)))
				if got, want := string(b.Buf), strings.TrimSuffix(in, "\n")+"\n"+after; got != want {
					t.Fatalf("%d bytes, end %q, %s: %d bytes came out, want %d", size, end, how, len(got), len(want))
				}
				if want := uint64(strings.Count(in+after, "\n") + 1 - len(end)); counts.Records != want {
					t.Errorf("%d bytes, end %q, %s: counted %d records, want %d", size, end, how, counts.Records, want)
				}
				if over := size+len(end) > record.MaxRecord; (counts.Oversize == 1) != over && end == "\n" {
					t.Errorf("%d bytes, end %q, %s: oversize %d", size, end, how, counts.Oversize)
				}
			}
		}
	}
}

func frame(ver, typ uint32, payload string, fixed bool, tail byte) []byte {
	f := stream.AppendFrame(nil, ver, typ, []byte(payload))
	if fixed {
		f = append(f, bytes.Repeat([]byte{tail}, stream.MaxPayload-len(payload))...)
	}
	return f
}

func TestOneFrameIsHandedOnAtOnce(t *testing.T) {
	for _, fixed := range []bool{false, true} {
		s := stream.NewSplitter()
		var b record.Batch
		f := frame(0, 1300, "audit(1.000:1): x", fixed, 'A')
		s.Cut(&b, copy(s.Space(), f))
		if len(b.Recs) != 1 || string(b.Bytes(0)) != "audit(1.000:1): x" {
			t.Errorf("fixed %v: %d records", fixed, len(b.Recs))
		}
	}
}

// TestFixedFramesWithOldTextInTheirTails: the padding of a fixed frame is
// whatever auditd's memory held.
func TestFixedFramesWithOldTextInTheirTails(t *testing.T) {
	old := stream.AppendFrame(nil, 1, 1300, []byte("type=SYSCALL msg=audit(9.000:9): old"))
	var in []byte
	for i := range 5 {
		f := frame(0, 1300+uint32(i), "audit(1.000:1): x", true, 0)
		copy(f[2000:], old)
		in = append(in, f...)
	}
	for how, chunk := range chunks {
		b, counts := readAll(t, chunk(bytes.NewReader(in)))
		if len(b.Recs) != 5 || counts.Junk != 0 {
			t.Errorf("%s: %d records, %+v", how, len(b.Recs), counts)
		}
	}
}

func TestGarbageBetweenFramesIsHandedOnAndCounted(t *testing.T) {
	good := frame(1, 1300, "type=SYSCALL msg=audit(1.000:1): x", false, 0)
	junk := bytes.Repeat([]byte("garbage "), 20000)
	in := append(append(append(bytes.Clone(good), good...), junk...), good...)
	for how, chunk := range chunks {
		b, counts := readAll(t, chunk(bytes.NewReader(in)))
		var lines, other []byte
		for i := range b.Recs {
			if b.Recs[i].Kind == record.Junk {
				other = append(other, b.Bytes(i)...)
			} else {
				lines = append(lines, b.Bytes(i)...)
			}
		}
		if !bytes.Equal(other, junk) || counts.Junk != uint64(len(junk)) || counts.Resyncs != 1 {
			t.Errorf("%s: %d bytes of junk came out of %d, %+v", how, len(other), len(junk), counts)
		}
		if n := bytes.Count(lines, []byte("type=SYSCALL")); n != 3 {
			t.Errorf("%s: %d good records of 3", how, n)
		}
	}
}

func TestFrameCutAtTheEndIsHandedOn(t *testing.T) {
	good := frame(0, 1300, "audit(1.000:1): something", false, 0)
	for cut := 1; cut < len(good); cut++ {
		in := append(bytes.Clone(good), good[:cut]...)
		b, counts := readAll(t, bytes.NewReader(in))
		total := 0
		for i := range b.Recs {
			total += len(b.Bytes(i))
		}
		if want := len(good) - stream.HeaderSize + cut; total != want || counts.Unended+counts.Resyncs == 0 {
			t.Errorf("cut to %d: %d bytes came out, want %d; %+v", cut, total, want, counts)
		}
	}
}

// TestEmptyStream: it has no records and no error.
func TestEmptyStream(t *testing.T) {
	b, counts := readAll(t, strings.NewReader(""))
	if len(b.Recs) != 0 || counts != (stream.Counts{}) {
		t.Errorf("got %d records, %+v", len(b.Recs), counts)
	}
}

// FuzzStream: whatever arrives, however it is chunked, every byte that is not a
// frame header or padding comes out, and no call panics or hangs.
func FuzzStream(f *testing.F) {
	f.Add([]byte("type=SYSCALL msg=audit(1.000:1): x\nnode=a type=EOE msg=audit(1.000:1): \n"), uint64(1))
	f.Add(frame(0, 1300, "audit(1.000:1): x", false, 0), uint64(2))
	f.Add(frame(1, 1300, "type=SYSCALL msg=audit(1.000:1): x", true, 'z'), uint64(3))
	f.Add(append(frame(0, 1300, "audit(1.000:1): x", false, 0), "junk junk junk junk junk junk"...), uint64(4))
	f.Add([]byte{0, 0, 0, 0, 16, 0, 0, 0, 1, 2, 3, 4, 255, 255, 255, 255}, uint64(5))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		whole, counts := readAll(t, bytes.NewReader(data))
		rnd := rand.New(rand.NewPCG(seed, 0))
		parts, counts2 := readAll(t, readerFunc(func(p []byte) (int, error) {
			if len(data) == 0 {
				return 0, io.EOF
			}
			n := copy(p, data[:min(len(data), 1+rnd.IntN(40))])
			data = data[n:]
			return n, nil
		}))
		if counts.Bytes != counts2.Bytes {
			t.Fatalf("%d bytes read whole, %d in parts", counts.Bytes, counts2.Bytes)
		}
		if len(whole.Recs) > 0 && whole.Recs[0].Kind == record.Line && !bytes.Equal(whole.Buf, parts.Buf) {
			t.Fatalf("lines depend on how they arrive:\n%q\n%q", whole.Buf, parts.Buf)
		}
		for _, f := range []format.Format{format.String, format.Binary} {
			enc := format.Encoder{Format: f, Node: "n"}
			e := enc.Encode(whole)
			if n, end := e.Records(len(e.Bytes)); n != len(whole.Recs) || end != len(e.Bytes) {
				t.Fatalf("%d records of %d, %d bytes of %d", n, len(whole.Recs), end, len(e.Bytes))
			}
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// FuzzFrames puts arbitrary payloads into frames of both kinds and wants them
// back exactly.
func FuzzFrames(f *testing.F) {
	f.Add("audit(1.000:1): a", "audit(1.000:2): b\nc", uint32(1300), true)
	f.Add("audit(", "", uint32(0xFFFFFFFF), false)
	f.Fuzz(func(t *testing.T, a, b string, typ uint32, fixed bool) {
		a = "audit(1.000:1): " + a[:min(len(a), 8000)]
		b = "audit(1.000:1): " + b[:min(len(b), 8000)]
		in := append(frame(0, typ, a, fixed, 0), frame(0, typ, b, fixed, 0)...)
		got, counts := readAll(t, bytes.NewReader(append(in, frame(0, 1, "audit(2.000:1): ", fixed, 0)...)))
		if len(got.Recs) != 3 || string(got.Bytes(0)) != a || string(got.Bytes(1)) != b || got.Recs[0].Type != typ {
			t.Fatalf("%d records, %+v", len(got.Recs), counts)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	data := captures.Read(b, "audit-3.0.9-enriched.string.gz")
	data = bytes.Repeat(data, 8<<20/len(data))
	lines := bytes.Count(data, []byte{'\n'})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r := stream.NewReader(bytes.NewReader(data))
		var batch record.Batch
		for r.Next(&batch) == nil {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(lines), "ns/record")
}

// TestTypesWithoutNumber: a name that the tables lack is one type wherever it comes from,
// and is called as it stands.
func TestTypesWithoutNumber(t *testing.T) {
	for _, name := range []string{"CONTAINER_OP", "CKADDR", "LANDLOCK_FUTURE", "X", "a-B_9", "UNKNOWN[4294967296]", "DAEMON_FUTURE"} {
		text := "node=h type=" + name + " msg=audit(1795296167.053:4): op=x"
		line, _ := readAll(t, strings.NewReader(text+"\n"))
		frames := stream.AppendFrame(stream.AppendFrame(nil, 1, 0, []byte(text)), 1, 1498, []byte(text))
		framed, _ := readAll(t, bytes.NewReader(frames))
		if len(line.Recs) != 1 || len(framed.Recs) != 2 || framed.Recs[1].Type != 1498 {
			t.Fatalf("%s: %+v, %+v", name, line.Recs, framed.Recs)
		}
		for i, b := range []*record.Batch{&line, &framed, &framed} {
			i = max(0, i-1)
			if got := string(b.AppendType(nil, i)); got != name || !b.Recs[i].HasID() || string(b.Node(i)) != "h" || b.ID(i) != line.ID(0) {
				t.Errorf("%s: called %s, id %v, %+v", name, got, b.ID(i), b.Recs[i])
			}
		}
		if own := strings.HasPrefix(name, "DAEMON_"); record.OfDaemon(line.Recs[0].Type) != own {
			t.Errorf("%s: auditd's own: %v", name, !own)
		}
	}
	if n := testing.AllocsPerRun(100, func() { record.TypeNumber([]byte("CONTAINER_OP")) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhyUnread(t *testing.T) {
	for text, why := range map[string]string{
		"node=h1 node=h1 type=USER_CMD msg=audit(1.000:1): x": "two node= fields",
		"node=CentOS 7.7 type=USER_CMD msg=audit(1.000:1): x": "a blank in the name",
		"node=a b c type=USER_CMD msg=audit(1.000:1): x":      "a blank in the name",
		"node=h":                          "nothing after",
		"node=h audit(1.000:1): x":        "no type=",
		"what is this":                    "no type=",
		"":                                "no type=",
		"type=":                           "no name of a type",
		"type=A\"B msg=audit(1.000:1): x": "no name of a type",
		"type=USER_CMD msg=audit(1.000:4294967296): x":                    "too large",
		"type=USER_CMD msg=audit(1000000000000.000:1): x":                 "too large",
		"type=USER_CMD msg=audit(1.000:99999999999999999999999999999): x": "too large",
		"node=h type=USER_CMD msg=audit(1.0000:1): x":                     "no audit(",
		"type=SYSCALL msg=lost":                                           "no audit(",
		"type=SYSCALL msg=audit(":                                         "no audit(",
	} {
		b, _ := readAll(t, strings.NewReader(text+"\n"))
		if got := stream.WhyUnread([]byte(text + "\n")); !strings.Contains(got, why) || b.Recs[0].HasID() {
			t.Errorf("%q: %s, id %v", text, got, b.Recs[0].HasID())
		}
	}
}
