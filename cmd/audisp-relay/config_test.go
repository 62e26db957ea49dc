package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"audisp-relay/config"
)

// What is said of a configuration names the file and a way out.
func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/bad.toml", "a = 1\nb = 2\n", 0o600)
	for file, want := range map[string]string{
		dir + "/none.toml": "audisp-relay: open " + dir + "/none.toml: no such file or directory: without it the plugin runs on defaults; `audisp-relay install` writes one\n",
		dir + "/bad.toml":  dir + "/bad.toml:1: a: unknown key",
	} {
		_, _, err := config.Load(file)
		var out bytes.Buffer
		reportConfigError(&out, err)
		if !strings.HasPrefix(out.String(), want) {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
}

// What a sink says in a replay is a line, without a stack trace.
func TestStderrLog(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stderr := os.Stderr
	os.Stderr = file
	log := stderrLog()
	os.Stderr = stderr
	log.Warn("sink degraded")
	log.Error("run level not changed")
	got, err := os.ReadFile(file.Name())
	if err != nil || strings.Count(string(got), "\n") != 2 || strings.Contains(string(got), ".go") {
		t.Errorf("%v, %q", err, got)
	}
}
