package main

import (
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
		{"help check status", "accepts at most 1 arg"},
		{"nosuch", "verify, version; see audisp-relay --help"},
		{"completion bsh", "invalid argument"},
		{"status nosuch", "unknown command"},
		{"status --nosuch", "unknown flag"},
	} {
		if code, text := output(t, strings.Fields(test.args)...); code != 2 || !strings.Contains(string(text), test.want) {
			t.Errorf("%s: exit code %d, %s", test.args, code, text)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	said := "audisp-relay " + version + "\nFIPS 140-3 mode: o" // on or off, as the test was built
	for args, want := range map[string]string{
		"help": "Available Commands:", "help status": "--watch", "help help": "help [COMMAND]", "--help": "Available Commands:",
		"version": said, "--version": said, "-v": said,
	} {
		if code, text := output(t, strings.Fields(args)...); code != 0 || !strings.Contains(string(text), want) {
			t.Errorf("%s: exit code %d, %s", args, code, text)
		}
	}
}
