package ecs

import (
	"fmt"
	"testing"
)

// Events that the fields do not show whole have their records' text, and only these.
func TestOnlyIncompleteEventsAreListed(t *testing.T) {
	user := `pid=1 uid=0 auid=1000 ses=3 `
	for _, tt := range []struct {
		name, text string
		listed     bool
	}{
		{"usual", rec("USER_CMD", user+`msg='cwd="/" cmd="x" terminal=? res=success'`), false},
		{"no colon after the id", "type=DAEMON_CONFIG msg=audit(1795296167.053:34) config changed, auid=0 pid=2 res=success\n", true},
		{"no blank after the id", "type=CWD msg=audit(1795296167.053:34):cwd=\"/\"\n", true},
		{"an access vector of a program's", rec("USER_CMD", user+`msg='avc:  denied  { read } for  cmd="x" res=success'`), true},
		{"words", rec("USER", user+`msg='hello world'`), true},
		{"words after the last field", rec("USER", user+`msg='res=success bye'`), true},
		{"words after a field in quotes", rec("USER", user+`msg='op="a" b res=success'`), true},
		{"a field twice, the same", rec("USER", user+`msg='pid=1 res=success'`), false},
		{"a field twice", rec("USER", user+`msg='pid=2 res=success'`), true},
		{"result twice", rec("USER", user+`msg='res=success res=failed'`), true},
		{"result of another word", rec("USER", user+`msg='res=maybe'`), true},
		{"key in capitals", rec("USER", user+`msg='Op=x res=success'`), true},
		{"key with a dot", rec("USER", user+`msg='a.b=x res=success'`), true},
		{"key that is an object's", rec("USER", user+`msg='socket=x res=success'`), true},
		{"key that is in an object", rec("USER", user+`msg='socket_addr=x res=success'`), true},
		{"pid that is no number", rec("USER", `pid=0x1 msg='res=success'`), true},
		{"cut in a value", rec("CWD", `cwd="/srv`), true},
		{"cut in a program's text", rec("USER", user+`msg='op=x exe="/usr/bin/x"`), true},
		{"items that are there", sys(257, 1) + rec("PATH", `item=0 name="x" nametype=NORMAL`), false},
		{"items that are not", sys(257, 2) + rec("PATH", `item=0 name="x" nametype=NORMAL`), false}, // then auditd.data.items
		{"argument missing", sys(59, 0) + rec("EXECVE", `argc=3 a0="x" a1="y"`), true},
		{"argument cut", sys(59, 0) + rec("EXECVE", `argc=2 a0="x" a1="y`), true},
		{"no argc", sys(59, 0) + rec("EXECVE", `a0="x"`), true},
		{"field that EXECVE does not have", sys(59, 0) + rec("EXECVE", `argc=1 a0="x" b=1`), true},
		{"second CWD", sys(257, 0) + rec("CWD", `cwd="/a"`) + rec("CWD", `cwd="/b"`), true},
		{"second CWD without a system call", rec("CWD", `cwd="/a"`) + rec("CWD", `cwd="/b"`), true},
		{"EOE with fields", sys(44, 0) + rec("EOE", `x=1`), true},
		{"second SYSCALL", sys(44, 0) + sys(45, 0), true},
		{"name without a field", rec("USER", user+`msg='res=success'`+sep+`UID="root" EUID="x"`), true},
		{"words among the names", rec("CONFIG_CHANGE", `auid=1 res=1`+sep+`AUID="a" b`), true},
		{"name in small letters", rec("CONFIG_CHANGE", `auid=1 res=1`+sep+`auid="a"`), true},
		{"name twice", rec("CONFIG_CHANGE", `auid=1 res=1`+sep+`AUID="a" AUID="b"`), false}, // then auditd.data.auid_name
		{"name three times", rec("CONFIG_CHANGE", `auid=1 res=1`+sep+`AUID="a" AUID="b" AUID="c"`), true},
		{"name that is not the system call's", rec("SYSCALL", fmt.Sprintf(call, 44, 0)+exe+sep+`SYSCALL=openat`), false}, // then auditd.data.syscall_name
		{"empty key", rec("SYSCALL", fmt.Sprintf(call, 44, 0)+`key=61630101626301`), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := parse(t, tt.text)
			line := New(Options{}).AppendEvent(nil, b, 0, len(b.Recs))
			leaves := decodeLine(t, line)
			if listed := leaves["event.original"] != nil; listed != tt.listed {
				t.Errorf("event.original is there: %v\n%s", listed, line)
			}
			checkWhole(t, b, 0, len(b.Recs), leaves)
		})
	}
}

// Values that could be taken for something else.
func TestAmbiguousValues(t *testing.T) {
	kernel := fmt.Sprintf(call, 44, 0)
	for _, tt := range []struct {
		text, path string
		want       any
	}{
		{rec("PROCTITLE", `proctitle=610062`), "process.title", "a b"},
		{rec("PROCTITLE", `proctitle=610062`), "auditd.data.proctitle", nil},
		{rec("PROCTITLE", `proctitle=61000062`), "auditd.data.proctitle", []any{"a", "", "b"}},
		{rec("PROCTITLE", `proctitle=612062`), "auditd.data.proctitle", []any{"a b"}},
		{rec("PROCTITLE", `proctitle=6100`), "auditd.data.proctitle", []any{"a", ""}},
		{rec("SYSCALL", fmt.Sprintf(call, 257, 2)+exe), "auditd.data.items", "2"},
		{sys(257, 7) + rec("PATH", `item=0 name="x"`), "auditd.data.items", "7"},
		{sys(257, 1) + rec("PATH", `item=0 name="x"`), "auditd.data.items", nil},
		{rec("SYSCALL", kernel+exe+sep+"SYSCALL=openat"), "auditd.data.syscall_name", "openat"},
		{rec("SYSCALL", "arch=c00000b7 syscall=999 success=yes exit=0"+sep+"ARCH=aarch64 SYSCALL=openat"), "event.action", "opened-file"},
		{rec("SYSCALL", "arch=c00000b7 syscall=999 success=yes exit=0"+sep+"ARCH=aarch64 SYSCALL=openat"), "auditd.data.syscall_number", "999"},
		{rec("SYSCALL", "arch=c00000b7 syscall=999 success=yes exit=0"+sep+"ARCH=aarch64 SYSCALL=unknown-syscall(999)"), "auditd.data.syscall", "999"},
		{rec("SYSCALL", "arch=deadbeef syscall=1 success=yes"), "auditd.data.arch", "deadbeef"},
		{rec("SYSCALL", "arch=c000003e syscall=044 success=yes"), "auditd.data.syscall", "044"},
		{rec("SYSCALL", "arch=c000003e syscall=2 success=no exit=-2"), "auditd.data.exit", "ENOENT"},
		{rec("SYSCALL", "arch=8 syscall=4001 success=no exit=-89"), "auditd.data.exit", "-89"}, // EDESTADDRREQ on most, ENOSYS on mips
		{rec("SYSCALL", "arch=8 syscall=4001 success=no exit=-2"), "auditd.data.exit", "ENOENT"},
		{rec("SYSCALL", "arch=40000028 syscall=1 success=no exit=-40"), "auditd.data.exit", "ELOOP"},
		{rec("SYSCALL", "arch=c00000f3 syscall=56 success=yes exit=3"), "auditd.data.arch", "riscv64"},
		{rec("SYSCALL", "arch=c000003e syscall=2 success=no exit=-02"), "auditd.data.exit", "-02"},
		{rec("SYSCALL", "arch=c000003e syscall=2 success=no exit=-2"), "event.outcome", "failure"},
		{rec("SECCOMP", `auid=1 pid=2 comm="x" exe="/x" sig=31 arch=c000003e syscall=2 compat=0 ip=0x1 code=0x0`), "auditd.data.sig", "SIGSYS"},
		{rec("SECCOMP", `auid=1 pid=2 comm="x" exe="/x" sig=31 arch=c000003e syscall=2 compat=0 ip=0x1 code=0x0`), "auditd.data.syscall", "open"},
		{rec("ANOM_ABEND", `auid=1 pid=2 comm="x" sig=11 res=1`), "auditd.data.sig", "11"},
		{rec("SYSCALL", fmt.Sprintf(call, 59, 0)+exe+sep+`GID="a" EGID="b"`), "user.effective.group.name", "b"}, // one id, two names
		{rec("SYSCALL", kernel+`key="a"`) + rec("CONFIG_CHANGE", `key=620163 res=1`), "tags", []any{"a", "b", "c"}},
		{rec("SYSCALL", kernel+`key="key=net"`), "tags", []any{"net"}},
		// "?" in quotes is what a program says, but no actor and no object.
		{rec("USER_AUTH", `pid=1 uid=0 auid=1000 ses=3 msg='op=x acct="?" exe="/x" hostname=h addr=? terminal=ssh res=failed'`), "auditd.data.acct", "?"},
		{rec("USER_AUTH", `pid=1 uid=0 auid=1000 ses=3 msg='op=x acct="?" exe="/x" hostname=h addr=? terminal=ssh res=failed'`), "auditd.summary.actor.secondary", "0"},
		{rec("USER_AUTH", `pid=1 uid=0 auid=1000 ses=3 msg='op=x acct="?" exe="/x" hostname=h addr=? terminal=ssh res=failed'`), "auditd.data.addr", nil},
		{rec("USER_AUTH", `pid=1 uid=0 auid=4294967295 ses=4294967295 msg='op=x res=failed'`), "auditd.session", nil},
		{rec("LOGIN", `login pid=1 uid=0 old auid=4294967295 new auid=1000 old ses=4294967295 new ses=3`), "auditd.data.new_ses", "3"},
		{sys(42, 0) + rec("SOCKADDR", `saddr=020000350102030400000000000000FF`), "auditd.data.socket.saddr", "020000350102030400000000000000FF"},
		{sys(42, 0) + rec("SOCKADDR", `saddr=01002F610000`), "auditd.data.socket.saddr", "01002F610000"},
		{sys(42, 0) + rec("SOCKADDR", `saddr=02000035`), "auditd.data.socket.family", "ipv4"},
		{sys(42, 0) + rec("SOCKADDR", `saddr=02000035`), "auditd.data.socket.saddr", "02000035"},
		{sys(42, 0) + rec("SOCKADDR", `saddr=100000000000000000000000`), "auditd.data.socket.family", "netlink"},
		{sys(42, 0) + rec("SOCKADDR", `saddr=100000000000000000000000`), "auditd.data.socket.saddr", "100000000000000000000000"},
		{sys(42, 0) + rec("SOCKADDR", `saddr=0A0001BB0000000000000000000000000000FFFF0102030400000000`), "destination.ip", "1.2.3.4"},
		{rec("SOCKADDR", `saddr=02000035010203040000000000000000`), "auditd.data.addr", "1.2.3.4"},
		{rec("PATH", `item=0 name="x" ouid=1`+sep+`OUID="a"`), "auditd.data.name", "x"},
		{rec("PATH", `item=0 name="x" ouid=1`+sep+`OUID="a"`), "user.ouid.name", "a"},
		{rec("CWD", `cwd="/a"`) + rec("CWD", `cwd="/b"`), "process.working_directory", "/a"},
		{rec("PROCTITLE", `proctitle="a"`) + rec("PATH", `item=0 name="x"`) + sys(257, 1), "event.action", "opened-file"},
		{rec("PROCTITLE", `proctitle="a"`) + rec("PATH", `item=0 name="x"`) + sys(257, 1), "file.path", "x"},
		{rec("PROCTITLE", `proctitle="a"`) + rec("URINGOP", `uring_op=18 success=yes exit=0 items=0 ppid=1 pid=2 uid=0`), "auditd.message_type", "uringop"},
		{rec("UNKNOWN[1423]", `domain=1 blockers=fs.read_file path="/x" dev="vda" ino=4`) + sys(257, 0), "event.action", "opened-file"},
		{rec("UNKNOWN[1423]", `domain=1 blockers=fs.read_file path="/x" dev="vda" ino=4`) + sys(257, 0), "auditd.message_type", "landlock_access"},
	} {
		got := encode(t, New(Options{}), tt.text)[tt.path]
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%s%s is %q, want %q", tt.text, tt.path, got, tt.want)
		}
	}
}
