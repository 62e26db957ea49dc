package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"audisp-relay/config"
)

const sigmaRule = `title: TITLE
id: 0b6a3c1e
level: high
logsource: {product: linux, category: process_creation}
detection:
  s: {Image|endswith: [/nc, "/o'nc"], CommandLine|re: 'a\d"b'}
  condition: s
`

// runSigma runs the command and returns what it prints.
func runSigma(t *testing.T, args ...string) (out, notes string, err error) {
	t.Helper()
	cmd := newSigmaCmd()
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.Execute()
	return stdout.String(), stderr.String(), err
}

// TestSigmaWritesRules: the table that it prints is one that a configuration may have, whatever the titles are.
func TestSigmaWritesRules(t *testing.T) {
	dir := t.TempDir()
	titles := []string{"Netcat", "Netcat", `It's "quoted" \ here`, "'\\u001b[31m'", strings.Repeat("é", 100), "''", "[a]", "a.b = c # d"}
	for i, title := range titles {
		name := filepath.Join(dir, "sub", string(rune('a'+i))+".yml")
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			title = `"` + strings.Trim(title, "'") + `"`
		} else if i == 2 || i > 4 {
			title = "'" + strings.ReplaceAll(strings.Trim(title, "'"), "'", "''") + "'"
		}
		if err := os.WriteFile(name, []byte(strings.Replace(sigmaRule, "TITLE", title, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "other.txt"), []byte("no rule"), 0o600); err != nil {
		t.Fatal(err)
	}

	out, notes, err := runSigma(t, "--rules", dir)
	if err != nil || !strings.HasSuffix(notes, "8 rules converted, 0 not, 0 for other log sources\n") {
		t.Fatalf("%v\n%s", err, notes)
	}
	c, err := config.Parse("test.toml", []byte(out))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []string{"Netcat", "Netcat (2)", `It's "quoted" \ here`, "[31m", strings.Repeat("é", 55), "untitled", "[a]", "a.b = c # d"}
	slices.Sort(want)
	if got := c.Rules.Names(); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q\n%s", got, want, out)
	}
}

// TestSigmaCorrelationInAnotherFile: a rule that it counts is none by itself, in whatever order the files are read.
func TestSigmaCorrelationInAnotherFile(t *testing.T) {
	for _, correlation := range []string{"0.yml", "z.yml"} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"a.yml": "name: login\n" + sigmaRule, "b.yml": strings.Replace(sigmaRule, "0b6a3c1e", "0b6a3c1f", 1),
			correlation: "title: many\ncorrelation:\n  type: event_count\n  rules: [login]\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, notes, err := runSigma(t, dir)
		part := filepath.Join(dir, "a.yml") + ": TITLE: is only a part of the correlation in line 3 of " + filepath.Join(dir, correlation)
		if err == nil || strings.Count(out, "iends(") != 1 || !strings.Contains(notes, part) || !strings.Contains(notes, "1 rule converted, 2 not") {
			t.Errorf("%v\n%s\n%s", err, out, notes)
		}
	}
}

// TestSigmaSaysWhatItLeavesOut: and its exit code does.
func TestSigmaSaysWhatItLeavesOut(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yml", sigmaRule)
	bad := write("bad.yml", strings.Replace(sigmaRule, "CommandLine|re", "Hashes|contains", 1))
	other := write("other.yml", strings.Replace(sigmaRule, "linux", "windows", 1))
	broken := write("broken.yml", "a: [")
	huge := write("huge.yml", strings.Repeat("#", 1<<20+1))
	for _, c := range []struct {
		args  []string
		notes []string
		fails bool
	}{
		{[]string{good}, []string{"1 rule converted, 0 not, 0 for other log sources"}, false},
		{[]string{good, other}, []string{"1 rule converted, 0 not, 1 for other log sources"}, false},
		{[]string{good, bad}, []string{bad + `: TITLE: line 6: field "Hashes": records have no checksums`, "1 rule converted, 1 not"}, true},
		{[]string{other}, []string{"0 rules converted, 0 not, 1 for other"}, true},
		{[]string{good, broken}, []string{broken + ": line 1: ", "1 rule converted"}, true},
		{[]string{huge}, []string{"file too large (limit 1MiB)"}, true},
		{[]string{filepath.Join(dir, "none")}, []string{"no such file or directory"}, true},
		{[]string{dir}, []string{"1 rule converted, 1 not, 1 for other log sources"}, true},
	} {
		out, notes, err := runSigma(t, c.args...)
		if (err != nil) != c.fails {
			t.Errorf("%q: %v", c.args, err)
		}
		for _, want := range c.notes {
			if !strings.Contains(notes, want) {
				t.Errorf("%q: %s\nwant %s", c.args, notes, want)
			}
		}
		if slices.Contains(c.args, good) != strings.Contains(out, `iends(exe, "/nc", "/o'nc")`) && c.args[0] != dir {
			t.Errorf("%q: %s", c.args, out)
		}
	}
	if _, _, err := runSigma(t); err == nil {
		t.Error("no argument")
	} else if _, misused := err.(usageError); !misused {
		t.Errorf("no argument: %T", err)
	}
}
