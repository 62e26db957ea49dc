package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstallUsage(t *testing.T) {
	cmd := newInstallCmd()
	cmd.SetArgs([]string{"--format", "json"})
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	var usage usageError
	if err := cmd.Execute(); !errors.As(err, &usage) {
		t.Errorf("--format json: %v, want a usage error", err)
	}
}

// With --conf-dir of an auditd that does not run, only files are written, and
// they are the ones that are built in.
func TestInstallIntoADirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: what auditd reads must belong to it")
	}
	dir := t.TempDir()
	for _, sub := range []string{"bin", "plugins.d"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary := dir + "/bin/relay"
	write(t, binary, "", 0o755)
	write(t, dir+"/auditd.conf", "plugin_dir = "+dir+"/plugins.d\n", 0o640)
	run := func(args ...string) string {
		t.Helper()
		cmd := newInstallCmd()
		if args[0] == "uninstall" {
			cmd = newUninstallCmd()
		}
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(args[1:])
		if err := cmd.Execute(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out.String()
	}
	run("install", "--conf-dir", dir, "--binary", binary, "--config", dir+"/relay.toml", "--format", "binary")
	got, err := os.ReadFile(dir + "/plugins.d/audisp-relay.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"active = yes\n", "path = " + binary + "\n", "args = -c " + dir + "/relay.toml\n", "format = binary\n"} {
		if !strings.Contains(string(got), line) {
			t.Errorf("drop-in lacks %q:\n%s", line, got)
		}
	}
	if sample, err := os.ReadFile(dir + "/relay.toml"); err != nil || !bytes.Contains(sample, []byte("[sinks.")) {
		t.Errorf("configuration: %v, %q", err, sample)
	}
	if out := run("uninstall", "--conf-dir", dir); !strings.Contains(out, "left "+dir+"/relay.toml") {
		t.Errorf("uninstall does not name what stays:\n%s", out)
	}
	if entries, err := os.ReadDir(dir + "/plugins.d"); err != nil || len(entries) > 0 {
		t.Errorf("left in the plugin directory: %v, %v", entries, err)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
