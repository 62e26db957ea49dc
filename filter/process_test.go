package filter

import (
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
