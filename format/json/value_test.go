package json

import (
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestValuesAreShownByTheRules holds single values against what the rules make of them, and whether the
// record can do without raw.
func TestValuesAreShownByTheRules(t *testing.T) {
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
		{"SYSCALL", "uid=4294967295 auid=-1", `"uid":null,"auid":null "literal":{"auid":"-1"} !raw`},
		{"SYSCALL", "uid=4294967295", `"uid":null !raw`},
		{"SYSCALL", "uid=4294967296", `"uid":"4294967296" !raw`},
		{"SYSCALL", "uid=-2", `"uid":"-2" !raw`},
		{"SYSCALL", "uid=01", `"uid":"01" !raw`},
		{"SYSCALL", "uid=?", `"uid":"?" !raw`},
		{"SYSCALL", "ses=4294967295", `"ses":null !raw`},
		{"SYSCALL", "ses=-1", `"ses":null "literal":{"ses":"-1"} !raw`},
		{"SYSCALL", "a0=ffFF", `"a0":"0xffFF" !raw`},
		{"SYSCALL", "a0=0x1", `"a0":"0x1" "literal":{"a0":"0x1"} !raw`},
		{"SYSCALL", "a0=xyz", `"a0":"xyz" !raw`},
		{"SYSCALL", "success=yes exit=-2", `"success":true,"exit":-2 !errno !raw`},
		{"SYSCALL", "success=no exit=-2", `"success":false,"exit":-2,"errno":"ENOENT" !raw`},
		{"SYSCALL", "success=no exit=2", `"exit":2 !errno !raw`},
		{"SYSCALL", "success=maybe", `"success":"maybe" !raw`},
		{"SYSCALL", "errno=2", `"errno_":2 !"errno": !raw`},
		{"INTEGRITY_DATA", "errno=2", `"errno":2 !raw`},
		{"SYSCALL", "arch=c000003e syscall=59", `"arch":"x86_64","syscall":"execve","syscall_number":59 !raw`},
		{"SYSCALL", "arch=C000003E", `"arch":"x86_64" "literal":{"arch":"C000003E"} !raw`},
		{"SYSCALL", "arch=0c000003e", `"arch":"0x0c000003e" !raw`},
		{"SYSCALL", "arch=c00000ff", `"arch":"0xc00000ff" !raw`},
		{"SYSCALL", "arch=x86_64", `"arch":"x86_64" raw`},
		{"SYSCALL", "arch=0x", `"arch":"0x" "literal":{"arch":"0x"} !raw`},
		{"SYSCALL", "syscall=99999", `"syscall":null,"syscall_number":99999 !raw`},
		{"SYSCALL", "syscall=x", `"syscall":null,"syscall_number":"x" !raw`},
		{"SYSCALL", "comm=2F746D702F612062", `"comm":"/tmp/a\u0020b" !raw`},
		{"SYSCALL", "comm=2f746d702f612062", `"comm":"/tmp/a\u0020b" "literal":{"comm":"2f746d702f612062"} !raw`},
		{"SYSCALL", "comm=6162", `"comm":"ab" "literal":{"comm":"6162"} !raw`},
		{"SYSCALL", `comm="a\b"`, `"comm":"a\\b" !raw`},
		{"SYSCALL", "comm=sh", `"comm":"sh" "literal":{"comm":"sh"} !raw`},
		{"SYSCALL", "comm=(null)", `"comm":null !raw`},
		{"SYSCALL", `comm="(null)"`, `"comm":"(null)" !raw`},
		{"SYSCALL", `comm=""`, `"comm":"" !raw`},
		{"SYSCALL", `key="a"`, `"key":"a","keys":["a"] !raw`},
		{"SYSCALL", "key=6101", `"key":"a","keys":["a",""] !raw`},
		{"SYSCALL", "key=(null)", `"key":null,"keys":[] !raw`},
		{"SYSCALL", "pid=1", `"keys":[],"key":null !raw`},
		{"SYSCALL", "a=1  pid=2", `"a":"1","pid":2,"blanks":["pid"] !raw`},
		{"SYSCALL", "pid=1 one two ppid=2 three ses=4", `"pid":1,"words":"\u0020one\u0020two\u0020","ppid":2,"ses":4 raw`},
		{"SYSCALL", "pid=1 one two ppid=2", `"words":"\u0020one\u0020two\u0020" !raw`},
		{"USER", "op=adding user id=1", `"op":"adding\u0020user","id_":1 "id":"1.000:1" !raw`},
		{"USER", "msg='op=adding user id=1'", `"msg":{"op":"adding\u0020user","id":1} !raw`},
		{"USER", "msg='x=\"1\" words=2'", `"msg":{"x":"1","words_":"2","quoted":["x"]} !raw`},
		{"USER", "msg=''", `"msg":{} !raw`},
		{"USER", "msg=x", `"msg":"x" !raw`},
		{"KERNEL", "initialized", `"words":"initialized" !raw`},
		{"AVC", `dev="dm-0"`, `"dev":"dm-0" !quoted !raw`},
		{"UNKNOWN[66936]", `dev="dm-0"`, `"dev":"dm-0" "quoted":["dev"] !raw`},
		{"SYSCALL", "pid=1 pid=2", `"pid":1 !"pid":2 raw`},
		{"SYSCALL", "exe=\"x\" pid=1 exe=\"y\"", `"exe":"x" !"exe":"y" raw`},
		{"SYSCALL", "PID=1", `!"PID": raw`},
		{"SYSCALL", "user=1", `!"user": "user_":"1" !raw`},
		{"SOCKADDR", "saddr=02", `"sockaddrs":[{"saddr":"02"}] !raw`},
		{"SOCKADDR", "addr=1 saddr=0200", `"addr_":"1","family":"inet" !"addr": !raw`},
		{"SOCKADDR", "saddr=01002F612062", `{"family":"unix","path":"/a\u0020b","saddr":"01002F612062"} !raw`},
		{"SOCKADDR", "saddr=0A0001BB80000001FE80000000000000000000000000000103000000", `"flowinfo":2147483649,"scope":3 "addr":"fe80::1","port":443 !raw`},
		{"SOCKADDR", "saddr=FFFF", `{"family":65535,"saddr":"FFFF"} !raw`},
		{"EXECVE", `argc=2 a0="a" a1=""`, `"args":["a",""],"argc":2 "other_records":[] !raw`},
		{"EXECVE", `argc=3 a0="a" a1=""`, `"args":["a","",null],"argc":3,"args_missing":1 raw`},
		{"EXECVE", `argc=1 a0="a" x=1`, `"args":["a"] raw`},
		{"PROCTITLE", "proctitle=610062", `"proctitle":["a","b"] "other_records":[] !raw`},
		{"PROCTITLE", "proctitle=(null)", `"proctitle":null "other_records":[] !raw`},
		{"PROCTITLE", "proctitle=61 x=1", `"proctitle":["a"] "other_records":[{"type":"PROCTITLE","proctitle":"a","x":"1","literal":{"proctitle":"61"}}] !raw`},
		{"CWD", "cwd=(null)", `"cwd":null "other_records":[] !raw`},
		{"CWD", "cwd=/x", `"cwd":"/x" "literal":{"cwd":"/x"} !raw`},
		{"CWD", ` cwd="/root"`, `"cwd":"/root" "other_records":[{"type":"CWD","cwd":"/root","blanks":["cwd"]}] !raw`},
		{"CWD", "cwd=2f", `"cwd":"/" "literal":{"cwd":"2f"} !raw`},
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

// TestOddSpellingNeedsNoRaw: what programs and kernels write otherwise than the classes have it is
// shown by a member of its own, and the record's bytes do not stand there once more.
func TestOddSpellingNeedsNoRaw(t *testing.T) {
	for _, c := range []struct{ typ, body, want string }{
		// blanks
		{"USER_LOGIN", `msg=' op=x res=1'`, `"msg":{"op":"x","res":"1","blanks":["op"]}`},
		{"USER_LOGIN", `msg='op=x  '`, `"msg":{"op":"x","blanks":["",""]}`},
		{"USER_LOGIN", `msg='   '`, `"msg":{"blanks":["","",""]}`},
		{"USER_LOGIN", `msg='op=x    res=1'`, `"msg":{"op":"x","res":"1","blanks":["res","res","res"]}`},
		{"USER_LOGIN", `msg='op=a  b   res=1  key=2'`, `"op":"a\u0020\u0020b","res":"1","key":"2","literal":{"key":"2"},"blanks":["res","res","key"]`},
		{"DAEMON_START", `subj=unconfined  res=success`, `"subj":"unconfined","res":"success","blanks":["res"]`},
		{"SYSCALL", `pid=1  key="a"`, `"pid":1,"key":"a","keys":["a"],"blanks":["key"]`},
		{"AVC", `avc:  denied  { create } for  pid=1 ipc_key=2026  tclass=sem`, `"ipc_key":"2026","tclass":"sem","blanks":["tclass"]`},
		{"SYSCALL", `pid=1|USER pid=1  key="a"`, `"keys":["a"],"blanks":["keys"]`},
		{"USER_LOGIN", "msg='op=x" + strings.Repeat(" ", 18) + "res=1'", `raw`},
		// text in quotes that has blanks or other bytes, and text without
		{"AVC", `apparmor="STATUS" info="same as current profile, skipping" profile="unconfined"`, `"info":"same\u0020as\u0020current\u0020profile,\u0020skipping" "quoted":["info"]`},
		{"USER_LOGIN", "msg='acct=\"\xc3\xa9 a\" exe=?'", `"acct":"é\u0020a","exe":"?","quoted":["acct"],"literal":{"exe":"?"}`},
		{"VIRT_CONTROL", "msg='vm=? vm-pid=? key=6162'", `"vm":"?","vm-pid":"?","key":"ab","literal":{"vm":"?","key":"6162"}`},
		{"CONFIG_CHANGE", "auid=1 key=6162|SYSCALL key=6162", `"literal":{"key":"6162"} {"type":"CONFIG_CHANGE","auid":1,"keys":["ab"],"literal":{"keys":"6162"}}`},
		// single quotes
		{"DM_CTRL", `dev=254:3 error_msg='Cannot allocate cipher=x res=1' res=0`, `"error_msg":"Cannot\u0020allocate\u0020cipher=x\u0020res=1","res":"0","literal":{"error_msg":"'Cannot\u0020allocate\u0020cipher=x\u0020res=1'"}`},
		{"DM_CTRL", `pid='1' uid='0' comm='a b' a0='1' ses='1' exit='1' success='yes' x=''`, `"pid":"1","uid":"0","comm":"a\u0020b","a0":"1","ses":"1","exit":"1","success":"yes","x":"","literal":{`},
		// the kernel's -1
		{"OBJ_PID", `opid=1 oauid=-1 ouid=0 oses=-1 ocomm="x"`, `"oauid":null,"ouid":0,"oses":null,"ocomm":"x","literal":{"oauid":"-1","oses":"-1"}`},
		{"USER_LOGIN", `uid="0" auid="4294967295"`, `"uid":"0","auid":"4294967295" "quoted":["uid","auid"]`},
		// names of the format
		{"VIRT_CONTROL", `uid=0 msg='user=root reason=api uid=1'`, `"msg":{"user_":"root","reason":"api","uid":1}`},
		{"USER", `user=a type=b node=c serial=d id=4294967295 key="k" paths=e args=f frame=1 raw=g literal=h blanks=i`,
			`"user_":"a","type_":"b","node_":"c","serial_":"d","id_":null,"key":"k" "paths_":"e","args_":"f","frame_":"1","raw_":"g","literal_":"h","blanks_":"i"`},
		{"USER", `user=a user_=b`, `"user_":"a" raw`},
		{"USER", `user=a user=b`, `"user_":"a" raw`},
		{"SYSCALL", `pid=1|USER type=a keys=b key="c" id=5`, `{"type":"USER","type_":"a","keys_":"b","keys":["c"],"id":5}`},
		// classes
		{"CRYPTO_SESSION", `msg='spid=1299 suid=74 ksize=256 rport=1 lport=?'`, `"spid":1299,"suid":74,"ksize":256,"rport":1,"lport":"?"`},
		{"USER_DEVICE", `msg='device="/devices/usb1" device_rule=616C6C6F7720696420'`, `"device_rule":"allow\u0020id\u0020"`},
		// what is not shown beside raw does not count for the encoding
		{"SYSCALL", "comm=a\xff exe=\"100%\" PID=1", `"comm":"a%ff","exe":"100%25" raw`},
		// a text that was cut
		{"USER_LOGIN", `uid=0 msg='op=login acct="root" exe="/usr/sb`, `"msg":{"op":"login","acct":"root","exe":"\"/usr/sb" raw`},
		{"USER_LOGIN", `uid=0 msg='`, `"msg":{} raw`},
	} {
		records := "type=" + c.typ + " msg=audit(1.000:1): " + strings.ReplaceAll(c.body, "|", "\ntype=")
		records = strings.ReplaceAll(records, "\ntype=USER ", "\ntype=USER msg=audit(1.000:1): ")
		records = strings.ReplaceAll(records, "\ntype=SYSCALL ", "\ntype=SYSCALL msg=audit(1.000:1): ")
		got := strings.ReplaceAll(line(t, Options{}, 0, records), " ", `\u0020`)
		if !strings.HasSuffix(c.want, "raw") {
			c.want += " !raw"
		}
		for _, want := range strings.Fields(c.want) {
			if want == "raw" || want == "!raw" {
				want = strings.Replace(want, "raw", `"raw":`, 1)
			}
			if w, not := strings.CutPrefix(want, "!"); not == strings.Contains(got, w) {
				t.Errorf("%s: %s in %s", c.body, want, got)
			}
		}
	}
}

// TestNamesOfAuditd holds the names that auditd adds against what is made of them; "^" is the separator.
func TestNamesOfAuditd(t *testing.T) {
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
		{`arch=c000003e syscall=2^ARCH=x86_64`, `"syscall":null,"syscall_number":2 raw`},
		{`arch=c000003e syscall=1073742344`, `"syscall":"execve","syscall_number":1073742344 !raw`},
		{`arch=c000003e syscall=1073742344^ARCH=x86_64 SYSCALL=unknown-syscall(1073742344)`, `"syscall":null,"syscall_number":1073742344 !raw`},
		{`arch=c000003e syscall=469^ARCH=x86_64 SYSCALL=unknown-syscall(469)`, `"syscall":null,"syscall_number":469 !raw`},
		{`arch=c000003e syscall=470^ARCH=x86_64 SYSCALL=unknown-syscall(469)`, `"syscall":null,"syscall_number":470 raw`},
		{`uring_op=77^URING_OP=unknown-uring-operation(77)`, `"uring_op":77 !uring_op_name raw`},
		{`auid=-1 oauid=-1^AUID="unset" OAUID="unset"`, `"auid":null,"oauid":null,"literal":{"auid":"-1","oauid":"-1"} !auser !raw`},
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

// TestRecordsHaveTheirPlacesInTheEvent holds events of several records against what is made of them.
func TestRecordsHaveTheirPlacesInTheEvent(t *testing.T) {
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

// TestOddHeaderIsInRaw: what the event's members do not say is in raw.
func TestOddHeaderIsInRaw(t *testing.T) {
	const cwd = "audit(1.000:1): cwd=\"/\""
	type rec struct {
		kind record.Kind
		text string
	}
	for _, c := range []struct {
		name string
		typ  string
		recs []rec
		raws int
	}{
		{"two kinds", "CWD", []rec{{record.Line, "type=CWD msg=" + cwd}, {record.Ver0, cwd}, {record.Ver1, "type=CWD msg=" + cwd}}, 2},
		{"no type", "CWD", []rec{{record.Ver1, cwd}}, 1},
		{"a node and no type", "CWD", []rec{{record.Ver1, "node=n " + cwd}}, 1},
		{"another id where the first should be", "DAEMON_START", []rec{{record.Ver1, "audit(1.000:1): type=xxaudit(9.999:9): a=b"}}, 1},
		{"no colon", "CWD", []rec{{record.Line, "type=CWD msg=audit(1.000:1) cwd=\"/\""}}, 1},
		{"another name of the type", "CWD", []rec{{record.Line, "type=UNKNOWN[1307] msg=" + cwd}}, 1},
		{"another name of the first type", "CWD", []rec{{record.Line, "type=UNKNOWN[1307] msg=" + cwd}, {record.Line, "type=CWD msg=" + cwd}}, 1},
		{"another form of the id", "CWD", []rec{{record.Line, "type=CWD msg=" + cwd}, {record.Line, "type=CWD msg=audit(01.000:1): cwd=\"/\""}}, 1},
		{"a form of the id that is odd in all", "CWD", []rec{{record.Line, "type=CWD msg=audit(01.000:01): cwd=\"/\""}}, 0},
		{"another node", "CWD", []rec{{record.Line, "node=a type=CWD msg=" + cwd}, {record.Line, "type=CWD msg=" + cwd}}, 1},
		{"no id", "CWD", []rec{{record.Line, "type=CWD msg=" + cwd}, {record.Line, "type=CWD cwd=\"/\""}}, 1},
	} {
		var b record.Batch
		for _, r := range c.recs {
			add(&b, r.kind, c.typ, r.text)
		}
		got := string(checkEvent(t, readDoc(t), New(Options{}), &b, 0, len(b.Recs)))
		if n := strings.Count(got, `"raw":`); n != c.raws {
			t.Errorf("%s: %d have raw, want %d: %s", c.name, n, c.raws, got)
		}
	}
}
