package json

import (
	"strings"
	"testing"

	"audisp-relay/stream"
)

// TestValues holds single values against what the rules make of them, and whether the
// record can do without raw.
func TestValues(t *testing.T) {
	for _, c := range []struct{ typ, body, want string }{ // "!" in front of what is not there
		{"SYSCALL", "pid=007", `"pid":"007" !raw`},
		{"SYSCALL", "pid=-0", `"pid":"-0" !raw`},
		{"SYSCALL", "pid=-", `"pid":"-" !raw`},
		{"SYSCALL", "pid=", `"pid":"" !raw`},
		{"SYSCALL", "pid=12:34", `"pid":"12:34" !raw`},
		{"SYSCALL", "pid=1234567:12345678", `"pid":"1234567:12345678" !raw`},
		{"PATH", "inode=9007199254740991", `"inode":9007199254740991 !raw`},
		{"PATH", "inode=-9007199254740991", `"inode":-9007199254740991 !raw`},
		{"PATH", "inode=9007199254740992", `"inode":"9007199254740992" !raw`},
		{"PATH", "inode=12345678901234567", `"inode":"12345678901234567" !raw`},
		{"SYSCALL", `pid="1"`, `"pid":"1" "quoted":["pid"] !raw`},
		{"SYSCALL", `pid="1"2"`, `"pid":"\"1\"2\"" !quoted !raw`},
		{"SYSCALL", `a="x" b="y"z"`, `"a":"x","b":"\"y\"z\"" "quoted":["a"] !raw`},
		{"SYSCALL", "uid=4294967294", `"uid":4294967294 !raw`},
		{"SYSCALL", "uid=4294967295 auid=-1", `"uid":null,"auid":null raw`},
		{"SYSCALL", "uid=4294967295", `"uid":null !raw`},
		{"SYSCALL", "uid=4294967296", `"uid":"4294967296" !raw`},
		{"SYSCALL", "uid=-2", `"uid":"-2" !raw`},
		{"SYSCALL", "uid=01", `"uid":"01" !raw`},
		{"SYSCALL", "uid=?", `"uid":"?" !raw`},
		{"SYSCALL", "ses=4294967295", `"ses":null !raw`},
		{"SYSCALL", "ses=-1", `"ses":null raw`},
		{"SYSCALL", "a0=ffFF", `"a0":"0xffFF" !raw`},
		{"SYSCALL", "a0=0x1", `"a0":"0x1" raw`},
		{"SYSCALL", "a0=xyz", `"a0":"xyz" !raw`},
		{"SYSCALL", "success=yes exit=-2", `"success":true,"exit":-2 !errno !raw`},
		{"SYSCALL", "success=no exit=-2", `"success":false,"exit":-2,"errno":"ENOENT" !raw`},
		{"SYSCALL", "success=no exit=2", `"exit":2 !errno !raw`},
		{"SYSCALL", "success=maybe", `"success":"maybe" !raw`},
		{"SYSCALL", "errno=2", `!errno":2 raw`},
		{"INTEGRITY_DATA", "errno=2", `"errno":2 !raw`},
		{"SYSCALL", "arch=c000003e syscall=59", `"arch":"x86_64","syscall":"execve","syscall_number":59 !raw`},
		{"SYSCALL", "arch=C000003E", `"arch":"x86_64" raw`},
		{"SYSCALL", "arch=0c000003e", `"arch":"0x0c000003e" !raw`},
		{"SYSCALL", "arch=c00000ff", `"arch":"0xc00000ff" !raw`},
		{"SYSCALL", "arch=x86_64", `"arch":"x86_64" raw`},
		{"SYSCALL", "arch=0x", `"arch":"0x" raw`},
		{"SYSCALL", "syscall=99999", `"syscall":null,"syscall_number":99999 !raw`},
		{"SYSCALL", "syscall=x", `"syscall":null,"syscall_number":"x" !raw`},
		{"SYSCALL", "comm=2F746D702F612062", `"comm":"/tmp/a\u0020b" !raw`},
		{"SYSCALL", "comm=2f746d702f612062", `"comm":"/tmp/a\u0020b" raw`},
		{"SYSCALL", "comm=6162", `"comm":"ab" raw`},
		{"SYSCALL", `comm="a\b"`, `"comm":"a\\b" !raw`},
		{"SYSCALL", "comm=sh", `"comm":"sh" raw`},
		{"SYSCALL", "comm=(null)", `"comm":null !raw`},
		{"SYSCALL", `comm="(null)"`, `"comm":"(null)" !raw`},
		{"SYSCALL", `comm=""`, `"comm":"" !raw`},
		{"SYSCALL", `key="a"`, `"key":"a","keys":["a"] !raw`},
		{"SYSCALL", "key=6101", `"key":"a","keys":["a",""] !raw`},
		{"SYSCALL", "key=(null)", `"key":null,"keys":[] !raw`},
		{"SYSCALL", "pid=1", `"keys":[],"key":null !raw`},
		{"SYSCALL", "a=1  pid=2", `"a":"1","pid":2 raw`},
		{"SYSCALL", "pid=1 one two ppid=2 three ses=4", `"pid":1,"words":"\u0020one\u0020two\u0020","ppid":2,"ses":4 raw`},
		{"SYSCALL", "pid=1 one two ppid=2", `"words":"\u0020one\u0020two\u0020" !raw`},
		{"USER", "op=adding user id=1", `"op":"adding\u0020user" raw`}, // id is the event's
		{"USER", "msg='op=adding user id=1'", `"msg":{"op":"adding\u0020user","id":1} !raw`},
		{"USER", "msg='x=\"1\" words=2'", `"msg":{"x":"1","quoted":["x"]} raw`},
		{"USER", "msg=''", `"msg":{} !raw`},
		{"USER", "msg=x", `"msg":"x" !raw`},
		{"KERNEL", "initialized", `"words":"initialized" !raw`},
		{"AVC", `dev="dm-0"`, `"dev":"dm-0" !quoted !raw`},
		{"UNKNOWN[66936]", `dev="dm-0"`, `"dev":"dm-0" "quoted":["dev"] !raw`},
		{"SYSCALL", "pid=1 pid=2", `"pid":1 !"pid":2 raw`},
		{"SYSCALL", "exe=\"x\" pid=1 exe=\"y\"", `"exe":"x" !"exe":"y" raw`},
		{"SYSCALL", "PID=1", `!"PID": raw`},
		{"SYSCALL", "user=1", `!"user": raw`},
		{"SOCKADDR", "saddr=02", `"sockaddrs":[{"saddr":"02"}] !raw`},
		{"SOCKADDR", "addr=1 saddr=0200", `!"addr":"1" raw`},
		{"SOCKADDR", "saddr=01002F612062", `{"family":"unix","path":"/a\u0020b","saddr":"01002F612062"} !raw`},
		{"SOCKADDR", "saddr=0A0001BB80000001FE80000000000000000000000000000103000000", `"flowinfo":2147483649,"scope":3 "addr":"fe80::1","port":443 !raw`},
		{"SOCKADDR", "saddr=FFFF", `{"family":65535,"saddr":"FFFF"} !raw`},
		{"EXECVE", `argc=2 a0="a" a1=""`, `"args":["a",""],"argc":2 "other_records":[] !raw`},
		{"EXECVE", `argc=3 a0="a" a1=""`, `"args":["a","",null],"argc":3,"args_missing":1 raw`},
		{"EXECVE", `argc=1 a0="a" x=1`, `"args":["a"] raw`},
		{"PROCTITLE", "proctitle=610062", `"proctitle":["a","b"] "other_records":[] !raw`},
		{"PROCTITLE", "proctitle=(null)", `"proctitle":null "other_records":[] !raw`},
		{"PROCTITLE", "proctitle=61 x=1", `"proctitle":["a"] "other_records":[{"type":"PROCTITLE" raw`},
		{"CWD", "cwd=(null)", `"cwd":null "other_records":[] !raw`},
		{"CWD", "cwd=/x", `"cwd":"/x" raw`},
		{"CWD", "cwd=2f", `"cwd":"/" raw`},
	} {
		got := strings.ReplaceAll(line(t, Options{}, 0, "type="+c.typ+" msg=audit(1.000:1): "+c.body), " ", `\u0020`)
		for _, want := range strings.Fields(c.want) {
			want = strings.Replace(want, "raw", `"raw":`, 1)
			if w, not := strings.CutPrefix(want, "!"); not == strings.Contains(got, w) {
				t.Errorf("%s: %s in %s", c.body, want, got)
			}
		}
	}
}

// TestTwins does so with the names that auditd adds, "^" for the byte in front of them.
func TestTwins(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`uid=0^UID="root"`, `"uid":0,"user":"root" "names":"auditd" !raw`},
		{`uid=0 gid=0 euid=0^UID="root" GID="root" EUID="rootx"`, `"group":"root","euid":0,"euser":"rootx" !raw`},
		{`uid=0 gid=0 euid=0^UID="root" GID="root"x EUID="root"`, `raw`},
		{`uid=0 gid=0^UID="a\b" GID=612062`, `"user":"a\\b" "group":"a\u0020b" !raw`},
		{`uid=0^UID=6162`, `"user":"ab" raw`},
		{`uid=0^UID=root`, `"user":"root" raw`},
		{`uid=0^`, `!user raw`},
		{`uid=0^x`, `!user raw`},
		{`uid=0^ UID="root"`, `raw`},
		{`uid=0^UID="root" `, `"user":"root" "tail":"\u0020" !raw`},
		{`uid=0 gid=1^GID="x"`, `"uid":0,"gid":1,"group":"x" !raw`},
		{`uid=0 gid=1^GID="x" UID="y"`, `"user":"y" "group":"x" raw`},
		{`uid=4294967295^UID="unset"`, `"uid":null !user !raw`},
		{`uid=4294967295^UID="nobody"`, `"uid":null !user raw`},
		{`uid=4294967295 gid=0^GID="x"`, `"uid":null raw`},
		{`arch=c000003e^ARCH=x86_64`, `"arch":"x86_64" !raw`},
		{`arch=c000003e^ARCH=x86_6`, `raw`},
		{`arch=c000003e uid=0^UID="x"`, `raw`},
		{`arch="c000003e" uid=0^UID="x"`, `"quoted":["arch"] !raw`},
		{`arch=c000003e syscall=2^ARCH=x86_64 SYSCALL=openx`, `"syscall":"openx","syscall_number":2 !raw`},
		{`arch=c000003e syscall=2^ARCH=x86_64`, `"syscall":null,"syscall_number":2 !raw`},
		{`obj_uid=0^OBJ_UID="x"`, `"obj_uid":0,"obj_uid_name":"x" !raw`},
		{`uring_op=18^URING_OP=openat`, `"uring_op":18,"uring_op_name":"openat" !raw`},
		{"uid=0 gid=0 comm=FF^UID=\"a%b\" GID=\"a%b\"", `"comm":"%ff" "user":"a%25b" "group":"a%25b" "encoding":"percent" !raw`},
		{`uid=0 comm="100%" exe=2F25FE^UID="root"`, `"comm":"100%25" "exe":"/%25%fe" "encoding":"percent" !raw`},
		{`uid=0 comm="100%" exe=2F25^UID="root"`, `"comm":"100%" !encoding`},
		{`uid=0 comm=2F25 exe=2FFE^UID="root"`, `"comm":"/%25" "exe":"/%fe" "encoding":"percent"`},
		{`uid=0 comm=2F20 exe=2FFE^UID="root"`, `"comm":"/\u0020" "exe":"/%fe" "encoding":"percent" !raw`},
	} {
		body := strings.Replace(c.body, "^", "\x1d", 1)
		got := strings.ReplaceAll(line(t, Options{}, 0, "type=SYSCALL msg=audit(1.000:1): "+body), " ", `\u0020`)
		for _, want := range strings.Fields(c.want) {
			want = strings.Replace(want, "raw", `"raw":`, 1)
			if w, not := strings.CutPrefix(want, "!"); not == strings.Contains(got, w) {
				t.Errorf("%s: %s in %s", c.body, want, got)
			}
		}
	}
}

// TestEvents does so with events of several records.
func TestEvents(t *testing.T) {
	const id = " msg=audit(1.000:1): "
	for _, c := range []struct{ records, want string }{
		{"CONFIG_CHANGE key=\"c\"|SYSCALL key=\"s\"", `"type":"SYSCALL" "key":"s","keys":["s","c"] "other_records":[{"type":"CONFIG_CHANGE","keys":["c"]}]`},
		{"CONFIG_CHANGE key=\"c\"|SYSCALL key=(null)", `"key":"c","keys":["c"]`},
		{"CONFIG_CHANGE key=\"c\"|SYSCALL pid=1", `"pid":1,"keys":["c"],"key":"c"`},
		{"CONFIG_CHANGE key=(null)|SYSCALL pid=1", `"keys":[],"key":null {"type":"CONFIG_CHANGE","keys":[]}`},
		{"SYSCALL pid=1|SYSCALL pid=2 key=\"k\"", `"pid":1,"keys":["k"],"key":"k" "other_records":[{"type":"SYSCALL","pid":2,"keys":["k"]}]`},
		{"CWD cwd=\"/a\"|CWD cwd=\"/b\"", `"type":"CWD" "cwd":"/a" "other_records":[{"type":"CWD","cwd":"/b"}]`},
		{"CWD cwd=/a|CWD cwd=\"/b\"", `"cwd":"/a" {"type":"CWD","cwd":"/b"}`},
		{"EXECVE argc=1 a0=\"x\"|EXECVE argc=1 a0=\"y\"", `"args":["x"] "other_records":[{"type":"EXECVE","raw":`},
		{"EOE |EOE ", `"other_records":[{"type":"EOE"`},
		{"LOGIN pid=1|AVC avc: x pid=2", `"type":"LOGIN" "pid":1 "other_records":[{"type":"AVC","words":"avc:\u0020x\u0020","pid":2}]`},
	} {
		var lines []string
		for _, r := range strings.Split(c.records, "|") {
			typ, body, _ := strings.Cut(r, " ")
			lines = append(lines, "type="+typ+id+body)
		}
		got := strings.ReplaceAll(line(t, Options{}, 0, strings.Join(lines, "\n")), " ", `\u0020`)
		for _, want := range strings.Fields(c.want) {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %s", c.records, want, got)
			}
		}
	}
}

// TestOddHeaders: what the event's members do not tell is in raw.
func TestOddHeaders(t *testing.T) {
	const cwd = "audit(1.000:1): cwd=\"/\""
	type rec struct {
		kind stream.Kind
		text string
	}
	for _, c := range []struct {
		name string
		typ  string
		recs []rec
		raws int
	}{
		{"two kinds", "CWD", []rec{{stream.Line, "type=CWD msg=" + cwd}, {stream.Ver0, cwd}, {stream.Ver1, "type=CWD msg=" + cwd}}, 2},
		{"no type", "CWD", []rec{{stream.Ver1, cwd}}, 1},
		{"a node and no type", "CWD", []rec{{stream.Ver1, "node=n " + cwd}}, 1},
		{"another id where the first should be", "DAEMON_START", []rec{{stream.Ver1, "audit(1.000:1): type=xxaudit(9.999:9): a=b"}}, 1},
		{"no colon", "CWD", []rec{{stream.Line, "type=CWD msg=audit(1.000:1) cwd=\"/\""}}, 1},
		{"another name of the type", "CWD", []rec{{stream.Line, "type=UNKNOWN[1307] msg=" + cwd}}, 1},
		{"another name of the first type", "CWD", []rec{{stream.Line, "type=UNKNOWN[1307] msg=" + cwd}, {stream.Line, "type=CWD msg=" + cwd}}, 1},
		{"another form of the id", "CWD", []rec{{stream.Line, "type=CWD msg=" + cwd}, {stream.Line, "type=CWD msg=audit(01.000:1): cwd=\"/\""}}, 1},
		{"a form of the id that is odd in all", "CWD", []rec{{stream.Line, "type=CWD msg=audit(01.000:01): cwd=\"/\""}}, 0},
		{"another node", "CWD", []rec{{stream.Line, "node=a type=CWD msg=" + cwd}, {stream.Line, "type=CWD msg=" + cwd}}, 1},
		{"no id", "CWD", []rec{{stream.Line, "type=CWD msg=" + cwd}, {stream.Line, "type=CWD cwd=\"/\""}}, 1},
	} {
		var b stream.Batch
		for _, r := range c.recs {
			add(&b, r.kind, c.typ, r.text)
		}
		got := string(checkEvent(t, readDoc(t), New(Options{}), &b, 0, len(b.Recs)))
		if n := strings.Count(got, `"raw":`); n != c.raws {
			t.Errorf("%s: %d have raw, want %d: %s", c.name, n, c.raws, got)
		}
	}
}
