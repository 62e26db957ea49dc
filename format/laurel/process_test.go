package laurel

import (
	"strings"
	"testing"

	"audisp-relay/audit/process"
)

// TestSyscallHasScriptAndLabels: SCRIPT is in its exec alone, LABELS in all calls of the process.
func TestSyscallHasScriptAndLabels(t *testing.T) {
	call := func(serial, nr, comm string) string {
		return `type=SYSCALL msg=audit(1795298317.100:` + serial + `): arch=c000003e syscall=` + nr + ` success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=3 ppid=1 pid=100 comm="` + comm + `" exe="/usr/bin/dash" key="up"` + "\n"
	}
	exec := call("10", "59", "x.sh") + `type=EXECVE msg=audit(1795298317.100:10): argc=2 a0="/bin/sh" a1="/srv/x.sh"
type=PATH msg=audit(1795298317.100:10): item=0 name="/srv/x.sh" inode=1 dev=fe:00
type=PATH msg=audit(1795298317.100:10): item=1 name="/bin/sh" inode=2 dev=fe:00
type=PATH msg=audit(1795298317.100:10): item=2 name="/lib/ld.so" inode=3 dev=fe:00
`
	labels := new(process.Labels)
	if err := labels.AddKey("up"); err != nil {
		t.Fatal(err)
	}
	var known process.Current
	places := func(pid int, _ int64) (unit, container string, ok bool) { return "x.service", "0123", true }
	known.Set(process.NewTable(process.Options{Labels: labels, Places: places}))
	e := New(Options{Processes: &known})
	for _, tt := range []struct{ text, want string }{
		{exec, `"PID":{"EVENT_ID":"1795298317.100:10","container":{"id":"0123"},"systemd_service":["x"]},"SCRIPT":"/srv/x.sh","LABELS":["up"]},"EXECVE"`},
		{call("11", "2", "x.sh"), `"systemd_service":["x"]},"LABELS":["up"]},"CONTAINER_INFO":{"ID":"0123"}}`},
	} {
		b := one(t, tt.text)
		known.Table().Note(&b)
		got := string(e.AppendEvent(nil, &b, 0, len(b.Recs)))
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s lacks %s", got, tt.want)
		}
		checkLines(t, []byte(got))
	}
}

// TestSyscallSaysWhoStartedIt: SYSCALL has the objects that laurel adds, with what is known.
func TestSyscallSaysWhoStartedIt(t *testing.T) {
	call := func(serial, nr, ppid, pid, comm string) string {
		return `type=SYSCALL msg=audit(1795298317.100:` + serial + `): arch=c000003e syscall=` + nr + ` success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=` + ppid + ` pid=` + pid +
			` auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="` + comm + `" exe="/usr/bin/` + comm + `" key=(null)` + "\n"
	}
	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	e := New(Options{Processes: &known})
	encode := func(text string) string {
		b := one(t, text)
		known.Table().Note(&b)
		return string(e.AppendEvent(nil, &b, 0, len(b.Recs)))
	}
	const bash = `{"EVENT_ID":"1795298317.100:10","comm":"bash","exe":"/usr/bin/bash","ppid":1}`
	for _, tt := range []struct{ text, want string }{
		{call("10", "59", "1", "100", "bash"), `"ARGV":["0x1","0x2","0x3","0x4"],"PID":{"EVENT_ID":"1795298317.100:10"}}`},
		{call("11", "59", "100", "101", "sudo"), `,"PPID":` + bash + `,"PID":{"EVENT_ID":"1795298317.100:11"},"SPAWNED_BY":{"EVENT_ID":"1795298317.100:10","pid":100,"comm":"bash","exe":"/usr/bin/bash"}}`},
		{call("12", "59", "100", "101", "cat"), `,"PPID":` + bash + `,"PID":{"EVENT_ID":"1795298317.100:12"},"SPAWNED_BY":{"EVENT_ID":"1795298317.100:11","pid":101,"comm":"sudo","exe":"/usr/bin/sudo"}}`},
		{call("13", "2", "100", "102", "bash"), `"0x4"],"PPID":` + bash + `}}`},
		{call("14", "2", "102", "103", "x"), `"0x4"],"PPID":{"comm":"bash","exe":"/usr/bin/bash","ppid":100}}}`},
		{call("15", "2", "900", "901", "x"), `"0x4"]}}`},
	} {
		got := encode(tt.text)
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s lacks %s", got, tt.want)
		}
		checkLines(t, []byte(got))
	}
}
