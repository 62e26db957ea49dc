package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/host/broker"
)

// TestCheckForeseesOneProcess: which directory would have one process do everything, as the second one's user may not have it, is a warning.
func TestCheckForeseesOneProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	was := broker.User
	t.Cleanup(func() { broker.User = was })
	top, err := os.MkdirTemp("", "rc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir, mode := range map[string]os.FileMode{"shut": 0o700, "full": 0o755, "full/state": 0o700, "full/state/other": 0o700} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(top, dir), mode); err != nil {
			t.Fatal(err)
		}
	}

	const says = "warning: the relay will run in one process, which has root's rights: "
	for _, c := range []struct{ user, global, dir, want string }{
		{"nobody", "", "new/state", ""},
		{"nobody", "", "shut/state", says + top + "/shut/state: user nobody cannot pass directory " + top + "/shut: chmod o+x " + top + "/shut\n"},
		{"nobody", "", "full/state", says + top + "/full/state: " + top + "/full/state/other is in it, which is not the relay's"},
		{"nobody", "sandbox = \"off\"\n", "shut/state", ""},
		{"no-such-user", "", "shut/state", ""},
	} {
		broker.User = c.user
		file := filepath.Join(top, "relay.toml")
		write(t, file, c.global+"state_dir = \""+top+"/"+c.dir+"\"\n[sinks.f]\ntype = \"file\"\npath = \""+top+"/out\"\n", 0o600)
		var out bytes.Buffer
		if _, err := checkFile(&out, file); err != nil {
			t.Errorf("%v\n%s", err, out.String())
		}
		if text := out.String(); !strings.Contains(text, c.want) || strings.Contains(text, says) != (c.want != "") {
			t.Errorf("%+v:\n%s", c, text)
		}
	}
}
