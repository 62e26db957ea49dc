package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRules: a rule that is wrong is said with its place and left out, and filters can ask for the others.
func TestRules(t *testing.T) {
	text := `[rules]
"Shell of a web server" = 'exe endsWith "/sh" and user == "www-data"'
login = 'type == "USER_LOGIN"'
wrong = 'ex == "/bin/sh"'
number = 5
empty = ""
"" = 'success'
"with ` + "\\u0007" + `" = 'success'
newer = 'syscall == "opennew"'

[sinks.a]
type = "file"
path = "/var/log/a"
format = "json"
filter = '"login" in rules or "Shell of a web server" in rules'

[sinks.b]
type = "file"
path = "/var/log/b"
filter = '"wrong" in rules'

[sinks.c]
type = "file"
path = "/var/log/c"
`
	c, warns, err := parse("t.toml", []byte(text))
	var got []string
	for _, e := range asErrors(err, "", 0, "") {
		got = append(got, e.Error())
	}
	for _, want := range []string{
		`t.toml:4: rules.wrong: 1:1: unknown field ex: did you mean exe?`,
		`t.toml:5: rules.number: is an integer, must be a string`,
		`t.toml:6: rules.empty: is empty: write an expression, or remove the rule`,
		`t.toml:7: rules."": not a name for a rule, must be 1 to 120 bytes of printable UTF-8`,
		`not a name for a rule`,
		`t.toml:20: sinks.b.filter: 1:1: there is no rule "wrong"`,
	} {
		if !slices.ContainsFunc(got, func(e string) bool { return strings.HasPrefix(e, want) || strings.Contains(e, want) }) {
			t.Errorf("no error %s in\n%s", want, strings.Join(got, "\n"))
		}
	}
	if len(got) != 6 {
		t.Errorf("%d errors: %q", len(got), got)
	}
	if len(warns) != 1 || !strings.Contains(warns[0], `t.toml:9: rules.newer: 1:12: there is no system call "opennew" in the tables`) {
		t.Errorf("warnings %q", warns)
	}
	if names := c.Rules.Names(); !slices.Equal(names, []string{"Shell of a web server", "login", "newer"}) {
		t.Errorf("rules %q", names)
	}
	if len(c.Sinks) != 2 || c.Sinks[0].Name != "a" || c.Sinks[1].Name != "c" || c.Sinks[0].Rules != c.Rules || c.Sinks[1].Rules != c.Rules {
		t.Errorf("sinks %v", c.Sinks)
	}

	if c, err := Parse("t.toml", []byte("[rules]\n")); c != nil && c.Rules != nil {
		t.Errorf("rules of an empty table, %v", err)
	}
}

// TestParentsThatNobodyKnows: a filter or rule that asks for the parent needs process_context.
func TestParentsThatNobodyKnows(t *testing.T) {
	const sink = "[sinks.a]\ntype = 'file'\npath = '/var/log/a'\n"
	for text, want := range map[string]int{
		sink + `filter = 'parent.exe == "/bin/sh"'`:                            1,
		sink + `filter = 'exe == "/bin/sh"'`:                                   0,
		sink + "[rules]\nr = 'parent.cmdline contains \"x\" or success'":       1,
		sink + "format = 'json'\n[rules]\nr = 'cmdline contains \"x\"'":        0,
		"[rules]\nr = 'icontains(parent.exe, \"x\")'\n" + sink + "q_depth = 5": 1,
	} {
		for _, on := range []bool{true, false} {
			_, warns, err := parse("t.toml", fmt.Appendf(nil, "process_context = %v\n%s\n", on, text))
			n := want
			if on {
				n = 0
			}
			if err != nil || len(warns) != n || (n > 0 && !strings.HasPrefix(warns[0], "t.toml:1: process_context: is false")) {
				t.Errorf("process_context = %v, %s: %v, warnings %q", on, text, err, warns)
			}
		}
	}
}

// TestFileOfAFilter: a list is checked with the filter that names it, and who may write it.
func TestFileOfAFilter(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	sink := "[sinks.a]\ntype = \"file\"\npath = \"/var/log/a\"\nfilter = 'exe in file(\"" + list + "\")'\n"
	if _, err := Parse("t.toml", []byte(sink)); err == nil || !strings.Contains(err.Error(), "t.toml:4: sinks.a.filter: 1:13: stat "+list) {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(list, []byte("/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("t.toml", []byte(sink)); err != nil {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chmod(list, 0o622); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("t.toml", []byte(sink)); err == nil || !strings.Contains(err.Error(), "others than root must not write it") {
		t.Errorf("a file that others may write: %v", err)
	}
}
