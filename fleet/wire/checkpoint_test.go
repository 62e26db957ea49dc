package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func testCheckpoint() Checkpoint {
	at := time.Date(2026, 1, 31, 14, 5, 6, 789e6, time.UTC)
	return Checkpoint{
		V: Version, Host: testHost, Name: "web-1", Boot: testHost, Epoch: "00112233445566ff", Sink: "siem",
		N: 12, Time: at, Next: at.Add(10 * time.Second), Seq: 4711,
		Ledger:  Ledger{Received: 5000, Filtered: 200, Delivered: 4711, Queued: 80, Lost: map[string]uint64{"queue-full": 9}},
		Serials: Serials{100, 2000}, KernelLost: 1, Relay: "1.0", Auditd: "4.1.2", Config: strings.Repeat("0f", 32), Reason: ReasonTick,
	}
}

func TestCheckpointComesBack(t *testing.T) {
	want := testCheckpoint()
	text, err := want.Append([]byte("x"))
	if err != nil || text[0] != 'x' || bytes.IndexByte(text, '\n') >= 0 {
		t.Fatalf("%q, %v", text, err)
	}
	got, err := ParseCheckpoint(text[1:])
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v, want %+v", *got, want)
	}
}

// What the schema in docs says, and what this package writes and takes, is the same.
func TestCheckpointIsAsTheSchemaSays(t *testing.T) {
	data, err := os.ReadFile("../../docs/checkpoint.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema")
	if err != nil {
		t.Fatal(err)
	}

	sealed := testCheckpoint()
	sealed.Prev, sealed.Hash, sealed.Sig, sealed.Reason = "a", "b", "c", ReasonEnd
	for _, c := range []Checkpoint{testCheckpoint(), sealed} {
		text, _ := c.Append(nil)
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Error(err)
		}
	}
	for _, change := range wrongCheckpoints {
		value := changed(t, change.key, change.value)
		if schema.Validate(value) == nil {
			t.Errorf("the schema takes %s = %v", change.key, change.value)
		}
	}
}

// wrongCheckpoints are values that no checkpoint may have.
var wrongCheckpoints = []struct {
	key   string
	value any
}{
	{"v", 2}, {"host", "x"}, {"host", strings.Repeat("0", 33)}, {"boot", "y"}, {"epoch", ""}, {"sink", ""}, {"n", 0}, {"n", -1},
	{"seq", -1}, {"reason", "why"}, {"time", "now"}, {"name", strings.Repeat("x", 256)}, {"relay", strings.Repeat("x", 129)},
	{"ledger", map[string]any{"received": "x"}}, {"serials", 7},
}

// changed returns a checkpoint of which one value is another.
func changed(t *testing.T, key string, value any) map[string]any {
	t.Helper()
	c := testCheckpoint()
	text, _ := c.Append(nil)
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	m[key] = value
	return m
}

func TestParseCheckpointRefuses(t *testing.T) {
	many := make(map[string]any)
	for i := range maxCauses + 1 {
		many[strings.Repeat("a", i%30+1)+string(rune('a'+i/30))] = 1
	}
	more := append(wrongCheckpoints[:len(wrongCheckpoints):len(wrongCheckpoints)], []struct {
		key   string
		value any
	}{
		{"name", "a\x1b[2J"}, {"sink", "a\nb"}, {"auditd", "\x9b"}, {"time", "1969-01-01T00:00:00Z"}, {"next", "2026-01-31T14:05:06Z"},
		{"ledger", map[string]any{"lost": map[string]any{"A B": 1}}}, {"ledger", map[string]any{"lost": many}},
		{"sig", strings.Repeat("x", MaxCheckpoint)},
	}...)
	for _, change := range more {
		text, err := json.Marshal(changed(t, change.key, change.value))
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseCheckpoint(text)
		if err == nil {
			t.Errorf("%s = %.80q was taken", change.key, change.value)
		} else if !strings.HasPrefix(err.Error(), "no checkpoint: ") || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%s = %.80q: %q", change.key, change.value, err)
		}
	}
}

func FuzzCheckpoint(f *testing.F) {
	c := testCheckpoint()
	text, _ := c.Append(nil)
	f.Add(text)
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseCheckpoint(data)
		if err != nil {
			return
		}
		text, err := got.Append(nil)
		if err != nil {
			return // escapes have made it longer than one may be
		}
		again, err := ParseCheckpoint(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !again.Time.Equal(got.Time) || again.N != got.N || again.Name != got.Name {
			t.Errorf("%+v became %+v", got, again)
		}
	})
}
