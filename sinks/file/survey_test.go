package file

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"audisp-relay/config"
	"audisp-relay/test/lab"
)

// TestCheckSaysWhatTheSinkRefuses: a directory that others can replace, links, hard links, and what is auditd's by another name. What may
// still come is no error.
func TestCheckSaysWhatTheSinkRefuses(t *testing.T) {
	if os.Getuid() != 0 {
		lab.Missing(t, "needs root to give directories to others")
	}
	x := tree{t, t.TempDir()}
	x.mkdir("person", 1234, 0, 0o755)
	x.mkdir("open", 0, 0, 0o777)
	x.mkdir("fine", 0, 0, 0o755)
	x.mkdir("audit", 0, 0, 0o750)
	x.link("audit", "a", 0)
	x.link("fine/there", "link", 0)
	for _, name := range []string{"fine/there", "fine/first", "audit/audit.log"} {
		x.file(name, 0, "before\n")
	}
	must(t, os.Link(x.path("fine/first"), x.path("fine/second")))
	for path, want := range map[string]string{
		"person/f": "belongs to uid 1234, who can put another file in the place", "person/below/f": "belongs to uid 1234", "open/f": "everybody can write directory",
		"fine/second": "is not written: it has 2 names", "link": "is in the way: it is a symbolic link", "a/audit.log": "of the files of auditd", "a/audit.log.4": "of the files of auditd",
		"fine/there": "", "fine/new": "", "absent/f": "",
	} {
		cfg := config.Default()
		sink := settings(x.path(path), nil)
		sink.Origin, sink.Reserved = "c.toml:7", []config.Reserved{{Path: x.path("audit/audit.log"), Of: "auditd"}}
		cfg.Sinks = []config.Sink{sink}
		_, err := config.Survey(cfg)
		got := ""
		for line := range strings.Lines(fmt.Sprint(err)) {
			if strings.Contains(line, "sinks.test.path") {
				got += line
			}
		}
		if (got == "") != (want == "") || !strings.Contains(got, want) || (want != "" && !strings.HasPrefix(got, "c.toml:7: sinks.test.path: "+x.path(path)+" is ")) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if text := content(t, x.path("audit/audit.log")); text != "before\n" {
		t.Errorf("audit.log has %q", text)
	}
}
