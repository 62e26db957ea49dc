package ocsf

import (
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
)

// TestEventsSayWhoStartedThem: what a table of processes knows of the parent is where the schema has it.
func TestEventsSayWhoStartedThem(t *testing.T) {
	call := func(serial, nr, ppid, pid, comm, more string) string {
		return `type=SYSCALL msg=audit(1795298317.100:` + serial + `): arch=c000003e syscall=` + nr + ` success=yes exit=3 a0=1 a1=2 a2=3 a3=4 items=1 ppid=` + ppid + ` pid=` + pid +
			` auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="` + comm + `" exe="/usr/bin/` + comm + "\" key=(null)\n" +
			`type=` + strings.Replace(more, " ", ` msg=audit(1795298317.100:`+serial+`): `, 1) + "\n"
	}
	text := call("10", "59", "1", "100", "bash", `EXECVE argc=2 a0="bash" a1=FF20`) +
		call("11", "59", "100", "101", "cat", `EXECVE argc=1 a0="cat"`) +
		call("12", "257", "100", "101", "cat", `PATH item=0 name="/x" nametype=NORMAL`)
	const parent, percent = `{"cmd_line":"bash %ff ","file":{"name":"bash","path":"/usr/bin/bash","type_id":1},"name":"bash","pid":100}`, `["encoding:percent"]`
	wants := []map[string]string{
		{"class_uid": "1007", "process.pid": "100", "process.parent_process": `{"pid":1}`, "actor.process": `{"pid":1}`},
		{"class_uid": "1007", "process.pid": "101", "process.parent_process": parent, "actor.process": parent, "metadata.labels": percent},
		{"class_uid": "1001", "actor.process.pid": "101", "actor.process.name": "cat", "actor.process.parent_process": parent, "metadata.labels": percent},
	}

	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	e, n := newEncoder(Options{Processes: &known}), 0
	audittest.Events(t, []byte(text), func(b *record.Batch, i, j int) {
		known.Table().Note(&record.Batch{Buf: b.Buf, Recs: b.Recs[i:j]})
		line, doc := checkEvent(t, e, b, i, j)
		for path, want := range wants[n] {
			if got := shown(member(doc, path)); got != want {
				t.Errorf("%s is %s, want %s in\n%s", path, got, want, line)
			}
		}
		n++
	})
	if n != len(wants) {
		t.Errorf("%d events", n)
	}
}

// TestLabelsAndScripts: they have no place in the schema.
func TestLabelsAndScripts(t *testing.T) {
	text := strings.ReplaceAll(`type=SYSCALL ID: arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=3 ppid=1 pid=100 comm="x.sh" exe="/usr/bin/dash" key="up"
type=EXECVE ID: argc=2 a0="/bin/sh" a1="/srv/x.sh"
type=PATH ID: item=0 name="/srv/x.sh" inode=1 dev=fe:00 nametype=NORMAL
type=PATH ID: item=1 name="/bin/sh" inode=2 dev=fe:00 nametype=NORMAL
type=PATH ID: item=2 name="/lib/ld.so" inode=3 dev=fe:00 nametype=NORMAL
`, "ID", "msg=audit(1795298317.100:10)")
	labels := new(process.Labels)
	for _, err := range []error{labels.AddKey("up"), labels.Add(process.OfExe, "/dash$", "shell")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var known process.Current
	places := func(int, int64) (unit, container string, ok bool) { return "x.service", "0123", true }
	known.Set(process.NewTable(process.Options{Labels: labels, Places: places}))
	e := newEncoder(Options{Processes: &known})
	audittest.Events(t, []byte(text), func(b *record.Batch, i, j int) {
		known.Table().Note(b)
		line, doc := checkEvent(t, e, b, i, j)
		for path, want := range map[string]string{"unmapped.script": "/srv/x.sh", "unmapped.labels": `["up","shell"]`, "unmapped.keys": `["up"]`, "unmapped.systemd_unit": "x.service", "unmapped.container_id": "0123"} {
			if got := shown(member(doc, path)); got != want {
				t.Errorf("%s is %s, want %s in\n%s", path, got, want, line)
			}
		}
	})
}
