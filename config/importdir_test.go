package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// From a directory: names that auditd passes over, links, two plugins of one name or one socket, programs
// that must not be run.
func TestImportFromADirectory(t *testing.T) {
	bin, self := program(t, 0o750), write(t, filepath.Join(t.TempDir(), "relay"), "#!/bin/sh\n", 0o755)
	dir := audispTree(t, map[string]string{
		"a.conf": afUnix28, "b.conf": afUnix28, "p.conf": always(bin, "x"), "p": always(bin, "y"), "none.conf": always(bin+"-none", "x"),
		"old.bak": syslog28, ".hidden.conf": syslog28, "two.dots.conf": syslog28, "self.conf": always(self, "x"),
		"my plug-in.conf": syslog28, "../auditd.conf": auditd30,
	})
	if err := os.Symlink(filepath.Join(dir, ".hidden.conf"), filepath.Join(dir, "link.conf")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o750); err != nil {
		t.Fatal(err)
	}

	got, err := Import(ImportFrom{PluginDir: dir, Settings: filepath.Join(filepath.Dir(dir), "auditd.conf"), File: "relay.toml", Self: self})
	if err != nil {
		t.Fatal(err)
	}
	checkImported(t, got)
	var names []string
	for _, s := range got.Config.Sinks {
		names = append(names, s.Name)
	}
	if want := "a link my_plug-in p"; strings.Join(names, " ") != want {
		t.Errorf("sinks %q, want %s", names, want)
	}
	notes := strings.Join(got.Notes, "\n")
	for _, want := range []string{
		`not carried over: "b.conf": "/var/run/audispd_events" is written by sinks.a already`, `not carried over: "p.conf": there is a sink "p" already`,
		`not carried over: "none.conf": `, `not carried over: "sub": `, `skipped "old.bak"`, "q_depth = 2000: the relay's own",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note %q in\n%s", want, notes)
		}
	}
	if strings.Contains(notes, "self.conf") || strings.Contains(notes, "hidden") {
		t.Errorf("notes\n%s", notes)
	}
}

// What leaves nothing to import is an error.
func TestImportNothing(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"empty":    {},
		"inactive": {"syslog.conf": strings.Replace(syslog30, "yes", "no", 1)},
		"broken":   {"syslog.conf": "active = yes\n"},
	} {
		dir := audispTree(t, files)
		got, err := Import(ImportFrom{PluginDir: dir, File: "relay.toml"})
		if !errors.Is(err, ErrNothingToImport) {
			t.Errorf("%s: %v", name, err)
		}
		if got == nil || len(got.Notes) != len(files) || len(got.Text) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got, err := Import(ImportFrom{PluginDir: filepath.Join(t.TempDir(), "none")}); err == nil || got != nil {
		t.Errorf("without a directory: %v, %v", got, err)
	}
}

// FuzzImport: whatever is in the files and however they are called, there is an error, or a text
// that Parse takes, without anything in it that they could have put there.
func FuzzImport(f *testing.F) {
	f.Add("a.conf", syslog30, auditd30, remoteConf30, "")
	f.Add("my \"x\n.conf", remote30, audispd28, remoteConf30, "")
	f.Add("[sinks.x]", filter40, "q_depth = 20000\n", "", "type r= CWD\n# x\n(type r= \"EOE\")\n")
	f.Add("a\xff\x1b.conf", strings.Replace(afUnix41, "string", "binary", 1), "name_format = user\nname = \"\"\"\n", "remote_server = a\"\\:\n", "")
	f.Add("a", "active = yes\npath = /sbin/\"]\nargs = \"\"\" \\ ''' \x1b # ]\n", "overflow_action = halt\n", "tls = \x00", "")
	f.Add("a", "active = yes\npath = /sbin/audisp-filter\nargs = blocklist /rules /sbin/audisp-remote \xff\n", "", "remote_server = x\n", "type r= CWD\n")
	f.Fuzz(func(t *testing.T, name, conf, settings, remote, rules string) {
		if name == "" || strings.Contains(name, "/") {
			return // not a file's name
		}
		for _, from := range []ImportFrom{at2, at3} {
			got, err := importOf(from, map[string]string{
				from.PluginDir + "/" + name: conf, from.Settings: settings, filepath.Dir(from.PluginDir) + "/audisp-remote.conf": remote,
				"/rules": rules, "/etc/audit/audisp-filter.conf": rules,
			})
			oneLines(t, got.Notes)
			if err != nil {
				oneLines(t, []string{err.Error()})
				continue
			}
			checkImported(t, got)
		}
	})
}
