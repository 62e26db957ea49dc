package laurel

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

// peer is what laurel made of a stream.
type peer struct {
	events  []map[string]any
	refused []string // the lines it gave up, without their end
	crashed bool
}

// refusal is what laurel says of a line that it gives up: one that it cannot read, the end
// of an event that it has nothing of, or what comes for an event that it has written.
var refusal = regexp.MustCompile(`(?m): Error (?:cannot parse|Event id|duplicate event) .*? processing msg: (.*)$`)

// runLaurel gives a string stream to the laurel that is installed, with the configuration
// of its package but for where it writes and as whom.
func runLaurel(t *testing.T, lines []byte) peer {
	t.Helper()
	lab.RequireTools(t, "laurel")
	program, err := lab.Tool("laurel")
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "laurel.toml")
	text, err := os.ReadFile("/etc/laurel/config.toml")
	if err != nil {
		t.Logf("laurel runs with the defaults of the program: %v", err)
		text = []byte("directory = \"\"\n[auditlog]\nfile = \"\"\n")
	}
	for key, v := range map[string]string{"directory": `directory = "` + t.TempDir() + `"`, "file": `file = "-"`, "user": ""} {
		text = regexp.MustCompile(`(?m)^`+key+` *=.*$`).ReplaceAll(text, []byte(v))
	}
	if err := os.WriteFile(conf, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config", conf)
	cmd.Stdin = bytes.NewReader(lines)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	p := peer{events: decodeAll(t, out.Bytes())}
	if p.crashed = bytes.Contains(said.Bytes(), []byte("fatal error")); err != nil && !p.crashed {
		t.Fatalf("laurel: %v\n%.2000s", err, said.Bytes())
	}
	for _, m := range refusal.FindAllSubmatch(said.Bytes(), -1) {
		p.refused = append(p.refused, string(m[1]))
	}
	return p
}

// decodeAll reads lines of JSON, numbers as they stand. Of a key that an object has twice the
// second becomes "key#2", and so on, as ours does.
func decodeAll(t *testing.T, lines []byte) (out []map[string]any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(lines))
	d.UseNumber()
	for {
		v, err := decodeValue(d)
		if err == io.EOF {
			return out
		}
		event, ok := v.(map[string]any)
		if err != nil || !ok {
			t.Fatalf("%v: no object in %.500q", err, lines)
		}
		out = append(out, event)
	}
}

func decodeValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := decodeValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		object, times := make(map[string]any), make(map[string]int)
		for d.More() {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			key := token.(string)
			if times[key]++; times[key] > 1 {
				key += "#" + strconv.Itoa(times[key])
			}
			if object[key], err = decodeValue(d); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return object, err
	}
	return token, nil
}

// nodeID distinguishes an event from all others.
func nodeID(event map[string]any) string {
	node, _ := event["NODE"].(string)
	id, _ := event["ID"].(string)
	return node + " " + id
}

// wholeEvents reads a stream and puts the records of each event together, in the order of
// their first ones.
func wholeEvents(lines []byte) (events []record.Batch) {
	type key struct {
		node   string
		millis int64
		serial uint32
	}
	at := make(map[key]int)
	for _, b := range sinktest.Batches(lines, 64<<10) {
		for i := range b.Recs {
			r := b.Recs[i]
			k := key{string(b.Node(i)), r.Millis, r.Serial}
			n, ok := at[k]
			if !r.HasID() || !ok {
				n = len(events)
				events = append(events, record.Batch{})
				if r.HasID() {
					at[k] = n
				}
			}
			e := &events[n]
			r.Off = uint32(len(e.Buf))
			e.Buf = append(e.Buf, b.Bytes(i)...)
			e.Recs = append(e.Recs, r)
		}
	}
	return events
}

// encode returns what the encoder makes of a stream.
func encode(t *testing.T, lines []byte) (out []byte) {
	t.Helper()
	e := New(Options{})
	for _, b := range wholeEvents(lines) {
		out = e.AppendEvent(out, &b, 0, len(b.Recs))
	}
	return out
}

// context matches the keys under which laurel writes what it knows of processes from its
// own table and from /proc. No record has it.
var context = regexp.MustCompile(`^([A-Z-]*PID|SPAWNED_BY|SCRIPT|LABELS|ENV|CONTAINER_INFO)$`)

// dropContext takes them out, and returns how many there were.
func dropContext(event map[string]any) (n int) {
	for key, v := range event {
		if key == "CONTAINER_INFO" {
			delete(event, key)
			n++
			continue
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, v := range list {
			record, ok := v.(map[string]any)
			if !ok {
				continue
			}
			for key, v := range record {
				_, isString := v.(string)
				if context.MatchString(key) && (!isString || key == "SCRIPT") {
					delete(record, key)
					n++
				}
			}
		}
	}
	return n
}

// without returns the stream without some of its lines, and how many those were.
func without(lines []byte, refused []string) (rest []byte, n int) {
	out := make(map[string]bool)
	for _, line := range refused {
		out[line] = true
	}
	for line := range bytes.Lines(lines) {
		if out[strings.TrimRight(string(line), "\n")] {
			n++
			continue
		}
		rest = append(rest, line...)
	}
	return rest, n
}
