package record_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/testdata/captures"
)

// eachBatch calls f for the records of a stream.
func eachBatch(data []byte, f func(b *record.Batch)) {
	var b record.Batch
	s := stream.NewSplitter()
	for len(data) > 0 {
		n := copy(s.Space(), data)
		data = data[n:]
		s.Cut(&b, n)
		f(&b)
	}
	s.End(&b)
	f(&b)
}

// each calls f for each record of a stream.
func each(data []byte, f func(b *record.Batch, i int)) {
	eachBatch(data, func(b *record.Batch) {
		for i := range b.Recs {
			f(b, i)
		}
	})
}

// one returns the only record of a line.
func one(t testing.TB, line string) (b *record.Batch) {
	t.Helper()
	each([]byte(line+"\n"), func(got *record.Batch, i int) {
		if b != nil {
			t.Fatalf("%q is more than one record", line)
		}
		b = &record.Batch{Buf: bytes.Clone(got.Buf), Recs: []record.Record{got.Recs[i]}}
	})
	return b
}

// parts is a Record as strings.
type parts struct {
	Type                       uint32
	Node, ID, Gap, Body, Names string
	Tail                       string
	Twinned                    bool
}

func cut(b *record.Batch, i int) parts {
	r := record.Parse(b, i)
	return parts{r.Type, string(r.Node), string(r.ID), string(r.Gap), string(r.Body), string(r.Names),
		string(r.Tail), r.Twinned}
}

func TestParseTakesARecordApart(t *testing.T) {
	const h = "type=SYSCALL msg=audit(1.002:3)"
	for _, tt := range []struct {
		name, line string
		want       parts
	}{
		{"regular", h + ": arch=c000003e uid=0", parts{Type: 1300, ID: "1.002:3", Gap: ": ", Body: "arch=c000003e uid=0", Tail: "\n"}},
		{"node", "node=web-1 " + h + ": a=b", parts{Type: 1300, Node: "web-1", ID: "1.002:3", Gap: ": ", Body: "a=b", Tail: "\n"}},
		{"node that looks like an id", "node=audit(9.9:9) " + h + ": a=b", parts{Type: 1300, Node: "audit(9.9:9)", ID: "1.002:3", Gap: ": ", Body: "a=b", Tail: "\n"}},
		{"enriched", h + ": uid=0\x1dUID=\"root\"", parts{Type: 1300, ID: "1.002:3", Gap: ": ", Body: "uid=0", Names: `UID="root"`, Tail: "\n", Twinned: true}},
		{"bare separator", h + ": uid=0\x1d", parts{Type: 1300, ID: "1.002:3", Gap: ": ", Body: "uid=0", Tail: "\n", Twinned: true}},
		{"separator and blank", h + ": uid=0\x1d ", parts{Type: 1300, ID: "1.002:3", Gap: ": ", Body: "uid=0", Tail: " \n", Twinned: true}},
		{"end of event of RAW", "type=EOE msg=audit(1.002:3): ", parts{Type: 1320, ID: "1.002:3", Gap: ": ", Tail: "\n"}},
		{"end of event of ENRICHED", "type=EOE msg=audit(1.002:3):", parts{Type: 1320, ID: "1.002:3", Gap: ":", Tail: "\n"}},
		{"blanks and padding", h + ": a=b  \x00\x00", parts{Type: 1300, ID: "1.002:3", Gap: ": ", Body: "a=b", Tail: "  \x00\x00\n"}},
		{"second EXECVE record", "type=EXECVE msg=audit(1.002:3):  a1=\"x\"", parts{Type: 1309, ID: "1.002:3", Gap: ": ", Body: ` a1="x"`, Tail: "\n"}},
		{"no colon", "type=DAEMON_CONFIG msg=audit(1.002:3) config changed", parts{Type: 1203, ID: "1.002:3", Body: " config changed", Tail: "\n"}},
		{"no id", "type=DAEMON_ERR op=format-enriched msg=NULL res=failed ", parts{Type: 1209, Body: "type=DAEMON_ERR op=format-enriched msg=NULL res=failed", Tail: " \n"}},
		{"no header at all", "rubbish", parts{Body: "rubbish", Tail: "\n"}},
		{"empty", "", parts{Tail: "\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, cut(one(t, tt.line), 0)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a program has in its text is the program's, whatever it looks like.
func TestSeparatorInAProgramsTextIsTheProgramsOwn(t *testing.T) {
	const names = `UID="root" AUID="unset"`
	const forged = `UID="evil" AUID="evil"`
	for _, tt := range []struct {
		name, body, names string
		twinned           bool
	}{
		{"none", `pid=1 uid=0 msg='op=x res=ok'`, "", false},
		{"enriched", `pid=1 uid=0 msg='op=x res=ok'`, names, true},
		{"bare separator", `pid=1 uid=0 msg='op=x res=ok'`, "", true},
		{"in RAW", "pid=1 uid=0 msg='op=\x1d res=ok'", "", false},
		{"in ENRICHED", "pid=1 uid=0 msg='op=\x1d res=ok'", names, true},
		{"forged in RAW", "pid=1 uid=0 msg='op='\x1d" + forged + "'", "", false},
		{"forged in ENRICHED", "pid=1 uid=0 msg='op='\x1d" + forged + "'", names, true},
		{"forged, bare separator after", "pid=1 uid=0 msg='op='\x1d" + forged + "'", "", true},
		{"forged with a brace in RAW", "pid=1 uid=0 msg='op='\x1dSADDR={ x'", "", false},
		{"forged with braces in ENRICHED", "pid=1 uid=0 msg='op='\x1dSADDR={ x }'", names, true},
		{"quote and separator at the end in RAW", "pid=1 uid=0 msg='op='\x1d'", "", false},
		{"many", "pid=1 uid=0 msg='" + string(bytes.Repeat([]byte("'\x1dA=\"b\""), 100)) + "'", names, true},
		{"names that are odd", "pid=1 uid=0 msg='op=x'", `UID="" AUID=6120 ID="unknown(1001)" ARCH=x86_64 SYSCALL=unknown-syscall(500)`, true},
		{"socket", "pid=1 uid=0 msg='saddr=01002F'", `UID="root" SADDR={ saddr_fam=local path=/a b } UID="x" }`, true},
		{"socket whose path has the separator", "pid=1 uid=0 msg='saddr=01002F'", "UID=\"root\" SADDR={ saddr_fam=local path=/'\x1d" + forged + " }", true},
		{"socket whose path has forged names, one with a blank", "pid=1 uid=0 msg='saddr=01002F'", "UID=\"root\" SADDR={ saddr_fam=local path=/'\x1dA=\"x y\" B={ z }", true},
		{"socket whose path has forged names, one with a brace", "pid=1 uid=0 msg='saddr=01002F'", "UID=\"root\" SADDR={ saddr_fam=local path=/'\x1dA=x} B={ z }", true},
		{"names that are cut", "pid=1 uid=0 msg='op=x'", `UID="root" AUID="uns`, true},
		{"separator before the text", "pid=1 uid=0 subj=a\x1db msg='op=x'", names, true},
		{"separator before the text in RAW", "pid=1 uid=0 subj=a\x1db msg='op=x'", "", false},
		{"no text", "pid=1 uid=0 data=6C73", names, true},
		{"forged, and the end of the record cut", "pid=1 uid=0 msg='op='\x1d" + forged + " exe=\"/x\" res=succ", "", false},
		{"a separator, and the end of the record cut", "pid=1 uid=0 msg='op=\x1d" + forged + " exe=\"/x\" res=succ", "", false},
		{"forged, and names as of auditd, without an end", "pid=1 uid=0 msg='op='\x1d" + forged + "\x1dUID=\"root\"", "", false},
		{"forged, and the names of auditd cut", "pid=1 uid=0 msg='op='\x1d" + forged + "'", `UID="ro`, true},
		{"forged with a brace, and the end cut", "pid=1 uid=0 msg='op='\x1dSADDR={ exe=\"/x\" res=succ", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line := "type=USER_AUTH msg=audit(1.002:3): " + tt.body
			want := parts{Type: 1100, ID: "1.002:3", Gap: ": ", Body: tt.body, Names: tt.names, Twinned: tt.twinned, Tail: "\n"}
			if tt.twinned {
				line += "\x1d" + tt.names
			}
			if diff := cmp.Diff(want, cut(one(t, line), 0)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, typ := range []string{"USER", "ADD_USER", "ANOM_LOGIN_FAILURES", "UNKNOWN[1199]", "UNKNOWN[2999]"} {
		r := cut(one(t, "type="+typ+" msg=audit(1.002:3): uid=0 msg='op='\x1d"+forged+"'"), 0)
		if r.Twinned {
			t.Errorf("%s: names %q", typ, r.Names)
		}
	}
	t.Run("kernel record with the text of a program", func(t *testing.T) {
		r := cut(one(t, "type=SOCKADDR msg=audit(1.002:3): msg='a' saddr=01\x1dSADDR={ path=/'\x1dUID=\"evil\" }"), 0)
		if want := "msg='a' saddr=01"; r.Body != want {
			t.Errorf("body %q, want %q", r.Body, want)
		}
	})
}

// TestSeparatorInANameOfAKernelsRecord: the kernel writes the names of network devices and of tables as they are, and any user may choose some.
func TestSeparatorInANameOfAKernelsRecord(t *testing.T) {
	const names = `AUID="joe" UID="root"`
	for typ, body := range map[string]string{
		"ANOM_PROMISCUOUS": "dev=a\x1dAUID=\"root\" prom=256 old_prom=0 auid=1000 uid=1000 gid=1000 ses=1",
		"NETFILTER_CFG":    "table=x\x1dUID=\"root\" A=\"b\":5 family=2 entries=1 op=nft_register_table pid=9 subj=unconfined comm=\"nft\"",
		"AVC":              "avc:  denied  { ingress } for  saddr=10.0.0.1 netif=a\x1d\x1dUID=\"x\" scontext=a:b:c tcontext=d:e:f tclass=netif permissive=0",
	} {
		for _, added := range []string{"", "\x1d", "\x1d" + names} {
			r := cut(one(t, "type="+typ+" msg=audit(1.002:3): "+body+added), 0)
			if want := strings.TrimPrefix(added, "\x1d"); r.Body != body || r.Names != want || r.Twinned != (added != "") {
				t.Errorf("%s%q: body %q, names %q", typ, added, r.Body, r.Names)
			}
		}
	}
}

// TestFindNamesThatLostTheirSeparator: they are found where only auditd can have written them.
func TestFindNamesThatLostTheirSeparator(t *testing.T) {
	const login = `pid=1 uid=0 auid=5 msg='op=x res=ok'`
	for _, tt := range []struct {
		typ         uint32
		body, names string // names begin after sep
		sep         string
	}{
		{1112, login, `UID="root" AUID="joe"`, ""},
		{1112, login, `UID="root" AUID="joe"`, " "},
		{1112, login, `UID="root" AUID="joe"`, "#035"},
		{1112, login, `UID="root" AUID="unset"`, "\x1d"},
		{1300, `arch=c000003e syscall=2 uid=0 key="fs"`, `ARCH=x86_64 SYSCALL=open UID="root"`, ""},
		{1300, `arch=c000003e syscall=2 uid=0 key=(null)`, `ARCH=x86_64 SYSCALL=unknown-syscall(2) UID=6120`, " "},
		{1302, `item=0 ouid=0 nametype=NORMAL`, `OUID="root"`, ""},
		{1306, `saddr=01002F7D`, `SADDR={ saddr_fam=local path=/} UID="x" }`, ""},
		{1326, `auid=1 uid=0 code=0x7ffc0000`, `AUID="a" UID="b"`, ""},
		{1006, `pid=1 uid=0 old-auid=5 auid=0 res=1`, `UID="root" OLD-AUID="joe" AUID="root"`, ""},
	} {
		body := []byte(tt.body + tt.sep + tt.names)
		end, names := record.FindNames(tt.typ, body)
		if end != len(tt.body) || names != len(tt.body)+len(tt.sep) {
			t.Errorf("%q: %d, %d", body, end, names)
		}
	}
	for _, tt := range []struct {
		typ  uint32
		body string
	}{
		{1300, ``}, {1300, `=`}, {1300, `A=`}, {1300, `UID=`},
		{1300, `uid=0 exe="/x'UID=root"`}, {1300, `uid=0 comm="UID=" exe="/x"`}, {1300, `uid=0 comm="UID=a`}, {1300, `uid=0 exe="/tmp/aUID=b`}, {1300, `uid=0 comm="UID="`},
		{1300, `uid=0 comm="x" UID="root" exe="/x"`}, {1300, `auid=1 uid=0 comm="x"UID="root"`}, {1300, `uid=0 key="x" FOO="y"`},
		{1300, `uid=0 x_UID="y"`}, {1300, `uid=0 x-UID="y"`}, {1300, `uid=UID="y"`}, {1307, `cwd="/"UID="root"`}, {1327, `proctitle="x"UID="root"`},
		{1112, `uid=0 msg='acct="a"UID="root"'`}, {1112, `uid=0 msg='acct="a" UID="root"`}, {1112, `uid=0 msg='x' UID="root" res=1'`},
		{1112, `uid=0 msg='x' UID='root'`}, {1112, `msg='x'UID="root"`}, {0, `uid=0 msg='UID="root"`},
		{1400, `saddr=10.0.0.1SADDR={ x }`},
	} {
		if end, names := record.FindNames(tt.typ, []byte(tt.body)); names != -1 || end != len(tt.body) {
			t.Errorf("%q of %d: %d, %d", tt.body, tt.typ, end, names)
		}
	}
}

// whole puts the parts of a record together again.
func whole(r *record.Parsed, head []byte) []byte {
	out := bytes.Clone(head)
	out = append(append(out, r.Gap...), r.Body...)
	return append(append(append(out, r.Sep...), r.Names...), r.Tail...)
}

// head returns what stands before the gap of a record.
func head(text []byte, r *record.Parsed) []byte {
	if len(r.ID) == 0 {
		return nil
	}
	k := bytes.Index(text, append([]byte("audit("), r.ID...))
	return text[:k+len("audit(")+len(r.ID)+1]
}

// checkExact fails unless the parts and fields of a record are its bytes.
func checkExact(t *testing.T, b *record.Batch, i int) {
	t.Helper()
	text := b.Bytes(i)
	r := record.Parse(b, i)
	if got := whole(&r, head(text[len(text)-len(bytes.TrimPrefix(text, append([]byte("node="), r.Node...))):], &r)); !bytes.HasSuffix(text, got) {
		t.Fatalf("record %q\nparts  %q", text, got)
	}
	for _, text := range [][]byte{r.Body, r.Names} {
		var fields []byte
		s := record.Scan(text)
		for s.Next() {
			fields = append(append(fields, s.Gap...), s.Key...)
			fields = append(append(fields, '='), s.Value...)
			if len(s.Key) == 0 || bytes.ContainsAny(s.Key, " =\"'") {
				t.Fatalf("key %q in %q", s.Key, text)
			}
		}
		if fields = append(fields, s.Gap...); !bytes.Equal(fields, text) {
			t.Fatalf("text   %q\nfields %q", text, fields)
		}
		if s.Next() {
			t.Fatalf("a field after the end of %q", text)
		}
	}
}

func TestCapturesAreExact(t *testing.T) {
	for _, name := range captures.Names(t, "*.gz") {
		n, fields := 0, 0
		each(captures.Read(t, name), func(b *record.Batch, i int) {
			checkExact(t, b, i)
			r := record.Parse(b, i)
			n++
			for s := record.Scan(r.Body); s.Next(); {
				fields++
			}
			if want := bytes.IndexByte(b.Bytes(i), record.Separator) >= 0; r.Twinned != want {
				t.Fatalf("%s: twinned %v: %q", name, r.Twinned, b.Bytes(i))
			}
			checkNames(t, &r)
		})
		if n < 800 || fields < 9*n {
			t.Errorf("%s: %d records with %d fields", name, n, fields)
		}
	}
}

// checkNames fails unless the names of a record are those that HasTwin and a cursor give.
func checkNames(t *testing.T, r *record.Parsed) {
	t.Helper()
	if len(r.Names) == 0 {
		return
	}
	cursor := r.NameCursor()
	found := 0
	forEachField(r.Body, func(key, _ []byte) {
		if !record.HasTwin(r.Type, key) {
			return
		}
		if _, ok := cursor.Name(nil, key); !ok {
			t.Fatalf("no name of %s: %q with names %q", key, r.Body, r.Names)
		}
		found++
	})
	want := 0
	for s := record.Scan(r.Names); s.Next(); {
		if bytes.ContainsAny(s.Key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			want++
		}
	}
	if found != want {
		t.Fatalf("%d names of %d found: %q with names %q", found, want, r.Body, r.Names)
	}
}

// forEachField calls f for the fields of a body and those in a program's text.
func forEachField(body []byte, f func(key, value []byte)) {
	for s := record.Scan(body); s.Next(); {
		if v := s.Value; string(s.Key) == "msg" && len(v) > 1 && v[0] == '\'' {
			forEachField(v[1:len(v)-1], f)
			continue
		}
		f(s.Key, s.Value)
	}
}

func FuzzParseAndScan(f *testing.F) {
	for _, s := range []string{
		"type=SYSCALL msg=audit(1.002:3): arch=c000003e uid=0\x1dARCH=x86_64 UID=\"root\"\n",
		"node=n type=USER_AUTH msg=audit(1.002:3): uid=0 msg='op='\x1dUID=\"evil\"'\x1dUID=\"root\"\n",
		"type=AVC msg=audit(1.002:3): avc:  denied  { read } for  pid=1 comm=\"a\" dev=\"x\"\ntype=EOE msg=audit(1.002:3):\n",
		"type=EXECVE msg=audit(1.002:3): argc=1 a0='x a1='y' 'z\n",
		"type=SOCKADDR msg=audit(1.002:3): saddr=0100\x1dSADDR={ saddr_fam=local path=/} } }\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		each(data, func(b *record.Batch, i int) { checkExact(t, b, i) })
	})
}

// TestParseBelievesNoFlags: a record of a forged spool may say that it has an id.
func TestParseBelievesNoFlags(t *testing.T) {
	for _, text := range []string{"", ")", "(", "()", "audit(", "audit(1.000:2", "audit)", "x(audit)y", "node=a audit(", strings.Repeat(")", 9), "type=X msg=audit(1.000:2): a=b\n"} {
		for _, nodeLen := range []uint16{0, 1, uint16(max(0, len(text)-len("node=")))} {
			if nodeLen > 0 && int(nodeLen)+len("node=") > len(text) {
				continue // no such record passes the spool's checks
			}
			for _, head := range []uint16{0, 1, 5, 9, 1<<16 - 1} {
				b := &record.Batch{Buf: []byte(text), Recs: []record.Record{{Len: uint32(len(text)), Type: record.TypeUser, NodeLen: nodeLen, Head: head}}}
				p := record.Parse(b, 0)
				if n := len(p.Gap) + len(p.Body) + len(p.Sep) + len(p.Names) + len(p.Tail); n > len(text) {
					t.Errorf("%q: %d bytes", text, n)
				}
				b.Body(0)
				b.Text(0)
				b.ID(0)
			}
		}
	}
}
