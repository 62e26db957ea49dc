package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/config"
	"audisp-relay/format"
)

// TestProcessesAreFollowedWhereAsked: no sink that does not ask for them costs anything.
func TestProcessesAreFollowedWhereAsked(t *testing.T) {
	for _, tt := range []struct {
		keys string
		want bool
	}{
		{"", false},
		{`format = "json"`, true},
		{`format = "laurel"`, true},
		{`filter = 'key == "x"'`, false},
		{`filter = 'key == "x" and parent.exe endsWith "/bash"'`, true},
		{`filter = 'cmdline contains "x"'`, false},
		{"filter = '\"r\" in rules'\n[rules]\nr = 'parent.cmdline contains \"x\"'", true},
		{"filter = 'key == \"x\"'\n[rules]\nr = 'parent.cmdline contains \"x\"'", false},
	} {
		for _, on := range []string{"true", "false"} {
			cfg, err := config.Parse("t.toml", []byte("process_context = "+on+"\n[sinks.a]\ntype = \"file\"\npath = \"/srv/a\"\n"+tt.keys+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			if got := wantsProcesses(cfg); got != (tt.want && on == "true") {
				t.Errorf("%s, process_context = %s: %v", tt.keys, on, got)
			}
		}
	}
}

// TestRulesKnowParents: where events carry the names of rules, what these ask for is known.
func TestRulesKnowParents(t *testing.T) {
	for _, name := range format.Names() {
		if kind, err := format.Parse(name); err != nil || (kind.AddRules != nil && !kind.Processes) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEventsSayWhoStartedThem: the way from the stream to a sink and to a filter.
func TestEventsSayWhoStartedThem(t *testing.T) {
	file := configFile(t, `[sinks.a]
type = "file"
path = "DIR/out"
format = "json"
filter = 'parent.exe == "/usr/bin/bash"'
`)
	const ids = " a0=1 a1=2 a2=3 a3=4 items=1 "
	_, in, end := runFile(t, file)
	in.Write([]byte("type=SYSCALL msg=audit(1795298317.100:10): arch=c000003e syscall=59 success=yes exit=0" + ids + "ppid=1 pid=100 comm=\"bash\" exe=\"/usr/bin/bash\" key=(null)\n" +
		"type=EXECVE msg=audit(1795298317.100:10): argc=1 a0=\"bash\"\ntype=EOE msg=audit(1795298317.100:10): \n" +
		"type=SYSCALL msg=audit(1795298317.200:11): arch=c000003e syscall=59 success=yes exit=0" + ids + "ppid=100 pid=101 comm=\"id\" exe=\"/usr/bin/id\" key=(null)\n" +
		"type=EXECVE msg=audit(1795298317.200:11): argc=1 a0=\"id\"\ntype=EOE msg=audit(1795298317.200:11): \n"))
	out := filepath.Join(filepath.Dir(file), "out")
	wait(t, "an event", func() bool { got, _ := os.ReadFile(out); return strings.HasSuffix(string(got), "\n") })
	end()
	got, _ := os.ReadFile(out)
	if strings.Count(string(got), "\n") != 1 || !strings.Contains(string(got), `"command_line":"id","exec_id":"1795298317.200:11","parent":{"pid":100,"exe":"/usr/bin/bash","exec_id":"1795298317.100:10","args":["bash"]`) {
		t.Errorf("%s", got)
	}
}

// TestLabelsOfProcesses: the way from the table [process_labels] to a filter and to an event, and what a reload makes of it.
func TestLabelsOfProcesses(t *testing.T) {
	const labels = "[process_labels]\nkeys = [\"up\"]\npropagate = [\"up\"]\n"
	const sink = "[sinks.a]\ntype = \"file\"\npath = \"DIR/out\"\nformat = \"json\"\nfilter = '\"up\" in labels'\n"
	file := configFile(t, labels+sink)
	call := func(serial, ppid, pid, key string) string {
		id := "msg=audit(1795298317." + serial + "00:" + serial + "): "
		return "type=SYSCALL " + id + "arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=" + ppid + " pid=" + pid + " comm=\"x\" exe=\"/usr/bin/x\" key=" + key + "\n" +
			"type=EXECVE " + id + "argc=1 a0=\"x\"\ntype=EOE " + id + "\n"
	}
	out := filepath.Join(filepath.Dir(file), "out")
	p, in, end := runFile(t, file)
	in.Write([]byte(call("1", "1", "100", `"up"`) + call("2", "100", "101", "(null)") + call("3", "1", "102", "(null)") + call("4", "101", "103", "(null)")))
	wait(t, "three events", func() bool {
		got, _ := os.ReadFile(out)
		return strings.Count(string(got), `"labels":["up"]`) == 3
	})

	text, _ := os.ReadFile(file)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), `"up"]`, `"down"]`)), 0o640); err != nil {
		t.Fatal(err)
	}
	reloaded := make(chan struct{})
	p.tasks <- func() { p.reload(); close(reloaded) }
	<-reloaded
	in.Write([]byte(call("5", "100", "104", "(null)") + call("6", "100", "105", `"up"`)))
	end()
	if got, _ := os.ReadFile(out); strings.Count(string(got), "\n") != 3 {
		t.Errorf("%s", got)
	}
}
