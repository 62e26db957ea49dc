package config

import (
	"strings"
	"testing"
)

// A filter takes the place of audisp-filter where it says the same of every event, else that stays.
func TestImportFilter(t *testing.T) {
	tests := []struct {
		args, rules, filter, note string
	}{
		{"allowlist F /sbin/p", "type r= CWD\n", `type not in [\"CWD\"]`, ""},
		{"blocklist F /sbin/p", "type r= CWD\ntype r=\"PATH\"", `type in [\"CWD\", \"PATH\"]`, ""},
		{"blocklist F /sbin/p", "type r= NEW_IN_AUDIT_9\n", `type in [\"NEW_IN_AUDIT_9\"]`, ""},
		{"allowlist F /sbin/p", "", "", "F: has no expression"},
		{"allowlist F /sbin/p", "# type r= CWD\n", "", "F: has no expression"},
		{"allowlist F /sbin/p", " # type r= CWD\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "type r= CWD\n  \n", "", "F:2: is more than"},
		{"allowlist F /sbin/p", "type r!= CWD\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "type i= CWD\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "! type r= CWD\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "typer= CWD\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "type r= CWD && uid r= 0\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "(type r= CWD\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "type r= \"CWD\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "type r= CWD\r\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "type r= CWD\x00\n", "", "F:1: is more than"},
		{"allowlist F /sbin/p", "type r= EOE\n", "", "F:1: names EOE"},
		{"allowlist F /sbin/p", "type r= EXECV\n", "", "did you mean EXECVE?"},
		{"allowlist F /sbin/p", "type r= CWDD\n", "", "whose expressions a filter does not take the place of"},
		{"allowlist /etc/none /sbin/p", "", "", "/etc/none"},
		{"denylist F /sbin/p", "type r= CWD\n", "", `its mode "denylist" is neither`},
		{"--check F", "type r= CWD\n", "", "its args are not a mode, a file and a program"},
		{"allowlist F p", "type r= CWD\n", "", `"p" is not the absolute path`},
		{"allowlist F /sbin/audisp-filter blocklist F /sbin/p", "type r= CWD\n", `type not in [\"CWD\"]`, "it is run by another one"},
	}
	for _, tt := range tests {
		args := strings.ReplaceAll(tt.args, "F", "/etc/F")
		got, err := importOf(at3, plugins(at3.PluginDir, map[string]string{
			"x.conf": "active = yes\npath = /sbin/audisp-filter\nargs = " + args + "\n", "/etc/F": tt.rules,
		}))
		if err != nil {
			t.Fatal(tt, err)
		}
		checkImported(t, got)
		if tt.filter != "" && !strings.Contains(string(got.Text), `filter       = "`+tt.filter+`"`) {
			t.Errorf("%q %q: no filter in\n%s", tt.args, tt.rules, got.Text)
		}
		if tt.filter == "" && (strings.Contains(string(got.Text), "\nfilter ") || !strings.Contains(string(got.Text), `path         = "/sbin/audisp-filter"`)) {
			t.Errorf("%q %q: audisp-filter does not stay in\n%s", tt.args, tt.rules, got.Text)
		}
		if notes := strings.Join(got.Notes, "\n"); !strings.Contains(notes, tt.note) {
			t.Errorf("%q %q: notes %q, want %q", tt.args, tt.rules, notes, tt.note)
		}
	}
}
