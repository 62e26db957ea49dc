package ecs

import (
	"fmt"
	"strings"
	"testing"
)

const msgOf = `pid=7 uid=0 auid=1000 ses=5 subj=system_u:system_r:sshd_t:s0 msg='%s res=success'`

// Only a security context is one, and only the kernel says whose.
func TestOnlySecurityContextsAreSplit(t *testing.T) {
	for _, tt := range []struct {
		text string
		want expect
	}{
		{rec("FANOTIFY", `resp=2 fan_type=1 fan_info=3137 subj_trust=3 obj_trust=5`),
			expect{"user.selinux.trust": nil, "auditd.data.subj_trust": "3", "auditd.data.obj_trust": "5"}},
		{sys(44, 0) + rec("UNKNOWN[1420]", `subj_selinux=system_u:system_r:sshd_t:s0 subj_apparmor=unconfined`),
			expect{"user.selinux.selinux": nil, "auditd.data.subj_selinux": "system_u:system_r:sshd_t:s0", "auditd.data.subj_apparmor": "unconfined"}},
		{rec("UNKNOWN[1425]", `subj_selinux=a:b:c subj_="2701" =x obj_=y`),
			expect{"user.selinux.selinux": nil, "auditd.data.subj_": "2701", "auditd.data.obj_": "y"}},
		{rec("USER_CMD", fmt.Sprintf(msgOf, `subj_user=evil_u subj_role=r`)),
			expect{"user.selinux.user": "system_u", "user.selinux.role": "system_r", "auditd.data.subj_user": "evil_u", "auditd.data.subj_role": "r"}},
		{rec("USER_CMD", `pid=7 uid=0 auid=1000 ses=5 msg='subj=evil_u:evil_r:t:s0 res=success'`),
			expect{"user.selinux.user": nil, "auditd.data.subj": "evil_u:evil_r:t:s0", "event.original": nil}},
		{sys(257, 1) + rec("PATH", `item=0 name="/x" inode=5 mode=0100644 obj=system_u:object_r:etc_t:s0 obj_trust=5 obj_user=evil_u nametype=NORMAL`),
			expect{"file.selinux.user": "system_u", "file.selinux.domain": "etc_t", "file.selinux.trust": nil, "auditd.paths.0.obj_trust": "5", "auditd.paths.0.obj_user": "system_u"}},
		{rec("SYSCALL", fmt.Sprintf(call, 44, 0)+`comm="x" exe="/x" subj=unconfined key=(null)`), expect{"user.selinux.user": "unconfined"}},
	} {
		tt.want.check(t, tt.text, Options{})
	}
}

// An id or a session that is not set is nowhere, whatever its name is and however it is
// written.
func TestUnsetIDIsNowhere(t *testing.T) {
	for _, val := range []string{"4294967295", "-1"} {
		for _, key := range []string{"uid", "auid", "euid", "gid", "ses", "old-auid", "old-ses", "id", "oauid", "ouid", "ogid", "oses", "sauid", "iuid", "inode_uid",
			"obj_gid", "new_gid", "xuid", "loginuid", "target_gid", "old_ses"} {
			for _, text := range []string{
				rec("ADD_USER", `pid=1 `+key+`=`+val+` op=x res=1`),
				rec("ADD_USER", `pid=1 msg='op=x `+key+`=`+val+` res=failed'`+sep+strings.ToUpper(key)+`="unset"`),
				sys(257, 1) + rec("PATH", `item=0 name="/x" `+key+`=`+val+` nametype=NORMAL`),
				sys(62, 0) + rec("OBJ_PID", `opid=7 `+key+`=`+val),
				rec("LOGIN", `pid=1 `+key+`=`+val+` res=1`) + sys(1, 0),
			} {
				b := parse(t, text)
				line := string(New(Options{}).AppendEvent(nil, b, 0, len(b.Recs)))
				if strings.Contains(line, `"`+val+`"`) || strings.Contains(line, "event.original") {
					t.Errorf("%s%s", text, line)
				}
			}
		}
	}
	for _, text := range []string{`a0=-1 exit=-1 ino=4294967295`, `name="4294967295" acct="-1"`} { // other things are what they are
		b := parse(t, rec("CONFIG_CHANGE", text))
		line := string(New(Options{}).AppendEvent(nil, b, 0, 1))
		if !strings.Contains(line, `"4294967295"`) || (!strings.Contains(line, `"-1"`) && !strings.Contains(line, "EPERM")) {
			t.Errorf("%s: %s", text, line)
		}
	}
}

// What is no id is none of the user's, and no program says what the kernel has to.
func TestOnlyIDsAreUsers(t *testing.T) {
	for _, tt := range []struct {
		text string
		want expect
	}{
		{rec("CONFIG_CHANGE", `auid=1000 xuid=5 loginuid=1001 target_uid=7 op=x res=1`),
			expect{"user.audit.id": "1000", "user.xuid.id": nil, "user.loginuid.id": nil, "auditd.data.xuid": "5", "auditd.data.loginuid": "1001", "auditd.data.target_uid": "7"}},
		{rec("CONFIG_CHANGE", `auid=abc uid="0" gid=-5 egid=007 res=1`),
			expect{"user.audit.id": nil, "auditd.data.auid": "abc", "user.group.id": nil, "auditd.data.gid": "-5", "auditd.data.egid": "007"}},
		{rec("PATH", `item=0 name="x" uid=-0`), expect{"user.id": nil, "auditd.data.uid": "-0"}},
		{rec("CONFIG_CHANGE", `uid=4294967296 euid=99999999999999999999 res=1`),
			expect{"user.id": nil, "auditd.data.uid": "4294967296", "user.effective.id": nil, "auditd.data.euid": "99999999999999999999"}},
		{rec("CRYPTO_SESSION", fmt.Sprintf(msgOf, `op=start suid=74 rport=5 laddr=10.0.0.1`)+sep+`UID="root" AUID="a" SUID="sshd"`),
			expect{"user.saved.id": nil, "auditd.data.suid": "74", "auditd.data.suid_name": "sshd", "user.id": "0"}},
		{rec("USER_CMD", fmt.Sprintf(msgOf, `euid=0 gid=0 key="exec" cmd="x"`)),
			expect{"user.effective.id": nil, "user.group.id": nil, "tags": nil, "auditd.data.key": "exec", "auditd.data.euid": "0"}},
		{rec("USER_CMD", `pid=7 uid=0 auid=1000 msg='ses=5 cmd="x" res=success'`), expect{"auditd.session": nil, "auditd.data.ses": "5"}},
		{rec("USER_AVC", fmt.Sprintf(msgOf, `avc:  denied  { send_msg } for sauid=81`)), expect{"user.sauid.id": "81"}},
		{sys(257, 1) + rec("PATH", `item=0 name="/x" mode=0100644 ouid=root ogid=5 nametype=NORMAL`), expect{"file.uid": nil, "file.gid": "5", "auditd.paths.0.ouid": "root"}},
	} {
		tt.want.check(t, tt.text, Options{})
	}
}

// The outcome is one of three words.
func TestOutcomeIsOneOfThreeWords(t *testing.T) {
	for said, want := range map[string]string{
		"res=success": "success", "res=1": "success", "res=yes": "success", "res=Success": "success", "res=failed": "failure", "res=no": "failure", "res=denied": "failure",
		"result=Success": "success", "result=Authentication failure": "failure", "result=Authentication": "failure", "result=x res=success": "success",
		"res=failed result=success": "failure", "success=yes result=no": "success", "": "unknown", "res=?": "unknown", `result=""`: "unknown",
		`res="?"`: "unknown",
	} {
		for _, text := range []string{rec("USER_LOGIN", "pid=1 uid=0 auid=1 ses=1 msg='op=x "+said+"'"), rec("CONFIG_CHANGE", said)} {
			expect{"event.outcome": want, "auditd.result": strings.TrimSuffix(want, "ure")}.check(t, text, Options{})
		}
	}
}

// Addresses of any family and byte order. Only those of IP are an ip and a port.
func TestOnlyIPAddressesAreIP(t *testing.T) {
	const (
		connect = 42
		bind    = 49
	)
	s := "auditd.data.socket."
	for _, tt := range []struct {
		saddr string
		want  expect
	}{
		{"02000016C0000209" + "0000000000000000", expect{s + "family": "ipv4", "destination.ip": "192.0.2.9", "destination.port": "22", s + "saddr": nil}},
		{"00020016C0000209" + "0000000000000000", expect{s + "family": "ipv4", "destination.ip": "192.0.2.9", "destination.port": "22", s + "saddr": "00020016C00002090000000000000000"}},
		{"000A01BB00000000" + "20010DB8000000000000000000000007" + "00000000", expect{s + "family": "ipv6", "destination.ip": "2001:db8::7", "destination.port": "443"}},
		{"00012F746D702F7800", expect{s + "family": "unix", "destination.path": "/tmp/x", s + "saddr": "00012F746D702F7800"}},
		{"000100406100", expect{s + "family": "unix", "destination.path": "@@a\x00"}},
		{"001000000000000500000001", expect{s + "family": "netlink", s + "pid": "5", s + "groups": "1", "process.pid": "2"}},
		{"100000000500000001000000", expect{s + "family": "netlink", s + "pid": "5", s + "groups": "1", "process.pid": "2"}},
		{"28000000160500000300000000000000", expect{s + "family": "vsock", s + "cid": "3", s + "port": "1302", "destination.port": nil, "destination.ip": nil}},
		{"110008060200000001000006FFFFFFFFFFFF0000", expect{s + "family": "packet", s + "ifindex": "2", s + "hwaddr": "ffffffffffff0000"}},
		{"0000000000000000", expect{s + "family": "unspec"}},
		{"0000003508080808" + "0000000000000000", expect{s + "family": "unspec", s + "addr": "8.8.8.8", s + "port": "53", "destination.ip": nil, "auditd.summary.object.primary": nil}},
		{"0900" + "31302E302E302E31" + "0000000000000000", expect{s + "family": "x25", s + "addr": "10.0.0.1", "destination.ip": nil, "destination.address": nil}},
		{"01000040", expect{s + "family": "unix", "destination.path": "@@"}},
		{"0100", expect{s + "family": "unix", s + "path": nil, s + "saddr": "0100"}},
		{"010000", expect{s + "family": "unix", s + "path": nil, s + "saddr": "010000"}},
		{"02001F90", expect{s + "family": "ipv4", s + "port": "8080", s + "addr": nil, "destination.ip": nil, s + "saddr": "02001F90"}},
		{"FE000102", expect{s + "family": "254", s + "saddr": "FE000102"}},
		{"02", expect{s + "family": nil, s + "saddr": "02"}},
		{"0A0001BBFFFFFFFF" + "FE800000000000000000000000000001" + "02000000", expect{s + "family": "ipv6", s + "flow": "4294967295", s + "scope": "2", "destination.ip": "fe80::1"}},
	} {
		tt.want.check(t, sys(connect, 0)+rec("SOCKADDR", "saddr="+tt.saddr), Options{})
		expect{s + "family": tt.want[s+"family"], "destination.ip": nil, "source.ip": nil}.check(t, sys(bind, 0)+rec("SOCKADDR", "saddr="+tt.saddr), Options{})
	}
	expect{s + "family": "unspec", "destination.ip": "8.8.8.8", "destination.port": "53", "auditd.summary.object.primary": "8.8.8.8"}.
		check(t, sys(44, 0)+rec("SOCKADDR", "saddr=00000035080808080000000000000000"), Options{}) // sendto
	expect{"process.pid": nil, "auditd.data.family": "netlink", "auditd.data.socket.pid": "5", "event.original": nil}.check(t, rec("SOCKADDR", "saddr=100000000500000001000000"), Options{})
}

// What a security module has allowed or only reports is no violation.
func TestAllowedIsNoViolation(t *testing.T) {
	armor := func(verdict, rest string) string {
		return rec("AVC", `apparmor="`+verdict+`" `+rest+` profile="p" pid=1 comm="x"`)
	}
	for text, want := range map[string]string{
		armor("DENIED", `operation="open"`):                                        "violated-apparmor-policy",
		armor("KILLED", `operation="signal"`):                                      "violated-apparmor-policy",
		armor("DENIED", `operation="open"`) + sys(2, 0):                            "violated-apparmor-policy",
		armor("ALLOWED", `operation="capable"`):                                    "allowed-by-apparmor-complain-mode",
		armor("ALLOWED", `operation="open"`) + sys(2, 0):                           "allowed-by-apparmor-complain-mode",
		armor("AUDIT", `operation="open"`):                                         "audited-by-apparmor-policy",
		armor("HINT", `operation="change_hat"`):                                    "hinted-by-apparmor",
		armor("ERROR", `operation="profile_load"`):                                 "apparmor-error",
		armor("STATUS", `operation="profile_load"`):                                "loaded-apparmor-profile",
		armor("STATUS", `operation="profile_replace"`):                             "loaded-apparmor-profile",
		armor("STATUS", `operation="profile_remove"`):                              "removed-apparmor-profile",
		armor("STATUS", `info="enabled"`):                                          "reported-apparmor-status",
		armor("STILL_NEWER", ``):                                                   "reported-by-apparmor",
		rec("APPARMOR_DENIED", `operation="open" pid=1`):                           "violated-apparmor-policy",
		rec("APPARMOR_STATUS", `operation="profile_load" apparmor="STATUS" pid=1`): "loaded-apparmor-profile",
		rec("AVC", `avc:  denied  { read } for  pid=1 comm="x" scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=file`):             "violated-selinux-policy",
		rec("AVC", `avc:  denied  null for  pid=1 comm="x" scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=file`):                 "violated-selinux-policy",
		rec("USER_AVC", `pid=1 uid=0 msg='avc:  denied  { start } for  scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=service'`): "access-permission",
		rec("AVC", `avc:  granted  { load_policy } for  pid=1 comm="x" scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=file`):     "granted-by-selinux-policy",
	} {
		expect{"event.action": want}.check(t, text, Options{})
	}
	expect{"event.category": []any{"configuration"}, "event.type": []any{"change"}, "auditd.data.apparmor": "STATUS"}.check(t, armor("STATUS", `operation="profile_load"`), Options{})
	expect{"event.category": []any{"mac-decision"}, "event.type": nil}.check(t, armor("DENIED", `operation="open"`), Options{})
	null := `avc:  denied  null for  pid=1 scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=file`
	expect{"auditd.data.seresult": "denied", "auditd.data.seperms": "", "event.original": nil}.check(t, rec("AVC", null), Options{})
	more := rec("AVC", strings.Replace(null, "null", "{ read } and more", 1))
	expect{"auditd.data.seresult": "denied", "auditd.data.seperms": "read", "event.original": []any{strings.TrimSpace(more)}}.check(t, more, Options{})
}

// A file's path is absolute where the records say what it is relative to.
func TestFilePathIsAbsoluteWhereKnown(t *testing.T) {
	event := func(nr int, args, cwd string, paths ...string) string {
		text := rec("SYSCALL", fmt.Sprintf("arch=c000003e syscall=%d success=yes exit=3 %s items=%d ", nr, args, len(paths))+ids+exe)
		if cwd != "" {
			text += rec("CWD", `cwd=`+cwd)
		}
		for i, p := range paths {
			text += rec("PATH", fmt.Sprintf("item=%d inode=%d mode=0100644 ouid=0 ogid=0 rdev=00:00 %s", i, i, p))
		}
		return text
	}
	const (
		at     = "a0=ffffff9c a1=1 a2=0 a3=0"
		fd     = "a0=3 a1=1 a2=0 a3=0"
		normal = ` nametype=NORMAL`
		shadow = `name="shadow"` + normal
	)
	parent := `name="/etc" nametype=PARENT`
	created, removed := `name="new" nametype=CREATE`, `name="old" nametype=DELETE`
	for _, tt := range []struct{ name, text, want string }{
		{"openat", event(257, at, `"/etc"`, shadow), "/etc/shadow"},
		{"openat, 64 bits", event(257, "a0=ffffffffffffff9c", `"/etc"`, shadow), "/etc/shadow"},
		{"openat, upper half of the register", event(257, "a0=1ffffff9c", `"/etc"`, shadow), "/etc/shadow"},
		{"openat, descriptor", event(257, fd, `"/home/evil"`, shadow), "shadow"},
		{"openat, descriptor 0", event(257, "a0=0", `"/home/evil"`, shadow), "shadow"},
		{"openat, another negative", event(257, "a0=ffffff9b", `"/home/evil"`, shadow), "shadow"},
		{"openat, no argument", event(257, "", `"/etc"`, shadow), "shadow"},
		{"openat, descriptor, absolute name", event(257, fd, `"/home/evil"`, `name="/etc/shadow"`+normal), "/etc/shadow"},
		{"openat, hex", event(257, at, `2F6120C3BC`, `name=622063`+normal), "/a ü/b c"},
		{"openat, no cwd", event(257, at, "", shadow), "shadow"},
		{"openat, cwd that says nothing", event(257, at, "(null)", shadow), "shadow"},
		{"openat, cwd that is not absolute", event(257, at, `"(unreachable)/x"`, shadow), "shadow"},
		{"openat, root", event(257, at, `"/"`, shadow), "/shadow"},
		{"open", event(2, "a0=3", `"/etc"`, shadow), "/etc/shadow"},
		{"execve", event(59, "a0=3", `"/tmp"`, `name="./x"`+normal), "/tmp/x"},
		{"dots", event(2, "a0=3", `"/home/u"`, `name="../../etc/./shadow"`+normal), "/etc/shadow"},
		{"beyond the root", event(2, "a0=3", `"/home"`, `name="../../../etc/shadow"`+normal), "/etc/shadow"},
		{"dots in an absolute name", event(2, "a0=3", `"/home/u"`, `name="/tmp/..//etc/shadow"`+normal), "/etc/shadow"},
		{"absolute name", event(2, "a0=3", `"/home/u"`, `name="/etc/.x/"`+normal), "/etc/.x"},
		{"this directory", event(257, at, `"/etc"`, `name="."`+normal), "/etc"},
		{"call by descriptor", event(91, "a0=3", `"/etc"`, shadow), "shadow"},
		{"call without a name", event(9999, at, `"/etc"`, shadow), ""},
		{"renameat2, old", event(316, "a0=ffffff9c a1=1 a2=3 a3=1", `"/etc"`, parent, parent, removed, created), "/etc/old"},
		{"renameat2, old by descriptor", event(316, "a0=3 a1=1 a2=ffffff9c a3=1", `"/etc"`, parent, parent, removed, created), "old"},
		{"rename", event(82, "a0=1 a1=1", `"/etc"`, parent, parent, removed, created), "/etc/old"},
		{"linkat, old", event(265, "a0=ffffff9c a1=1 a2=3 a3=1", `"/etc"`, `name="old"`+normal, parent, created), "/etc/old"},
		{"linkat, old by descriptor", event(265, "a0=3 a1=1 a2=ffffff9c a3=1", `"/etc"`, `name="old"`+normal, parent, created), "old"},
		{"linkat, new", event(265, "a0=3 a1=1 a2=ffffff9c a3=1", `"/etc"`, parent, created), "/etc/new"},
		{"linkat, new by descriptor", event(265, "a0=ffffff9c a1=1 a2=3 a3=1", `"/etc"`, parent, created), "new"},
		{"symlinkat", event(266, "a0=1 a1=ffffff9c a2=1 a3=1", `"/etc"`, `name="t" nametype=UNKNOWN`, parent, created), "/etc/new"},
		{"symlinkat, descriptor", event(266, "a0=ffffff9c a1=3 a2=1 a3=1", `"/etc"`, `name="t" nametype=UNKNOWN`, parent, created), "new"},
		{"unlinkat", event(263, at, `"/etc"`, parent, removed), "/etc/old"},
		{"cwd of another record", rec("UNKNOWN[1423]", `cwd="/evil"`) + event(257, at, "", shadow), "shadow"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := expect{"file.path": tt.want}
			if tt.want == "" {
				want["file.path"] = nil
			}
			want.check(t, tt.text, Options{})
			b := parse(t, tt.text)
			checkWhole(t, b, 0, len(b.Recs), encode(t, New(Options{}), tt.text))
		})
	}
}

// Whatever keys are in a record, the line is strict JSON that has all of them.
func TestOddKeysAreWritten(t *testing.T) {
	for _, body := range []string{`subj_=x`, `obj_=x`, `=x`, `==x`, ` = x`, `a..b=1`, `.=1`, `a.=1`, `a=1 a.b=2`, `socket=1 socket_addr=2 socket_=3`, `a=1 a=2 a=1`, `A=1 a=2`,
		"\xff=1", "a\x00b=1", `a"b=1`, `a\b=1`, `subj=a:b:c subj_user=x subj_user=y`, `proctitle=1 proctitle="x"`, `uid=1 uid=2 uid_name=x`, `a[0]=1`,
		`result=1 success=no res=?`, `path=1 paths=2 data=3 summary=4`, `__proto__=1`, `-=1`, `_=1`, `id=1 name=2`} {
		for _, typ := range []string{"SYSCALL", "PATH", "USER_CMD", "FANOTIFY", "EXECVE", "SOCKADDR", "UNKNOWN[1425]", "GRP_MGMT"} {
			for _, text := range []string{rec(typ, body), rec(typ, "pid=1 msg='"+body+"'"), sys(257, 1) + rec(typ, body), rec(typ, body+sep+strings.ToUpper(body)), rec(typ, body) + rec(typ, body)} {
				b := parse(t, text)
				leaves := decodeLine(t, New(Options{}).AppendEvent(nil, b, 0, len(b.Recs)))
				checkWhole(t, b, 0, len(b.Recs), leaves)
				checkSchema(t, leaves)
				if t.Failed() {
					t.Fatal(text)
				}
			}
		}
	}
}

// A program's record that has the id of the system call with which it was sent says what
// the event is, in whatever order they come.
func TestProgramsRecordSaysWhatTheEventIs(t *testing.T) {
	program := rec("USER_LOGIN", `pid=2 uid=0 auid=1000 ses=3 msg='op=login id=1000 exe="/usr/sbin/sshd" hostname=? addr=192.0.2.4 terminal=ssh res=failed'`+sep+`UID="root" AUID="alice" ID="alice"`)
	contexts := rec("UNKNOWN[1420]", `subj_apparmor=unconfined`)
	for _, text := range []string{program + sys(44, 0) + contexts, sys(44, 0) + contexts + program, contexts + sys(44, 0) + program, program + contexts} {
		expect{"event.action": "logged-in", "auditd.message_type": "user_login", "user.id": "1000", "user.name": "alice", "source.ip": "192.0.2.4",
			"auditd.data.subj_apparmor": "unconfined"}.check(t, text, Options{})
	}
}

// What is moved to another place is shown there, whichever record it is of.
func TestWhatHasMovedIsShown(t *testing.T) {
	same := `pid=2 uid=0 auid=1000 ses=3 msg='op=login id=1000 exe="/usr/bin/x" hostname=? addr=192.0.2.4 terminal=ssh res=success'`
	for _, tt := range []struct {
		text string
		want expect
	}{
		{rec("USER_LOGIN", same) + sys(44, 0), expect{"source.ip": "192.0.2.4", "auditd.data.addr": nil, "event.original": nil}},
		{sys(42, 0) + rec("SOCKADDR", ``) + rec("SOCKADDR", `saddr=02000035010203040000000000000000`), expect{"destination.ip": "1.2.3.4"}},
		{rec("USER", `pid=1 obj_gid=wheel obj_uid=5 msg='res=success'`), expect{"user.obj_gid.id": nil, "auditd.data.obj_gid": "wheel", "user.obj_uid.id": "5"}},
		{sys(59, 0) + rec("EXECVE", `argc=1 a0="x"`) + rec("BPF", `argc=7`), expect{"auditd.data.argc": "1", "auditd.messages.0.data.argc": "7"}},
	} {
		tt.want.check(t, tt.text, Options{})
		b := parse(t, tt.text)
		checkWhole(t, b, 0, len(b.Recs), encode(t, New(Options{}), tt.text))
	}
}
