package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestListIsReadAgainAfterHUP: a filter and a rule follow their file, without a change of the configuration.
func TestListIsReadAgainAfterHUP(t *testing.T) {
	file := configFile(t, `
[rules]
listed = 'key in file("DIR/list")'
[sinks.a]
type = "file"
path = "DIR/out"
format = "json"
filter = 'key in file("DIR/list") or "listed" in rules'
`)
	dir := filepath.Dir(file)
	content := func(name string) string {
		data, _ := os.ReadFile(filepath.Join(dir, name))
		return string(data)
	}
	list := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "list"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list("first\n")
	p, out, end := runFile(t, file)
	send := func(serial int, key string) {
		fmt.Fprintf(out, "type=SYSCALL msg=audit(1.000:%d): arch=c000003e syscall=59 success=yes exit=0 key=\"%s\"\ntype=EOE msg=audit(1.000:%d): \n", serial, key, serial)
	}

	send(1, "first")
	send(2, "second one")
	wait(t, "the first event", func() bool { return strings.Contains(content("out"), `"serial":1,`) })
	list("second one\n")
	p.signals.hup <- syscall.SIGHUP
	wait(t, "the list", func() bool { return strings.Count(content("log"), "list of a filter read again") == 2 })
	send(3, "first")
	send(4, "second one")
	wait(t, "the last event", func() bool { return strings.Contains(content("out"), `"serial":4,`) })
	end()

	lines := strings.Split(strings.TrimSpace(content("out")), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"rules":["listed"]`) || !strings.Contains(lines[1], `"rules":["listed"]`) {
		t.Errorf("%q", lines)
	}
}
