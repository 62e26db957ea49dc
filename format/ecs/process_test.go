package ecs

import (
	"fmt"
	"strings"
	"testing"

	"audisp-relay/audit/process"
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
