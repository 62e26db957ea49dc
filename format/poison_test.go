package format_test

import (
	stdjson "encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
	"audisp-relay/format/ecs"
	"audisp-relay/format/joined"
	"audisp-relay/format/json"
	"audisp-relay/format/jsontext"
	"audisp-relay/format/laurel"
	"audisp-relay/format/ocsf"
)

// poisonedUsers panics when it is asked for one id.
type poisonedUsers struct{}

const poisonID = 666

func (poisonedUsers) User(uid uint32) string {
	if uid == poisonID {
		panic("poisoned look-up")
	}
	return fmt.Sprint("u", uid)
}

func (poisonedUsers) Group(uint32) string { return "g" }

// event returns the records of one event.
func event(serial, uid int) string {
	id := fmt.Sprintf("msg=audit(1795298317.824:%d): ", serial)
	return "type=SYSCALL " + id + fmt.Sprintf("arch=c000003e syscall=59 pid=%d uid=%d exe=\"/bin/\u202e\xff%%\"\n", serial, uid) +
		"type=CWD " + id + "cwd=\"/\"\n" + "type=PATH " + id + "item=0 name=\"/x\"\n" + "type=PATH " + id + "item=1 name=\"/y\"\n" +
		"type=SOCKADDR " + id + "saddr=00\n" + "type=EOE " + id + "\n"
}

// TestPoisonedEventIsGivenRaw: an event over which the encoder panics is given raw, with all its bytes and in
// its place, and no other event is written in another way than without it.
func TestPoisonedEventIsGivenRaw(t *testing.T) {
	const events, poisoned = 9, 4
	var all []string
	for i := range events {
		uid := i
		if i == poisoned {
			uid = poisonID
		}
		all = append(all, event(100+i, uid))
	}
	b := batchOf(t, strings.Join(all, ""))
	for name, enc := range encoders(poisonedUsers{}) {
		if name == "laurel" {
			continue // it looks no names up
		}
		var reported []string
		enc.Panicked = func(b *record.Batch, i, j int, fault any) {
			reported = append(reported, fmt.Sprint(b.Recs[i].Serial, j-i, fault))
		}
		out := enc.Encode(b)
		lines := strings.Split(strings.TrimSuffix(string(out.Bytes), "\n"), "\n")
		if len(lines) != events || out.Len() != len(b.Recs) {
			t.Fatalf("%s: %d lines, %d records of %d", name, len(lines), out.Len(), len(b.Recs))
		}
		if want := []string{fmt.Sprint(100+poisoned, 6, "poisoned look-up")}; !slices.Equal(reported, want) {
			t.Errorf("%s: reported %q, want %q", name, reported, want)
		}
		for i, line := range lines {
			if i != poisoned {
				alone := encoders(poisonedUsers{})[name]
				if want := string(alone.Encode(batchOf(t, all[i])).Bytes); line+"\n" != want {
					t.Errorf("%s: event %d\n got %s\nwant %s", name, i, line, want)
				}
				continue
			}
			for _, record := range strings.Split(strings.TrimSuffix(all[i], "\n"), "\n") {
				quoted, _ := stdjson.Marshal(strings.NewReplacer("%", "%25", "\xff", "%ff").Replace(record))
				if !strings.Contains(line, strings.ReplaceAll(strings.Trim(string(quoted), `"`), "\u202e", `\u202e`)) {
					t.Errorf("%s lacks %s in\n%s", name, quoted, line)
				}
			}
			if !stdjson.Valid([]byte(line)) || !strings.Contains(line, "1795298317.824:104") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

// fake panics over events of odd serials.
type fake struct{ broken bool }

func (f *fake) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	if f.broken {
		panic("used after a panic")
	}
	dst = fmt.Appendf(dst, "%d", b.Recs[i].Serial)
	if b.Recs[i].Serial%2 == 1 {
		f.broken = true
		panic("odd")
	}
	return append(dst, '\n')
}

// TestRawFormOfEveryFormat: the raw form is a whole line in each of them, also of records without an
// id, and Append gives what Encode does.
func TestRawFormOfEveryFormat(t *testing.T) {
	const stream3 = "node=n type=CWD msg=audit(1.002:3): cwd=\"/\"\ntype=CWD msg=audit(1.002:4): x\nnode=n garbage\n"
	for _, tt := range []struct {
		kind format.Kind
		want string
	}{
		{json.Kind, `{"@timestamp":"1970-01-01T00:00:01.002Z","id":"1.002:3","serial":3,"node":"n","type":"CWD","record_types":["CWD"],"keys":[],"key":null,"paths":[],"sockaddrs":[],` +
			`"other_records":[{"type":"CWD","raw":"node=n type=CWD msg=audit(1.002:3): cwd=\"/\"\n"}]}` + "\n4\n"},
		{ecs.Kind, `{"@timestamp":"1970-01-01T00:00:01.002Z","event":{"id":"1.002:3","kind":"pipeline_error","module":"auditd",` +
			`"original":["node=n type=CWD msg=audit(1.002:3): cwd=\"/\""]},"error":{"message":"encoder panicked: odd"},"service":{"type":"auditd"},"host":{"name":"n","os":{"type":"linux"}},"ecs":{"version":"9.4.0"}}` + "\n4\n"},
		{ocsf.Kind, `{"class_uid":0,"category_uid":0,"activity_id":99,"activity_name":"encoder panicked","type_uid":99,"severity_id":1,"time":1002,` +
			`"metadata":{"version":"1.8.0","product":{"name":"Linux Audit","vendor_name":"Linux"},"profiles":["host","linux/linux_users"],` +
			`"extensions":[{"name":"linux","uid":"1","version":"1.8.0"}],"log_name":"audit","original_event_uid":"1.002:3"},` +
			`"status_id":99,"status":"encoder panicked","status_detail":"odd","device":{"type_id":0,"hostname":"n","os":{"name":"Linux","type_id":200}},` +
			`"raw_data":"node=n type=CWD msg=audit(1.002:3): cwd=\"/\"\n"}` + "\n4\n"},
		{laurel.Kind, `{"ID":"1.002:3","NODE":"n","RAW":["node=n type=CWD msg=audit(1.002:3): cwd=\"/\""]}` + "\n4\n"},
	} {
		b := batchOf(t, stream3)
		enc := format.Encoder{Format: format.Events, Raw: tt.kind.Raw, NewEvents: func() format.EventEncoder { return new(fake) }}
		b.Recs = b.Recs[:2]
		if got := string(enc.Encode(b).Bytes); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.kind.Name, got, tt.want)
		}
		if got := string(enc.Append(enc.Append(nil, b, 0), b, 1)); got != tt.want {
			t.Errorf("%s by Append:\n got %s\nwant %s", tt.kind.Name, got, tt.want)
		}
		b = batchOf(t, stream3)
		b.Recs = b.Recs[2:]
		b.Recs[0].Serial = 1
		if got := string(enc.Encode(b).Bytes); !stdjson.Valid([]byte(got)) || !strings.Contains(got, "node=n garbage") {
			t.Errorf("%s of a record without an id: %s", tt.kind.Name, got)
		}
	}
}

// TestRawFormOfJSONIsRebuilt: json's raw form keeps the rules of docs/json.md: each record is found by
// its type, and has raw.
func TestRawFormOfJSONIsRebuilt(t *testing.T) {
	enc := format.Encoder{Format: format.Events, Raw: json.Kind.Raw, NewEvents: func() format.EventEncoder { return json.New(format.Options{Users: poisonedUsers{}}) }}
	text := event(5, poisonID)
	var got struct {
		Types     []string `json:"record_types"`
		Raw       string
		Paths     []struct{ Raw string }
		Sockaddrs []struct{ Raw string }
		Others    []struct{ Type, Raw string } `json:"other_records"`
		Encoding  string
	}
	if err := stdjson.Unmarshal(enc.Encode(batchOf(t, text)).Bytes, &got); err != nil {
		t.Fatal(err)
	}
	var back strings.Builder
	for _, typ := range got.Types {
		switch typ {
		case "SYSCALL":
			io.WriteString(&back, got.Raw)
		case "PATH":
			io.WriteString(&back, got.Paths[0].Raw)
			got.Paths = got.Paths[1:]
		case "SOCKADDR":
			io.WriteString(&back, got.Sockaddrs[0].Raw)
		default:
			if got.Others[0].Type != typ {
				t.Errorf("%s, want %s", got.Others[0].Type, typ)
			}
			io.WriteString(&back, got.Others[0].Raw)
			got.Others = got.Others[1:]
		}
	}
	if have := strings.NewReplacer("%25", "%", "%ff", "\xff").Replace(back.String()); have != text || got.Encoding != "percent" {
		t.Errorf("got %q\nwant %q", have, text)
	}
}

// TestRawFormOfFrames: the raw form of an event that came in frames is rebuilt as the format string has such frames: with
// types, and a newline in a record neither begins another one nor joins two.
func TestRawFormOfFrames(t *testing.T) {
	records := []struct {
		typ        uint32
		name, text string
	}{{1307, "CWD", "cwd=\"/\"\ntype=LOGIN msg=audit(1.002:9): auid=0"}, {1302, "PATH", "item=0 name=\"/x\""}}
	for ver := range uint32(2) {
		var frames []byte
		want := ""
		for _, r := range records {
			payload, head := "audit(1.002:3): "+r.text, "type="+r.name+" msg="
			want += head + strings.ReplaceAll(payload, "\n", " ") + "\n"
			if ver == 1 {
				payload = head + payload
			}
			frames = stream.AppendFrame(frames, ver, r.typ, []byte(payload))
		}

		b := batchOf(t, string(frames))
		for _, tt := range []struct {
			kind format.Kind
			back func([]byte, jsontext.Object) ([]byte, error)
		}{{json.Kind, json.AppendRecords}, {ocsf.Kind, ocsf.AppendRecords}, {laurel.Kind, laurel.AppendRecords}} {
			enc := format.Encoder{Format: format.Events, Raw: tt.kind.Raw, NewEvents: func() format.EventEncoder { return new(fake) }}
			line := enc.Encode(b).Bytes
			event, err := jsontext.Parse(line)
			if err != nil {
				t.Fatalf("%s: %v in %s", tt.kind.Name, err, line)
			}
			if got, err := tt.back(nil, event); err != nil || string(got) != want {
				t.Errorf("%s of frames of version %d: %v\n got %q\nwant %q\nof %s", tt.kind.Name, ver, err, got, want, line)
			}
		}

		enc := format.Encoder{Format: format.Events, Raw: joined.Kind.Raw, NewEvents: func() format.EventEncoder { return new(fake) }}
		if got := string(enc.Encode(b).Bytes); strings.Count(got, " msg=audit(") != len(records) || strings.Count(got, "\n") != 1 {
			t.Errorf("joined of frames of version %d has other records: %q", ver, got)
		}
	}
}

// TestPoisonedRecordCostsNoOther: a record that cannot be written costs no other.
func TestPoisonedRecordCostsNoOther(t *testing.T) {
	for _, f := range []format.Format{format.String, format.Binary} {
		b := batchOf(t, event(1, 1)+event(2, 2))
		enc := format.Encoder{Format: f, Node: "n"}
		before := string(enc.Encode(b).Bytes)
		b.Recs = slices.Insert(b.Recs, 3, record.Record{Off: 1 << 30, Len: 10, Kind: record.Ver1})
		reported := 0
		enc.Panicked = func(*record.Batch, int, int, any) { reported++ }
		out := enc.Encode(b)
		if string(out.Bytes) != before || out.Len() != len(b.Recs) || reported != 1 {
			t.Errorf("%s: %d records, reported %d times: %q", format.Names()[f], out.Len(), reported, out.Bytes)
		}
	}
}
