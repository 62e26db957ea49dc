package ecs

import (
	"fmt"
	"strings"
	"testing"

	"audisp-relay/audit/process"
	"audisp-relay/format"
)

// TestEventsSayWhoStartedThem: what a table of processes knows is in the fields that the schema has for it.
func TestEventsSayWhoStartedThem(t *testing.T) {
	ids := func(ppid, pid string) string {
		return `items=0 ppid=` + ppid + ` pid=` + pid + ` auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3 `
	}
	exec := func(serial, ppid, pid, comm, args string) string {
		text := rec("SYSCALL", `arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 `+ids(ppid, pid)+`comm="`+comm+`" exe="/usr/bin/`+comm+`" key=(null)`) + rec("EXECVE", args)
		return strings.ReplaceAll(text, ":4)", ":"+serial+")")
	}
	shell := exec("10", "1", "100", "bash", `argc=2 a0="bash" a1="-l"`)
	cat := exec("11", "100", "101", "cat", `argc=2 a0="cat" a1=612062`)
	open := rec("SYSCALL", `arch=c000003e syscall=257 success=yes exit=3 a0=1 a1=2 a2=3 a3=4 `+ids("100", "101")+`comm="cat" exe="/usr/bin/cat" key=(null)`)
	open = strings.ReplaceAll(open, ":4)", ":12)")

	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	e := New(Options{Processes: &known, HostID: "0123", Local: "here"})
	encodeNoted := func(text string) map[string]any {
		b := parse(t, text)
		known.Table().Note(b)
		leaves := decodeLine(t, e.AppendEvent(nil, b, 0, len(b.Recs)))
		checkWhole(t, b, 0, len(b.Recs), leaves)
		checkSchema(t, leaves)
		return leaves
	}
	const bashID, catID = "0123/1795296167.053:10", "0123/1795296167.053:11"
	for _, tt := range []struct {
		text string
		want expect
	}{
		{shell, expect{"process.command_line": "bash -l", "process.args_count": "2", "process.entity_id": bashID, "process.parent.executable": nil, "host.id": "0123"}},
		{cat, expect{"process.command_line": "cat 'a b'", "process.entity_id": catID, "process.parent.pid": "100", "process.parent.name": "bash",
			"process.parent.executable": "/usr/bin/bash", "process.parent.command_line": "bash -l", "process.parent.args_count": "2",
			"process.parent.entity_id": bashID, "host.os.type": "linux"}},
		{open, expect{"process.command_line": "cat 'a b'", "process.args_count": "2", "process.entity_id": catID, "process.parent.name": "bash"}},
		{strings.ReplaceAll(rec("URINGOP", `uring_op=18 success=yes exit=4 `+strings.Replace(ids("100", "101"), "auid=1000 ", "", 1)+`key=(null)`), ":4)", ":13)"),
			expect{"process.name": "cat", "process.executable": "/usr/bin/cat", "process.entity_id": catID, "process.parent.name": "bash"}},
	} {
		got := encodeNoted(tt.text)
		for path, want := range tt.want {
			if got[path] != want {
				t.Errorf("%s is %v, want %v", path, got[path], want)
			}
		}
	}
	if got := encodeNoted("node=there " + strings.ReplaceAll(open, "\ntype", "\nnode=there type")); got["host.id"] != nil || got["process.parent.name"] != nil {
		t.Errorf("of another host: %v", got)
	}
}

// TestLabelsAreTags: labels are among the tags, each once, and the script is beside auditbeat's fields.
func TestLabelsAreTags(t *testing.T) {
	text := rec("SYSCALL", `arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=3 ppid=1 pid=100 comm="x.sh" exe="/usr/bin/dash" key="up"`) +
		rec("EXECVE", `argc=2 a0="/bin/sh" a1="/srv/x.sh"`) + rec("PATH", `item=0 name="/srv/x.sh" inode=1 dev=fe:00 nametype=NORMAL`) +
		rec("PATH", `item=1 name="/bin/sh" inode=2 dev=fe:00 nametype=NORMAL`) + rec("PATH", `item=2 name="/lib/ld.so" inode=3 dev=fe:00 nametype=NORMAL`)
	labels := new(process.Labels)
	for _, err := range []error{labels.AddKey("up"), labels.Add(process.OfExe, "/dash$", "shell")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var known process.Current
	places := func(int, int64) (unit, container string, ok bool) { return "x.service", "0123", true }
	known.Set(process.NewTable(process.Options{Labels: labels, Places: places}))
	b := parse(t, text)
	known.Table().Note(b)
	got := decodeLine(t, New(Options{Processes: &known}).AppendEvent(nil, b, 0, len(b.Recs)))
	checkWhole(t, b, 0, len(b.Recs), got)
	checkSchema(t, got)
	if tags := fmt.Sprint(got["tags"]); tags != "[up shell]" || got["auditd.script"] != "/srv/x.sh" || got["container.id"] != "0123" || got["systemd.unit"] != "x.service" {
		t.Errorf("tags %s in %v", tags, got)
	}
}

// sshLogin are the events of a login by sshd, one after the other: sshd, its process for the user, a shell and what it starts. All have a SYSCALL
// record, and those that execute something an EXECVE.
var sshLogin = func() (events []string) {
	serial := 20
	for _, e := range []struct{ ses, ppid, pid, exe, args string }{
		{"4294967295", "1", "500", "/usr/sbin/sshd", `argc=2 a0="/usr/sbin/sshd" a1="-D"`},
		{"5", "500", "601", "/usr/sbin/sshd", ""},
		{"5", "601", "602", "/usr/bin/bash", `argc=1 a0="-bash"`},
		{"5", "602", "603", "/usr/sbin/usermod", `argc=4 a0="usermod" a1="-aG" a2="sudo" a3="eve"`},
	} {
		call := "59"
		if e.args == "" {
			call = "257"
		}
		text := rec("SYSCALL", `arch=c000003e syscall=`+call+` success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=0 ppid=`+e.ppid+` pid=`+e.pid+
			` auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=`+e.ses+` comm="`+e.exe[strings.LastIndexByte(e.exe, '/')+1:]+`" exe="`+e.exe+`" key=(null)`)
		if e.args != "" {
			text += rec("EXECVE", e.args)
		}
		serial++
		events = append(events, strings.ReplaceAll(text, ":4)", fmt.Sprintf(":%d)", serial)))
	}
	return events
}()

// TestEntryLeader: the process with which the session has come onto the host is said of all that it has started.
func TestEntryLeader(t *testing.T) {
	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	e := New(Options{Processes: &known, HostID: "0123"})
	var got map[string]any
	for _, text := range sshLogin {
		b := parse(t, text)
		known.Table().Note(b)
		got = decodeLine(t, e.AppendEvent(nil, b, 0, len(b.Recs)))
		checkWhole(t, b, 0, len(b.Recs), got)
		checkSchema(t, got)
	}
	want := expect{
		"pid": "602", "entity_id": "0123/1795296167.053:23", "name": "bash", "executable": "/usr/bin/bash", "args": []any{"-bash"},
		"args_count": "1", "command_line": "-bash", "entry_meta.type": "sshd",
	}
	for path, want := range want {
		if path = "process.entry_leader." + path; fmt.Sprint(got[path]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", path, got[path], want)
		}
	}
	b := parse(t, sshLogin[1])
	got = decodeLine(t, e.AppendEvent(nil, b, 0, len(b.Recs)))
	if got["process.entry_leader.pid"] != "500" || got["process.entry_leader.entry_meta.type"] != "init" {
		t.Errorf("of sshd itself: %v", got)
	}
	b = parse(t, sshLogin[0])
	if line := string(New(Options{}).AppendEvent(nil, b, 0, len(b.Recs))); strings.Contains(line, "entry") {
		t.Errorf("without a table: %s", line)
	}
}

// TestDataStream: an event names the data stream that is configured, and no other.
func TestDataStream(t *testing.T) {
	text := sys(44, 0)
	expect{"data_stream.type": "logs", "data_stream.dataset": "auditd_manager.auditd", "data_stream.namespace": "prod", "event.dataset": "auditd_manager.auditd",
		"event.module": "auditd"}.check(t, text, Options{DataStream: format.DataStream{Dataset: "auditd_manager.auditd", Namespace: "prod"}})
	expect{"data_stream.type": nil, "data_stream.dataset": nil, "event.dataset": nil}.check(t, text, Options{})
}

// TestNamesAreWhole: the kernel cuts comm after 15 bytes, and rules ask for the program's name.
func TestNamesAreWhole(t *testing.T) {
	for _, c := range []struct{ comm, exe, want string }{
		{`"containerd-shim"`, `"/usr/bin/containerd-shim-runc-v2"`, "containerd-shim-runc-v2"},
		{`"containerd-shim"`, `"/usr/bin/containerd-shim-runc-v2 (deleted)"`, "containerd-shim-runc-v2"},
		{`"containerd-shim"`, `"/usr/bin/containerd-shim (deleted)"`, "containerd-shim"},
		{`"containerd-shim"`, `"/usr/bin/python3"`, "containerd-shim"},
		{`"containerd-shi"`, `"/usr/bin/containerd-shim"`, "containerd-shi"},
		{`"containerd-shim"`, `(null)`, "containerd-shim"},
		{`(null)`, `"/usr/bin/x"`, ""},
	} {
		got := encode(t, New(Options{}), rec("SYSCALL", `arch=c000003e syscall=59 success=yes exit=0 pid=2 comm=`+c.comm+` exe=`+c.exe))
		if name, _ := got["process.name"].(string); name != c.want {
			t.Errorf("%s of %s: %q", c.comm, c.exe, name)
		}
	}
}
