package json

import (
	"bytes"
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// started is what a shell has started: sudo, which becomes cat, and what that opens.
const started = `type=SYSCALL msg=audit(1795298317.100:10): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=1 pid=100 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="bash" exe="/usr/bin/bash" key=(null)
type=EXECVE msg=audit(1795298317.100:10): argc=2 a0="bash" a1="-l"
type=SYSCALL msg=audit(1795298317.200:11): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=100 pid=101 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="sudo" exe="/usr/bin/sudo" key=(null)
type=EXECVE msg=audit(1795298317.200:11): argc=3 a0="sudo" a1="cat" a2=6120FF27
type=SYSCALL msg=audit(1795298317.300:12): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=101 pid=102 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="cat" exe="/usr/bin/cat" key=(null)
type=EXECVE msg=audit(1795298317.300:12): argc=2 a0="cat" a1=6120FF27
type=SYSCALL msg=audit(1795298317.400:13): arch=c000003e syscall=257 success=yes exit=3 a0=1 a1=2 a2=3 a3=4 items=1 ppid=101 pid=102 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="cat" exe="/usr/bin/cat" key=(null)
type=CWD msg=audit(1795298317.400:13): cwd="/"
type=SYSCALL msg=audit(1795298317.500:14): arch=c000003e syscall=257 success=yes exit=3 a0=1 a1=2 a2=3 a3=4 items=1 ppid=7 pid=8 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="cat" exe="/usr/bin/cat" key=(null)
`

// TestEventsSayWhoStartedThem: what a table of processes knows is in the lines, and the records are rebuilt as
// without it.
func TestEventsSayWhoStartedThem(t *testing.T) {
	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	e, doc := New(Options{Processes: &known}), readDoc(t)
	var lines []string
	audittest.Events(t, []byte(started), func(b *record.Batch, i, j int) {
		known.Table().Note(&record.Batch{Buf: b.Buf, Recs: b.Recs[i:j]})
		lines = append(lines, string(checkEvent(t, doc, e, b, i, j)))
	})
	const shell = `{"pid":100,"exe":"/usr/bin/bash","exec_id":"1795298317.100:10"`
	for i, want := range [][]string{
		{`"args":["bash","-l"],"argc":2,"command_line":"bash -l","exec_id":"1795298317.100:10"`},
		{`"command_line":"sudo cat 'a %ff'\\'''","exec_id":"1795298317.200:11","parent":` + shell + `,"args":["bash","-l"],"command_line":"bash -l"}`},
		{`"command_line":"cat 'a %ff'\\'''","exec_id":"1795298317.300:12","parent":{"pid":101,"exe":"/usr/bin/sudo","exec_id":"1795298317.200:11",` +
			`"args":["sudo","cat","a %ff'"],"command_line":"sudo cat 'a %ff'\\'''"},"ancestors":[` + shell + `}]`},
		{`"cwd":"/"`, `"sockaddrs":[],"command_line":"cat 'a %ff'\\'''","exec_id":"1795298317.300:12","parent":{"pid":101,`, `"ancestors":[` + shell + `}]`, `"encoding":"percent"`},
		{`"sockaddrs":[],"other_records":[]}`},
	} {
		for _, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("event %d lacks %s\n%s", i, part, lines[i])
			}
		}
	}
}

// TestKinBeforeDoNotShow: an encoder that has written other events writes what is known of processes as a new one does.
func TestKinBeforeDoNotShow(t *testing.T) {
	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	o := Options{Processes: &known}
	used, parents := New(o), 0
	for range 3 {
		for _, text := range [][]byte{[]byte(started), []byte(strings.ReplaceAll(started, "bash", "b%sh")), captures.Read(t, "audit-3.0.9-enriched.string.gz")} {
			audittest.Events(t, text, func(b *record.Batch, i, j int) {
				known.Table().Note(&record.Batch{Buf: b.Buf, Recs: b.Recs[i:j]})
				got, want := used.AppendEvent(nil, b, i, j), New(o).AppendEvent(nil, b, i, j)
				if !bytes.Equal(got, want) {
					t.Fatalf("%s\na new one: %s", got, want)
				}
				parents += bytes.Count(got, []byte(`"parent":{`))
			})
		}
		known.Set(process.NewTable(process.Options{}))
	}
	if parents < 100 {
		t.Errorf("%d events have a parent", parents)
	}
}

// script is an exec of a script with a key, and a child of it.
const script = `type=SYSCALL msg=audit(1795298317.100:10): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=3 ppid=1 pid=100 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="x%1.sh" exe="/usr/bin/dash" key="up"
type=EXECVE msg=audit(1795298317.100:10): argc=2 a0="/bin/sh" a1="./x%1.sh"
type=CWD msg=audit(1795298317.100:10): cwd="/srv"
type=PATH msg=audit(1795298317.100:10): item=0 name="./x%1.sh" inode=1 dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL
type=PATH msg=audit(1795298317.100:10): item=1 name="/bin/sh" inode=2 dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL
type=PATH msg=audit(1795298317.100:10): item=2 name="/lib/ld.so" inode=3 dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL
type=SYSCALL msg=audit(1795298317.200:11): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=100 pid=101 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 comm="cat" exe="/usr/bin/cat" key=(null)
type=EXECVE msg=audit(1795298317.200:11): argc=2 a0="cat" a1=FF
`

// TestLabelsAndScripts: they are in the lines, also in one with percent signs, and the records are rebuilt.
func TestLabelsAndScripts(t *testing.T) {
	labels := new(process.Labels)
	for _, err := range []error{labels.AddKey("up"), labels.Add(process.OfExe, "/dash$", "shell"), labels.PassOn("up")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var known process.Current
	id := strings.Repeat("0123456789abcdef", 4)
	places := func(pid int, _ int64) (unit, container string, ok bool) { return "x.service", id, pid == 100 }
	known.Set(process.NewTable(process.Options{Labels: labels, Places: places}))
	e, doc := New(Options{Processes: &known}), readDoc(t)
	var lines []string
	audittest.Events(t, []byte(script), func(b *record.Batch, i, j int) {
		known.Table().Note(&record.Batch{Buf: b.Buf, Recs: b.Recs[i:j]})
		lines = append(lines, string(checkEvent(t, doc, e, b, i, j)))
	})
	for i, want := range []string{
		`"exec_id":"1795298317.100:10","script":"/srv/x%1.sh","systemd_unit":"x.service","container_id":"` + id + `","labels":["up","shell"],"other_records"`,
		`"exec_id":"1795298317.200:11","systemd_unit":"x.service","container_id":"` + id + `","labels":["up"],"parent":{`,
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("event %d lacks %s\n%s", i, want, lines[i])
		}
	}
}

// TestLongArgumentsOfOthersAreCut: what is known of a process is marked where it is not all.
func TestLongArgumentsOfOthersAreCut(t *testing.T) {
	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	text := strings.Replace(started, `a1="-l"`, `a1="`+strings.Repeat("x", 2000)+`"`, 1)
	e, doc := New(Options{Processes: &known}), readDoc(t)
	n := 0
	audittest.Events(t, []byte(text), func(b *record.Batch, i, j int) {
		known.Table().Note(&record.Batch{Buf: b.Buf, Recs: b.Recs[i:j]})
		line := string(checkEvent(t, doc, e, b, i, j))
		if n++; n == 2 && !strings.Contains(line, `"args":["bash"],"command_line":"bash","command_line_cut":true}`) {
			t.Errorf("%s", line)
		}
	})
}

// TestFieldsOfTheNames: a record's own parent= has another name.
func TestFieldsOfTheNames(t *testing.T) {
	got := line(t, Options{}, 0, `type=AVC msg=audit(1.000:1): apparmor="DENIED" operation="exec" parent=12 profile="x"`)
	if !strings.Contains(got, `"parent_":"12"`) {
		t.Errorf("%s", got)
	}
}
