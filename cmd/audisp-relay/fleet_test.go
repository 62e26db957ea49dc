package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/fleet"
	"audisp-relay/fleet/wire"
)

// TestFleetWithoutAServer: what cannot be reached is exit code 3 and one line.
func TestFleetWithoutAServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, args := range [][]string{{"status"}, {"verify", "--json"}, {"read"}, {"init", "--apply"}} {
		code, text := output(t, append(append([]string{"fleet"}, args...), "--nats", "nats://"+l.Addr().String())...)
		if code != exitBlind || strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), "check the address") {
			t.Errorf("%v: exit code %d, %q", args, code, text)
		}
	}
}

func TestFleetRefuses(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "name what to do"},
		{"nosuch", "unknown command"},
		{"status x", `fleet status takes no argument, not "x"`},
		{"verify --every 10ms", "--every wants a second"},
		{"read --since 10m --until 20m", "--until is before --since"},
		{"read --since never", "never"},
		{"read --raw --filter true", "--raw and --events"},
		{"read --format xml", "xml"},
		{"read --filter ((", "filter"},
		{"init --partitions 1", "--partitions"},
		{"init --replicas 2", "--replicas"},
		{"init --max-age 0", "--max-age"},
		{"init --max-age 300000", "--max-age: want 1 to 36500 days"},
		{"init --host x", "--host: want a machine-id"},
	} {
		code, text := output(t, append([]string{"fleet"}, strings.Fields(test.args)...)...)
		if code != 2 || !strings.Contains(string(text), test.want) {
			t.Errorf("%q: exit code %d, %s; want %q", test.args, code, text, test.want)
		}
	}
	for _, args := range [][]string{{"--inventory", "/nosuch"}, {"--listen", "nowhere:x"}, {"--nkey", "/nosuch"}, {"--tls-cert", "/nosuch"}, {"--user", "u", "--password-file", "/nosuch"}} {
		if code, text := output(t, append([]string{"fleet", "status"}, args...)...); code != exitBlind || (!strings.Contains(string(text), args[0]) && !strings.Contains(string(text), "--password-file")) {
			t.Errorf("%v: exit code %d, %s", args, code, text)
		}
	}
}

// TestFleetInitShowsStreamsAndPermissions: as text for a server, and as JSON for tools.
func TestFleetInitShowsStreamsAndPermissions(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	code, text := output(t, "fleet", "init", "--partitions", "32", "--host", id)
	part := wire.PartSubject(wire.Records, wire.Partition(id, 32), id)
	for _, want := range []string{"sync_interval: always", "{{partition(32,1)}}", `"audit.ckpt.` + id + `"`, `"` + part + `"`, "AUDIT_REC_31", `"deny_purge":true`, `"discard":"new"`} {
		if code != 0 || !strings.Contains(string(text), want) {
			t.Errorf("exit code %d, without %s:\n%s", code, want, text)
		}
	}
	var got struct {
		Streams     []struct{ Name string }
		Permissions map[string]fleet.Permission
	}
	code, text = output(t, "fleet", "init", "--json")
	if err := json.Unmarshal(text, &got); err != nil || code != 0 || len(got.Streams) != 3 || len(got.Permissions["host"].Publish) == 0 {
		t.Errorf("exit code %d, %v: %s", code, err, text)
	}
}

// TestFleetReadTimes: each option sets its own time, also where both have the same words, and an error names
// the option.
func TestFleetReadTimes(t *testing.T) {
	now := time.Date(2026, 3, 1, 13, 30, 0, 0, time.UTC)
	midnight := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	f := fleetReadFlags{since: "today", until: "today"}
	if err := f.check(now); err != nil || !f.Since.Equal(midnight) || !f.Until.Equal(midnight) {
		t.Errorf("from %v to %v, %v", f.Since, f.Until, err)
	}
	f = fleetReadFlags{until: "soon"}
	if err := f.check(now); err == nil || !strings.Contains(err.Error(), `--until "soon"`) {
		t.Errorf("%v, want an error that names --until", err)
	}
}

// printed returns what fleet read prints of batches.
func printed(t *testing.T, f fleetReadFlags, batches ...*fleet.Batch) string {
	t.Helper()
	var out strings.Builder
	p := newFleetPrinter(&f, &out)
	for _, b := range batches {
		if err := p.batch(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestFleetReadPrints: formats, filters, times and what came before.
func TestFleetReadPrints(t *testing.T) {
	one := "type=USER_CMD msg=audit(1700000000.000:7): pid=1 uid=0 msg='cmd=\"ls\" res=success'\n"
	two := "type=USER_LOGIN msg=audit(1700000100.000:8): pid=2 uid=0 msg='op=login res=failed'\n"
	batch := func(name string, repeated uint64) *fleet.Batch {
		return &fleet.Batch{
			Header: wire.Header{Host: strings.Repeat("a", 31) + name[len(name)-1:], Name: name, Seq: 1, Count: 2, Format: "string"},
			Body:   []byte(one + two), Repeated: repeated,
		}
	}
	host := []string{"x"}
	for name, test := range map[string]struct {
		f    fleetReadFlags
		b    *fleet.Batch
		want string
	}{
		"Exact":   {fleetReadFlags{Query: fleet.Query{Hosts: host}}, batch("web-1", 0), one + two},
		"Node":    {fleetReadFlags{}, batch("web-1", 0), "node=web-1 " + one + "node=web-1 " + two},
		"BadName": {fleetReadFlags{}, batch("a b=\x1b1", 1), "node=a_b_?1 " + two},
		"Before":  {fleetReadFlags{Query: fleet.Query{Hosts: host}}, batch("web-1", 1), two},
		"Since":   {fleetReadFlags{Query: fleet.Query{Hosts: host, Since: time.Unix(1700000050, 0)}}, batch("web-1", 0), two},
		"Until":   {fleetReadFlags{Query: fleet.Query{Hosts: host, Until: time.Unix(1700000050, 0)}}, batch("web-1", 0), one},
		"Filter":  {fleetReadFlags{Query: fleet.Query{Hosts: host}, filter: `"USER_LOGIN" in types`}, batch("web-1", 0), two},
		"Raw":     {fleetReadFlags{raw: true}, batch("web-1", 1), two},
		"RawLie":  {fleetReadFlags{raw: true}, batch("web-1", 1<<62), ""}, // as a host that was taken over may say
	} {
		if got := printed(t, test.f, test.b); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}

	for shape, want := range map[string]string{"json": `"type":"USER_CMD"`, "text": "login"} {
		got := printed(t, fleetReadFlags{format: shape}, batch("web-1", 0), batch("web-2", 0))
		if strings.Count(got, "\n") != 4 || !strings.Contains(got, want) {
			t.Errorf("%s: %s", shape, got)
		}
	}
	foreign := batch("web-1", 0)
	foreign.Format = "json"
	if got := printed(t, fleetReadFlags{}, foreign); got != one+two {
		t.Errorf("lines of events: %q", got)
	}
	torn := batch("web-2", 0)
	torn.Body = torn.Body[:len(torn.Body)-1]
	if got := printed(t, fleetReadFlags{raw: true}, torn, torn, foreign); got != strings.Repeat(one+two, 3) {
		t.Errorf("lines after one without an end: %q", got)
	}
	if got := printed(t, fleetReadFlags{format: "laurel"}, foreign); got != "" {
		t.Errorf("json as records: %q", got)
	}
}

func FuzzFleetReadBody(f *testing.F) {
	f.Add([]byte("type=USER_CMD msg=audit(1700000000.000:7): a=b\n"), uint64(0))
	f.Add([]byte("\x00\x00\x00\x00\x10\x00\x00\x00"), uint64(3))
	f.Fuzz(func(t *testing.T, body []byte, repeated uint64) {
		p := &fleetPrinter{flags: &fleetReadFlags{}}
		b := &fleet.Batch{Repeated: repeated}
		total := 0
		err := cutBody(body, func(recs *record.Batch) error {
			p.wanted(recs, b)
			for i := range recs.Recs {
				total += len(recs.Bytes(i))
			}
			return nil
		})
		if err != nil || total > len(body)+2 {
			t.Errorf("%d bytes of %d, %v", total, len(body), err)
		}
	})
}
