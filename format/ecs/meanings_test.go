package ecs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// Every word of the tables is one of the audit system's.
func TestTablesNameWhatThereIs(t *testing.T) {
	// Of other architectures and libraries, which the tables of system calls do not have.
	foreign := []string{"*", "futimens", "fstatat", "seteuid", "setegid"}
	words := []string{}
	for i := range meanings {
		words = append(words, strings.Fields(meanings[i].of)...)
	}
	for i := range accountRoles {
		words = append(words, strings.Fields(accountRoles[i].of)...)
	}
	for i := range others {
		words = append(words, strings.Fields(others[i].calls+" "+others[i].as)...)
	}
	for _, word := range words {
		isType := record.HasTypeName(record.TypeNumber([]byte(word)))
		if !isType && !record.IsSyscall(word) && !slices.Contains(foreign, word) && !strings.HasPrefix(word, "apparmor=") {
			t.Errorf("%s is no record type and no system call", word)
		}
	}
}

// The table says of each record type and system call what go-libaudit says of it.
func TestMeaningsAreTheLibrarys(t *testing.T) {
	compare := func(name, text string, more ...string) {
		t.Helper()
		want, got := library(text), encode(t, New(Options{}), text)
		for _, path := range append([]string{"event.action", "event.category", "event.type", "auditd.summary.how", "auditd.summary.actor.primary"}, more...) {
			if fmt.Sprint(got[path]) != fmt.Sprint(want[path]) {
				t.Errorf("%s: %s is %v, go-libaudit has %v", name, path, got[path], want[path])
			}
		}
	}
	object := []string{"auditd.summary.object.type", "auditd.summary.object.primary", "auditd.summary.object.secondary", "auditd.summary.actor.secondary", "source.ip"}
	body := `pid=7 uid=0 auid=1000 ses=3 old-auid=5 op=o acct="al" id=9 terminal=pts/1 hostname=h exe="/usr/bin/x" comm="c" cmd="cc" unit=u vm="v" resrc=r ` +
		`table=t feature=f bool=b enforcing=1 printer=p data="d" fp=f1 rport=22 dev=eth0 selected-context=s new-level=5 name="n" sig=11 arch=c000003e syscall=1 addr=192.0.2.4 res=1`
	known := tables()
	for n := record.FirstType; n <= record.LastType; n++ {
		name := string(record.AppendTypeName(nil, n))
		switch name {
		case "SYSCALL", "PATH", "SOCKADDR", "EXECVE", "CWD", "PROCTITLE", "EOE", // these are no events of their own
			"LANDLOCK_ACCESS", "LANDLOCK_DOMAIN", "ANOM_LOGIN_ACCT", "ANOM_MK_EXEC", // go-libaudit has no meaning for them
			"AVC": // see below
			continue
		}
		if n/100 == 15 { // AppArmor's: docs/ecs.md says what they are
			continue
		}
		more := object
		if known.of(n).does != 0 { // the account is the object, and who did it the actor
			more = nil
		}
		compare(name, rec(name, body), more...)
		if len(known.of(n).rows) > 0 { // else the event is that of the system call
			compare(name, rec(name, body)+sys(257, 0))
		}
	}

	paths := ""
	for i, kind := range []string{"PARENT", "NORMAL", "DELETE", "CREATE"} {
		paths += rec("PATH", fmt.Sprintf(`item=%d name="/p%d" inode=%d dev=fe:00 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=%s`, i, i, i, kind))
	}
	address := rec("SOCKADDR", `saddr=02000035010203040000000000000000`)
	as := make(map[string]string)
	for i := range others {
		for name := range strings.FieldsSeq(others[i].calls) {
			as[name] = others[i].as
		}
	}
	for _, arch := range []string{"c000003e", "40000003"} {
		for nr := range 480 {
			call := rec("SYSCALL", fmt.Sprintf(`arch=%s syscall=%d success=yes exit=0 a0=ffffff9c a1=2 a2=3 a3=4 items=4 `, arch, nr)+ids+exe)
			code, _ := record.ParseArch([]byte(arch))
			if like := known.calls[as[record.SyscallName(code, int64(nr))]]; like != nil {
				if said := library(call)["event.action"]; said != nil {
					t.Errorf("%s %d: go-libaudit says that it %v", arch, nr, said)
				}
				if got := encode(t, New(Options{}), call+paths+address); got["event.action"] != like.action {
					t.Errorf("%s %d: %v", arch, nr, got["event.action"])
				}
				continue
			}
			compare(fmt.Sprint(arch, " ", nr), call+paths+address, object[:4]...)
		}
	}
	seresult := rec("AVC", `avc:  denied  { read } for  pid=2 scontext=a tcontext=b tclass=c`)
	compare("SELinux", seresult, object[:4]...)
	compare("AppArmor", rec("AVC", `apparmor="DENIED" operation="open" requested_mask="r" denied_mask="w" pid=2 comm="x"`), object[:4]...)
}

// TestNewerCallsAreAsOthers: a file that was opened by openat2, or whose owner a program of 32 bits has changed, is as any other.
func TestNewerCallsAreAsOthers(t *testing.T) {
	for _, c := range []struct {
		call, action, category, typ, path string
	}{
		{"arch=c000003e syscall=437", "opened-file", "[file]", "[info]", "/etc/x"},
		{"arch=c000003e syscall=452", "changed-file-permissions-of", "[file]", "[change]", "/etc/x"},
		{"arch=c000003e syscall=332", "checked-metadata-of", "[file]", "[info]", "/etc/x"},
		{"arch=40000003 syscall=212", "changed-file-ownership-of", "[file]", "[change]", "/etc/x"},
	} {
		got := encode(t, New(Options{}), rec("SYSCALL", c.call+` success=yes exit=0 a0=ffffff9c a1=2 a2=3 a3=4 items=1 `+ids+exe)+rec("CWD", `cwd="/etc"`)+rec("PATH", `item=0 name="x" nametype=NORMAL`))
		for path, want := range map[string]string{"event.action": c.action, "event.category": c.category, "event.type": c.typ, "file.path": c.path} {
			if fmt.Sprint(got[path]) != want {
				t.Errorf("%s: %s is %v, want %s", c.call, path, got[path], want)
			}
		}
	}
}

// TestSocketcall: what programs of 32 bits do by socketcall is what others do by calls of its own.
func TestSocketcall(t *testing.T) {
	got := encode(t, New(Options{}), rec("SYSCALL", `arch=40000003 syscall=102 success=yes exit=0 a0=3 a1=ff items=0 `+ids+exe)+rec("SOCKETCALL", `nargs=3 a0=5 a1=ff a2=10`)+rec("SOCKADDR", `saddr=02000035010203040000000000000000`))
	for path, want := range map[string]string{"event.action": "connected-to", "event.category": "[network]", "destination.ip": "1.2.3.4", "network.direction": "egress", "auditd.data.syscall": "socketcall"} {
		if fmt.Sprint(got[path]) != want {
			t.Errorf("%s is %v", path, got[path])
		}
	}
}

// TestUring: what is done by io_uring is what system calls do.
func TestUring(t *testing.T) {
	const body = ` success=yes exit=4 items=1 ppid=1 pid=2 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 subj=x key="k"`
	refused := strings.Replace(body, "success=yes exit=4", "success=no exit=-13", 1)
	file := rec("CWD", `cwd="/etc"`) + rec("PATH", `item=0 name="/etc/shadow" nametype=NORMAL`)
	for _, c := range []struct {
		text string
		want map[string]string
	}{
		{rec("URINGOP", `uring_op=18`+body) + file, map[string]string{"event.action": "opened-file", "event.category": "[file]", "event.type": "[info]", "file.path": "/etc/shadow", "auditd.data.uring_op": "18"}},
		{rec("URINGOP", `uring_op=16`+body) + rec("SOCKADDR", `saddr=02000035010203040000000000000000`), map[string]string{"event.action": "connected-to", "destination.ip": "1.2.3.4", "network.direction": "egress"}},
		{rec("URINGOP", `uring_op=46`+body), map[string]string{"event.action": "<nil>"}},
		{rec("URINGOP", `uring_op=18`+refused) + sys(426, 1) + file, map[string]string{"event.action": "opened-file", "event.category": "[file]", "event.outcome": "failure", "file.path": "/etc/shadow"}},
		{rec("URINGOP", `uring_op=16`+body) + sys(426, 0) + rec("SOCKADDR", `saddr=02000035010203040000000000000000`), map[string]string{"event.action": "connected-to", "destination.ip": "1.2.3.4", "event.outcome": "success"}},
		{rec("URINGOP", `uring_op=46`+refused) + sys(426, 0), map[string]string{"event.action": "<nil>", "event.outcome": "success"}},
		{rec("USER", `pid=1 uid=0 auid=1000 ses=3 msg='uring_op=18 res=success'`), map[string]string{"event.action": "sent-message", "event.category": "[unknown]"}},
	} {
		got := encode(t, New(Options{}), c.text)
		for path, want := range c.want {
			if fmt.Sprint(got[path]) != want {
				t.Errorf("%s%s is %v, want %s", c.text, path, got[path], want)
			}
		}
	}
}
