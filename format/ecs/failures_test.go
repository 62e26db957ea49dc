package ecs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"
)

// library has go-libaudit read lines as they are, and returns what auditbeat makes of
// them; error and warnings beside it.
func library(text string) map[string]any {
	var msgs []*auparse.AuditMessage
	for line := range strings.Lines(text) {
		msg, err := auparse.ParseLogLine(line)
		if err != nil {
			return map[string]any{"error": err.Error()}
		}
		msgs = append(msgs, msg)
	}
	ev, err := aucoalesce.CoalesceMessages(msgs)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	m := auditbeat(ev)
	for _, w := range ev.Warnings {
		m["warnings"] = fmt.Sprint(m["warnings"], w, "; ")
	}
	return m
}

// rec returns a record's line.
func rec(typ, body string) string {
	return "type=" + typ + " msg=audit(1795296167.053:4): " + body + "\n"
}

const (
	sep = "\x1d"
	// ids are those of a SYSCALL record, 44 is sendto, 42 connect, 59 execve, 257 openat.
	ids  = `ppid=1 pid=2 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3 `
	call = `arch=c000003e syscall=%d success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=%d ` + ids
	exe  = `comm="x" exe="/usr/bin/x" key=(null)`
)

func sys(nr, items int) string { return rec("SYSCALL", fmt.Sprintf(call, nr, items)+exe) }

// Where go-libaudit v2.6.2 goes wrong: what it gives, and what we do. A value of nil says
// that there is no such field. The numbers are those of docs/ecs.md.
func TestFailuresOfTheLibrary(t *testing.T) {
	type want map[string]any
	openat := rec("SYSCALL", fmt.Sprintf(call, 257, 1)+exe)
	user := `pid=1 uid=0 auid=1000 ses=3 `
	path := `item=0 %s inode=5 dev=fe:00 mode=%s ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_frootid=0`
	execve := func(records ...string) string {
		text := sys(59, 0)
		for _, body := range records {
			text += rec("EXECVE", body)
		}
		return text
	}
	for _, tt := range []struct {
		name, text string
		alone      want // what go-libaudit gives
		ours       want
	}{
		{"1 node", "node=web-1 " + rec("SYSCALL", fmt.Sprintf(call, 44, 0)+exe),
			want{"error": "invalid message type"},
			want{"host.name": "web-1", "event.action": "sent-to", "event.id": "1795296167.053:4"}},
		{"2 record without id", "type=DAEMON_ERR op=format-enriched msg=NULL res=failed\n",
			want{"error": "invalid message type"},
			want{"event.original": []any{"type=DAEMON_ERR op=format-enriched msg=NULL res=failed"}, "event.kind": "event", "labels.timestamp": "written", "event.id": nil}},
		{"2 lost", "type=SYSCALL msg=lost\n",
			want{"error": "invalid audit message header"},
			want{"event.original": []any{"type=SYSCALL msg=lost"}, "auditd.message_type": "syscall"}},
		{"3 res=1 before the separator", rec("CONFIG_CHANGE", `auid=4294967295 ses=4294967295 op=add_rule list=4 res=1`+sep+`AUID="unset"`),
			want{"auditd.result": "fail"},
			want{"auditd.result": "success", "event.outcome": "success", "user.audit.id": nil}},
		{"4 key=(null) before the separator", rec("SYSCALL", fmt.Sprintf(call, 44, 0)+exe+sep+`ARCH=x86_64 SYSCALL=sendto AUID="alice" UID="root"`),
			want{"tags": []any{"x86_64"}},
			want{"tags": nil, "user.audit.name": "alice", "event.original": nil}},
		{"5 last field", openat + rec("PATH", fmt.Sprintf(path, `name="/etc/x"`, "0100644")+sep+`OUID="root" OGID="adm"`),
			want{"auditd.paths.0.cap_frootid": "0\x1dOUID="},
			want{"auditd.paths.0.cap_frootid": "0", "file.owner": "root", "file.group": "adm", "auditd.paths.0.owner": "root"}},
		{"6 unix socket", sys(42, 0) + rec("SOCKADDR", `saddr=01002F6465762F6C6F6700`+sep+`SADDR={ saddr_fam=local path=/dev/log }`),
			want{"destination.path": nil, "warnings": "failed to parse SOCKADDR message"},
			want{"destination.path": "/dev/log", "auditd.data.socket.family": "unix", "auditd.summary.object.primary": "/dev/log", "auditd.data.socket.saddr": nil, "event.original": nil}},
		{"6 inet socket", sys(42, 0) + rec("SOCKADDR", `saddr=0200003501020304000000000000000000`[:38]+sep+`SADDR={ saddr_fam=inet laddr=1.2.3.4 lport=53 }`),
			want{"auditd.data.socket.laddr": "1.2.3.4"},
			want{"auditd.data.socket.laddr": nil, "destination.ip": "1.2.3.4", "destination.port": "53"}},
		{"7 result from a name", rec("USER_LOGIN", `pid=1 uid=0 auid=1000 ses=3 msg='op=login acct="x" exe="/usr/sbin/sshd" hostname=? addr=? terminal=ssh res=failed'`+sep+`UID="x" AUID="x res=success"`),
			want{"auditd.result": "success"},
			want{"auditd.result": "fail", "event.outcome": "failure", "user.name": "x res=success"}},
		{"7 address from a path", sys(42, 0) + rec("SOCKADDR", `saddr=0200003501020304`+sep+`SADDR={ saddr_fam=inet path=/tmp/x addr=9.9.9.9 port=22 }`),
			want{"auditd.data.socket.path": "/tmp/x"},
			want{"destination.ip": "1.2.3.4", "auditd.data.socket.path": nil}},
		{"8 names", rec("SYSCALL", fmt.Sprintf(call, 44, 0)+exe+sep+`ARCH=x86_64 SYSCALL=sendto AUID="alice" UID="root" GID="staff" EUID="root" SUID="root" FSUID="root" EGID="staff" SGID="staff" FSGID=6120C3BC`),
			want{"user.name": nil},
			want{"user.name": "root", "user.audit.name": "alice", "user.group.name": "staff", "user.filesystem.group.name": "a ü", "related.user": []any{"alice", "root"}}},
		{"9 odd arguments", execve(`argc=5 a0="grep" a1="" a2="?" a3="(null)" a4="f"`),
			want{"process.args": nil, "warnings": "failed to find arg a1"},
			want{"process.args": []any{"grep", "", "?", "(null)", "f"}, "auditd.data.argc": "5", "event.original": nil}},
		{"10 split argument", execve(`argc=3 a0="sh" a1_len=8 a1[0]=4141 a1[1]=4242 a2="x"`),
			want{"process.args": nil, "warnings": "failed to find arg a1"},
			want{"process.args": []any{"sh", "AABB", "x"}, "event.original": nil}},
		{"10 split record", execve(`argc=3 a0="sh" a1="y"`, `a2="x"`),
			want{"process.args": nil, "warnings": "failed to find arg a2"},
			want{"process.args": []any{"sh", "y", "x"}, "event.original": nil}},
		{"10 missing arguments", execve(`argc=4 a0="sh" a2="x"`),
			want{"process.args": nil},
			want{"process.args": []any{"sh", "x"}, "auditd.data.argc": "4", "auditd.messages.0.type": "execve"}},
		{"11 quotes", execve(`argc=2 a0="sh" a1="'q'"`),
			want{"process.args": []any{"sh", "q"}},
			want{"process.args": []any{"sh", "'q'"}}},
		{"12 names that say nothing", openat + rec("CWD", `cwd="?"`) + rec("PATH", fmt.Sprintf(path, `name="(null)"`, "0100644")),
			want{"file.path": nil, "process.working_directory": nil},
			want{"file.path": "(null)", "process.working_directory": "?", "auditd.paths.0.name": "(null)"}},
		{"13 no exe", rec("SYSCALL", fmt.Sprintf(call, 44, 0)+`comm="x" exe=(null) key=(null)`),
			want{"auditd.data.syscall": nil, "warnings": "exe key not found"},
			want{"auditd.data.syscall": "sendto", "event.action": "sent-to", "process.name": "x", "user.audit.id": "1000"}},
		{"13 record cut", rec("SYSCALL", `syscall=44 success=yes exit=0 pid=2`),
			want{"process.pid": nil, "warnings": "arch key not found"},
			want{"process.pid": "2", "auditd.data.syscall": "44"}},
		{"14 hex", openat + rec("OBJ_PID", `opid=7 oauid=1000 ouid=0 oses=3 ocomm=6B776F726B6572206D`) +
			rec("USER_CMD", `msg='acct=6120C3BC vm=6162 cmd=6C73202D6C'`),
			want{"auditd.data.ocomm": "6B776F726B6572206D", "auditd.data.acct": "6120C3BC"},
			want{"auditd.data.ocomm": "kworker m", "auditd.data.acct": "a ü", "auditd.data.vm": "ab", "auditd.data.cmd": "ls -l"}},
		{"14 comm", rec("SYSCALL", fmt.Sprintf(call, 44, 0)+`comm=6B776F726B6572206D exe="/x" key=(null)`),
			want{"process.name": "6B776F726B6572206D"},
			want{"process.name": "kworker m"}},
		{"15 USER_AVC", rec("USER_AVC", `pid=1 uid=81 auid=4294967295 ses=4294967295 msg='avc:  denied  { send_msg acquire } for msgtype=method_call tclass=dbus exe="/usr/bin/dbus-daemon" sauid=81 hostname=? addr=? terminal=?'`),
			want{"auditd.data.seresult": nil, "auditd.data.seperms": nil},
			want{"auditd.data.seresult": "denied", "auditd.data.seperms": "send_msg,acquire", "auditd.data.tclass": "dbus", "event.original": nil}},
		{"16 quote in a program's text", rec("USER_LOGIN", `pid=1 uid=0 auid=1000 ses=3 msg='op=x acct="o'brien" exe="/a" hostname=? addr=? terminal=? res=success'`),
			want{"auditd.data.acct": nil},
			want{"auditd.data.acct": "o'brien", "process.executable": "/a", "auditd.result": "success"}},
		{"17 a program's pid", rec("USER_CMD", `pid=100 uid=0 auid=1000 ses=3 msg='uid=77 pid=5 cmd="x" res=success'`),
			want{"process.pid": "5", "user.id": "77"},
			want{"process.pid": "100", "user.id": "0",
				"event.original": []any{`type=USER_CMD msg=audit(1795296167.053:4): pid=100 uid=0 auid=1000 ses=3 msg='uid=77 pid=5 cmd="x" res=success'`}}},
		{"18 AppArmor", rec("SYSCALL", fmt.Sprintf(call, 44, 0)+`comm="x" exe="/usr/bin/x" subj=/usr/sbin/cupsd (enforce) key=(null)`),
			want{"user.selinux.user": "/usr/sbin/cupsd"},
			want{"user.selinux.user": "/usr/sbin/cupsd (enforce)", "event.original": nil}},
		{"19 abstract socket", sys(42, 0) + rec("SOCKADDR", `saddr=0100002F746D702F78`),
			want{"destination.path": nil, "auditd.data.socket.path": nil},
			want{"destination.path": "@/tmp/x", "auditd.data.socket.saddr": "0100002F746D702F78"}},
		{"19 flowinfo", sys(42, 0) + rec("SOCKADDR", `saddr=0A0001BBFFFFFFFF2001000000000000000000000000000100000000`),
			want{"destination.ip": nil, "warnings": "failed to parse SOCKADDR message"},
			want{"destination.ip": "2001::1", "destination.port": "443", "auditd.data.socket.flow": "4294967295", "auditd.data.socket.saddr": nil}},
		{"19 scope", sys(42, 0) + rec("SOCKADDR", `saddr=0A0001BB00000000FE80000000000000000000000000000102000000`),
			want{"destination.ip": "fe80::1", "auditd.data.socket.saddr": nil},
			want{"destination.ip": "fe80::1", "auditd.data.socket.saddr": "0A0001BB00000000FE80000000000000000000000000000102000000"}},
		{"20 NULs", rec("PROCTITLE", "proctitle=4142\x00\x00"),
			want{"process.title": "4142\x00\x00"},
			want{"process.title": "AB"}},
		{"21 type beyond the table", rec("UNKNOWN[70000]", `pid=7 op=x`),
			want{"error": "invalid message type"},
			want{"auditd.message_type": "unknown[70000]", "process.pid": "7", "auditd.data.op": "x"}},
		{"22 id that is none", "type=SYSCALL msg=audit(1795296167.5:4): pid=1\n",
			want{"@timestamp": "2026-11-21T21:22:47.005Z"},
			want{"labels.timestamp": "written", "event.original": []any{"type=SYSCALL msg=audit(1795296167.5:4): pid=1"}}},
		{"23 no system call", rec("URINGOP", `uring_op=18 success=yes exit=0 items=1 ppid=1 pid=2 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 key="k"`) +
			rec("CWD", `cwd="/w"`) + rec("PATH", fmt.Sprintf(path, `name="f"`, "0100644")) + rec("PROCTITLE", `proctitle="x"`),
			want{"error": "missing syscall message in compound event"},
			want{"auditd.message_type": "uringop", "process.pid": "2", "process.working_directory": "/w", "process.title": "x", "auditd.paths.0.name": "f", "tags": []any{"k"}, "event.original": nil}},
		{"23 clock", rec("TIME_ADJNTPVAL", `op=freq old=1 new=2`) + rec("TIME_ADJNTPVAL", `op=offset old=3 new=4`),
			want{"error": "missing syscall message in compound event"},
			want{"event.action": "changed-system-time", "auditd.data.op": "freq", "auditd.messages.0.data.op": "offset", "auditd.messages.0.data.new": "4"}},
		{"24 two AVC", rec("AVC", `avc:  denied  { read } for  pid=2 comm="x" name="a" scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=file permissive=0`) +
			rec("AVC", `avc:  denied  { write } for  pid=2 comm="x" name="b" scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=file permissive=0`) + sys(257, 0),
			want{"auditd.messages.0.type": nil, "warnings": "duplicate key (seperms)"},
			want{"auditd.data.seperms": "read", "auditd.messages.0.type": "avc", "auditd.messages.0.data.seperms": "write", "auditd.messages.0.data.name": "b", "event.action": "violated-selinux-policy"}},
		{"24 two OBJ_PID", sys(62, 0) + rec("OBJ_PID", `opid=7 oauid=1 ouid=1 oses=1 ocomm="a"`) + rec("OBJ_PID", `opid=8 oauid=2 ouid=2 oses=2 ocomm="b"`),
			want{"auditd.data.opid": "7", "auditd.messages.0.data.opid": nil},
			want{"auditd.data.opid": "7", "auditd.messages.0.data.opid": "8", "auditd.messages.0.data.ocomm": "b"}},
		{"24 two SOCKADDR", sys(42, 0) + rec("SOCKADDR", `saddr=02000035010203040000000000000000`) + rec("SOCKADDR", `saddr=02000036050607080000000000000000`),
			want{"destination.ip": "5.6.7.8"},
			want{"destination.ip": "1.2.3.4", "auditd.messages.0.type": "sockaddr", "auditd.messages.0.data.addr": "5.6.7.8"}},
		{"25 key of CONFIG_CHANGE", rec("CONFIG_CHANGE", `auid=1000 ses=3 op=add_rule key="exec" list=4 res=1`) + sys(44, 0),
			want{"tags": nil, "auditd.data.result": "success"},
			want{"tags": []any{"exec"}, "auditd.data.result": "success"}},
		{"26 BPF", rec("BPF", `prog-id=12 op=LOAD`) + sys(321, 0),
			want{"event.action": nil, "event.category": []any{"unknown"}},
			want{"event.category": []any{"process"}, "event.type": []any{"info"}, "auditd.message_type": "bpf", "auditd.data.prog-id": "12"}},
		{"26 OPENAT2", sys(437, 0) + rec("OPENAT2", `oflag=0100000 mode=00 resolve=0xa`),
			want{"event.category": []any{"process"}, "auditd.data.oflag": "0100000"},
			want{"event.category": []any{"file"}, "event.action": "opened-file", "auditd.data.oflag": "0100000", "event.original": nil}},
		{"27 directory", openat + rec("PATH", fmt.Sprintf(path, `name="/etc"`, "040755")),
			want{"auditd.summary.object.type": "file"},
			want{"auditd.summary.object.type": "directory", "file.mode": "0755"}},
		{"27 socket", openat + rec("PATH", fmt.Sprintf(path, `name="/run/s"`, "0140777")),
			want{"auditd.summary.object.type": "file"},
			want{"auditd.summary.object.type": "socket"}},
		{"28 key with =", rec("SYSCALL", fmt.Sprintf(call, 44, 0)+`comm="x" exe="/x" key="a=b"`),
			want{"tags": []any{"b"}},
			want{"tags": []any{"a=b"}}},
		{"29 words without quotes", rec("ADD_GROUP", `pid=1 uid=0 auid=1000 ses=3 msg='op=adding group acct="g" exe="/x" hostname=? addr=? terminal=? res=success'`),
			want{"auditd.data.op": "adding"},
			want{"auditd.data.op": "adding group", "event.original": nil}},
		{"30 no address", rec("USER_LOGIN", `pid=1 uid=0 auid=1000 ses=3 msg='op=login acct="x" exe="/x" hostname=h addr=not-an-ip terminal=ssh res=failed'`),
			want{"source.ip": "not-an-ip"},
			want{"source.ip": nil, "source.address": "not-an-ip"}},
		{"31 uid of a login", rec("USER_LOGIN", `pid=1 uid=33 auid=1000 ses=3 msg='op=login acct="x" exe="/x" hostname=? addr=? terminal=ssh res=success'`+sep+`UID="www" AUID="alice"`),
			want{"user.id": "1000", "auditd.data.uid": nil},
			want{"user.id": "1000", "user.name": "alice", "auditd.data.uid": "33", "auditd.data.uid_name": "www"}},
		{"32 group of a set-gid program", strings.Replace(sys(59, 0), "egid=0", "egid=42", 1),
			want{"user.effective.group.id": "42"}, // auditbeat drops it with user.effective
			want{"user.effective.group.id": "42", "user.effective.id": nil}},
		{"33 group that was changed", rec("GRP_MGMT", user+`msg='op=add-user-to-group grp="wheel" acct="bob" exe="/x" res=success'`),
			want{"group.id": "0", "group.name": nil, "user.target.name": nil},
			want{"group.id": nil, "group.name": "wheel", "user.target.name": "bob"}},
		{"33 password of a group", rec("GRP_CHAUTHTOK", user+`msg='op=change-password grp="wheel" acct="root" exe="/usr/bin/gpasswd" res=success'`),
			want{"group.name": "root"},
			want{"group.name": "wheel", "user.target.name": nil}},
		{"33 no user", rec("USER_MGMT", user+`msg='op=changing-shell exe="/x" res=success'`),
			want{"user.target.id": "0"},
			want{"user.target.id": nil}},
		{"34 account that was locked", rec("ACCT_LOCK", user+`msg='op=locked-password id=1001 exe="/x" res=success'`),
			want{"user.target.id": nil, "auditd.summary.object.primary": nil},
			want{"user.target.id": "1001", "auditd.summary.object.primary": "1001"}},
		{"35 name of digits", rec("USER_LOGIN", user+`msg='op=login acct="0" exe="/x" res=failed'`),
			want{"user.effective.id": "0", "user.effective.name": nil},
			want{"user.effective.id": nil, "user.effective.name": "0"}},
		{"36 context that is none", rec("FANOTIFY", `resp=2 subj_trust=3 obj_trust=5`),
			want{"user.selinux.trust": "3", "auditd.data.subj_trust": nil},
			want{"user.selinux.trust": nil, "auditd.data.subj_trust": "3"}},
		{"37 unset", rec("LOGIN", `pid=2 uid=0 old-auid=4294967295 auid=1000 tty=(none) old-ses=4294967295 ses=12 res=1`),
			want{"auditd.data.old-ses": "4294967295"},
			want{"auditd.data.old-ses": nil, "auditd.summary.actor.primary": "unset"}},
		{"38 big-endian address", rec("SYSCALL", strings.Replace(fmt.Sprintf(call, 362, 0), "c000003e", "80000016", 1)+exe) + rec("SOCKADDR", `saddr=00020016C00002090000000000000000`),
			want{"destination.ip": nil, "auditd.data.socket.family": "512"},
			want{"destination.ip": "192.0.2.9", "auditd.data.socket.family": "ipv4"}},
		{"39 verdict", rec("AVC", `apparmor="STATUS" operation="profile_load" name="x" pid=1 comm="apparmor_parser"`),
			want{"event.action": "violated-apparmor-policy"},
			want{"event.action": "loaded-apparmor-profile"}},
		{"40 result", rec("USER_LOGIN", user+`msg='acct="x" exe="/x" result=Authentication'`),
			want{"event.outcome": "Authentication"},
			want{"event.outcome": "failure"}},
		{"41 path", rec("SYSCALL", fmt.Sprintf(strings.Replace(call, "a0=1", "a0=ffffff9c", 1), 257, 1)+exe) + rec("CWD", `cwd="/etc"`) + rec("PATH", fmt.Sprintf(path, `name="shadow"`, "0100644")),
			want{"file.path": "shadow"},
			want{"file.path": "/etc/shadow", "auditd.paths.0.name": "shadow"}},
		{"42 a program's suid", rec("CRYPTO_SESSION", user+`msg='op=start suid=74 exe="/x" res=success'`),
			want{"user.saved.id": "74"},
			want{"user.saved.id": nil, "auditd.data.suid": "74"}},
		{"42 a program's key", rec("USER", user+`msg='key="exec" exe="/x" res=success'`),
			want{"tags": []any{"exec"}},
			want{"tags": nil, "auditd.data.key": "exec"}},
		{"43 program after its system call", sys(44, 0) + rec("USER_LOGIN", user+`msg='op=login id=1000 exe="/x" res=success'`),
			want{"event.action": "sent-to"},
			want{"event.action": "logged-in"}},
		{"44 login to a watched account", rec("ANOM_LOGIN_ACCT", user+`msg='acct="x" exe="/x" res=success'`),
			want{"event.action": nil, "event.category": []any{"anomaly"}},
			want{"event.action": "attempted-log-in-to-watched-account", "event.category": []any{"authentication", "intrusion_detection"}, "event.type": []any{"start", "denied"}}},
		{"44 executable that was made", rec("ANOM_MK_EXEC", user+`msg='exe="/x" res=success'`),
			want{"event.action": nil},
			want{"event.action": "made-an-executable", "event.category": []any{"file", "intrusion_detection"}}},
		{"45 mode that is none", openat + rec("PATH", fmt.Sprintf(path, `name="/x"`, "x")+sep+`OUID="root"`),
			want{"file.uid": nil},
			want{"file.uid": "0", "file.owner": "root", "file.mode": nil, "auditd.summary.object.type": "file"}},
		{"45 bits of no file", openat + rec("PATH", fmt.Sprintf(path, `name="/x"`, "020000100644")),
			want{"auditd.summary.object.type": "directory"},
			want{"auditd.summary.object.type": "file", "file.mode": "0644"}},
		{"46 no system call", rec("SYSCALL", `arch=c000003e success=yes exit=0 `+ids+exe) + rec("SOCKADDR", `saddr=02000035010203040000000000000000`),
			want{"auditd.data.socket.addr": nil},
			want{"auditd.data.socket.addr": "1.2.3.4", "destination.ip": nil, "event.original": nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check := func(who string, got map[string]any, want want) {
				t.Helper()
				for path, val := range want {
					if path == "warnings" || path == "error" {
						if !strings.Contains(fmt.Sprint(got[path]), val.(string)) {
							t.Errorf("%s: %s is %v, want %q in it", who, path, got[path], val)
						}
					} else if fmt.Sprintf("%q", got[path]) != fmt.Sprintf("%q", val) {
						t.Errorf("%s: %s is %q, want %q", who, path, got[path], val)
					}
				}
			}
			check("aucoalesce", library(tt.text), tt.alone)
			check("ours", encode(t, New(Options{}), tt.text), tt.ours)
		})
	}
}
