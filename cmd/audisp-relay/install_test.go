package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestInstallUsage(t *testing.T) {
	for _, args := range [][]string{{"--format", "json"}, {"--upgrade", "--format", "binary"}, {"--config", "/x.toml", "--upgrade"}, {"--upgrade", "--import"}, {"--print"}} {
		cmd := newInstallCmd()
		cmd.SetArgs(args)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		var usage usageError
		if err := cmd.Execute(); !errors.As(err, &usage) {
			t.Errorf("%v: %v, want a usage error", args, err)
		}
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

// A configuration that is wrong, or none at all, is said as check says it, and is exit code 1.
func TestInstallChecks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: what auditd reads must belong to it")
	}
	for name, put := range map[string]func(path string) error{
		"typo": func(path string) error {
			return os.WriteFile(path, []byte("[sinks.f]\ntype='file'\npath='/x'\nmax_size='64MB'\n"), 0o640)
		},
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o640) },
		"half":      func(path string) error { return os.WriteFile(path, []byte("[sinks.f]\ntype = 'fi"), 0o640) },
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o640) },
		"group": func(path string) error {
			return errors.Join(os.WriteFile(path, []byte("q_depth = 5\n"), 0o640), os.Chmod(path, 0o660))
		},
		"key": func(path string) error {
			return os.WriteFile(path, []byte("[sinks.p]\ntype='program'\npath='/etc'\n"), 0o640)
		},
	} {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(dir+"/bin", 0o755), os.Mkdir(dir+"/plugins.d", 0o755), put(dir+"/relay.toml")); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/bin/relay", "", 0o755)
		write(t, dir+"/auditd.conf", "plugin_dir = "+dir+"/plugins.d\n", 0o640)
		code, text := output(t, "install", "--conf-dir", dir, "--binary", dir+"/bin/relay", "--config", dir+"/relay.toml")
		if code != 1 || !strings.Contains(string(text), "has errors, so nothing was changed") {
			t.Errorf("%s: exit code %d, %s", name, code, text)
		}
		if entries, err := os.ReadDir(dir + "/plugins.d"); err != nil || len(entries) > 0 {
			t.Errorf("%s: the plugin directory holds %v, %v", name, entries, err)
		}
	}
}

// --import writes what auditd's plugins are configured to do, --print shows it and changes nothing.
func TestInstallImport(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: what auditd reads must belong to it")
	}
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/bin", 0o755), os.Mkdir(dir+"/plugins.d", 0o755)); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/bin/relay", "", 0o755)
	write(t, dir+"/bin/audisp-remote", "", 0o755)
	write(t, dir+"/auditd.conf", "plugin_dir = "+dir+"/plugins.d\nq_depth = 20000\n", 0o640)
	write(t, dir+"/audisp-remote.conf", "remote_server = loghost\n", 0o640)
	write(t, dir+"/plugins.d/off.conf", "active = no\npath = /sbin/audisp-syslog\n", 0o640)
	args := []string{"install", "--import", "--conf-dir", dir, "--binary", dir + "/bin/relay", "--config", dir + "/relay.toml"}
	if code, text := output(t, args...); code != 1 || !strings.Contains(string(text), "there is nothing to import") {
		t.Errorf("exit code %d, %s", code, text)
	}

	write(t, dir+"/plugins.d/au-remote.conf", "active = yes\npath = "+dir+"/bin/audisp-remote\n", 0o640)
	code, text := output(t, append(args, "--print")...)
	for _, want := range []string{"note: left out: " + dir + "/plugins.d/off.conf", "[sinks.au-remote]\n", "q_depth      = 20000  # " + dir + "/auditd.conf:2", "loghost:2514"} {
		if code != 0 || !strings.Contains(string(text), want) {
			t.Errorf("exit code %d, want %q in %s", code, want, text)
		}
	}
	if entries, err := os.ReadDir(dir + "/plugins.d"); err != nil || len(entries) != 2 {
		t.Errorf("--print: %v, %v", entries, err)
	}

	for range 2 { // again: it is there already
		code, text = output(t, args...)
		if code != 0 || !strings.Contains(string(text), "active = no/I' "+dir+"/plugins.d/au-remote.conf\n") {
			t.Errorf("exit code %d, %s", code, text)
		}
		if code, text := output(t, "check", dir+"/relay.toml"); code != 0 || !strings.Contains(string(text), "ok, 1 sink") {
			t.Errorf("check: exit code %d, %s", code, text)
		}
	}
	const plugin = "active = yes\npath = %s/bin/audisp-remote\n"
	write(t, dir+"/plugins.d/au-remote.conf", strings.Replace(fmt.Sprintf(plugin, dir), "yes", "no", 1), 0o640)
	if code, text := output(t, args...); code != 0 || !strings.Contains(string(text), "unchanged: all is as wanted") {
		t.Errorf("after its plugin is off: exit code %d, %s", code, text)
	}
	write(t, dir+"/plugins.d/au-remote.conf", fmt.Sprintf(plugin, dir), 0o640)
	write(t, dir+"/relay.toml", "q_depth = 5\n", 0o640)
	if code, text := output(t, args...); code != 1 || !strings.Contains(string(text), "is there already and not the packaged one") {
		t.Errorf("exit code %d, %s", code, text)
	}
}
