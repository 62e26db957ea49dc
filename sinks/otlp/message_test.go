package otlp

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/json"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/testdata/captures"
)

var testIdentity = identity{strings.Repeat("a", 32), strings.Repeat("b", 32)}

// sent returns what a receiver reads of the events of b.
func sent(t testing.TB, enc format.Encoder, original bool, b record.Batch) *collector.ExportLogsServiceRequest {
	t.Helper()
	m := newMessage(testIdentity, original)
	m.setHost("host1")
	m.now = func() time.Time { return time.Unix(1800000000, 5) }
	if enc.StripNode {
		m.strip = &enc
	}
	out := enc.Encode(b)
	m.fill(&b, cutEvents(nil, &b, &out))
	text, err := m.encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	request := new(collector.ExportLogsServiceRequest)
	if err := proto.Unmarshal(text, request); err != nil {
		t.Fatal(err)
	}
	return request
}

// batchOf returns the records of a string stream.
func batchOf(text string) record.Batch { return sinktest.Batches([]byte(text), 1<<20)[0] }

const stringFormat = format.String

// fields are what a test compares of a log record.
type fields struct {
	Name, Severity, UID, Body string
	Number                    logs.SeverityNumber
	Time                      uint64
}

func fieldsOf(rec *logs.LogRecord) fields {
	return fields{rec.EventName, rec.SeverityText, attributeOf(rec, "log.record.uid"), bodyOf(rec), rec.SeverityNumber, rec.TimeUnixNano}
}

// TestMapping: what an event becomes.
func TestMapping(t *testing.T) {
	const id = "audit(1700000000.123:"
	prefix := testIdentity.machine + "/" + testIdentity.boot + "/1700000000.123:"
	syscall := "type=PATH msg=" + id + "1): item=0 name=\"success=no\"\ntype=SYSCALL msg=" + id + "1): arch=c000003e syscall=2 success=yes exit=3 comm=\"x\""
	for _, tt := range []struct {
		text string
		want fields
	}{
		{syscall, fields{Name: "auditd.syscall", Severity: "INFO", Number: 9, UID: prefix + "1"}},
		{"type=SYSCALL msg=" + id + "2): arch=c000003e syscall=2 success=no exit=-13", fields{Name: "auditd.syscall", Severity: "WARN", Number: 13, UID: prefix + "2"}},
		{"type=USER_LOGIN msg=" + id + "3): pid=1 uid=0 msg='op=login acct=\" res=success\" exe=\"/a\" res=failed'", fields{Name: "auditd.user_login", Severity: "WARN", Number: 13, UID: prefix + "3"}},
		{"type=USER_LOGIN msg=" + id + "4): pid=1 uid=0 msg='op=login acct=\" res=failed\" exe=\"/a\" res=success'\x1dUID=\"root res=no\"", fields{Name: "auditd.user_login", Severity: "INFO", Number: 9, UID: prefix + "4"}},
		{"type=CONFIG_CHANGE msg=" + id + "5): op=remove_rule list=4 res=0", fields{Name: "auditd.config_change", Severity: "WARN", Number: 13, UID: prefix + "5"}},
		{"type=CONFIG_CHANGE msg=" + id + "6): op=remove_rule list=4 res=1", fields{Name: "auditd.config_change", Severity: "INFO", Number: 9, UID: prefix + "6"}},
		{"type=AVC msg=" + id + "7): avc:  denied  { read } for  pid=1\ntype=SYSCALL msg=" + id + "7): success=yes", fields{Name: "auditd.syscall", Severity: "WARN", Number: 13, UID: prefix + "7"}},
		{"type=ANOM_ABEND msg=" + id + "8): auid=0 sig=11 res=1", fields{Name: "auditd.anom_abend", Severity: "WARN", Number: 13, UID: prefix + "8"}},
		{"type=DAEMON_ERR msg=" + id + "9): op=relay-loss sink=x cause=refused res=failed", fields{Name: "auditd.daemon_err", Severity: "ERROR", Number: 17, UID: prefix + "9"}},
		{"type=UNKNOWN[2950] msg=" + id + "10): a=1", fields{Name: "auditd.unknown[2950]", Severity: "INFO", Number: 9, UID: prefix + "10"}},
		{"type=NEWER_TYPE msg=" + id + "11): a=1", fields{Name: "auditd.newer_type", Severity: "INFO", Number: 9, UID: prefix + "11"}},
		{"nonsense \x1b[31m", fields{Severity: "INFO", Number: 9}},
		{"node=far type=CWD msg=" + id + "12): cwd=\"\xff\xfe\"", fields{Name: "auditd.cwd", Severity: "INFO", Number: 9, UID: prefix + "12"}},
	} {
		tt.want.Body = tt.text
		if tt.want.UID != "" {
			tt.want.Time = 1700000000123000000
		}
		got := recordsOf(sent(t, format.Encoder{Format: stringFormat}, false, batchOf(tt.text+"\n")))
		if len(got) != 1 {
			t.Errorf("%q became %d log records", tt.text, len(got))
			continue
		}
		if d := cmp.Diff(tt.want, fieldsOf(got[0])); d != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, d)
		}
		if got[0].ObservedTimeUnixNano != 1800000000000000005 {
			t.Errorf("observed %d", got[0].ObservedTimeUnixNano)
		}
	}
}

// TestResource: who sends.
func TestResource(t *testing.T) {
	request := sent(t, format.Encoder{Format: stringFormat}, false, lines(1))
	got := make(map[string]string)
	for _, a := range request.ResourceLogs[0].Resource.Attributes {
		got[a.Key] = a.Value.GetStringValue()
	}
	want := map[string]string{"host.id": testIdentity.machine, "host.name": "host1", "service.name": "auditd"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestPartsHaveUIDs: of an event that is given in parts none is taken for another sent twice, and one
// that is sent twice is.
func TestPartsHaveUIDs(t *testing.T) {
	part := func(text string) string {
		b := batchOf(text)
		b.Recs[len(b.Recs)-1].Flags |= record.End | record.Partial
		return attributeOf(recordsOf(sent(t, format.Encoder{Format: stringFormat}, false, b))[0], "log.record.uid")
	}
	const one, two = "type=SYSCALL msg=audit(1700000000.123:1): a=1\n", "type=CWD msg=audit(1700000000.123:1): cwd=\"/\"\n"
	if a, b := part(one), part(two); a == b || a != part(one) || !strings.Contains(a, "/1700000000.123:1/part-") {
		t.Errorf("%q and %q", a, b)
	}
}

// TestOriginal: the records' text beside another body.
func TestOriginal(t *testing.T) {
	const text = "type=SYSCALL msg=audit(1700000000.123:1): a=1\ntype=CWD msg=audit(1700000000.123:1): cwd=\"/\""
	enc := format.Encoder{Format: format.Events, NewEvents: func() format.EventEncoder { return json.New(json.Options{}) }, Raw: json.Kind.Raw}
	rec := recordsOf(sent(t, enc, true, batchOf(text+"\n")))[0]
	if got := attributeOf(rec, "log.record.original"); got != text {
		t.Errorf("%q", got)
	}
	if !strings.HasPrefix(bodyOf(rec), `{"@timestamp":"2023-11-14T22:13:20.123Z"`) || strings.HasSuffix(bodyOf(rec), "\n") {
		t.Errorf("%q", bodyOf(rec))
	}
}

// TestNodeTakenOut: the name is an attribute, and neither in the body nor in the original.
func TestNodeTakenOut(t *testing.T) {
	const text = "type=SYSCALL msg=audit(1700000000.123:1): a=node=x\ntype=CWD msg=audit(1700000000.123:1): cwd=\"/\""
	const far = "node=far " + "type=SYSCALL msg=audit(1700000000.123:1): a=node=x\nnode=far type=CWD msg=audit(1700000000.123:1): cwd=\"/\""
	for _, tt := range []struct{ in, node, want, host string }{
		{far, "", text, "far"},
		{far, "given", text, "far"},
		{text, "given", text, "given"},
		{text, "", text, ""},
		{"node=far garbage", "given", "node=far garbage", ""},
		{"node=\xff type=CWD msg=audit(1700000000.123:1): ", "", "type=CWD msg=audit(1700000000.123:1): ", "\xff"},
	} {
		for _, original := range []bool{false, true} {
			enc := format.Encoder{Format: stringFormat, StripNode: true, Node: tt.node}
			rec := recordsOf(sent(t, enc, original, batchOf(tt.in+"\n")))[0]
			host, kept := attributeOf(rec, "host.name"), attributeOf(rec, "log.record.original")
			if bodyOf(rec) != tt.want || host != tt.host || (original && kept != tt.want) || (!original && kept != "") {
				t.Errorf("%q: body %q, original %q, host.name %q", tt.in, bodyOf(rec), kept, host)
			}
		}
	}
}

// TestCaptures: every event of real streams arrives, in order, and says its id; a message that is used
// again shows nothing of what was in it.
func TestCaptures(t *testing.T) {
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-4.2.1-raw.string.gz", "audit-2.8.5-audispd.string.gz"} {
		m := newMessage(testIdentity, true)
		enc := format.Encoder{Format: stringFormat}
		for _, b := range sinktest.Batches(captures.Read(t, name), 16<<10) {
			out := enc.Encode(b)
			events := cutEvents(nil, &b, &out)
			m.fill(&b, events)
			text, err := m.encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			request := new(collector.ExportLogsServiceRequest)
			if err := proto.Unmarshal(text, request); err != nil {
				t.Fatal(err)
			}
			got := recordsOf(request)
			if len(got) != len(events) {
				t.Fatalf("%d of %d events", len(got), len(events))
			}
			for i, rec := range got {
				ev := &events[i]
				id, uid := string(b.IDText(ev.from)), attributeOf(rec, "log.record.uid")
				if (id == "") != (uid == "") || !strings.HasSuffix(uid, id) || bodyOf(rec) != string(ev.body) {
					t.Fatalf("%s: event %s became %v", name, id, rec)
				}
			}
		}
	}
}

// FuzzMessage: whatever the records are, a receiver can read the message, and each event's bytes are in
// it.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("type=SYSCALL msg=audit(1700000000.123:1): a=\xff\xfe success=no\n"), true)
	f.Add(sinktest.OddLines(), false)
	f.Add([]byte("type=X msg=audit(99999999999999.999:4294967295): res=\n\n\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, original bool) {
		for _, b := range sinktest.Batches(append(data, '\n'), 4096) {
			enc := format.Encoder{Format: stringFormat}
			got := recordsOf(sent(t, enc, original, b))
			out := enc.Encode(b)
			events := cutEvents(nil, &b, &out)
			if len(got) != len(events) {
				t.Fatalf("%d of %d events", len(got), len(events))
			}
			for i := range events {
				if bodyOf(got[i]) != string(events[i].body) {
					t.Fatalf("%q became %q", events[i].body, bodyOf(got[i]))
				}
				if !utf8.ValidString(attributeOf(got[i], "log.record.uid")) {
					t.Fatal("a uid that is no text")
				}
			}
		}
	})
}
