package ecs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

func TestSplitName(t *testing.T) {
	for path, want := range map[string][2]string{
		"/etc/passwd": {"passwd", ""}, "/a.d/b.tar.gz": {"b.tar.gz", "gz"}, "/home/a/.bashrc": {".bashrc", ""}, "/a/.b.so": {".b.so", "so"},
		"b.": {"b.", ""}, "/dir/": {"", ""}, "/": {"", ""}, "": {"", ""}, "@abstract": {"@abstract", ""},
	} {
		if name, extension := splitName(path); name != want[0] || extension != want[1] {
			t.Errorf("%q: %q, %q", path, name, extension)
		}
	}
}

// The whole of one event, as it is written.
func TestWholeEvent(t *testing.T) {
	text := "node=web-1 " + rec("SYSCALL", fmt.Sprintf(call, 59, 1)+`comm="ls" exe="/usr/bin/ls" key="exec"`+sep+`ARCH=x86_64 SYSCALL=execve AUID="alice" UID="root" GID="root" EUID="root"`) +
		"node=web-1 " + rec("EXECVE", `argc=2 a0="ls" a1=6120FF`) +
		"node=web-1 " + rec("PATH", `item=0 name="/usr/bin/ls" inode=5 dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL`+sep+`OUID="root" OGID="root"`) +
		"node=web-1 " + rec("PROCTITLE", `proctitle=6C73006120FF`) +
		"node=web-1 " + rec("EOE", "")
	b := parse(t, text)
	b.Recs[4].Flags |= record.End | record.Partial
	b.Recs[1].Flags |= record.FromLog
	got := string(New(Options{Node: "other"}).AppendEvent([]byte("before\n"), b, 0, 5))
	want := `before
{"@timestamp":"2026-11-21T21:22:47.053Z","event":{"id":"1795296167.053:4","kind":"event","category":["process"],"type":["start"],` +
		`"action":"executed","outcome":"success","module":"auditd"},"host":{"name":"web-1","os":{"type":"linux"}},"service":{"type":"auditd"},` +
		`"user":{"id":"0","name":"root","group":{"id":"0","name":"root"},"audit":{"id":"1000","name":"alice"},` +
		`"filesystem":{"id":"0","group":{"id":"0"}},"saved":{"id":"0","group":{"id":"0"}}},"related":{"user":["alice","root"]},` +
		`"process":{"pid":2,"parent":{"pid":1},"name":"ls","executable":"/usr/bin/ls","args":["ls","a %ff"],"args_count":2,"command_line":"ls 'a %ff'","title":"ls a %ff"},` +
		`"file":{"path":"/usr/bin/ls","name":"ls","device":"00:00","inode":"5","mode":"0755","uid":"0","gid":"0","owner":"root","group":"root"},` +
		`"tags":["exec"],"auditd":{"sequence":4,"message_type":"syscall","session":"3","result":"success",` +
		`"summary":{"actor":{"primary":"1000","secondary":"0"},"object":{"primary":"/usr/bin/ls","type":"file"},"how":"/usr/bin/ls"},` +
		`"paths":[{"dev":"fe:00","group":"root","inode":"5","item":"0","mode":"0100755","name":"/usr/bin/ls","nametype":"NORMAL","ogid":"0","ouid":"0","owner":"root","rdev":"00:00"}],` +
		`"data":{"a0":"1","a1":"2","a2":"3","a3":"4","arch":"x86_64","argc":"2","exit":"0","syscall":"execve","tty":"pts0","proctitle":["ls","a %ff"]}},` +
		`"labels":{"incomplete":"true","recovered":"true","encoding":"percent"},"ecs":{"version":"9.4.0"}}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Bytes that are no UTF-8 can be restored, and a percent sign is itself without them.
func TestBytesThatAreNoUTF8AreRestored(t *testing.T) {
	body := func(hex string) string { return rec("CWD", "cwd="+hex) }
	for _, tt := range []struct{ name, hex, want, encoding string }{
		{"percent sign", "2561", "%a", ""},
		{"UTF-8", "C3BCE282AC20", "ü€ ", ""},
		{"replacement character", "EFBFBD20", "\uFFFD ", ""},
		{"odd byte", "25C32561", "%25%c3%25a", "percent"},
		{"surrogate", "EDA080", "%ed%a0%80", "percent"},
		{"overlong", "C0AF", "%c0%af", "percent"},
		{"controls", "000A0D091B7F225C", "\x00\n\r\t\x1b\x7f\"\\", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := encode(t, New(Options{}), body(tt.hex))
			if got["process.working_directory"] != tt.want {
				t.Errorf("%q, want %q", got["process.working_directory"], tt.want)
			}
			if e, _ := got["labels.encoding"].(string); e != tt.encoding {
				t.Errorf("labels.encoding is %q, want %q", e, tt.encoding)
			}
		})
	}
}

// Nothing of one event is left for the next.
func TestEventsBeforeDoNotShow(t *testing.T) {
	b, ends := group(parse(t, string(captures.Read(t, "audit-4.2.1-enriched.string.gz"))))
	e, i := New(Options{}), 0
	for range 2 {
		i = 0
		for _, j := range ends {
			want := New(Options{}).AppendEvent(nil, b, i, j)
			if got := e.AppendEvent(nil, b, i, j); !bytes.Equal(got, want) {
				t.Fatalf("%s\na new encoder has\n%s", got, want)
			}
			i = j
		}
	}
}

type passwd struct{ asked []string }

func (p *passwd) User(uid uint32) string {
	p.asked = append(p.asked, fmt.Sprint("u", uid))
	return map[uint32]string{0: "root", 1000: "alice"}[uid]
}
func (p *passwd) Group(gid uint32) string { return map[uint32]string{0: "wheel"}[gid] }

// Names are looked up for records without auditd's, of this machine only.
func TestNamesAreLookedUpOnThisHostOnly(t *testing.T) {
	raw := sys(257, 1) + rec("PATH", `item=0 name="/x" inode=5 dev=fe:00 mode=0100644 ouid=1000 ogid=0 rdev=00:00 nametype=NORMAL`)
	looked := map[string]any{"user.name": "root", "user.audit.name": "alice", "user.group.name": "wheel", "file.owner": "alice",
		"file.group": "wheel", "auditd.paths.0.owner": "alice", "related.user": []any{"alice", "root"}}
	none := map[string]any{"user.name": nil, "user.audit.name": nil, "file.owner": nil, "related.user": nil}
	for _, tt := range []struct {
		name, text, node string
		want             map[string]any
	}{
		{"raw", raw, "", looked},
		{"own node", "node=me " + strings.Replace(raw, "\ntype", "\nnode=me type", 1), "me", looked},
		{"another node", "node=it " + strings.Replace(raw, "\ntype", "\nnode=it type", 1), "me", none},
		{"enriched without names", strings.ReplaceAll(raw, "\n", sep+"\n"), "", none},
		{"login", rec("USER_LOGIN", `pid=1 uid=0 auid=1000 ses=3 msg='op=login id=1000 exe="/x" hostname=? addr=? terminal=ssh res=success'`), "",
			map[string]any{"user.id": "1000", "user.name": "alice", "user.effective.id": nil}},
		{"unset", rec("DAEMON_START", `op=start auid=4294967295 uid=4294967295 res=success`), "", none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			users := new(passwd)
			got := encode(t, New(Options{Users: users, Local: tt.node}), tt.text)
			for path, want := range tt.want {
				if diff := cmp.Diff(want, got[path]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", path, diff)
				}
			}
			if strings.Contains(fmt.Sprint(users.asked), "u4294967295") {
				t.Error("asked for the name of an unset id")
			}
		})
	}
}

// A name that says nothing, or that its place is taken from, is not lost nor in the way.
func TestNamesWithoutAPlaceAreKept(t *testing.T) {
	got := encode(t, New(Options{}), sys(62, 0)+rec("OBJ_PID", `opid=7 oauid=1000 ouid=5 oses=3 ocomm="a"`+sep+`OAUID="alice" OUID="unknown(5)"`)+
		rec("LOGIN", `pid=2 uid=0 old-auid=4294967295 auid=1001 tty=pts0 old-ses=4294967295 ses=3 res=1`+sep+`UID="root" OLD-AUID="unset" AUID="bob"`))
	want := map[string]any{"auditd.data.oauid": "1000", "auditd.data.oauid_name": "alice", "auditd.data.ouid_name": nil,
		"auditd.data.uid_name": "root", "auditd.data.auid_name": "bob", "auditd.data.old-auid_name": nil, "event.original": nil}
	for path, want := range want {
		if got[path] != want {
			t.Errorf("%s is %v, want %v", path, got[path], want)
		}
	}
}

// Records that cannot be put together are written, too, and with a time.
func TestRecordWithoutIDIsWritten(t *testing.T) {
	e := New(Options{Node: "me"})
	e.now = func() time.Time { return time.UnixMilli(1795296167053) }
	for _, tt := range []struct{ name, text, original, typ string }{
		{"text", "nothing of ours \xfe %\n", "nothing of ours %fe %25", ""},
		{"empty", "\n", "", ""},
		{"no type", "type=NO\"TYPE msg=audit(1.000:1): x=1\n", "type=NO\"TYPE msg=audit(1.000:1): x=1", ""},
		{"with a node", "node=n type=SYSCALL msg=lost\n", "node=n type=SYSCALL msg=lost", "syscall"},
		{"year 10000", "type=CWD msg=audit(253402300800.000:1): cwd=\"/\"\n", "", "cwd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := encode(t, e, tt.text)
			if got["@timestamp"] != "2026-11-21T21:22:47.053Z" || got["labels.timestamp"] != "written" {
				t.Errorf("time %v, %v", got["@timestamp"], got["labels.timestamp"])
			}
			want := any(nil)
			if tt.name != "year 10000" {
				want = []any{tt.original}
			}
			if diff := cmp.Diff(want, got["event.original"]); diff != "" {
				t.Errorf("event.original (-want +got):\n%s", diff)
			}
			if typ, _ := got["auditd.message_type"].(string); typ != tt.typ {
				t.Errorf("type %q, want %q", typ, tt.typ)
			}
		})
	}
}

// The relay's own record of a loss is an event like others.
func TestLossMarkerIsAnEvent(t *testing.T) {
	got := encode(t, New(Options{}), rec("DAEMON_ERR", `op=relay-loss sink=siem cause=queue-full records=12 events=3 first=7 last=9 res=failed`))
	for path, want := range map[string]any{
		"event.action": "audit-error", "event.outcome": "failure", "auditd.message_type": "daemon_err", "auditd.data.op": "relay-loss",
		"auditd.data.sink": "siem", "auditd.data.cause": "queue-full", "auditd.data.records": "12", "auditd.data.events": "3",
		"auditd.data.first": "7", "auditd.data.last": "9", "event.original": nil,
	} {
		if got[path] != want {
			t.Errorf("%s is %v, want %v", path, got[path], want)
		}
	}
}

// A line longer than a record comes in pieces, and none is lost.
func TestPiecesOfALineAreWritten(t *testing.T) {
	long := rec("USER", "pid=1 msg='op="+strings.Repeat("x", record.MaxRecord)+"'")
	b := parse(t, long)
	leaves := decodeLine(t, New(Options{}).AppendEvent(nil, b, 0, len(b.Recs)))
	var whole string
	for _, piece := range leaves["event.original"].([]any) {
		whole += piece.(string)
	}
	if len(b.Recs) < 2 || whole != strings.TrimSpace(long) {
		t.Errorf("%d records, %d bytes of %d", len(b.Recs), len(whole), len(long)-1)
	}
}

// A hostile record costs in proportion to its length, whatever it is full of.
func TestHostileRecordsAreCheap(t *testing.T) {
	full := func(unit string) string { return strings.Repeat(unit, 60<<10/len(unit)) }
	var different strings.Builder
	for i := 0; different.Len() < 60<<10; i++ {
		fmt.Fprintf(&different, "k%d=%d ", i, i)
	}
	var keys strings.Builder
	for i := 0; keys.Len() < 60<<10; i++ {
		fmt.Fprintf(&keys, "%04X01", i|0x3030)
	}
	e := New(Options{})
	for _, body := range []string{full("a=1 "), different.String(), full("msg='"), full("= "), full("'\x1d"), "key=" + keys.String(),
		"a=1" + sep + strings.ToUpper(different.String())} {
		for _, typ := range []string{"SYSCALL", "USER_CMD", "PATH", "EXECVE", "SOCKADDR"} {
			b := parse(t, rec(typ, body))
			leaves := decodeLine(t, e.AppendEvent(nil, b, 0, len(b.Recs)))
			checkWhole(t, b, 0, len(b.Recs), leaves)
			checkKept(t, e)
		}
	}

	var records strings.Builder
	for i := range 300 {
		fmt.Fprintf(&records, "type=OBJ_PID msg=audit(1795296167.053:4):")
		for k := range 200 {
			fmt.Fprintf(&records, " k%d-%d=%d", i, k, i)
		}
		records.WriteByte('\n')
	}
	b := parse(t, sys(62, 0)+records.String())
	leaves := decodeLine(t, e.AppendEvent(nil, b, 0, len(b.Recs)))
	checkWhole(t, b, 0, len(b.Recs), leaves)
	if leaves["auditd.data.k1-1"] != "1" || leaves["auditd.data.k299-1"] != nil {
		t.Error("not the first keys are shown, but others, or all")
	}
	checkKept(t, e)
}

// checkKept fails if an Encoder has anything of an event, or the memory of a large one.
func checkKept(t *testing.T, e *Encoder) {
	t.Helper()
	if len(e.fields)+len(e.twins)+len(e.text)+len(e.recs)+e.data.n+e.socket.n+len(e.paths) > 0 || e.ids != (keySet{}) ||
		e.entities != ([keyCount]entity{}) || max(cap(e.fields), cap(e.data.others)) > 4096 || cap(e.paths) > 64 || cap(e.text) > 256<<10 {
		t.Errorf("the encoder keeps what it was given")
	}
}

func FuzzEvent(f *testing.F) {
	for _, name := range []string{"audit-3.0.9-node.string.gz", "audit-4.2.1-raw.string.gz"} {
		b, ends := group(parse(f, string(captures.Read(f, name))))
		i := 0
		for n, j := range ends {
			if n%10 == 0 {
				var text []byte
				for ; i < j && len(text) < 4096; i++ {
					text = append(text, b.Bytes(i)...)
				}
				f.Add(text, uint8(n))
			}
			i = j
		}
	}
	for _, text := range []string{
		rec("GRP_MGMT", `pid=7 uid=0 auid=1 ses=5 msg='op=add-user-to-group grp="wheel" acct="bob" exe="/x" res=success'`+sep+`UID="root"`),
		rec("UNKNOWN[1425]", `subj_selinux=a:b:c subj_="x" =y obj_=z a..b=1 a=1 a.b=2`),
		sys(42, 0) + rec("SOCKADDR", `saddr=090031302E302E302E31`),
		rec("AVC", `apparmor="STATUS" operation="profile_load" name="x" pid=1`) + sys(257, 0),
		rec("SYSCALL", `arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c items=1 ses=-1 uid=-1`) + rec("CWD", `cwd="/etc"`) + rec("PATH", `item=0 name="../x" mode=0100644 obj_user=x obj=a:b`),
		sys(44, 0) + rec("USER_LOGIN", `pid=1 uid=0 auid=-1 msg='acct="0" result=Authentication failure xuid=5 subj=a:b'`),
	} {
		f.Add([]byte(text), uint8(0))
	}
	e := New(Options{Users: new(passwd), Node: "me", Local: "vm"})
	f.Fuzz(func(t *testing.T, text []byte, split uint8) {
		b, err := records(string(text))
		if err != nil || len(b.Recs) == 0 {
			return
		}
		// Records of any ids may be called one event: an encoder trusts no id.
		at := int(split) % len(b.Recs)
		for _, part := range [][2]int{{0, at}, {at, len(b.Recs)}} {
			if part[0] == part[1] {
				continue
			}
			leaves := decodeLine(t, e.AppendEvent(nil, b, part[0], part[1]))
			checkWhole(t, b, part[0], part[1], leaves)
			checkSchema(t, leaves)
		}
	})
}
