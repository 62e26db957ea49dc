package ocsf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/testdata/captures"
)

type fakeUsers struct{}

func (fakeUsers) User(uid uint32) string {
	return map[uint32]string{0: "root", 1000: "d\"%\xff"}[uid]
}
func (fakeUsers) Group(gid uint32) string { return map[uint32]string{0: "wheel"}[gid] }

// newEncoder returns an Encoder in whose world it is always the same time.
func newEncoder(o Options) *Encoder {
	e := New(o)
	e.now = func() time.Time { return time.UnixMilli(1_700_000_000_123) }
	return e
}

// checkEvent encodes records i to j-1 and holds the line against the schema; raw_data has every byte of them that
// the format string has.
func checkEvent(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, e *Encoder, b *record.Batch, i, j int) (line []byte, doc map[string]any) {
	t.Helper()
	line = e.AppendEvent(nil, b, i, j)
	doc, err := validate(line)
	if err != nil {
		t.Fatalf("%v\n%q", err, line)
	}
	var want []byte
	var enc format.Encoder
	for k := i; k < j; k++ {
		want = enc.Append(want, *b, k)
	}
	got := doc["raw_data"].(string)
	if labels, _ := doc["metadata"].(map[string]any)["labels"].([]any); slices.Contains(labels, "encoding:percent") {
		got = audittest.Unpercent(got)
	}
	if got != string(want) {
		t.Fatalf("raw_data\n got %q\nwant %q", got, want)
	}
	return line, doc
}

// TestRulesAreAdded: they are in unmapped, whether an event has that already or not, and all else is as it was.
func TestRulesAreAdded(t *testing.T) {
	e := newEncoder(Options{})
	names := []any{"Download", "a \"quoted\" one"}
	without, with := 0, 0
	check := func(b *record.Batch, i, j int) {
		line, doc := checkEvent(t, e, b, i, j)
		tagged, err := validate(addRules(bytes.Clone(line), []string{names[0].(string), names[1].(string)}))
		if err != nil {
			t.Fatalf("%v\n%q", err, line)
		}
		unmapped, there := doc["unmapped"].(map[string]any)
		if there {
			with++
		} else {
			without++
			unmapped = map[string]any{}
			doc["unmapped"] = unmapped
		}
		unmapped["rules"] = names
		if d := cmp.Diff(doc, tagged); d != "" {
			t.Fatal(d)
		}
	}
	audittest.Events(t, captures.Read(t, "audit-3.0.9-enriched.string.gz"), check)
	audittest.Events(t, []byte("type=CWD msg=audit(1.000:1): cwd=\"/}\"\n"), check)
	audittest.Events(t, []byte("words}\n"), check)
	if with == 0 || without == 0 {
		t.Errorf("%d events with unmapped, %d without", with, without)
	}
}

// TestCapturesAreValid: every event of every capture is as the schema wants it, and of all classes there are some.
func TestCapturesAreValid(t *testing.T) {
	for _, name := range captures.Names(t, "*.gz") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			used, classes := newEncoder(Options{Users: fakeUsers{}}), map[string]int{}
			audittest.Events(t, captures.Read(t, name), func(b *record.Batch, i, j int) {
				line, doc := checkEvent(t, used, b, i, j)
				classes[fmt.Sprint(doc["class_uid"])]++
				if again, _ := checkEvent(t, newEncoder(Options{Users: fakeUsers{}}), b, i, j); !bytes.Equal(line, again) {
					t.Fatalf("a new encoder says\n%s\none that was used\n%s", again, line)
				}
			})
			for _, class := range []string{"0", "1001", "1007", "3001", "3002", "4001"} {
				if classes[class] == 0 && !strings.Contains(name, "4.2.1-raw") {
					t.Errorf("no event of class %s: %v", class, classes)
				}
			}
			t.Log(classes)
		})
	}
}

// TestRawFormIsValid: so is the line of an event over which the encoder fails.
func TestRawFormIsValid(t *testing.T) {
	broken := format.Encoder{Format: format.Events, Node: "n", Raw: Kind.Raw, NewEvents: func() format.EventEncoder { return failing{} }}
	for _, text := range []string{"words without a header\n", "node=web1 type=CWD msg=audit(1.000:1): cwd=\"\xff\"\n", "type=CWD msg=audit(253402300800.000:1): \n"} {
		audittest.Events(t, []byte(text), func(b *record.Batch, i, j int) {
			line := broken.Append(nil, *b, i)
			if _, err := validate(line); err != nil {
				t.Errorf("%v\n%q", err, line)
			}
		})
	}
}

type failing struct{}

func (failing) AppendEvent([]byte, *record.Batch, int, int) []byte { panic("failing") }

// FuzzAppendEvent: whatever the records are, the line is as the schema wants it and has every byte of them, and the
// encoder remembers nothing of the event before.
func FuzzAppendEvent(f *testing.F) {
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-3.0.9-raw.string.gz"} {
		n := 0
		audittest.Events(f, captures.Read(f, name), func(b *record.Batch, i, j int) {
			var text []byte
			for k := i; k < j; k++ {
				text = append(text, b.Bytes(k)...)
			}
			if n++; n%7 == 0 && len(text) < 3000 {
				f.Add(text, []byte{0})
			}
		})
	}
	f.Add(sinktest.OddLines(), []byte{record.Marker})
	f.Add(sinktest.OddFrames(), []byte{0, record.FromLog})
	for _, c := range examples {
		f.Add([]byte(c.lines()), []byte{record.End | record.Partial})
	}
	o := Options{Node: "n\xff\"", Users: fakeUsers{}}
	used := newEncoder(o)
	f.Fuzz(func(t *testing.T, data, flags []byte) {
		for _, b := range sinktest.Batches(data, 64<<10) {
			for i := range b.Recs {
				if len(flags) > 0 {
					b.Recs[i].Flags |= flags[i%len(flags)] &^ (record.Open | record.Cont)
				}
			}
			for i, j := 0, 0; i < len(b.Recs); i = j {
				j = format.EventEnd(&b, i)
				line, _ := checkEvent(t, used, &b, i, j)
				if again, _ := checkEvent(t, newEncoder(o), &b, i, j); !bytes.Equal(line, again) {
					t.Fatalf("a new encoder says\n%s\none that was used\n%s", again, line)
				}
			}
		}
	})
}

// TestEncoderAllocatesNothing: in the steady state.
func TestEncoderAllocatesNothing(t *testing.T) {
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-3.0.9-raw.string.gz", "audit-2.8.5-direct.binary.gz"} {
		e := newEncoder(Options{Users: fakeUsers{}})
		var out []byte
		pass := func() (events int) {
			eventsOf(t, name, func(b *record.Batch, i, j int) {
				out = e.AppendEvent(out[:0], b, i, j)
				events++
			})
			return events
		}
		pass()
		total, allocated := 0, 0.0
		eventsOf(t, name, func(b *record.Batch, i, j int) {
			if b.Recs[j-1].Off+b.Recs[j-1].Len-b.Recs[i].Off > 32<<10 {
				return // of a very long one the memory is given back
			}
			total++
			allocated += testing.AllocsPerRun(2, func() { out = e.AppendEvent(out[:0], b, i, j) })
		})
		if allocated > 0 {
			t.Errorf("%s: %v allocations in %d events", name, allocated, total)
		}
	}
}

func eventsOf(t testing.TB, name string, f func(b *record.Batch, i, j int)) {
	t.Helper()
	audittest.Events(t, captures.Read(t, name), f)
}

func BenchmarkAppendEvent(b *testing.B) {
	data := captures.Read(b, "audit-3.0.9-enriched.string.gz")
	var all []record.Batch
	audittest.Events(b, data, func(batch *record.Batch, i, j int) {
		var one record.Batch
		for k := i; k < j; k++ {
			r := batch.Recs[k]
			r.Off = uint32(len(one.Buf))
			one.Buf = append(one.Buf, batch.Bytes(k)...)
			one.Recs = append(one.Recs, r)
		}
		all = append(all, one)
	})
	e := New(Options{})
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(data) / len(all)))
	n := 0
	for b.Loop() {
		one := &all[n%len(all)]
		out = e.AppendEvent(out[:0], one, 0, len(one.Recs))
		n++
	}
}

// TestActionsAreKnownNames: each word of the table is a system call of some arch or a record type.
func TestActionsAreKnownNames(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range actions {
		if schema[fmt.Sprint(a.class)] == nil {
			t.Errorf("class %d is not in the schema", a.class)
		}
		for _, name := range strings.Fields(a.of) {
			isType := record.HasTypeName(record.TypeNumber([]byte(name)))
			if seen[name] || isType == record.IsSyscall(name) || isType != (name == strings.ToUpper(name)) {
				t.Errorf("%s: there twice, or no name", name)
			}
			seen[name] = true
		}
	}
}

func member(v any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		if list, ok := v.([]any); ok {
			if n := int(key[0] - '0'); n < len(list) {
				v = list[n]
				continue
			}
			return nil
		}
		o, _ := v.(map[string]any)
		v = o[key]
	}
	return v
}

// shown is a value as JSON has it, "" for none.
func shown(v any) string {
	if v == nil {
		return ""
	}
	if s, ok := v.(string); ok {
		return s
	}
	out, _ := json.Marshal(v)
	return string(out)
}
