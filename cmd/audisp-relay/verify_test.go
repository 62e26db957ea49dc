package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	eventjson "audisp-relay/format/json"
	"audisp-relay/queue"
	"audisp-relay/state"
)

// realMarkers returns n markers that a queue with this key makes.
func realMarkers(t *testing.T, key []byte, n int) (list []string, batch record.Batch) {
	t.Helper()
	q := queue.New(queue.Options{Config: queue.Config{Depth: 10, Bytes: 1 << 20, Hold: true, Markers: true}, Name: "siem", Key: key})
	for i := range n {
		q.RecordUpstreamLoss(queue.Upstream, queue.Loss{Records: 1, Events: 1, First: uint32(i), Last: uint32(i)})
		q.Put(&record.Batch{Buf: []byte("type=USER msg=audit(1.000:1): x\n"), Recs: []record.Record{{Len: 32, Type: 1005, Serial: 1, Millis: 1000, Kind: record.Line}}})
	}
	q.Close()
	c := q.Cursor()
	for {
		b, err := c.Take()
		if err != nil {
			break
		}
		for i := range b.Recs {
			if b.Recs[i].Flags&record.Marker != 0 {
				list = append(list, strings.TrimSuffix(string(b.Bytes(i)), "\n"))
				r := b.Recs[i]
				r.Off = uint32(len(batch.Buf))
				batch.Buf = append(batch.Buf, b.Bytes(i)...)
				batch.Recs = append(batch.Recs, r)
			}
		}
		c.Advance(len(b.Recs))
	}
	c.Close()
	q.Shutdown()
	if len(list) != n {
		t.Fatalf("%d markers", len(list))
	}
	return list, batch
}

// verify runs the command and returns what it says of each line, and its exit code.
func verify(t *testing.T, dir, text string) (verdicts []string, code int) {
	t.Helper()
	file := filepath.Join(dir, "out")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := newVerifyCmd()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--state-dir", dir, file})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	var exit exitError
	if errors.As(err, &exit) {
		code = exit.code
	} else if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(out.String()) {
		l = strings.TrimPrefix(l, file+":")
		verdict, _, _ := strings.Cut(l, ": type=")
		verdicts = append(verdicts, verdict)
		for i := range len(l) {
			if l[i] < ' ' && l[i] != '\n' {
				t.Errorf("it prints %q", l)
			}
		}
	}
	return verdicts, code
}

const notChecked = "1: not checked: a marker in a format other than string and json\n"

func TestVerifyFindsForgedMarkers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := state.Key(dir, state.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	list, b := realMarkers(t, key, 3)
	others, _ := realMarkers(t, state.NewKey(), 1)
	bare, _ := realMarkers(t, nil, 1)
	enc := eventjson.New(eventjson.Options{})
	inJSON := string(enc.AppendEvent(nil, &b, 0, format.EventEnd(&b, 0)))
	said, mac, _ := strings.Cut(list[0], " mac=")
	for _, c := range []struct {
		name, text string
		want       []string
		code       int
	}{
		{"all are ok", "type=USER msg=audit(1.000:1): x\n" + list[0] + "\n" + list[1] + "\n", []string{"2: ok", "3: ok"}, 0},
		{"after a node and a syslog header", "node=h " + list[0] + "\nNov 21 23:25:40 h audispd[7]: " + list[1] + "\nNov 21 23:25:40 h audispd: node=h " + list[2], []string{"1: ok", "2: ok", "3: ok"}, 0},
		{"repeated", list[0] + "\n" + list[0] + "\n" + inJSON, []string{"1: ok", "2: repeated", "3: repeated"}, 0},
		{"json", inJSON, []string{"1: ok"}, 0},
		{"json, changed", strings.Replace(inJSON, `"records":1,`, `"records":9,`, 1), []string{"1: forged"}, 1},
		{"json, without", strings.Replace(inJSON, `"mac":"`+mac+`",`, "", 1), []string{"1: without mac"}, 1},
		{"json, a member twice", strings.Replace(inJSON, `"records":1,`, `"records":9,"records":1,`, 1), []string{"1: forged"}, 1},
		{"json, a member in other letters", strings.Replace(inJSON, `"records":1,`, `"records":9,"RECORDS":1,`, 1), []string{"1: forged"}, 1},
		{"json, a letter that folds", strings.Replace(inJSON, `"sink":"siem",`, `"sink":"other","\u017fink":"siem",`, 1), []string{"1: forged"}, 1},
		{"json, two types", strings.Replace(inJSON, `"type":"DAEMON_ERR",`, `"type":"DAEMON_ERR","type":"USER",`, 1), []string{"1: forged"}, 1},
		{"json, two types, the last", strings.Replace(inJSON, `"type":"DAEMON_ERR",`, `"type":"USER","type":"DAEMON_ERR",`, 1), []string{"1: forged"}, 1},
		{"json, two macs", strings.Replace(inJSON, `"mac":"`, `"mac":"0","mac":"`, 1), []string{"1: forged"}, 1},
		{"json, text after it", strings.TrimSpace(inJSON) + ` {"records":0}`, []string{"1: forged"}, 1},
		{"json, cut off", inJSON[:len(inJSON)/2], nil, 0},
		{"json of a program", `{"type":"USER","record_types":["USER"],"op":"relay-loss","sink":"siem","cause":"spool"}`, nil, 0},
		{"laurel", `{"ID":"1.000:1","DAEMON_ERR":{"op":"relay-loss","sink":"siem","cause":"spool","records":1,"mac":"0"}}`, []string{notChecked}, 1},
		{"ecs", `{"auditd":{"message_type":"daemon_err","data":{"op":"relay-loss","sink":"siem","cause":"spool"}}}`, []string{notChecked}, 1},
		{"words of a program", `{"ID":"1.000:1","EXECVE":{"argc":2,"ARGV":["echo","op=relay-loss sink cause"]}}`, nil, 0},
		{"of another key", others[0] + "\n", []string{"1: forged"}, 1},
		{"without", bare[0] + "\n" + list[0], []string{"1: without mac", "2: ok"}, 1},
		{"changed", strings.Replace(list[0], "records=1", "records=0", 1), []string{"1: forged"}, 1},
		{"another sink's", strings.Replace(list[0], "sink=siem", "sink=other", 1), []string{"1: forged"}, 1},
		{"a mac of another marker", strings.Replace(list[0], mac, strings.Repeat("0", len(mac)), 1), []string{"1: forged"}, 1},
		{"a short mac", said + " mac=" + mac[:8], []string{"1: forged"}, 1},
		{"an empty mac", said + " mac=", []string{"1: without mac"}, 1},
		{"something after it", list[0] + " x=\x1b[2J", []string{"1: forged"}, 1},
		{"two macs", said + " mac=" + mac + " mac=" + mac, []string{"1: forged"}, 1},
		{"in a program's record", "type=USER msg=audit(1.000:1): msg='" + list[0] + "'\n", nil, 0},
		{"a long line", "type=USER msg=audit(1.000:1): " + strings.Repeat("x", 3*maxMarker) + "\n" + list[0], []string{"2: ok"}, 0},
		{"nothing", "", nil, 0},
	} {
		got, code := verify(t, dir, c.text)
		if fmt.Sprint(got) != fmt.Sprint(c.want) || code != c.code {
			t.Errorf("%s: %q, exit %d, want %q, %d", c.name, got, code, c.want, c.code)
		}
	}
}

// TestVerifyChecksCheckpoints: those in lines of records are signed as markers are.
func TestVerifyChecksCheckpoints(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := state.Key(dir, state.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	q := queue.New(queue.Options{Config: queue.Config{Depth: 10, Bytes: 1 << 20, Hold: true}, Name: "siem", Key: key})
	defer q.Shutdown()
	q.PutCheckpoint(false, func(dst []byte, n uint64) []byte {
		return fmt.Appendf(dst, "op=relay-checkpoint sink=siem n=1 seq=%d", n)
	})
	c := q.Cursor()
	defer c.Close()
	b, err := c.Take()
	if err != nil || len(b.Recs) != 1 {
		t.Fatalf("%d records, %v", len(b.Recs), err)
	}
	line := string(b.Bytes(0))
	verdicts, code := verify(t, dir, line+"node=a "+line+strings.Replace(line, " n=1 ", " n=2 ", 1))
	if code != 1 || len(verdicts) != 3 || verdicts[0] != "1: ok" || verdicts[1] != "2: repeated" || verdicts[2] != "3: forged" {
		t.Errorf("%q, exit code %d", verdicts, code)
	}
}
