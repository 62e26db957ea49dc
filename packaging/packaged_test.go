package packaging_test

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/elastic/go-libaudit/v2/rule"
)

// TestScriptsOfPackagesAreSound: a shell reads each without an error.
func TestScriptsOfPackagesAreSound(t *testing.T) {
	scripts, err := filepath.Glob("scripts/*")
	if err != nil || len(scripts) != 8 {
		t.Fatal(scripts, err)
	}
	for _, script := range scripts {
		if out, err := exec.Command("sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
		if text := readFile(t, script); !strings.Contains(text, "/proc/1/root/. -ef /") && script != "scripts/deb.postrm" && script != "scripts/apk.post-install" {
			t.Errorf("%s does not look whether it runs in a chroot: it would reload the auditd of the host that builds an image", script)
		}
	}
}

// TestScriptsMakeTheUser of the worker where there is none, also where a group of its name is there already, without which the relay would
// run in one process.
func TestScriptsMakeTheUser(t *testing.T) {
	dir := t.TempDir()
	calls := filepath.Join(dir, "calls")
	for name, text := range map[string]string{
		"getent":       `case " $THERE " in *" $1 "*) exit 0 ;; esac; exit 2`, // passwd, group
		"useradd":      `echo "$*" >>"$CALLS"`,
		"audisp-relay": "exit 0",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for script, arg := range map[string]string{"scripts/deb.postinst": "configure", "scripts/rpm.post": "1"} {
		for there, want := range map[string]string{"": "--system --user-group ", "group": "--system --gid audisp-relay ", "passwd group": ""} {
			os.Remove(calls)
			cmd := exec.Command("sh", script, arg)
			cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "THERE=" + there, "CALLS=" + calls}
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s, with %q: %v\n%s", script, there, err, out)
			}
			got, err := os.ReadFile(calls)
			if errors.Is(err, os.ErrNotExist) {
				err = nil
			}
			if err != nil || !strings.HasPrefix(string(got), want) || (want == "") != (len(got) == 0) {
				t.Errorf("%s, with %q, calls useradd %s, want %s: %v", script, there, got, want, err)
			}
		}
	}
}

// sampleRules are the lines of packaging/rules that are rules, in the order in which they load.
func sampleRules(t *testing.T) (lines []string) {
	t.Helper()
	files, err := filepath.Glob("rules/*.rules")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		for line := range strings.Lines(readFile(t, file)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// TestSampleRulesCanBeLoaded: each is one for the kernel, and the exclusion of the relay comes first.
func TestSampleRulesCanBeLoaded(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("the rules are for the machines that have packages, of 64 bits")
	}
	lines := sampleRules(t)
	if lines[0] != "-a never,exit -F exe=/usr/sbin/audisp-relay" {
		t.Errorf("the first rule is %q", lines[0])
	}
	for _, line := range lines {
		parsed, err := parseRule(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if _, err := rule.Build(parsed); err != nil { // knows the kernel's fields, values and system calls
			t.Errorf("%s: %v", line, err)
		}
	}
}

var condition = regexp.MustCompile(`^(\w+)(=|!=|>=)(\S+)$`)

// parseRule reads the options of auditctl(8) that the sample rules have.
func parseRule(line string) (rule.Rule, error) {
	watch := &rule.FileWatchRule{Type: rule.FileWatchRuleType}
	call := &rule.SyscallRule{Type: rule.AppendSyscallRuleType}
	access := map[rune]rule.AccessType{'r': rule.ReadAccessType, 'w': rule.WriteAccessType, 'x': rule.ExecuteAccessType, 'a': rule.AttributeChangeAccessType}
	words := strings.Fields(line)
	if len(words)%2 != 0 {
		return nil, errors.New("an option without a value")
	}
	for i := 0; i < len(words); i += 2 {
		switch value := words[i+1]; words[i] {
		case "-a":
			call.Action, call.List, _ = strings.Cut(value, ",")
		case "-S":
			call.Syscalls = strings.Split(value, ",")
		case "-F":
			parts := condition.FindStringSubmatch(value)
			if parts == nil {
				return nil, errors.New("no condition: " + value)
			}
			call.Filters = append(call.Filters, rule.FilterSpec{Type: rule.ValueFilterType, LHS: parts[1], Comparator: parts[2], RHS: parts[3]})
		case "-w":
			watch.Path = value
		case "-p":
			for _, r := range value {
				watch.Permissions = append(watch.Permissions, access[r])
			}
		case "-k":
			watch.Keys, call.Keys = []string{value}, []string{value}
		default:
			return nil, errors.New("no option that is read here: " + words[i])
		}
	}
	if watch.Path != "" {
		return watch, nil
	}
	return call, nil
}

// TestRecipesHaveTheSampleRules: docs/recipes.md shows the rules that packages have.
func TestRecipesHaveTheSampleRules(t *testing.T) {
	_, section, _ := strings.Cut(readFile(t, "../docs/recipes.md"), "## Audit rules to begin with\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var shown []string
	for line := range strings.Lines(section) {
		if line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    -"); ok {
			shown = append(shown, "-"+line)
		}
	}
	if got, want := strings.Join(shown, "\n"), strings.Join(sampleRules(t), "\n"); got != want {
		t.Errorf("docs/recipes.md has\n%s\nand packaging/rules\n%s", got, want)
	}
}

// TestOnlyDpkgHasDirectoriesBelowVar: other package managers set owner, group and mode of what a package has with each upgrade, also of
// a directory that is the worker's by then.
func TestOnlyDpkgHasDirectoriesBelowVar(t *testing.T) {
	seen := 0
	for line := range strings.Lines(readFile(t, "nfpm.yaml")) {
		if !strings.Contains(line, "dst: /var/") {
			continue
		}
		seen++
		if !strings.Contains(line, "packager: deb") {
			t.Errorf("of every package: %s", line)
		}
	}
	if seen != 2 {
		t.Errorf("%d, want those of state and of files", seen)
	}
}

// TestAideLines: each matches the file it is meant for, which packages have, wherever that really is, with a checksum.
func TestAideLines(t *testing.T) {
	seen := 0
	for line := range strings.Lines(readFile(t, "aide.conf")) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		seen++
		words := strings.Fields(line)
		pattern, err := regexp.Compile("^" + words[0])
		if err != nil {
			t.Fatal(err)
		}
		files := slices.DeleteFunc(slices.Sorted(maps.Keys(packaged)), func(path string) bool { return !pattern.MatchString(path) })
		if len(files) != 1 {
			t.Errorf("%s: of the files of the packages %q", words[0], files)
		}
		for _, path := range files { // where the two directories are one
			if there := strings.Replace(path, "/sbin/", "/bin/", 1); !pattern.MatchString(there) {
				t.Errorf("%s does not match %s", words[0], there)
			}
		}
		if !strings.Contains(words[1], "sha512") {
			t.Errorf("%s has no sha512", words[0])
		}
	}
	if seen != 3 {
		t.Errorf("%d lines, want one for program, configuration and drop-in", seen)
	}
}

// TestTmpfiles: systemd makes the directories as the relay and the packages do, and a group that was given the one for files, as a sink
// tells to, still has it after the next boot.
func TestTmpfiles(t *testing.T) {
	need(t, "systemd-tmpfiles")
	if os.Geteuid() != 0 {
		t.Skip("needs root: the directories are root's")
	}
	root := t.TempDir()
	conf, err := filepath.Abs("tmpfiles.conf")
	if err != nil {
		t.Fatal(err)
	}
	boot := func() {
		t.Helper()
		if out, err := exec.Command("systemd-tmpfiles", "--create", "--root="+root, conf).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	boot()
	for path, want := range map[string]os.FileMode{"/run/audisp-relay": 0o755, "/var/log/audisp-relay": 0o750} {
		if st, err := os.Stat(root + path); err != nil || st.Mode() != os.ModeDir|want {
			t.Errorf("%s: %v, want mode %04o", path, err, want)
		}
	}

	const group = 4321
	logs := root + "/var/log/audisp-relay"
	if err := os.Chown(logs, 0, group); err != nil {
		t.Fatal(err)
	}
	boot()
	st, err := os.Stat(logs)
	if err != nil {
		t.Fatal(err)
	}
	if gid := st.Sys().(*syscall.Stat_t).Gid; gid != group || st.Mode() != os.ModeDir|0o750 {
		t.Errorf("after another boot the directory of files has group %d and mode %v, want %d and 0750", gid, st.Mode(), group)
	}
}

// TestLogrotateFiles: logrotate takes both files.
func TestLogrotateFiles(t *testing.T) {
	need(t, "logrotate")
	for _, file := range []string{"logrotate", "logrotate.own"} {
		copied := filepath.Join(t.TempDir(), file) // it refuses files of others than root
		if err := os.WriteFile(copied, []byte(readFile(t, file)), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("logrotate", "-d", copied).CombinedOutput()
		if err != nil || strings.Contains(string(out), "error:") {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

// Sentences by which a licence that may be linked into the program is known.
var licences = regexp.MustCompile(`(?s)Apache License|Permission is hereby granted, free of charge|Redistribution and use in source and binary forms|Permission to use, copy, modify, and/?o?r? distribute`)

// TestLicences: every module in the program is listed, each with a licence that lets it be
// linked into a program under the Apache licence.
func TestLicences(t *testing.T) {
	text := output(t, "./licences.sh")
	line := strings.Repeat("=", 76) + "\n"
	parts := strings.Split(text, line)[1:] // title and text, in turns
	listed := make(map[string]string)
	for i := 0; i+1 < len(parts); i += 2 {
		listed[strings.TrimSpace(parts[i])] = parts[i+1]
	}
	modules := strings.Fields(strings.ReplaceAll(output(t, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}", "../cmd/audisp-relay"), "@", "\x00"))
	if len(modules) < 10 {
		t.Fatalf("only %d modules: %q", len(modules), modules)
	}
	for _, module := range modules {
		name := strings.ReplaceAll(module, "\x00", " ")
		if !licences.MatchString(listed[name]) {
			t.Errorf("%s: no known licence in:\n%s", name, listed[name])
		}
	}
	for name, text := range listed {
		if regexp.MustCompile(`GNU (LESSER |AFFERO )?GENERAL PUBLIC LICENSE|Server Side Public|Business Source`).MatchString(text) {
			t.Errorf("%s is under a licence that is not wanted", name)
		}
	}
}
