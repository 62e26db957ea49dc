package main

import (
	"os"
	"strings"
	"testing"
)

func TestFindTailed(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "plain", "", 0o600)
	write(t, "relay.toml", `run_dir = "/run/x"
[sinks.siem]
type = "unix"
path = "/run/x/siem.sock"
filter = 'uid == 0'
[sinks.collector]
type = "unix"
path = "/run/x/collector.sock"
listen = false
[sinks.file]
type = "file"
path = "/var/log/x"
`, 0o600)

	for _, test := range []struct {
		word, socket, filter, err string
		history                   bool
	}{
		{word: "siem", socket: "/run/x/siem.sock", filter: "uid == 0"},
		{word: "/run/x/siem.sock", socket: "/run/x/siem.sock"},
		{word: "/run/x/siem.sock", history: true, socket: "/run/x/siem.sock", filter: "uid == 0"},
		{word: "-", socket: "-"},
		{word: "plain", socket: "plain"},
		{word: "seim", err: "did you mean siem?"},
		{word: "nothing", err: "there is siem; a socket in this directory is ./nothing"},
		{word: "file", err: "type file"},
		{word: "collector", err: "a collector's"},
	} {
		got, err := findTailed(test.word, "relay.toml", test.history)
		switch {
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: %v, %v", test.word, got, err)
		case test.err == "" && (err != nil || got != tailed{socket: test.socket, filter: test.filter}):
			t.Errorf("%s: %v, %v", test.word, got, err)
		}
	}

	if err := os.Mkdir("dir", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, "dir/audisp-relay.toml", "[sinks.there]\ntype = 'unix'\npath = '/run/y/there.sock'\n", 0o600)
	if got, err := findTailed("there", "dir", false); err != nil || got.socket != "/run/y/there.sock" {
		t.Errorf("of a directory: %v, %v", got, err)
	}
	write(t, "broken.toml", "x = [", 0o600)
	if _, err := findTailed("siem", "broken.toml", false); err == nil || !strings.Contains(err.Error(), "look up sink siem") {
		t.Error(err)
	}
	if got, err := findTailed("local", "nowhere.toml", false); err != nil || got.socket != defaultSocket {
		t.Errorf("of the relay without a configuration: %v, %v", got, err)
	}
}
