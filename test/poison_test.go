package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	eventjson "audisp-relay/format/json"
	"audisp-relay/host/broker"
	"audisp-relay/plugin"
)

// deadlyEnv makes this test's binary a relay that has a format over which it dies; it is the path of the configuration.
const deadlyEnv = "RELAY_TEST_DEADLY"

// deadly is json, but that an event with this text ends the process.
type deadly struct{ format.EventEncoder }

const deadlyText = `comm="deadly"`

func (d deadly) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	if bytes.Contains(b.Bytes(i), []byte(deadlyText)) {
		os.Exit(4)
	}
	return d.EventEncoder.AppendEvent(dst, b, i, j)
}

// runDeadly is the program of monitor and worker.
func runDeadly(config string) {
	format.Register(format.Kind{
		Name: "deadly", Format: format.Events, Raw: eventjson.Kind.Raw, AddRules: eventjson.Kind.AddRules,
		New: func(o format.Options) format.EventEncoder { return deadly{eventjson.New(o)} },
	})
	broker.User = "nobody"
	plugin.CloseInherited()
	if err := plugin.New(plugin.Options{Config: config, Version: "test"}).Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// deadlySinks are one that gets records as they are, and one whose format is deadly.
const deadlySinks = "[recovery]\nlog_file = \"DIR/audit.log\"\n" + fileOnly + `
[sinks.deadly]
type = "file"
path = "DIR/json"
format = "deadly"
max_size = "0"
`

// TestEventThatEndsTwoWorkersIsGivenRaw: the third worker delivers it, once and with every byte, where the format dies over it; as it
// is to others. All other events are there as ever, nothing is missing, and the log says which event it was.
func TestEventThatEndsTwoWorkersIsGivenRaw(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	dir := tempDir(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	auditLog, err := os.OpenFile(in("audit.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer auditLog.Close()
	r := start(t, dir, deadlySinks, func(cmd *exec.Cmd, _ [2]int) {
		cmd.Path, cmd.Args, cmd.Env = os.Args[0], os.Args[:1], []string{deadlyEnv + "=" + in("relay.toml")}
	})
	var sent []byte
	give := func(text []byte) { // as auditd does it
		t.Helper()
		from := len(sent)
		for line := range bytes.Lines(text) {
			if !bytes.HasPrefix(line, []byte("type=EOE")) {
				sent = append(sent, line...)
			}
		}
		if _, err := auditLog.Write(sent[from:]); err != nil {
			t.Fatal(err)
		}
		r.write(text)
	}
	has := func(serial int) bool {
		id := fmt.Sprintf("1795296167.053:%d", serial)
		records, _ := os.ReadFile(in("out"))
		events, _ := os.ReadFile(in("json"))
		return bytes.Contains(records, []byte(id+")")) && bytes.Contains(events, []byte(`"id":"`+id+`"`))
	}

	give(lines(1, 10))
	until(t, "positions are saved", func() bool { // of both sinks
		saved, _ := os.ReadFile(in("state/state.json"))
		return has(10) && strings.Count(string(saved), `"serial":10,`) >= 2
	})
	give(bytes.Replace(lines(11, 1), []byte("exit=3"), []byte("exit=3 "+deadlyText), 1))
	until(t, "the event is delivered", func() bool { return has(11) })
	give(lines(12, 10))
	until(t, "all is delivered", func() bool { return has(21) })
	if c := r.consumer("deadly"); c.Poison != 1 || c.PoisonAt != "event 1795296167.053:11, not given to the format: it has ended the process twice" {
		t.Errorf("poison %d, %s", c.Poison, c.PoisonAt)
	}
	if c := r.consumer("file"); c.Poison != 0 {
		t.Errorf("the file: poison %d, %s", c.Poison, c.PoisonAt)
	}
	r.end()
	wantDelivered(t, in("json"), in("out"), sent)
	log, _ := os.ReadFile(in("log"))
	for says, want := range map[string]int{"worker has ended": 2, "event has ended two workers": 1, "event has ended the process twice": 1} {
		if n := bytes.Count(log, []byte(says)); n != want {
			t.Errorf("the log says %d times, not %d, that %s", n, want, says)
		}
	}
}

// wantDelivered wants every record in the file of records, every event in the one of events, and only event 11 raw there, once.
func wantDelivered(t *testing.T, events, records string, sent []byte) {
	t.Helper()
	got, err := os.ReadFile(records)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(sent) {
		if !bytes.Contains(got, line) {
			t.Errorf("%q is missing", line)
		}
	}
	times := make(map[int]int)
	text, _ := os.ReadFile(events)
	for line := range bytes.Lines(text) {
		var e struct {
			Serial int
			Raw    string
		}
		if err := json.Unmarshal(line, &e); err != nil || (e.Raw != "") != (e.Serial == 11) || (e.Serial == 11 && !strings.Contains(e.Raw, deadlyText)) {
			t.Errorf("%v: %s", err, line)
		}
		times[e.Serial]++
	}
	for serial := 1; serial <= 21; serial++ {
		if n := times[serial]; n < 1 || n > 3 || (serial == 11 && n != 1) { // others again from the position that was saved
			t.Errorf("event %d is there %d times", serial, n)
		}
	}
}
