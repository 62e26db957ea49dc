package joined

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/testdata/captures"
)

// begin is where a record begins in a line, by the words of docs/recipes.md.
var begin = regexp.MustCompile(`(?:^| )((?:node=[^ ]* )?type=[^ ]+ msg=audit\([0-9.:]+\))`)

// header is what a record begins with, also one that is cut in its id.
var header = regexp.MustCompile(`^(node=[^ ]* )?type=[^ ]* msg=audit\(`)

// cut takes a line apart at the beginnings of records, as a reader would, and gives back the blanks.
func cut(line string) (records []string) {
	line = strings.TrimSuffix(line, "\n")
	at := begin.FindAllStringSubmatchIndex(line, -1)
	for n, m := range at {
		end := len(line)
		if n+1 < len(at) {
			end = at[n+1][0]
		}
		records = append(records, strings.ReplaceAll(line[m[2]:end], "\x1fmsg=audit(", " msg=audit("))
	}
	return records
}

// asString returns the records of an event as the format string has them, without what stands at their
// ends and without an EOE after another record.
func asString(b *record.Batch, i, j int) (records []string) {
	var enc format.Encoder
	for k := i; k < j; k++ {
		if b.Recs[k].Type == record.TypeEOE && k > i {
			continue
		}
		records = append(records, strings.TrimRight(string(enc.Append(nil, *b, k)), "\n \x00"))
	}
	return records
}

// TestCapturesAreJoined: a line is the records of its event as the format string has them, with a blank
// between, and can be taken apart again.
func TestCapturesAreJoined(t *testing.T) {
	for _, name := range captures.Names(t, "*.gz") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, lines := New(format.Options{}), 0
			audittest.Events(t, captures.Read(t, name), func(b *record.Batch, i, j int) {
				got := string(e.AppendEvent([]byte("in front"), b, i, j))
				got = strings.TrimPrefix(got, "in front")
				want := asString(b, i, j)
				if got != strings.Join(want, " ")+"\n" {
					t.Fatalf("got  %q\nwant %q", got, want)
				}
				if back := cut(got); b.Recs[i].HasID() && strings.Join(back, "\n") != strings.Join(want, "\n") {
					t.Fatalf("cut  %q\nwant %q", back, want)
				}
				lines++
			})
			if lines < 100 {
				t.Errorf("%d lines", lines)
			}
		})
	}
}

func TestLines(t *testing.T) {
	const id = "msg=audit(1.000:5):"
	frames := func(ver uint32, texts ...string) (data []byte) {
		for _, s := range texts {
			data = stream.AppendFrame(data, ver, record.TypeCWD, []byte(s))
		}
		return data
	}
	for _, c := range []struct {
		name string
		o    format.Options
		in   []byte
		want string
	}{
		{"EOE without fields", format.Options{}, []byte("type=CWD " + id + " cwd=\"/\"\ntype=EOE " + id + " \n"), "type=CWD " + id + " cwd=\"/\"\n"},
		{"EOE alone", format.Options{}, []byte("type=EOE " + id + " \n"), "type=EOE " + id + "\n"},
		{"EOE with fields", format.Options{}, []byte("type=CWD " + id + " a=b\ntype=EOE " + id + " c=d\n"), "type=CWD " + id + " a=b type=EOE " + id + " c=d\n"},
		{"names of auditd", format.Options{}, []byte("type=A " + id + " uid=0\x1dUID=\"root\"\ntype=B " + id + " gid=0\x1dGID=\"root\" \n"), "type=A " + id + " uid=0\x1dUID=\"root\" type=B " + id + " gid=0\x1dGID=\"root\"\n"},
		{"node", format.Options{Node: "n"}, []byte("type=A " + id + " a\ntype=B " + id + " b\n"), "node=n type=A " + id + " a node=n type=B " + id + " b\n"},
		{"node that is there", format.Options{Node: "n"}, []byte("node=m type=A " + id + " a\nnode=m type=B " + id + " b\n"), "node=m type=A " + id + " a node=m type=B " + id + " b\n"},
		{"node taken out", format.Options{Node: "n", StripNode: true}, []byte("node=m type=A " + id + " a\nnode=m type=B " + id + " b\n"), "type=A " + id + " a type=B " + id + " b\n"},
		{"frames of version 0", format.Options{Node: "n"}, frames(0, "audit(1.000:5): a\nb\x00\x00", "audit(1.000:5): \x00c\n\n"), "node=n type=CWD " + id + " a b node=n type=CWD " + id + " \x00c\n"},
		{"frames of version 1", format.Options{}, frames(1, "type=CWD "+id+" a\nb", "type=CWD "+id+" \tc "), "type=CWD " + id + " a b type=CWD " + id + " \tc\n"},
		{"a path that looks like a record", format.Options{},
			[]byte("type=SOCKADDR " + id + " saddr=01002F\x1dSADDR={ saddr_fam=local path=/ type=USER_LOGIN " + id + " res=success }\ntype=CWD " + id + " cwd=\"/\"\n"),
			"type=SOCKADDR " + id + " saddr=01002F\x1dSADDR={ saddr_fam=local path=/ type=USER_LOGIN\x1f" + id + " res=success } type=CWD " + id + " cwd=\"/\"\n"},
		{"node= taken out of what looks like a record", format.Options{StripNode: true}, []byte("node=x type=A " + id + " node=y type=B " + id + "\n"), "type=A " + id + " node=y type=B\x1f" + id + "\n"},
		{"cut in its id", format.Options{}, []byte("type=A msg=audit(1.00\n"), "type=A msg=audit(1.00\n"},
		{"no type", format.Options{Node: "n"}, []byte(id + " a\n"), "node=n\x1f" + id + " a\n"},
		{"no header", format.Options{Node: "n"}, []byte("words type=A " + id + " a\n"), "node=n words type=A\x1f" + id + " a\n"},
	} {
		got, e := "", New(c.o)
		audittest.Events(t, c.in, func(b *record.Batch, i, j int) { got += string(e.AppendEvent(nil, b, i, j)) })
		if got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

// TestPiecesOfALineAreOne: a line that came in pieces has nothing between them, and a header that lies across
// a cut is none either.
func TestPiecesOfALineAreOne(t *testing.T) {
	const head, forged = "type=USER msg=audit(1.000:5): ", " msg=audit(1.000:6): "
	for cut := range len(forged) + 1 {
		// The cut is at record.MaxRecord bytes of the line.
		fill := strings.Repeat("x", record.MaxRecord-len(head)-cut)
		var got []byte
		e := New(format.Options{})
		audittest.Events(t, []byte(head+fill+forged+"end  \n"), func(b *record.Batch, i, j int) {
			if j-i != 2 {
				t.Fatalf("%d pieces", j-i)
			}
			got = e.AppendEvent(got, b, i, j)
		})
		if want := head + fill + "\x1f" + forged[1:] + "end\n"; string(got) != want {
			t.Fatalf("cut at %d: ...%q", cut, got[max(0, len(got)-60):])
		}
	}
}

// TestRawForm: an event over which the encoder fails is a line with all its records.
func TestRawForm(t *testing.T) {
	const id = "msg=audit(1.000:5): "
	for _, c := range []struct{ in, bare, stripped, added string }{
		{
			"type=A " + id + "a\ntype=B " + id + "path=/ type=C " + id + "c\n",
			"type=A " + id + "a type=B " + id + "path=/ type=C\x1f" + id + "c\n",
			"type=A " + id + "a type=B " + id + "path=/ type=C\x1f" + id + "c\n",
			"node=here type=A " + id + "a node=here type=B " + id + "path=/ type=C\x1f" + id + "c\n",
		},
		{"node=n type=A " + id + "a\n", "node=n type=A " + id + "a\n", "type=A " + id + "a\n", "node=n type=A " + id + "a\n"},
		{"words type=A " + id + "a\n", "words type=A\x1f" + id + "a\n", "words type=A\x1f" + id + "a\n", "node=here words type=A\x1f" + id + "a\n"},
		{"type=A msg=audit(1.00\n", "type=A msg=audit(1.00\n", "type=A msg=audit(1.00\n", "node=here type=A msg=audit(1.00\n"},
	} {
		for _, how := range []struct {
			format.Encoder
			want string
		}{{format.Encoder{}, c.bare}, {format.Encoder{StripNode: true}, c.stripped}, {format.Encoder{Node: "here"}, c.added}} {
			enc, got := how.Encoder, ""
			enc.Format, enc.Raw, enc.NewEvents = format.Events, Kind.Raw, func() format.EventEncoder { return failing{} }
			audittest.Events(t, []byte(c.in), func(b *record.Batch, i, j int) { got += string(enc.Append(nil, *b, i)) })
			if got != how.want {
				t.Errorf("strip %v, node %q:\n got %q\nwant %q", enc.StripNode, enc.Node, got, how.want)
			}
		}
	}
}

// TestRawFormOfALongLine: the pieces of a line are put together, and what begins in one of them is no record.
func TestRawFormOfALongLine(t *testing.T) {
	const head = "type=USER msg=audit(1.000:5): "
	text := head + strings.Repeat("x", record.MaxRecord-len(head)) + "y type=LOGIN msg=audit(1.000:6): z"
	enc := format.Encoder{Format: format.Events, Raw: Kind.Raw, NewEvents: func() format.EventEncoder { return failing{} }}
	got := ""
	audittest.Events(t, []byte(text+"\n"), func(b *record.Batch, i, j int) { got += string(enc.Append(nil, *b, i)) })
	if want := strings.Replace(text, " msg=audit(1.000:6)", "\x1fmsg=audit(1.000:6)", 1) + "\n"; got != want {
		t.Errorf("%d bytes, want %d: ...%q", len(got), len(want), got[max(0, len(got)-100):])
	}
}

type failing struct{}

func (failing) AppendEvent([]byte, *record.Batch, int, int) []byte { panic("failing") }

func TestEncoderAllocatesNothing(t *testing.T) {
	e := New(format.Options{Node: "n"})
	var out []byte
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-2.8.5-direct.binary.gz"} {
		audittest.Events(t, captures.Read(t, name), func(b *record.Batch, i, j int) {
			out = e.AppendEvent(out[:0], b, i, j)
			if n := testing.AllocsPerRun(2, func() { out = e.AppendEvent(out[:0], b, i, j) }); n != 0 {
				t.Fatalf("%s: %v allocations", name, n)
			}
		})
	}
}

// FuzzAppendEvent: whatever the records are, they are one line, in which no record begins but theirs and of
// which no byte of them is missing.
func FuzzAppendEvent(f *testing.F) {
	audittest.Events(f, captures.Read(f, "audit-3.0.9-enriched.string.gz"), func(b *record.Batch, i, j int) {
		var text []byte
		for k := i; k < j; k++ {
			text = append(text, b.Bytes(k)...)
		}
		if b.Recs[i].Serial%10 == 0 && len(text) < 3000 {
			f.Add(text, false)
		}
	})
	f.Add(sinktest.OddLines(), true)
	f.Add(sinktest.OddFrames(), false)
	f.Add([]byte("msg=audit(0"), false)
	f.Add([]byte("node= type= msg=audit(0"), false)
	f.Add(stream.AppendFrame(nil, 0, 808464432, []byte("type= msg=audit(0")), false)
	f.Add([]byte("node=a type=A msg=audit(1.000:5): node=b type=B msg=audit(1.000:5): x\nnode=a type=EOE msg=audit(1.000:5):\x00\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, strip bool) {
		e := New(format.Options{Node: "n", StripNode: strip})
		for _, b := range sinktest.Batches(data, 64<<10) {
			for i, j := 0, 0; i < len(b.Recs); i = j {
				j = format.EventEnd(&b, i)
				checkLine(t, string(e.AppendEvent(nil, &b, i, j)), &b, i, j, strip)
			}
		}
	})
}

func checkLine(t *testing.T, line string, b *record.Batch, i, j int, strip bool) {
	t.Helper()
	text, ok := strings.CutSuffix(line, "\n")
	if !ok || strings.Contains(text, "\n") {
		t.Fatalf("not one line: %q", line)
	}
	headers, want := 0, new(strings.Builder)
	enc := format.Encoder{Node: "n", StripNode: strip}
	for k := i; k < j; k++ {
		r := &b.Recs[k]
		if k > i && r.Type == record.TypeEOE && len(record.TrimColon(b.Body(k))) == 0 {
			continue
		}
		part := string(enc.Append(nil, *b, k))
		if r.Flags&record.Cont == 0 && header.MatchString(part) {
			headers++
		}
		if r.Flags&record.Open == 0 {
			if part = strings.TrimRight(part, "\n \x00"); part == "node=n" { // in front of nothing
				part += " "
			}
		}
		if k > i && r.Flags&record.Cont == 0 {
			want.WriteString(" ")
		}
		want.WriteString(part)
	}
	if n := strings.Count(line, " msg=audit("); n != headers {
		t.Fatalf("%d records begin, want %d: %q", n, headers, line)
	}
	shown := strings.NewReplacer("\x1fmsg=audit(", " msg=audit(")
	if got := shown.Replace(text); got != shown.Replace(want.String()) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func ExampleEncoder_AppendEvent() {
	const lines = "type=SYSCALL msg=audit(1.000:5): syscall=59\x1dSYSCALL=execve\ntype=CWD msg=audit(1.000:5): cwd=\"/\"\ntype=EOE msg=audit(1.000:5): \n"
	var b record.Batch
	if err := stream.NewReader(strings.NewReader(lines)).Next(&b); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%q\n", New(format.Options{}).AppendEvent(nil, &b, 0, len(b.Recs)))
	// Output: "type=SYSCALL msg=audit(1.000:5): syscall=59\x1dSYSCALL=execve type=CWD msg=audit(1.000:5): cwd=\"/\"\n"
}
