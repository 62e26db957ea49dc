package filter

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
	"audisp-relay/testdata/captures"
)

// kept reports whether the filter keeps the one event of records.
func kept(t *testing.T, src string, records []string) bool {
	t.Helper()
	l := lines(t, records...)
	keep, err := mustCompile(t, src).New().Keep(&l.batch, 0, len(l.batch.Recs))
	if err != nil {
		t.Errorf("%s: %v", src, err)
	}
	return keep
}

// event makes records of one event of bodies "TYPE fields".
func event(bodies ...string) []string {
	for i, b := range bodies {
		typ, fields, _ := strings.Cut(b, " ")
		bodies[i] = "type=" + typ + " msg=audit(1795298317.864:77): " + fields
	}
	return bodies
}

func TestFieldsHaveWhatTheRecordsSay(t *testing.T) {
	login := event("USER_LOGIN pid=1 uid=0 auid=1000 ses=2 subj=x msg='op=login id=1001 acct=\"o'brien\" exe=\"/usr/sbin/sshd\" hostname=? addr=10.1.2.3 terminal=sshd res=failed'\x1dUID=\"root\" AUID=\"bob\"")
	user := event(`ADD_USER pid=1 uid=0 auid=1000 ses=2 msg='op=adding user acct=726F6F74 exe="/usr/sbin/useradd" hostname=? addr=? terminal=? res=success'`)
	open := event(
		`SYSCALL arch=c000003e syscall=257 success=no exit=-13 a0=ffffff9c a1=7ffd2c91f8a2 a2=241 a3=0 items=2 ppid=15 pid=16 auid=4294967295 uid=0 gid=5 euid=1 suid=2 fsuid=3 egid=6 sgid=7 fsgid=8 `+
			`tty=(none) ses=4294967295 comm=6120620A exe="/usr/bin/touch" subj=/usr/bin/touch (enforce) key=65786563016E6574`,
		`CWD cwd="/srv/demo"`,
		`PATH item=0 name="sub/.." inode=5 ouid=0 ogid=0 nametype=PARENT`,
		`PATH item=1 name=2F7661722F6C6F672F61C3A9 inode=7 ouid=1000 ogid=1001 nametype=CREATE`,
		`PATH item=2 name=(null) inode=9 ouid=4294967295 nametype=UNKNOWN`,
		`PROCTITLE proctitle=746F75636800612062`,
		`EOE `)
	exec := event(`SYSCALL arch=40000003 syscall=11 success=yes exit=0 pid=3 key=(null)`, `EXECVE argc=4 a0="ls" a1="" a2=2D6C20`, `EXECVE a3="c"`)
	connect := event(`SYSCALL arch=c000003e syscall=42 success=no exit=-111 key="net"`, `SOCKADDR saddr=020000160A0102030000000000000000`)
	unix := event(`SYSCALL arch=c000003e syscall=42 success=yes exit=0 key="net"`, `SOCKADDR saddr=01002F6465762F6C6F6700`)
	abstract := event(`SYSCALL arch=c000003e syscall=42`, `SOCKADDR saddr=0100006162`)
	mapped := event(`SYSCALL arch=c000003e syscall=42`, `SOCKADDR saddr=0A0001BB0000000000000000000000000000FFFF0A01020300000000`)
	inet6 := event(`SYSCALL arch=c000003e syscall=42`, `SOCKADDR saddr=0A0001BBFFFFFFFF20010DB800000000000000000000000100000000`)
	config := event(`CONFIG_CHANGE auid=1000 ses=1 op=add_rule key="fim" list=4 res=1`, `SYSCALL arch=c000003e syscall=44 success=yes exit=60 pid=8 key=(null)`)
	avc := event(`AVC avc:  denied  { read } for  pid=9 comm="x" name="y" dev="sda1" scontext=a:b tcontext=c:d tclass=file permissive=0`)
	for _, c := range []struct {
		of   []string
		srcs []string // all hold
	}{
		{open, []string{
			`type == "SYSCALL"`, `type == "PATH"`, `main_type == "SYSCALL"`, `main_type != "PATH"`, `types[1] == "CWD"`, `types[-1] == "EOE"`, `len(types) == 7`, `"PATH" in record_types`, `type in ["EOE", "AVC"]`,
			`key == "exec"`, `key == "net"`, `"net" == key`, `key != "fim"`, `not (key != "net")`, `key in ["net"]`, `key not in ["a", "b"]`, `key matches "^ex"`, `key matches "t$"`, `key contains "e"`,
			`key startsWith "n"`, `key endsWith "c"`, `not (key contains "x1")`, `has_key("net")`, `has_key("a", "exec")`, `not has_key("a")`, `keys[1] == "net"`, `len(keys) == 2`, `keys[2] == ""`,
			`node == ""`, `serial == 77`, `id == "1795298317.864:77"`, `time == at("2026-11-21T21:58:37.864Z")`, `time >= at("2026-11-21T21:58:37Z") and time < at("2026-11-21T22:58:38+01:00")`,
			`not success`, `failed`, `exit == -13`, `errno == "EACCES"`, `syscall == "openat"`, `syscall_number == 257`, `arch == "x86_64"`, `a0 == 2 * 0x7fffffce`, `bitand(a2, 0x40) != 0`, `items == 2`, `ppid == 15`, `pid == 16`,
			`auid == unset`, `uid == 0`, `gid == 5`, `euid == 1`, `suid == 2`, `fsuid == 3`, `egid == 6`, `sgid == 7`, `fsgid == 8`, `ses == unset`, `auser == ""`, `tty == "(none)"`, `comm == "a b\n"`,
			`exe == "/usr/bin/touch"`, `subj == "/usr/bin/touch (enforce)"`, `cwd == "/srv/demo"`, `proctitle == "touch a b"`,
			`len(paths) == 2`, `path == "sub/.."`, `path == "/var/log/aé"`, `path != "/etc"`, `paths[1] startsWith "/var"`, `nametype == "CREATE"`, `ouid == 1000`, `ouid == unset`, `ouid != 5`, `not (ouid in 5..6)`, `ouid in [7, 1000]`,
			`ogid == 1001`, `inode > 8`, `8 < inode`, `5 == inode`, `path_under("/srv/demo")`, `path_under("/var/log/")`, `path_under("/tmp", "/usr/bin/touch")`, `path_under("/")`, `not path_under("/srv/demo/sub", "/var/logs", "/va")`,
			`field("syscall") == "257"`, `field("nametype") == "PARENT"`, `field("nothing") == ""`, `argc == 0`, `len(args) == 0`, `args[0] == ""`, `addr == ""`, `port == 0`, `family == ""`,
		}},
		{exec, []string{
			`syscall == "execve"`, `arch == "i386"`, `key == ""`, `key != "exec"`, `not has_key("")`, `key matches "^$"`, `key in ["", "x"]`, `len(keys) == 0`, `argc == 4`, `args[0] == "ls"`, `args[1] == ""`, `args[2] == "-l "`,
			`args[-1] == "c"`, `args[4] == ""`, `args[-5] == ""`, `any(args, # startsWith "-l")`, `"c" in args`, `all(args, # != "rm")`, `none(args, # == "rm")`, `one(args, # == "")`, `count(args, # contains "l") == 2`, `success`, `exit == 0`, `errno == ""`,
			`let n = len(args); n > 3 and n < 5`, `(success ? exit : 1) == 0`, `lower(comm) == ""`, `a0 == 0`, `path == ""`, `ouid == unset`, `inode == 0`, `auid == unset`, `int(field("argc")) == 4`,
		}},
		{login, []string{
			`type == "USER_LOGIN"`, `acct == "o'brien"`, `msg.acct == "o'brien"`, `op == "login"`, `msg.op == "login"`, `res == "failed"`, `failed`, `not success`, `exe == "/usr/sbin/sshd"`, `msg.exe == exe`, `addr == "10.1.2.3"`, `hostname == "?"`,
			`terminal == "sshd"`, `msg.id == 1001`, `id != "1001"`, `uid == 0`, `auid == 1000`, `auser == "bob"`, `user == "root"`, `pid == 1`, `in_net(addr, "10.0.0.0/8")`, `in_net(addr, "192.168.0.0/16", "10.1.2.3")`, `not in_net(addr, "11.0.0.0/8")`,
			`not in_net(hostname, "0.0.0.0/0")`, `field("acct") == "o'brien"`, `field("id") == "1001"`, `subj == "x"`, `syscall == ""`, `syscall_number == -1`, `key == ""`, `path_under("/usr/sbin")`,
		}},
		{user, []string{`op == "adding user"`, `msg.op == "adding user"`, `field("op") == "adding user"`, `acct == "root"`, `msg.acct == "root"`, `success`, `msg.id == unset`, `auser == ""`}},
		{connect, []string{`family == "inet"`, `addr == "10.1.2.3"`, `port == 22`, `in_net(addr, "10.1.0.0/16")`, `errno == "ECONNREFUSED"`, `key == "net"`, `main_type == "SYSCALL"`}},
		{unix, []string{`family == "unix"`, `addr == "/dev/log"`, `port == 0`, `not in_net(addr, "0.0.0.0/0", "::/0")`}},
		{abstract, []string{`family == "unix"`, `addr == "@ab"`}},
		{mapped, []string{`family == "inet6"`, `addr == "10.1.2.3"`, `addr in ["10.1.2.3"]`, `addr == "::ffff:10.1.2.3"`, `addr == "::FFFF:a01:203"`, `port == 443`, `in_net(addr, "10.1.0.0/16")`}},
		{inet6, []string{`family == "inet6"`, `addr == "2001:db8::1"`, `addr == "2001:DB8:0::0001"`, `addr in ["::1", "2001:DB8::1"]`, `addr != "2001:DB8::2"`, `"2001:db8:0:0:0:0:0:1" == addr`, `port == 443`, `in_net(addr, "2001:db8::/32")`}},
		{config, []string{`main_type == "SYSCALL"`, `type == "CONFIG_CHANGE"`, `key == "fim"`, `op == "add_rule"`, `list == 4`, `success`, `auid == 1000`, `res == "1"`, `pid == 8`}},
		{avc, []string{`type == "AVC"`, `pid == 9`, `comm == "x"`, `scontext == "a:b"`, `tclass == "file"`, `permissive == "0"`, `field("dev") == "sda1"`, `field("name") == "y"`, `not success`, `not failed`}},
		{event(`SYSCALL arch=c000003e syscall=44`, `SOCKADDR saddr=00000035080808080000000000000000`), []string{`family == "unspec"`, `addr == "8.8.8.8"`, `port == 53`, `in_net(addr, "8.0.0.0/8")`}},
		{event(`PATH item=0 name="/x"`, `USER_CMD pid=1 uid=0 auid=1 msg='cwd="/root" cmd=6C73202D6C terminal=pts/0 res=success'`), []string{`main_type == "USER_CMD"`, `cmd == "ls -l"`, `cwd == "/root"`, `path == "/x"`, `terminal == "pts/0"`}},
		{[]string{"node=web-1 type=SYSCALL msg=audit(1795298317.864:77): arch=c000003e syscall=1 auid=7"}, []string{`node == "web-1"`, `auid == 7`, `type == "SYSCALL"`}},
		{[]string{"type=UNKNOWN[1424] msg=audit(1795298337.528:1731242): domain=188139b15 denials=1"}, []string{`type == "UNKNOWN[1424]"`, `type in ["UNKNOWN[1424]"]`, `types[0] == "UNKNOWN[1424]"`, `any(types, # == "UNKNOWN[1424]")`, `types[0] == "LANDLOCK_DOMAIN"`, `field("domain") == "188139b15"`}},
		{event(`CONTAINER_OP op=set opid=9 contid=1`, `SYSCALL arch=c000003e syscall=1 auid=7 key="contid"`, `CONTAINER_OP op=x`), []string{`type == "CONTAINER_OP"`, `"CONTAINER_OP" in types`, `types[0] == "CONTAINER_OP"`, `type in ["CKADDR", "CONTAINER_OP"]`, `type != "CKADDR"`,
			`key == "contid"`, `field("contid") == "1"`, `opid == 9`, `main_type == "SYSCALL"`, `any(types, # startsWith "CONTAINER")`, `time > at("2020-01-01")`}},
		{event(`CKADDR pid=5 a=b`), []string{`type == "CKADDR"`, `main_type == "CKADDR"`, `pid == 5`}},
		{[]string{"type=UNKNOWN[1250] msg=audit(1795298337.528:1731242): a=b"}, []string{`type == "UNKNOWN[1250]"`, `types[0] == "UNKNOWN[1250]"`, `type != "AVC"`, `types[0] startsWith "UNKNOWN"`}},
		{event(`CONFIG_CHANGE auid=-1 ses=-1 op=set res=0`), []string{`failed`, `not success`, `auid == unset`, `ses == unset`}},
		{event(`SYSCALL arch=c000003e syscall=1 success=yes exit=-2 exe=(null) comm=(null) monkey="x"`), []string{`errno == ""`, `exit == -2`, `exe == ""`, `comm == ""`, `key == ""`}},
		{event(`SYSCALL arch=c000003e syscall=1 key="a" later=1`), []string{`key == "a"`}},
		{event(`USER_X msg='addr=::ffff:10.1.2.3 hostname=fe80::1%eth0 res=1'`), []string{`in_net(addr, "10.0.0.0/8")`, `in_net(addr, "::ffff:10.0.0.0/104")`, `in_net(addr, "::ffff:10.1.2.3")`, `in_net(hostname, "fe80::/10")`, `not in_net(addr, "::/0")`, `success`,
			`addr == "10.1.2.3"`, `addr == "::ffff:10.1.2.3"`, `msg.addr == "::ffff:10.1.2.3"`, `msg.addr != "10.1.2.3"`, `field("addr") == "::ffff:10.1.2.3"`}},
	} {
		for _, src := range c.srcs {
			if !kept(t, src, c.of) {
				t.Errorf("%s does not hold for\n%s", src, strings.Join(c.of, "\n"))
			}
			if kept(t, "not ("+src+")", c.of) {
				t.Errorf("not (%s) holds for\n%s", src, strings.Join(c.of, "\n"))
			}
		}
	}
}

// TestLargestNumbers: system calls may return any number of 64 bits, and networked file systems have such inodes.
func TestLargestNumbers(t *testing.T) {
	const most = "7*7*73*127*337*92737*649657" // as no literal of 32 bits
	for text, number := range map[string]string{
		"9223372036854775807": most, "-9223372036854775808": "-(" + most + ") - 1", "1152921504606846976": "1073741824 * 1073741824", "0000000000000000000000017": "17", "-007": "-7", "-0": "0", "00": "0",
	} {
		of := event("SYSCALL arch=c000003e syscall=8 success=yes exit="+text, "PATH inode="+text)
		for _, src := range []string{"exit == (" + number + ")", "inode == (" + number + ")", "(" + number + ") in inodes"} {
			if !kept(t, src, of) {
				t.Errorf("%s does not hold for %s", src, text)
			}
		}
	}
	for _, text := range []string{"9223372036854775808", "-9223372036854775809", "18446744073709551615", "99999999999999999999", "-", "", "1x", "--1", "-+1"} {
		if !kept(t, "exit == 0 and len(inodes) == 0", event("SYSCALL arch=c000003e syscall=8 exit="+text, "PATH inode="+text)) {
			t.Errorf("%q is a number", text)
		}
	}
}

// TestNumbersCompareAtTheirEdges compares at the edges, with the number on either side.
func TestNumbersCompareAtTheirEdges(t *testing.T) {
	for _, x := range []int{-2, -1, 0, 999, 1000, 1001} {
		of := event(fmt.Sprintf("SYSCALL arch=c000003e syscall=1 exit=%d", x), fmt.Sprintf("PATH inode=%d", x))
		for _, name := range []string{"exit", "inode"} {
			for _, y := range []int{-1, 0, 1000} {
				for src, want := range map[string]bool{
					"%[1]s == %[2]d": x == y, "%[1]s != %[2]d": x != y, "%[1]s < %[2]d": x < y, "%[1]s <= %[2]d": x <= y, "%[1]s > %[2]d": x > y, "%[1]s >= %[2]d": x >= y,
					"%[2]d == %[1]s": x == y, "%[2]d != %[1]s": x != y, "%[2]d < %[1]s": y < x, "%[2]d <= %[1]s": y <= x, "%[2]d > %[1]s": y > x, "%[2]d >= %[1]s": y >= x,
					"%[1]s in %[2]d..1000": y <= x && x <= 1000, "%[1]s in -1..%[2]d": -1 <= x && x <= y, "%[1]s in [%[2]d, 5]": x == y, "%[1]s not in [7, %[2]d]": x != y,
				} {
					if src = fmt.Sprintf(src, name, y); kept(t, src, of) != want {
						t.Errorf("%s is %v for %d", src, !want, x)
					}
				}
			}
		}
	}
}

// TestSearchFindsWhatAPlainOneFinds: the search finds a key where a plain one does.
func TestSearchFindsWhatAPlainOneFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPattern(rapid.SampledFrom([]string{"uid", "auid", "ppid", "exe", "hostname", "a0", "old-auid"}).Draw(t, "key"))
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{" ", "=", "a", "u", "uid", "auid=", "p", "ppid", "e", "exe=", "hostname", "hostnam_=", "0", " hostname=x", " hostnam_=y", " uid=7", " old-auid=1"}), 0, 20).Draw(t, "text")
		text := strings.Join(pieces, "")
		plain := func(from int) int {
			k := strings.Index(text[from:], p.needle)
			if k < 0 {
				return -1
			}
			return from + k + len(p.needle)
		}
		if got := p.search([]byte(text), 0); got != plain(0) {
			t.Errorf("%q in %q: %d, want %d", p.needle, text, got, plain(0))
		}

		from := rapid.IntRange(0, len(text)).Draw(t, "from")
		want := -1
		if from > 0 { // else there is no hint
			want = plain(from)
		}
		if want < 0 {
			if want = plain(0); strings.HasPrefix(text, p.needle[1:]) {
				want = len(p.needle) - 1
			}
		}
		hint := from + len(p.needle) + 16
		if p.findNear([]byte(text), &hint); want >= 0 && hint != want {
			t.Errorf("%q in %q from %d: %d, want %d", p.needle, text, from, hint, want)
		}
	})
}

func TestRecoveredAndIncompleteNeedTheirFlags(t *testing.T) {
	l := lines(t, cat...)
	m := mustCompile(t, `recovered and incomplete`).New()
	all := func() bool {
		keep, err := m.Keep(&l.batch, 0, len(l.batch.Recs))
		if err != nil {
			t.Error(err)
		}
		return keep
	}
	if all() {
		t.Error("recovered and incomplete without a flag")
	}
	l.batch.Recs[2].Flags |= record.FromLog
	if all() {
		t.Error("incomplete without a flag")
	}
	l.batch.Recs[4].Flags |= record.Partial
	if !all() {
		t.Error("not recovered and incomplete with both flags")
	}
}

// known are users for RAW streams.
type known struct{}

func (known) User(uid uint32) string  { return fmt.Sprintf("user%d", uid) }
func (known) Group(gid uint32) string { return fmt.Sprintf("group%d", gid) }

func TestNamesComeFromAuditdOrTheHost(t *testing.T) {
	const raw = "type=SYSCALL msg=audit(1795298317.864:1): arch=c000003e syscall=1 auid=1000 uid=4294967295 gid=5"
	for _, c := range []struct {
		record, src string
		users       users.Names
	}{
		{raw, `auser == "user1000"`, known{}},
		{raw, `group == "group5"`, known{}},
		{raw, `user == ""`, known{}}, // unset
		{raw, `auser == ""`, nil},
		{"node=other " + raw, `auser == ""`, known{}},
		{"node=here " + raw, `auser == "user1000"`, known{}},
		{raw + "\x1dAUID=\"bob\" UID=\"unset\"", `auser == "bob" and user == "" and group == ""`, known{}},
		{raw + "\x1dAUID=\"unset\" UID=\"bob auid=0\"", `auid == 1000`, nil},
		{raw + "\x1dAUID=626F62", `auser == "bob"`, nil},
	} {
		l := lines(t, c.record)
		m := mustCompile(t, c.src).New()
		m.Users, m.Local = c.users, "here"
		if keep, err := m.Keep(&l.batch, 0, 1); !keep || err != nil {
			t.Errorf("%s does not hold for %q: %v", c.src, c.record, err)
		}
	}
}

// TestSearchAgreesWithTheScanner: what is found by searching is what a walk over the
// fields finds, in every record of every capture.
func TestSearchAgreesWithTheScanner(t *testing.T) {
	var patterns []pattern
	for _, key := range []string{"auid", "uid", "gid", "fsgid", "pid", "ppid", "ses", "comm", "exe", "tty", "subj", "success", "exit", "a0", "a3", "items", "arch", "syscall", "key", "op", "res", "cwd", "name", "saddr", "acct", "old-auid"} {
		patterns = append(patterns, newPattern(key))
	}
	compared := 0
	for _, name := range captures.Names(t, "*.string.gz") {
		l := read(t, captures.Read(t, name))
		m := mustCompile(t, "true").New()
		hints := make([]int, len(patterns))
		for _, e := range l.events {
			m.beginEvent(&l.batch, e[0], e[1])
			for k := e[0]; k < e[1]; k++ {
				var p body
				m.cutRecord(&p, k)
				want := scanned(record.Parse(&l.batch, k).Body)
				for i := range patterns {
					key := patterns[i].key
					got := patterns[i].find(p.text)
					if l.batch.Recs[k].Type == record.TypeSyscall {
						got = patterns[i].findNear(p.text, &hints[i])
					}
					if got == nil {
						got = patterns[i].findInText(p.msg, false)
					}
					w, ok := want[key]
					if (got != nil) != ok || string(got) != w {
						t.Fatalf("%s: %s is %q, want %q in %q", name, key, got, w, l.batch.Bytes(k))
					}
					if ok {
						compared++
					}
				}
			}
		}
	}
	if compared < 10000 {
		t.Errorf("only %d values compared", compared)
	}
}

var opWords = regexp.MustCompile(`op=([^=]*) [a-z]+=`)

// scanned returns the fields of a record, those of a program's text only where the record
// itself has none of that name.
func scanned(text []byte) map[string]string {
	out := make(map[string]string)
	var msg []byte
	s := record.Scan(text)
	for s.Next() {
		if string(s.Key) == "msg" && len(s.Value) > 0 && s.Value[0] == '\'' {
			at := bytes.Index(text, []byte("msg='"))
			msg = bytes.TrimSuffix(text[at+len("msg='"):], []byte("'"))
			break // after it a truncated record has fields of the program
		}
		if _, ok := out[string(s.Key)]; !ok {
			out[string(s.Key)] = string(s.Value)
		}
	}
	if msg != nil {
		for key, v := range scanned(msg) {
			if _, ok := out[key]; !ok {
				out[key] = v
			}
			if words := opWords.FindSubmatch(msg); key == "op" && words != nil { // words without = belong to what is before
				out[key] = string(words[1])
			}
		}
	}
	return out
}

// TestEveryNameMayBeThere: what field(NAME) does not look for is not in the event.
func TestEveryNameMayBeThere(t *testing.T) {
	l := world(t)
	m := mustCompile(t, "true").New()
	names := 0
	for _, e := range l.events {
		m.beginEvent(&l.batch, e[0], e[1])
		for k := m.i; k < m.j; k++ {
			var r body
			m.cutRecord(&r, k)
			for _, text := range [2][]byte{r.text, r.msg} {
				for s := record.Scan(text); s.Next(); names++ {
					today, _ := record.LoginKey(s.Gap, s.Key)
					if name := cmp.Or(today, string(s.Key)); !m.mayHave(name) {
						t.Errorf("%s is not looked for in %s", name, l.text(e))
					}
				}
			}
		}
	}
	if names < 1000 {
		t.Errorf("%d names: that tests little", names)
	}

	few := lines(t, event("USER_CMD b=1 =")...)
	m.beginEvent(&few.batch, 0, 1)
	for name, want := range map[string]bool{"b": true, "msg": true, "exe": false, "sb": false} {
		if m.mayHave(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
