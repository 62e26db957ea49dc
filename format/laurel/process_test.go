package laurel

import (
	"strings"
	"testing"

	"audisp-relay/audit/process"
)

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
