package main

import (
	"strings"
	"syscall"
	"testing"

	"audisp-relay/plugin/replay"
)

// What cannot be an audit.log is refused before anything is delivered.
func TestReplayRefusesLog(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/in", "type=EOE msg=audit(1.000:1): \n", 0o600)
	write(t, dir+"/audit.log.gz", "\x1f\x8b\x08", 0o600)
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	for log, want := range map[string]string{
		"/none": "no such file", "/audit.log.gz": "is compressed: unpack it first", "/fifo": "not a regular file", "": "not a regular file",
	} {
		err := runReplay("", "", "string", replay.Stored{Log: dir + log, Inputs: []string{dir + "/in"}})
		if err == nil || !strings.Contains(err.Error(), dir+log) || !strings.Contains(err.Error(), want) {
			t.Errorf("--log %s: %v", log, err)
		}
	}
}
