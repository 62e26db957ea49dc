package filter

import (
	"fmt"
	"strings"
	"testing"

	"audisp-relay/audit/process"
)

// TestParents: what is known of the parent is asked of a table, by filters and by rules that they ask for.
func TestParents(t *testing.T) {
	text := strings.ReplaceAll(`type=SYSCALL msg=audit(1795298317.100:10): arch=c000003e syscall=59 success=yes exit=0 IDS ppid=1 pid=100 auid=1000 comm="bash" exe="/usr/bin/bash" key=(null)
type=EXECVE msg=audit(1795298317.100:10): argc=3 a0="bash" a1="-c" a2=612062
type=SYSCALL msg=audit(1795298317.200:11): arch=c000003e syscall=59 success=yes exit=0 IDS ppid=100 pid=101 auid=1000 comm="cat" exe="/usr/bin/cat" key=(null)
type=EXECVE msg=audit(1795298317.200:11): argc=2 a0="cat" a1="x"
type=SYSCALL msg=audit(1795298317.300:12): arch=c000003e syscall=257 success=yes exit=3 IDS ppid=100 pid=101 auid=1000 comm="cat" exe="/usr/bin/cat" key=(null)
`, "IDS", "a0=1 a1=2 a2=3 a3=4 items=1")
	l := read(t, []byte(text))
	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	known.Table().Note(&l.batch)
	rules, errs, _ := NewRules(map[string]string{"of a shell": `iends(parent.exe, "/bash", "/sh") and icontains(parent.cmdline, "a b")`})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, tt := range []struct {
		src  string
		want string // an event each
		asks bool
	}{
		{`cmdline == "cat x"`, "-+-", false},
		{`parent.exe == "/usr/bin/bash"`, "-++", true},
		{`parent.exe == ""`, "+--", true},
		{`parent.cmdline == "bash -c a b"`, "-++", true},
		{`icontains(parent.cmdline, "BASH -C")`, "-++", true},
		{`"of a shell" in rules`, "-++", true},
		{`not (parent.exe endsWith "/bash") and cmdline startsWith "bash"`, "+--", true},
		{`args[0] == "cat"`, "-+-", false},
	} {
		f, err := CompileWith(tt.src, rules)
		if err != nil {
			t.Fatal(err)
		}
		if f.AsksForProcesses() != tt.asks {
			t.Errorf("%s asks for processes: %v", tt.src, !tt.asks)
		}
		m := f.New()
		m.Processes = &known
		m = m.Renew()
		got := ""
		for _, e := range l.events {
			keep, err := m.Keep(&l.batch, e[0], e[1])
			if err != nil {
				t.Fatal(err)
			}
			got += map[bool]string{true: "+", false: "-"}[keep]
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.src, got, tt.want)
		}
	}

	// Without a table the event's own records are what there is.
	m := mustCompile(t, `cmdline == "cat x" and parent.exe == ""`).New()
	for i, want := range []bool{false, true, false} {
		if keep, _ := m.Keep(&l.batch, l.events[i][0], l.events[i][1]); keep != want {
			t.Errorf("event %d without a table: %v", i, keep)
		}
	}
}

// TestLabels: labels and scripts are asked of the table, too.
func TestLabels(t *testing.T) {
	l := read(t, []byte(strings.ReplaceAll(`type=SYSCALL msg=audit(1.100:10): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=3 ppid=1 pid=100 comm="x.sh" exe="/bin/dash" key="up"
type=EXECVE msg=audit(1.100:10): argc=2 a0="/bin/sh" a1="/srv/x.sh"
type=PATH msg=audit(1.100:10): item=0 name="/srv/x.sh" inode=1 dev=fe:00
type=PATH msg=audit(1.100:10): item=1 name="/bin/sh" inode=2 dev=fe:00
type=PATH msg=audit(1.100:10): item=2 name="/lib/ld.so" inode=3 dev=fe:00
type=SYSCALL msg=audit(1.200:11): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=100 pid=101 comm="a" exe="/bin/a" key=(null)
type=EXECVE msg=audit(1.200:11): argc=1 a0="a"
type=SYSCALL msg=audit(1.300:12): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=1 pid=102 comm="a" exe="/bin/a" key=(null)
`, "audit(1.", "audit(1795298317.")))
	labels := new(process.Labels)
	for _, err := range []error{labels.AddKey("up"), labels.Add(process.OfScript, `x\.sh$`, "script"), labels.PassOn("up")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var known process.Current
	places := func(pid int, _ int64) (unit, container string, ok bool) { return "x.service", "0123", pid != 102 }
	known.Set(process.NewTable(process.Options{Labels: labels, Places: places}))
	known.Table().Note(&l.batch)
	for src, want := range map[string]string{
		`"up" in labels`:           "++-",
		`not ("up" in labels)`:     "--+",
		`label == "script"`:        "+--",
		`label == ""`:              "--+",
		`label in ["x", "script"]`: "+--",
		`labels[1] == "script"`:    "+--",
		`len(labels) == 1`:         "-+-",
		`script == "/srv/x.sh"`:    "+--",
		`script == ""`:             "-++",

		`systemd_unit == "x.service" and container_id == "0123"`: "++-",
	} {
		f := mustCompile(t, src)
		if !f.AsksForProcesses() {
			t.Errorf("%s does not ask for processes", src)
		}
		m := f.New()
		m.Processes = &known
		got := ""
		for _, e := range l.events {
			keep, err := m.Keep(&l.batch, e[0], e[1])
			if err != nil {
				t.Fatal(err)
			}
			got += map[bool]string{true: "+", false: "-"}[keep]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", src, got, want)
		}
		// Whether it is a script the first record does not say.
		if may, err := m.MayKeep(&l.batch, 0, 1); err != nil || !may {
			t.Errorf("%s: a part of the event is left out, %v", src, err)
		}
	}
}

// TestNamedLabels: those that are compared with a label are remembered, a bounded number of them.
func TestNamedLabels(t *testing.T) {
	many := strings.Repeat(`, "x"`, 50_000)
	for i := range 300 {
		many += fmt.Sprintf(", %q", fmt.Sprint("l", i))
	}
	for src, want := range map[string]int{
		`"a" in labels and label == "a" and not (label == "b")`: 2,
		`comm == "a" or label == comm or label matches "^a"`:    0,
		`label in ["a"` + many + `]`:                            maxLabels,
	} {
		if got := mustCompile(t, src).Labels(); len(got) != want {
			t.Errorf("%.60s: %q", src, got)
		}
	}
	set, _, _ := NewRules(map[string]string{"one": `label == "a"`, "two": `"b" in labels`, "three": `comm == "c"`, "wrong": `label == "d" and`})
	got := ""
	for rule, label := range set.Labels {
		got += rule + " " + label + "; "
	}
	if got != "one a; two b; " {
		t.Error(got)
	}
	for range (*RuleSet)(nil).Labels {
		t.Error("no rules name nothing")
	}
}

func TestUnknownPartsOfParent(t *testing.T) {
	for src, want := range map[string]string{
		`parent.ex == "/x"`:               "unknown field parent.ex: did you mean parent.exe?",
		`parent == "x"`:                   "parent is not a field itself: write parent.exe or parent.cmdline",
		`let parent = exe; parent == "x"`: "there is a parent already",
	} {
		if _, err := Compile(src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
}

// TestProgramOfAnOperationOfIOUring: its record has neither exe nor comm, so they are what is known of the process.
func TestProgramOfAnOperationOfIOUring(t *testing.T) {
	l := read(t, []byte(`type=SYSCALL msg=audit(1795298317.100:10): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=1 pid=100 auid=1000 comm="bash" exe="/usr/bin/bash" key=(null)
type=EXECVE msg=audit(1795298317.100:10): argc=1 a0="bash"
type=URINGOP msg=audit(1795298317.200:11): uring_op=18 success=yes exit=4 items=1 ppid=1 pid=100 uid=0 key=(null)
type=PATH msg=audit(1795298317.200:11): item=0 name="/etc/shadow" nametype=NORMAL
`))
	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	known.Table().Note(&l.batch)
	m := mustCompile(t, `iends(exe, "/bash") and comm == "bash"`).New()
	for _, of := range []struct {
		processes *process.Current
		want      bool // of the operation
	}{{nil, false}, {&known, true}} {
		m.Processes = of.processes
		for n, want := range []bool{true, of.want} {
			if keep, err := m.Keep(&l.batch, l.events[n][0], l.events[n][1]); keep != want || err != nil {
				t.Errorf("event %d is kept: %v, %v", n, keep, err)
			}
		}
	}
}
