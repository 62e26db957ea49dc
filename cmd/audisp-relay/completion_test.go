package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audisp-relay/plugin/top"
)

// offered asks the program as the scripts of the shells do: what it offers, without descriptions,
// and the directive for the shell.
func offered(t *testing.T, args ...string) (words []string, directive string) {
	t.Helper()
	code, text := output(t, append([]string{"__complete"}, args...)...)
	if code != 0 {
		t.Fatalf("%q: exit code %d, %s", args, code, text)
	}
	for line := range strings.Lines(string(text)) {
		word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if rest, last := strings.CutPrefix(word, ":"); last {
			return words, rest
		}
		words = append(words, word)
	}
	t.Fatalf("%q: no directive in %s", args, text)
	return nil, ""
}

// Directives for the shell (cobra.ShellCompDirective).
const (
	filesToo   = "0"
	noFiles    = "4"
	ofTheseExt = "8"
	onlyDirs   = "16"
)

// TestOffers: each option and argument is completed by what fits it.
func TestOffers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "relay.toml")
	write(t, file, "[sinks.a]\ntype = 'unix'\npath = '"+dir+"/a.sock'\n[sinks.b]\ntype = 'file'\npath = '/var/log/b'\n[sinks.c]\ntype = 'unix'\npath = '"+dir+"/c.sock'\nlisten = false\n", 0o640)
	broken := filepath.Join(dir, "broken.toml")
	write(t, broken, "[sinks.a]\ntype = 'syslog'\n[sinks.b]\ntype = 'sys\n", 0o640)
	for _, test := range []struct {
		args      []string
		words     []string
		directive string
	}{
		{[]string{"replay", "-c", file, "--sink", ""}, []string{"a", "b", "c"}, noFiles},
		{[]string{"replay", "-c", dir + "/nosuch", "--sink", ""}, nil, noFiles},
		{[]string{"replay", "-c", broken, "--sink", ""}, []string{"a"}, noFiles},
		{[]string{"replay", "--config", ""}, []string{"toml"}, ofTheseExt},
		{[]string{"replay", "--format", ""}, []string{"string", "binary", "json", "ecs", "ocsf", "laurel", "joined"}, noFiles},
		{[]string{"replay", "--filter", ""}, nil, noFiles},
		{[]string{"replay", "--log", ""}, nil, filesToo},
		{[]string{"replay", ""}, nil, filesToo},
		{[]string{"doctor", "--format", ""}, []string{"text", "json", "nagios", "prometheus"}, noFiles},
		{[]string{"install", "--format", ""}, []string{"string", "binary"}, noFiles},
		{[]string{"install", "--conf-dir", ""}, nil, onlyDirs},
		{[]string{"install", ""}, nil, noFiles},
		{[]string{"status", "--run-dir", ""}, nil, onlyDirs},
		{[]string{"spool", "--state-dir", ""}, nil, onlyDirs},
		{[]string{"spool", "./x"}, nil, onlyDirs},
		{[]string{"top", "--by", ""}, top.By[:], noFiles},
		{[]string{"top", "-n", ""}, nil, noFiles},
		{[]string{"top", ""}, nil, filesToo},
		{[]string{"tail", "-c", file, ""}, []string{"a"}, filesToo},
		{[]string{"tail", "--since", ""}, []string{"10m", "1h", "today", "yesterday"}, noFiles},
		{[]string{"check", ""}, []string{"toml"}, ofTheseExt},
		{[]string{"check", file, ""}, nil, noFiles},
		{[]string{"verify", ""}, nil, filesToo},
		{[]string{"fleet", "verify", ""}, nil, noFiles},
		{[]string{"fleet", "verify", "--inventory", ""}, nil, filesToo},
		{[]string{"fleet", "read", "--format", ""}, []string{"string", "binary", "json", "ecs", "ocsf", "laurel", "joined", "text"}, noFiles},
		{[]string{"doctor", "--min-backlog", ""}, nil, noFiles},
		{[]string{"doctor", "--profile", ""}, []string{"stig"}, noFiles},
		{[]string{"doctor", "--bundle", ""}, nil, filesToo},
		{[]string{"help", "fleet", ""}, []string{"init", "read", "status", "verify"}, noFiles},
		{[]string{"completion", ""}, shells, noFiles},
		{[]string{"-c", ""}, []string{"toml"}, ofTheseExt},
	} {
		words, directive := offered(t, test.args...)
		if !slices.Equal(words, test.words) || directive != test.directive {
			t.Errorf("%q: %q, directive %s, want %q, %s", test.args, words, directive, test.words, test.directive)
		}
	}
}

// TestOptionsOfferFilesForFilesOnly: what the help calls a FILE or a DIR is completed as one, and nothing else.
func TestOptionsOfferFilesForFilesOnly(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			look(sub)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" || f.Name == "config" {
				return // TestOffers
			}
			want := noFiles
			switch kind, _ := pflag.UnquoteUsage(f); {
			case kind == "FILE":
				want = filesToo
			case kind == "DIR", strings.HasSuffix(f.Name, "-dir"):
				want = onlyDirs
			}
			args := append(strings.Fields(wordsOf(cmd)), "--"+f.Name, "")
			words, directive := offered(t, args...)
			if directive != want || (len(words) > 0 && !strings.HasPrefix(f.Value.Type(), "string")) {
				t.Errorf("%q: %q, directive %s, want %s", args, words, directive, want)
			}
		})
	}
	look(newRootCmd())
}

// TestOffersOfAConfiguration: tail is offered sinks that listen, and their sockets, spool sinks that are
// not named yet.
func TestOffersOfAConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "relay.toml")
	write(t, file, "[sinks.a]\ntype = 'unix'\npath = '"+dir+"/a.sock'\n[sinks.b]\ntype = 'file'\npath = '/var/log/b'\n[sinks.c]\ntype = 'unix'\npath = '"+dir+"/c.sock'\nlisten = false\n[sinks.d]\ntype = 'unix'\npath = \""+dir+"/\\u001b[2J\"\n", 0o640)
	cmd := newReplayCmd()
	if err := cmd.Flags().Set("config", file); err != nil {
		t.Fatal(err)
	}
	words := func(list []string) (bare []string) {
		for _, word := range list {
			word, _, _ = strings.Cut(word, "\t")
			bare = append(bare, word)
		}
		return bare
	}
	if paths, _ := completeTailed(cmd, nil, "/"); !slices.Equal(words(paths), []string{dir + "/a.sock"}) {
		t.Errorf("sockets %q", paths)
	}
	if names, _ := completeTailed(cmd, nil, ""); !slices.Equal(words(names), []string{"a"}) {
		t.Errorf("sinks %q", names)
	}
	if paths, _ := completeTailed(cmd, []string{"x"}, ""); len(paths) > 0 {
		t.Errorf("after a socket: %q", paths)
	}
	if names, _ := completeSpool(cmd, []string{"b"}, ""); slices.Contains(words(names), "b") || !slices.Contains(words(names), "a") {
		t.Errorf("sinks %q", names)
	}
}
