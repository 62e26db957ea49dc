package packaging_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"audisp-relay/config"
	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/sinks"
	"audisp-relay/sinks/unix"
)

const statusSchema = "../docs/status.schema.json"

// object is what a schema says of an object.
type object struct {
	Ref         string `json:"$ref"`
	Description string
	Type        any
	Properties  map[string]*object
	Required    []string
	Items       *object
	Additional  json.RawMessage    `json:"additionalProperties"`
	Defs        map[string]*object `json:"$defs"`
}

func readStatusSchema(t *testing.T) (*object, *jsonschema.Schema) {
	t.Helper()
	text := readFile(t, statusSchema)
	root := new(object)
	if err := json.Unmarshal([]byte(text), root); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("status.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("status.json")
	if err != nil {
		t.Fatal(err)
	}
	return root, s
}

// TestStatusSchemaDescribesEachField: the schema has the fields that a report can have and no
// others, each with a description; those that may be absent are not required.
func TestStatusSchemaDescribesEachField(t *testing.T) {
	root, _ := readStatusSchema(t)
	c := &schemaCheck{t: t, root: root}
	c.compare(root, reflect.TypeFor[plugin.Report](), "report")
	if c.fields < 150 {
		t.Errorf("only %d fields compared", c.fields)
	}
}

type schemaCheck struct {
	t      *testing.T
	root   *object
	fields int
}

// field is one of an object in JSON.
type field struct {
	typ      reflect.Type
	optional bool
}

// fieldsOf collects the fields of a struct, those of embedded ones as well.
func fieldsOf(typ reflect.Type, into map[string]field) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, tagged := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			fieldsOf(f.Type, into)
		case name != "-" && f.IsExported():
			into[name] = field{f.Type, tagged && strings.HasPrefix(options, "omit")}
		}
	}
}

// compare holds the schema of an object against the struct that it is made from.
func (c *schemaCheck) compare(o *object, typ reflect.Type, at string) {
	c.t.Helper()
	fields := make(map[string]field)
	fieldsOf(typ, fields)
	if typ == reflect.TypeFor[sinks.Status]() { // one object with the details of all types
		for _, kind := range config.Kinds() {
			details := make(map[string]field)
			fieldsOf(reflect.TypeOf(sinks.NewDetails(kind)).Elem(), details)
			maps.Copy(fields, details)
		}
	}
	for name, f := range fields {
		p := o.Properties[name]
		if p == nil {
			c.t.Errorf("%s: %s lacks the field %s", statusSchema, at, name)
			continue
		}
		c.fields++
		if slices.Contains(o.Required, name) == f.optional {
			c.t.Errorf("%s: %s.%s is required or not, and it is %v that it may be absent", statusSchema, at, name, f.optional)
		}
		c.value(p, f.typ, at+"."+name)
	}
	for name := range o.Properties {
		if _, has := fields[name]; !has {
			c.t.Errorf("%s: %s has the field %s, which no report has", statusSchema, at, name)
		}
	}
}

// value looks at the schema of one field, and at what is in it.
func (c *schemaCheck) value(o *object, typ reflect.Type, at string) {
	c.t.Helper()
	if name, refers := strings.CutPrefix(o.Ref, "#/$defs/"); refers {
		o = c.root.Defs[name]
	}
	if o == nil {
		c.t.Fatalf("%s: %s refers to nothing", statusSchema, at)
	}
	if len(strings.Fields(o.Description)) < 2 && len(o.Description) < 5 {
		c.t.Errorf("%s: %s has no description", statusSchema, at)
	}
	switch {
	case typ.Kind() == reflect.Pointer:
		c.value(o, typ.Elem(), at)
	case typ == reflect.TypeFor[time.Time]():
	case typ.Kind() == reflect.Struct:
		c.compare(o, typ, at)
	case typ.Kind() == reflect.Slice && o.Items != nil && typ.Elem().Kind() == reflect.Struct:
		c.value(o.Items, typ.Elem(), at+"[]")
	case typ.Kind() == reflect.Map && typ.Elem().Kind() == reflect.Struct:
		element := new(object)
		if err := json.Unmarshal(o.Additional, element); err != nil {
			c.t.Fatalf("%s: %s: %v", statusSchema, at, err)
		}
		c.value(element, typ.Elem(), at+"{}")
	}
}

// fill sets each field of a value to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Now()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		element := reflect.New(v.Type().Elem()).Elem()
		fill(element)
		v.SetMapIndex(reflect.ValueOf("queue-full"), element)
	case reflect.String:
		v.SetString("degraded")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Interface:
	default:
		if v.CanInt() {
			v.SetInt(1)
		} else {
			v.SetUint(1)
		}
	}
}

// TestStatusSchemaAcceptsReports: one with all fields for each type of sink, and those of a plugin
// that runs; and it refuses others.
func TestStatusSchemaAcceptsReports(t *testing.T) {
	_, schema := readStatusSchema(t)
	check := func(name string, text []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return schema.Validate(v)
	}
	for _, kind := range config.Kinds() {
		r := new(plugin.Report)
		fill(reflect.ValueOf(r).Elem())
		r.Consumers[0].Type = kind
		r.Consumers[0].Sink.Details = sinks.NewDetails(kind)
		fill(reflect.ValueOf(r.Consumers[0].Sink.Details).Elem())
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(kind, text); err != nil {
			t.Errorf("all fields, %s: %v", kind, err)
		}
		for _, change := range [][2]string{{`"pid":1`, `"pid":"1"`}, {`"state":"degraded"`, `"state":"fine"`}, {`"records":1,`, ``}, {`"queue-full"`, `"gone"`}, {`"received":1`, `"received":-1`}} {
			if broken := bytes.ReplaceAll(text, []byte(change[0]), []byte(change[1])); bytes.Equal(broken, text) || check(kind, broken) == nil {
				t.Errorf("%s instead of %s is accepted, or not there", change[1], change[0])
			}
		}
	}
	for _, text := range runningReports(t) {
		if err := check("a plugin that runs", text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

const allSinks = `run_dir = "DIR/run"
state_dir = "DIR/state"
priority_boost = 0
oom_score_adj = 0
log.output = "DIR/log"
recovery.enabled = false
[sinks.file]
type = "file"
path = "DIR/out/file"
format = "json"
[sinks.unix]
type = "unix"
path = "DIR/events.sock"
[sinks.syslog]
type = "syslog"
transport = "tcp"
address = "127.0.0.1:9"
[sinks.program]
type = "program"
path = "/bin/cat"
`

// runningReports runs a plugin with a sink of each type, and returns its report at the start and when
// it has delivered to a client and to a file.
func runningReports(t *testing.T) (reports [][]byte) {
	dir, err := os.MkdirTemp("", "st") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	text := strings.ReplaceAll(allSinks, "DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, "relay.toml"), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	in, w := io.Pipe()
	ended := make(chan error, 1)
	p := plugin.New(plugin.Options{Config: filepath.Join(dir, "relay.toml"), In: in, Version: "test"})
	go func() { ended <- p.Run() }()
	defer func() {
		w.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	ask := func(what string, is func(r *plugin.Report) bool) {
		t.Helper()
		reports = append(reports, awaitReport(t, filepath.Join(dir, "run"), what, is))
	}
	ask("at the start", func(r *plugin.Report) bool { return len(r.Consumers) == 4 })
	if err := os.Mkdir(filepath.Join(dir, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	conn := dialSoon(t, filepath.Join(dir, "events.sock"))
	defer conn.Close()
	ask("with a client", func(r *plugin.Report) bool { return slices.ContainsFunc(r.Consumers, hasClient) })
	if _, err := io.WriteString(w, "type=USER_CMD msg=audit(1.000:1): pid=1\ntype=EOE msg=audit(1.000:1): \n"); err != nil {
		t.Fatal(err)
	}
	ask("with what was delivered", func(r *plugin.Report) bool {
		return !slices.ContainsFunc(r.Consumers, func(c consumer.Report) bool {
			return c.Delivered == 0 && c.Type != "syslog" && c.Type != "program"
		})
	})
	return reports
}

// awaitReport waits for a report that is as wanted, and returns it as JSON.
func awaitReport(t *testing.T, runDir, what string, is func(r *plugin.Report) bool) []byte {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r, err := plugin.Query(runDir)
		if err == nil && is(r) {
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		if time.Now().After(deadline) {
			t.Fatalf("no report %s: %+v, %v", what, r, err)
		}
	}
}

// dialSoon connects to a socket that a sink is about to listen on: it may have been reported before.
func dialSoon(t *testing.T, path string) net.Conn {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", path)
		if err == nil {
			return conn
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func hasClient(c consumer.Report) bool {
	d, isUnix := c.Sink.Details.(*unix.Details)
	return isUnix && len(d.Clients) == 1
}
