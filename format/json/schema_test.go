package json

import (
	"bytes"
	_ "embed"
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema is the JSON Schema of an event.
//
//go:embed schema.json
var Schema []byte

var schema = func() *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("event.json", doc); err != nil {
		panic(err)
	}
	s, err := c.Compile("event.json")
	if err != nil {
		panic(err)
	}
	return s
}()

// validate holds a line against the schema.
func validate(t fataler, line []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, line)
	}
}

func TestSchemaRefusesOtherLines(t *testing.T) {
	const ok = `{"@timestamp":"2026-11-21T21:58:37.900Z","id":"1795298317.900:1","serial":1,"node":null,"type":"CWD",
		"record_types":["CWD"],"keys":[],"key":null,"cwd":"/","paths":[],"sockaddrs":[],"other_records":[]}`
	validate(t, []byte(ok))
	for _, c := range []struct{ old, new string }{
		{`"serial":1`, `"serial":-1`},
		{`"serial":1`, `"serial":1.5`},
		{`37.900Z"`, `37.9Z"`},
		{`"id":"1795298317.900:1"`, `"id":"x"`},
		{`"node":null,`, ``},
		{`"paths":[]`, `"paths":null`},
		{`"cwd":"/"`, `"CWD":"/"`},
		{`"cwd":"/"`, `"uid":4294967295`},
		{`"cwd":"/"`, `"uid":-1`},
		{`"cwd":"/"`, `"pid":1.5`},
		{`"cwd":"/"`, `"incomplete":false`},
		{`"cwd":"/"`, `"whatever":1.5`},
		{`"cwd":"/"`, `"whatever":{}`},
		{`"cwd":"/"`, `"Whatever":1`},
		{`"other_records":[]`, `"other_records":[{}]`},
		{`"other_records":[]`, `"other_records":[{"type":"EOE","x":[]}]`},
		{`"paths":[]`, `"paths":[{"ouid":4294967295}]`},
	} {
		line := bytes.Replace([]byte(ok), []byte(c.old), []byte(c.new), 1)
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("%s instead of %s is accepted", c.new, c.old)
		}
	}
}

// fataler is a testing.TB or a rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// TestSchemaDescribesEveryProperty: every property says what it is, itself or by what it refers to.
func TestSchemaDescribesEveryProperty(t *testing.T) {
	var schema struct {
		Defs map[string]map[string]any `json:"$defs"`
	}
	if err := stdjson.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := stdjson.Unmarshal(Schema, &root); err != nil {
		t.Fatal(err)
	}
	n := 0
	check := func(place string, object map[string]any) {
		properties, _ := object["properties"].(map[string]any)
		for name, p := range properties {
			n++
			property := p.(map[string]any)
			_, described := property["description"]
			if ref, ok := property["$ref"].(string); ok && !described {
				_, described = schema.Defs[strings.TrimPrefix(ref, "#/$defs/")]["description"]
			}
			if !described {
				t.Errorf("%s of %s has no description", name, place)
			}
		}
	}
	check("the event", root)
	for name, def := range schema.Defs {
		check(name, def)
	}
	if n < 80 {
		t.Errorf("%d properties", n)
	}
	doc := readDoc(t)
	for key := range doc.own["event"] {
		if _, ok := root["properties"].(map[string]any)[key]; !ok {
			t.Errorf("%s is in docs/json.md and not in the schema", key)
		}
	}
}
