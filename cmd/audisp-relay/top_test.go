package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"audisp-relay/plugin"
	"audisp-relay/plugin/top"
)

// callsOf returns n events of a program, with serials from first on.
func callsOf(first, n int, exe, key string) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "type=SYSCALL msg=audit(1795296167.%03d:%d): arch=c000003e syscall=257 success=yes exit=3 items=0 ppid=1 pid=2 auid=1000 uid=0 comm=\"x\" exe=%s key=%s\n", i%1000, i, exe, key)
		fmt.Fprintf(&b, "type=EOE msg=audit(1795296167.%03d:%d): \n", i%1000, i)
	}
	return b.String()
}

// TestTopOfFiles: exact shares, a rule for the worst, and nothing of a hostile name that a terminal
// would obey, in 80 columns.
func TestTopOfFiles(t *testing.T) {
	file := t.TempDir() + "/audit.log"
	hostile := fmt.Sprintf("%X", "/tmp/\x1b[31mred\n"+strings.Repeat("x", 200))
	write(t, file, callsOf(1, 60, `"/usr/bin/loud"`, `"files"`)+callsOf(61, 30, hostile, `1B5B324A`)+callsOf(91, 10, `"/bin/c"`, "(null)"), 0o600)
	code, text := output(t, "top", file)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	for _, want := range []string{
		" 60.0%    0%", "  /usr/bin/loud\n", "auditctl -A never,exit -S all -F exe=/usr/bin/loud\n", "rules.d: -a never,exit -S all -F exe=/usr/bin/loud\n",
		`filter:  exe != "/usr/bin/loud"`, "auditctl -D -k files\n", `\x1b[2J`, "auid != 1000", "200 records, 100 events",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %q", want)
		}
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		toCopy := strings.HasPrefix(line, "  now:") || strings.HasPrefix(line, "  rules.d:") || strings.HasPrefix(line, "  filter:")
		if n := utf8.RuneCountInString(line); n > topWidth && !toCopy {
			t.Errorf("%d columns: %q", n, line)
		}
		if strings.ContainsRune(line, '\x1b') {
			t.Errorf("an escape: %q", line)
		}
	}
	if t.Failed() {
		t.Logf("%s", text)
	}
}

// TestRowNames fit their columns, whatever letters they have, and keep their end.
func TestRowNames(t *testing.T) {
	for name, want := range map[string]string{
		"/bin/a": "/bin/a", strings.Repeat("x", 40) + "/end": "..." + strings.Repeat("x", 13) + "/end", strings.Repeat("漢", 20) + "/end": "..." + strings.Repeat("漢", 6) + "/end",
		strings.Repeat("e\u0301", 20): strings.Repeat("e\u0301", 20), "": `""`,
	} {
		if got := rowName(top.Row{Name: name}, 20); got != want || ansi.StringWidth(got) > 20 {
			t.Errorf("%q: %q of %d columns, want %q", name, got, ansi.StringWidth(got), want)
		}
	}
}

// TestTopFlags: --by, -n and --json choose what comes, and what makes no sense is refused.
func TestTopFlags(t *testing.T) {
	file := t.TempDir() + "/audit.log"
	write(t, file, callsOf(1, 60, `"/bin/a"`, `"k"`)+callsOf(61, 30, `"/bin/b"`, `"k"`)+callsOf(91, 10, `"/bin/c"`, `"k"`), 0o600)
	code, text := output(t, "top", "--by", "exe", "-n", "2", "--json", file)
	var r top.Report
	if err := json.Unmarshal(text, &r); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, text)
	}
	if len(r.By) != 1 || len(r.By["exe"]) != 2 || r.By["exe"][1].Name != "/bin/b" || len(r.Remedies) != 1 || r.Remedies[0].By != "exe" || r.Start.Records != 200 {
		t.Errorf("%s", text)
	}
	for _, args := range [][]string{{"--by", "colour"}, {"-n", "-1"}, {"--watch", file}} {
		if code, text := output(t, append([]string{"top"}, args...)...); code != 2 {
			t.Errorf("%q: exit code %d: %s", args, code, text)
		}
	}
	if code, text := output(t, "top", "/none"); code != 1 || !strings.Contains(string(text), "/none") {
		t.Errorf("a file that is not there: exit code %d: %s", code, text)
	}
	if code, text := output(t, "top", "--run-dir", t.TempDir()); code != exitNotRunning {
		t.Errorf("without a plugin: exit code %d: %s", code, text)
	}
}

// TestTopOfPlugin asks one that runs, by pid and socket as status does.
func TestTopOfPlugin(t *testing.T) {
	dir := t.TempDir()
	config := "run_dir = '" + dir + "/run'\nstate_dir = '" + dir + "/state'\npriority_boost = 0\noom_score_adj = 0\nlog.output = '" + dir + "/log'\n" +
		"[recovery]\nenabled = false\n[sinks.f]\ntype = 'file'\npath = '" + dir + "/f'\n"
	write(t, dir+"/c.toml", config, 0o640)
	in, w := io.Pipe()
	p := plugin.New(plugin.Options{Config: dir + "/c.toml", In: in})
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	w.Write([]byte(callsOf(1, 10, `"/bin/a"`, `"k"`)))
	var text []byte
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var code int
		if code, text = output(t, "top", "--run-dir", dir+"/run"); code == 0 && strings.Contains(string(text), "/bin/a") {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("exit code %d:\n%s", code, text)
			break
		}
	}
	for _, want := range []string{"last ", "since ", " START", "exe != \"/bin/a\""} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	w.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestShortNumbers fit their column.
func TestShortNumbers(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 1: "1", 1.25: "1.2", 99.97: "100.0", 150: "150", 9999: "9999", 10_000: "10.0k", 123_456: "123k", 1e6: "1.0M", 2.5e9: "2.5G", 1e18: "huge"} {
		if got := short(n); got != want || len(got) > 7 {
			t.Errorf("%v: %q, want %q", n, got, want)
		}
	}
}
