package json

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestEventsAreAsInTheGoldenFiles holds the events of testdata/*.in against the lines in *.json.
func TestEventsAreAsInTheGoldenFiles(t *testing.T) {
	doc := readDoc(t)
	names, err := filepath.Glob("testdata/*.in")
	if err != nil || len(names) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, name := range names {
		in, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		e := New(Options{})
		audittest.Events(t, in, func(b *record.Batch, i, j int) {
			got = append(got, checkEvent(t, doc, e, b, i, j)...)
		})
		golden := strings.TrimSuffix(name, ".in") + ".json"
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), ","), strings.Split(string(got), ",")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// line encodes the records of text, one event of lines, with flags on the last.
func line(t testing.TB, o Options, flags uint8, text string) string {
	t.Helper()
	var b record.Batch
	for _, l := range strings.Split(text, "\n") {
		add(&b, record.Line, "", l)
	}
	b.Recs[len(b.Recs)-1].Flags |= flags
	return string(checkEvent(t, readDoc(t), New(o), &b, 0, len(b.Recs)))
}

func TestFlagsAndOptions(t *testing.T) {
	const rec = "type=USER_AUTH msg=audit(1.000:1): pid=1 uid=0 auid=1 gid=7 obj_gid=0"
	for _, c := range []struct {
		name    string
		options Options
		flags   uint8
		text    string
		want    string // one after the other, "!" in front of what is not there
	}{
		{"nothing", Options{}, record.End, rec, `"node":null !incomplete !recovered !names !frame !encoding !node_source !"user"`},
		{"partial", Options{}, record.End | record.Partial, rec, `"incomplete":true`},
		{"from the log", Options{}, record.FromLog, rec, `"recovered":true`},
		{"node of the relay", Options{Node: "h"}, 0, rec, `"node":"h" "node_source":"relay"`},
		{"node of the record", Options{Node: "h"}, 0, "node=n " + rec, `"node":"n" !node_source`},
		{"names", Options{Users: fakeUsers{}}, 0, rec, `"uid":0,"user":"root","auid":1,"auser":"d\"%25%ff","gid":7,"obj_gid":0,"obj_gid_name":"wheel" "names":"relay","encoding":"percent"`},
		{"names of this node", Options{Users: fakeUsers{}, Local: "n"}, 0, "node=n " + rec, `"user":"root"`},
		{"names of another node", Options{Users: fakeUsers{}, Local: "m"}, 0, "node=n " + rec, `!"user" !names`},
		{"names of auditd", Options{Users: fakeUsers{}}, 0, rec + "\x1dUID=\"joe\" AUID=\"x\" GID=\"y\" OBJ_GID=\"z\"", `"user":"joe","auid":1,"auser":"x" "obj_gid_name":"z" "names":"auditd" !raw`},
		{"no name is known", Options{Users: fakeUsers{}}, 0, "type=USER_AUTH msg=audit(1.000:1): uid=9", `!names`},
		{"after the year 9999", Options{}, 0, "type=CWD msg=audit(253402300800.000:1): cwd=\"/\"", `"@timestamp":null,"id":"253402300800.000:1"`},
		{"1970", Options{}, 0, "type=CWD msg=audit(0.007:1): cwd=\"/\"", `"@timestamp":"1970-01-01T00:00:00.007Z"`},
		{"unset names elsewhere", Options{}, 0, rec + "\x1dAUID=\"x\" UID=\"joe\"", `"uid":0,"user":"joe" "raw":`},
	} {
		got := line(t, c.options, c.flags, c.text)
		for _, want := range strings.Fields(c.want) {
			if w, not := strings.CutPrefix(want, "!"); not == strings.Contains(got, w) {
				t.Errorf("%s: %s in %s", c.name, want, got)
			}
		}
	}
}

func TestFrameVersionIsShown(t *testing.T) {
	doc := readDoc(t)
	for ver, want := range map[record.Kind]string{record.Ver0: `"frame":0`, record.Ver1: `"frame":1`, record.Junk: `"type":null,"record_types":[null]`} {
		var b record.Batch
		text := "audit(1.000:1): cwd=\"/\" "
		if ver != record.Ver0 {
			text = "type=CWD msg=" + text
		}
		add(&b, ver, "CWD", text)
		if ver == record.Junk {
			b.Recs[0].Type = 0
		}
		if got := checkEvent(t, doc, New(Options{}), &b, 0, 1); !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

func TestOverlongLineComesInPieces(t *testing.T) {
	doc, e := readDoc(t), New(Options{})
	n := 0
	data := "type=EXECVE msg=audit(1.000:1): argc=1 a0=\"" + strings.Repeat("x", 3*record.MaxRecord) + "\"\ntype=EOE msg=audit(1.000:1): \n"
	audittest.Events(t, []byte(data), func(b *record.Batch, i, j int) {
		checkEvent(t, doc, e, b, i, j)
		n += j - i
	})
	if n < 4 {
		t.Errorf("%d records", n)
	}
}

// TestFieldsBeyondTheLimitAreInRaw: what is beyond the limit is in raw, and the work is bounded.
func TestFieldsBeyondTheLimitAreInRaw(t *testing.T) {
	var b strings.Builder
	b.WriteString("type=USER_AUTH msg=audit(1.000:1):")
	for i := range 4000 {
		b.WriteString(" k")
		b.WriteString(strings.Repeat("x", i%5))
		b.WriteString(string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)))
		b.WriteString("='v")
	}
	got := line(t, Options{}, 0, b.String())
	if n := strings.Count(got, `":"'v"`); n != maxExtra {
		t.Errorf("%d fields are shown, want %d", n, maxExtra)
	}
	if !strings.Contains(got, `"raw":`) {
		t.Error("no raw")
	}
}

func TestEncoderAllocatesNothing(t *testing.T) {
	const enriched = "audit-3.0.9-enriched.string.gz"
	for _, c := range []struct{ name, types string }{
		{enriched, opened},
		{enriched, "SYSCALL EXECVE CWD PATH PATH PROCTITLE EOE"},
		{enriched, "SYSCALL SOCKADDR PROCTITLE EOE"},
		{enriched, "CONFIG_CHANGE SYSCALL SOCKADDR PROCTITLE EOE"},
		{enriched, "USER_AUTH"},
		{enriched, "ADD_USER"},
		{"audit-3.0.9-raw.string.gz", opened},
		{"audit-2.8.5-direct.binary.gz", opened},
	} {
		b := eventOf(t, c.name, c.types)
		e := New(Options{Users: fakeUsers{}})
		out := e.AppendEvent(nil, &b, 0, len(b.Recs))
		if n := testing.AllocsPerRun(100, func() { out = e.AppendEvent(out[:0], &b, 0, len(b.Recs)) }); n != 0 {
			t.Errorf("%s, %s: %v allocations", c.name, c.types, n)
		}
	}
}

func TestEventIsAppended(t *testing.T) {
	b := eventOf(t, "audit-3.0.9-enriched.string.gz", opened)
	e := New(Options{})
	alone := e.AppendEvent(nil, &b, 0, len(b.Recs))
	got := e.AppendEvent([]byte("in front"), &b, 0, len(b.Recs))
	if string(got) != "in front"+string(alone) {
		t.Errorf("got %s", got)
	}
	if got := e.AppendEvent([]byte("x"), &b, 2, 2); string(got) != "x" {
		t.Errorf("no records are %q", got)
	}
}
