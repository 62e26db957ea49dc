package replay

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
	"audisp-relay/format/json"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/testdata/captures"
)

// replayed runs inputs through Run to a string in a format.
func replayed(t testing.TB, kind string, wrong func(error), inputs ...string) (string, Result) {
	t.Helper()
	ctx, fail := context.WithCancelCause(context.Background())
	defer fail(nil)
	var out bytes.Buffer
	k, err := format.Parse(kind)
	if err != nil {
		t.Fatal(err)
	}
	to := WriterSink(&out, k, nil, fail)
	to.Inputs, to.Wrong = inputs, wrong
	done, err := Run(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), done
}

func store(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// records returns the lines of a string stream in an order of their own: events are given in the order in
// which they get complete.
func records(text string) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	slices.Sort(lines)
	return lines
}

// asStrings returns the records of a capture as the format string has them.
func asStrings(t testing.TB, data []byte) string {
	t.Helper()
	var out []byte
	var enc format.Encoder
	for _, b := range sinktest.Batches(data, 64<<10) {
		for i := range b.Recs {
			out = enc.Append(out, b, i)
		}
	}
	return string(out)
}

// TestRecordsComeBack: of every capture json and ocsf give back every record as it was, byte by byte. Only the order
// of events is that in which they were complete.
func TestRecordsComeBack(t *testing.T) {
	for _, name := range captures.Names(t, "*.gz") {
		for _, kind := range []string{"json", "ocsf"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				data := captures.Read(t, name)
				stored, _ := replayed(t, kind, nil, store(t, "stream", string(data)))
				got, done := replayed(t, "string", func(err error) { t.Error(err) }, store(t, "events", stored))
				want := asStrings(t, data)
				if g, w := records(got), records(want); done.Wrong != 0 || !slices.Equal(g, w) {
					for i := range min(len(g), len(w)) {
						if g[i] != w[i] {
							t.Fatalf("%d records, want %d\n got %q\nwant %q", len(g), len(w), g[i], w[i])
						}
					}
					t.Fatalf("%d records, want %d; %d wrong lines", len(g), len(w), done.Wrong)
				}
				if again, _ := replayed(t, kind, nil, store(t, "again", got)); strings.Contains(name, ".string.") && again != stored && !strings.Contains(name, "4.2.1-raw") {
					t.Error("what came back gives other events")
				}
			})
		}
	}
}

// TestSearchFindsTheSame: ausearch and aureport find in the records that came back what they find in the log.
func TestSearchFindsTheSame(t *testing.T) {
	if _, err := exec.LookPath("ausearch"); err != nil {
		t.Skip("needs ausearch")
	}
	search := func(file string, args ...string) string {
		cmd := exec.Command(args[0], append([]string{"-if", file}, args[1:]...)...)
		cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
		out, err := cmd.Output()
		if err != nil && len(out) == 0 {
			t.Fatalf("%v: %v", args, err)
		}
		separator := "----\n"
		if !bytes.Contains(out, []byte(separator)) {
			separator = "\n"
		}
		events := strings.Split(string(out), separator)
		slices.Sort(events)
		return strings.Join(events, separator)
	}
	for _, name := range []string{"audit-3.0.9-enriched.log.gz", "audit-3.0.9-raw.log.gz"} {
		log := store(t, "audit.log", string(captures.Read(t, name)))
		for _, kind := range []string{"json", "ocsf"} {
			stored, _ := replayed(t, kind, nil, log)
			text, _ := replayed(t, "string", nil, store(t, "events", stored))
			back := store(t, "back.log", text)
			for _, args := range [][]string{{"ausearch", "--raw"}, {"ausearch", "-i"}, {"ausearch", "-m", "EXECVE"}, {"ausearch", "--format", "csv"}, {"aureport"}, {"aureport", "-x", "--summary"}} {
				if want, got := search(log, args...), search(back, args...); got != want {
					t.Errorf("%s, %s: %v finds something else\n got %.300s\nwant %.300s", name, kind, args, got, want)
				}
			}
		}
	}
}

// TestWrongLinesArePassedOver: each is reported with its place and counted, and the others are read.
func TestWrongLinesArePassedOver(t *testing.T) {
	const good = `{"id":"1.000:5","node":null,"record_types":["CWD"],"cwd":"/","other_records":[],"paths":[],"sockaddrs":[]}`
	for line, want := range map[string]string{
		`{`:                                      "not JSON: unexpected EOF",
		`{"a":1}`:                                "no event of the formats",
		good + "x":                               "more than one JSON object",
		"{\"record_types\":\"\xff\"}":            "not UTF-8",
		"type=CWD msg=audit(1.000:5): cwd=\"/\"": "not JSON",
		`[]`:                                     "not a JSON object",
		`null`:                                   "not a JSON object",
		strings.Repeat(`{"a":`, 30) + `1`:        "more than 16",
		strings.Replace(good, `["CWD"]`, `["CWD","PATH"]`, 1):                   "record 2 (PATH): paths has no object for it",
		strings.Replace(good, `["CWD"]`, `["CWD",7]`, 1):                        "record_types has 7",
		strings.Replace(good, `"paths":[]`, `"paths":[{}]`, 1):                  "paths has 1 objects",
		strings.Replace(good, `["CWD"]`, `["CWD","EOE"]`, 1) + "{}":             "more than one",
		strings.Replace(good, `1.000:5`, `1.000:5\n`, 1):                        "no readable node, type and id",
		strings.Replace(good, `["CWD"]`, `["x y"]`, 1):                          "record 1 (x y)",
		strings.Replace(good, `"node":null`, `"node":"a b"`, 1):                 "no readable node",
		`{"id":"1.000:5","record_types":["USER"],"pid":[]}`:                     `member "pid": [] is nothing`,
		`{"id":"1.000:5","record_types":["USER"],"A b":"x"}`:                    `"A b" cannot be a field`,
		`{"id":"1.000:5","record_types":["USER"],"x":"a\nb"}`:                   "there is a newline in it",
		`{"id":"1.000:5","record_types":["USER"],"raw":"a\nb\n"}`:               "raw has a newline in it",
		`{"id":"1.000:5","record_types":["SYSCALL"],"syscall":"read"}`:          "there is no syscall_number",
		`{"id":"1.000:5","record_types":["USER"],"x":"%","encoding":"percent"}`: "is not percent-encoded",
		`{"class_uid":1}`: "there is no raw_data",
		`{"class_uid":1,"raw_data":"%","metadata":{"labels":["encoding:percent"]}}`: "is not percent-encoded",
		`{"ID":"1.000:5","SYSCALL":7}`:                                              `member "SYSCALL": 7 is no object`,
		`{"ID":"1.000:5","a b":{}}`:                                                 "not the name of a record type",
		`{"ID":"1.000:5","CWD":{"cwd":true}}`:                                       `true cannot be the value of a field`,
		`{"ID":"nonsense","CWD":{"cwd":"/"}}`:                                       "is no record",
		`{"ID":null,"RAW":7}`:                                                       "is no line",
	} {
		var said []string
		path := store(t, "events", good+"\n\n"+line+"\n"+good+"\n")
		got, done := replayed(t, "string", func(err error) { said = append(said, err.Error()) }, path)
		if done.Wrong != 1 || len(said) != 1 || !strings.HasPrefix(said[0], path+":3: ") || !strings.Contains(said[0], want) {
			t.Errorf("%s: %d wrong, %q, want %q", line, done.Wrong, said, want)
		}
		if n := strings.Count(got, "type=CWD msg=audit(1.000:5): cwd=\"/\"\n"); n != 2 {
			t.Errorf("%s: %d records of the others in %q", line, n, got)
		}
	}
}

// TestEventsAfterBlanks: what an editor has left in front of the first event does not make records of the lines.
func TestEventsAfterBlanks(t *testing.T) {
	const event, want = `{"ID":"1.000:5","CWD":{"cwd":"/"}}` + "\n", "type=CWD msg=audit(1.000:5): cwd=\"/\"\n"
	for _, front := range []string{"", "\n", " \r\n\t", "\ufeff", "\ufeff\n\n", strings.Repeat("\n", maxBlank-1)} {
		got, done := replayed(t, "string", func(err error) { t.Errorf("%.20q: %v", front, err) }, store(t, "events", front+event+event))
		if got != want+want || done.Wrong != 0 {
			t.Errorf("%.20q: %q, %d wrong", front, got, done.Wrong)
		}
	}
	for _, text := range []string{"", "\n", "\xef\xbb", "\ufeff", " type=CWD msg=audit(1.000:5): {\n", "\ufefftype=CWD\n{\n", strings.Repeat("\n", maxBlank) + event} {
		if holdsEvents(bufio.NewReader(strings.NewReader(text))) {
			t.Errorf("%.20q are events", text)
		}
	}
}

// TestLongLineIsPassedOver, and takes no memory.
func TestLongLineIsPassedOver(t *testing.T) {
	const good = `{"ID":"1.000:5","CWD":{"cwd":"/"}}` + "\n"
	long := io.MultiReader(strings.NewReader(good+`{"a":"`), io.LimitReader(endless{}, maxLine), strings.NewReader("\"}\n"+good))
	var said []error
	l := &eventLines{name: "x", in: bufio.NewReader(long), wrong: func(err error) { said = append(said, err) }}
	got, err := io.ReadAll(l)
	if want := strings.Repeat("type=CWD msg=audit(1.000:5): cwd=\"/\"\n", 2); err != nil || string(got) != want {
		t.Errorf("%v, %.100q", err, got)
	}
	if len(said) != 1 || said[0].Error() != fmt.Sprintf("x:2: longer than %d bytes", maxLine) || cap(l.text) > 2*maxLine {
		t.Errorf("%v; %d bytes", said, cap(l.text))
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// FuzzEventLines: whatever is stored, it becomes records, each in one line and with an id where it has a header, or
// an error for each line.
func FuzzEventLines(f *testing.F) {
	n := 0
	for _, b := range sinktest.Batches(captures.Read(f, "audit-3.0.9-enriched.string.gz"), 64<<10) {
		e := json.New(json.Options{})
		for i, j := 0, 0; i < len(b.Recs); i = j {
			j = format.EventEnd(&b, i)
			if n++; n%20 == 0 {
				f.Add(e.AppendEvent(nil, &b, i, j))
			}
		}
	}
	for _, s := range []string{
		`{"ID":"1.000:5","NODE":"n","SYSCALL":{"arch":"0xc000003e","syscall":59,"items":2,"key":null,"ARCH":"x86_64","ARGV":["0x1","0x2"]},"PATH":[{"name":"/","mode":"0o40755"}],"AVC":[{"x":"y","denied":["read"]}],"EXECVE":{"argc":1,"ARGV":["a%20b",null]}}`,
		`{"class_uid":1001,"raw_data":"type=CWD msg=audit(1.000:5): x\n","metadata":{"labels":["encoding:percent"]}}`,
		`{"id":"1.000:5","record_types":["LOGIN","EOE"],"frame":0,"old-auid":null,"spelled":{"old-auid":"old auid"},"blanks":["x",""],"words":" a ","literal":{"x":"y"},"x":1,"tail":" ","names":"auditd"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bad := 0
		l := &eventLines{name: "x", in: bufio.NewReader(bytes.NewReader(data)), wrong: func(error) { bad++ }}
		out, err := io.ReadAll(l)
		if err != nil || uint64(bad) != l.bad {
			t.Fatalf("%v, %d of %d", err, bad, l.bad)
		}
		if len(out) > 0 && out[len(out)-1] != '\n' {
			t.Fatalf("%q", out)
		}
		r := stream.NewReader(bytes.NewReader(out))
		var b record.Batch
		for r.Next(&b) == nil {
		}
	})
}
