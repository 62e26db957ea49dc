package format_test

import (
	stdjson "encoding/json"
	"fmt"
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
	"audisp-relay/format"
	_ "audisp-relay/format/all" // for TestParseKnowsTheRegisteredNames too
	"audisp-relay/format/ecs"
	"audisp-relay/format/json"
	"audisp-relay/format/jsontext"
	"audisp-relay/format/laurel"
	"audisp-relay/format/ocsf"
)

// encoders of all formats of events in JSON.
func encoders(users users.Names) map[string]format.Encoder {
	return map[string]format.Encoder{
		"json":   {Format: format.Events, Raw: json.Kind.Raw, NewEvents: func() format.EventEncoder { return json.New(format.Options{Users: users}) }},
		"ecs":    {Format: format.Events, Raw: ecs.Kind.Raw, NewEvents: func() format.EventEncoder { return ecs.New(format.Options{Users: users}) }},
		"ocsf":   {Format: format.Events, Raw: ocsf.Kind.Raw, NewEvents: func() format.EventEncoder { return ocsf.New(format.Options{Users: users}) }},
		"laurel": {Format: format.Events, Raw: laurel.Kind.Raw, NewEvents: func() format.EventEncoder { return laurel.New(format.Options{}) }},
	}
}

// batchOf returns the records of a stream of lines.
func batchOf(t *testing.T, lines string) record.Batch {
	t.Helper()
	return *audittest.Lines(t, lines)
}

// unseen are all characters that must not stand as they are.
func unseen() (list []rune) {
	list = append(list, 0x7F, 0x061C, 0x200E, 0x200F)
	for _, x := range [][2]rune{{0x00, 0x1F}, {0x80, 0x9F}, {0x2028, 0x202E}, {0x2066, 0x2069}} {
		for r := x[0]; r <= x[1]; r++ {
			list = append(list, r)
		}
	}
	return list
}

// TestUnseenIsEscaped: nothing that drives a terminal or turns text round stands in a line of
// JSON as it is, wherever a record has it, in clear or in hex; and a parser gives it back.
func TestUnseenIsEscaped(t *testing.T) {
	places := []string{
		"type=USER_CMD msg=audit(1.000:5): pid=1 uid=0 msg='op=%s cmd=%s exe=\"/bin/%s\" res=success'\n",
		"type=USER_CMD msg=audit(1.000:5): acct=\"%s\" %s words %s\n",
		"node=%s type=SYSCALL msg=audit(1.000:5): arch=c000003e syscall=59 comm=%s key=\"%s\"\n",
		"type=EXECVE msg=audit(1.000:5): argc=2 a0=\"%s\" a1=%s\ntype=CWD msg=audit(1.000:5): cwd=\"%s\"\n",
		"type=PATH msg=audit(1.000:5): item=0 name=%s nametype=%s x%s=1\ntype=PROCTITLE msg=audit(1.000:5): proctitle=%s\n",
		"type=SOCKADDR msg=audit(1.000:5): saddr=01002F%s00SADDR={ saddr_fam=local path=/%s }\n",
		"no header %s\n",
		"type=%s msg=audit(1.000:5): a=b\n",
		"type=AVC msg=audit(1.000:5): avc:  denied  { %s } for  pid=1 scontext=%s\x1dAUID=\"%s\"\n",
	}
	shown := 0
	for _, r := range unseen() {
		for _, text := range []string{"ab" + string(r) + "cd", "ab" + string(r) + "c\xff%", fmt.Sprintf("6162%X6364", string(r))} {
			if strings.ContainsAny(text, "\n") {
				continue // no part of a line
			}
			for _, place := range places {
				var args []any
				for range strings.Count(place, "%s") {
					args = append(args, text)
				}
				b := batchOf(t, fmt.Sprintf(place, args...))
				for name, enc := range encoders(nil) {
					out := string(enc.Encode(b).Bytes)
					for _, line := range strings.SplitAfter(out, "\n") {
						line = strings.TrimSuffix(line, "\n")
						if k := strings.IndexFunc(line, func(c rune) bool { return c < ' ' || jsontext.Unseen(c) }); k >= 0 {
							t.Fatalf("%s has %U as it is: %q", name, r, line)
						}
						if line != "" && !stdjson.Valid([]byte(line)) {
							t.Fatalf("%s: no JSON: %q", name, line)
						}
						if strings.Contains(line, fmt.Sprintf(`\u%04x`, r)) {
							shown++
						}
					}
				}
			}
		}
	}
	if shown < 10*len(unseen()) {
		t.Errorf("shown %d times: were the records understood?", shown)
	}
}

// TestVisibleTextIsLeft: other characters stand as they are.
func TestVisibleTextIsLeft(t *testing.T) {
	for _, text := range []string{"ä€😀", "\u00a0", "\u00ad", "\u200d", "\u2030", "\u206a", "\u061b", "~", "שלום"} {
		b := batchOf(t, fmt.Sprintf("type=USER_CMD msg=audit(1.000:5): pid=1 acct=\"%s\" res=success\n", text))
		for name, enc := range encoders(nil) {
			if out := string(enc.Encode(b).Bytes); !strings.Contains(out, text) {
				t.Errorf("%s: %q is not in %q", name, text, out)
			}
		}
	}
}
