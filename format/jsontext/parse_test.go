package jsontext

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseKeepsTheOrder(t *testing.T) {
	got, err := Parse([]byte(` {"b":1,"a":[true,null,{"x":"y"}],"b":"2"} ` + "\n"))
	want := Object{{"b", json.Number("1")}, {"a", []any{true, nil, Object{{"x", "y"}}}}, {"b", "2"}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if got.Get("b") != json.Number("1") || got.Text("b") != "" || len(got.List("a")) != 3 || got.Has("c") || got.Get("c") != nil {
		t.Errorf("%v", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"": "unexpected EOF", "{": "unexpected EOF", `{"a"`: "not JSON", `{"a":}`: "not JSON", `{"a":1,}`: "not JSON", `[]`: "not a JSON object", `1`: "not a JSON object",
		`{}{}`: "more than one", `{} x`: "more than one", "{\"\xff\":1}": "not UTF-8", strings.Repeat(`{"a":[`, 9) + "1": "in each other",
	} {
		if o, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %s", in, o, err, want)
		}
	}
}

// TestUnpercentIsTheReverse of AppendString with percent.
func TestUnpercentIsTheReverse(t *testing.T) {
	var all []byte
	for c := range 256 {
		all = append(all, byte(c))
	}
	text, _ := AppendString(nil, all, true)
	o, err := Parse([]byte(`{"a":[` + string(text) + `],"b":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Unpercent(o); err != nil || o.List("a")[0] != string(all) {
		t.Errorf("%v, %q", err, o)
	}
	for _, bad := range []string{"%", "a%2", "%zz", "%2g"} {
		if v, err := Unpercent(Object{{"a", bad}}); err == nil {
			t.Errorf("%q is %v", bad, v)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":[true,null,{"x":"y"}],"b":1e9}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := Parse(data)
		if valid := json.Valid(data); err == nil && !valid {
			t.Fatalf("%q is taken as %v", data, o)
		}
		if err == nil {
			Unpercent(o)
		}
	})
}
