package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnknownCommand: a command that there is not is wrong usage, and the nearest one is named.
func TestUnknownCommand(t *testing.T) {
	for _, test := range []struct {
		args string
		want string
	}{
		{"statu", `unknown command "statu": did you mean status?`},
		{"stat", `did you mean status?`},
		{"Check x.toml", `did you mean check?`},
		{"help statsu", `did you mean status?`},
		{"help nosuch", `unknown command "nosuch", there are check,`},
		{"help check status", `check has no command "status"; see audisp-relay --help`},
		{"help fleet raed", `unknown command "raed": did you mean fleet read?`},
		{"-- check", `"check" is a command, which has to come before options and --`},
		{"nosuch", "verify, version; see audisp-relay --help"},
		{"completion bsh", "completion: name one shell: bash, zsh, fish; see audisp-relay completion --help"},
		{"completion", "name one shell"},
		{"completion bash zsh", "name one shell"},
		{"status nosuch", `status takes no argument, not "nosuch"; see audisp-relay status --help`},
		{"status -- -x", `status takes no argument, not "-x"`},
		{"status --nosuch", "unknown flag: --nosuch; see audisp-relay status --help"},
		{"status --jsn", "unknown flag: --jsn: did you mean --json?"},
		{"status -x", "unknown shorthand flag: 'x' in -x; see audisp-relay status --help"},
		{"status --run-dir", "flag needs an argument: --run-dir"},
		{"status --json=perhaps", `--json "perhaps": want true or false`},
		{"check a b", `check takes one argument at most, and "b" is the second`},
		{"tail a b", "tail takes one argument at most"},
		{"tail --count x", `--count "x": want a whole number`},
		{"tail --count 99999999999999999999", `--count "99999999999999999999": want a whole number`},
		{"tail --seconds 2100000000", "--seconds wants 0 to"},
		{"doctor --every 5", `--every "5": want a time like 10s, 5m or 1h30m`},
		{"sigma", "sigma: name a FILE|DIR; see audisp-relay sigma --help"},
		{"verify", "verify: name a FILE"},
		{"fleet", "fleet: name what to do: status, verify, read or init; see audisp-relay fleet --help"},
		{"fleet statsu", `unknown command "statsu": did you mean fleet status?`},
		{"fleet read --snice 1h", "unknown flag: --snice: did you mean --since?; see audisp-relay fleet read --help"},
	} {
		if code, text := output(t, strings.Fields(test.args)...); code != 2 || !strings.Contains(string(text), test.want) {
			t.Errorf("%s: exit code %d, %s", test.args, code, text)
		}
	}
}

// TestEmptyValue: an option or argument without a value, as of a variable that is not set, is wrong usage and not the default; a
// filter may be empty. doctor has looked at nothing then, and fleet has missed no host.
func TestEmptyValue(t *testing.T) {
	for _, args := range [][]string{
		{"doctor", "--sink", ""}, {"doctor", "--sink="}, {"doctor", "--bundle", ""}, {"doctor", "--canary", "--sink", ""}, {"doctor", "--run-dir", ""},
		{"status", "--run-dir", ""}, {"top", "--by", ""}, {"replay", "--sink", ""}, {"spool", "--state-dir", ""}, {"verify", "--key", "", "x"},
		{"tail", "--since", ""}, {"check", ""}, {"fleet", "verify", "--inventory", ""}, {"fleet", "read", "--host", "a", "--host", ""}, {"install", "--config", ""},
	} {
		if code, text := output(t, args...); code != 2 || !strings.Contains(string(text), "is empty: ") {
			t.Errorf("%q: exit code %d, %s", args, code, text)
		}
	}
	if code, text := output(t, "doctor", "--format", "nagios", "--sink", ""); code != 3 || !strings.HasPrefix(string(text), "AUDISP-RELAY UNKNOWN - --sink is empty") {
		t.Errorf("nagios: exit code %d, %s", code, text)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "log"), "type=USER msg=audit(1.000:1): x\n", 0o600)
	if code, text := output(t, "replay", "--filter", "", filepath.Join(dir, "log")); code != 0 || !strings.Contains(string(text), "type=USER") {
		t.Errorf("an empty filter: exit code %d, %s", code, text)
	}
}

func TestHelpAndVersion(t *testing.T) {
	said := "audisp-relay " + version + "\nFIPS 140-3 mode: o" // on or off, as the test was built
	for args, want := range map[string]string{
		"help": "Available Commands:", "help status": "--watch", "help help": "help [COMMAND...]", "help fleet": "fleet [command]", "help fleet read": "--since", "--help": "Available Commands:",
		"version": said, "--version": said, "-v": said,
	} {
		if code, text := output(t, strings.Fields(args)...); code != 0 || !strings.Contains(string(text), want) {
			t.Errorf("%s: exit code %d, %s", args, code, text)
		}
	}
}

// TestEachCommandHasHelp: -h of a command is its own, on stdout.
func TestEachCommandHasHelp(t *testing.T) {
	root := newRootCmd()
	all := root.Commands()
	for _, cmd := range root.Commands() {
		all = append(all, cmd.Commands()...)
	}
	for _, cmd := range all {
		for _, flag := range []string{"-h", "--help"} {
			words := strings.Fields(wordsOf(cmd))
			code, text := output(t, append(words, flag)...)
			if code != 0 || !strings.Contains(string(text), "Usage:\n  "+cmd.CommandPath()) {
				t.Errorf("%s %s: exit code %d, %s", words, flag, code, text)
			}
		}
	}
}

// TestFullDiskOfStdout: what could not be printed is said, and is a failure.
func TestFullDiskOfStdout(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "c.toml")
	write(t, config, "run_dir = '"+dir+"/run'\nstate_dir = '"+dir+"/state'\n[sinks.a]\ntype = 'program'\npath = '/bin/true'\n", 0o600)
	for _, args := range []string{"version", "--version", "help", "status --help", "check " + config, "completion bash", "fleet init", "doctor --list"} {
		said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		stdout, stderr := os.Stdout, os.Stderr
		os.Stdout, os.Stderr = full, said
		code := run(strings.Fields(args))
		os.Stdout, os.Stderr = stdout, stderr
		text, err := os.ReadFile(said.Name())
		said.Close()
		if code != 1 || err != nil || !strings.HasSuffix(string(text), "no space left on device\n") {
			t.Errorf("%s: exit code %d, %q, %v", args, code, text, err)
		}
	}
}
