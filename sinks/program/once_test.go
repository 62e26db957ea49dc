package program

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// script makes an executable file of the test.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOnce: how a program that runs once has ended is the error.
func TestOnce(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	const never = time.Hour
	for _, tt := range []struct {
		name, text string
		limit      time.Duration
		hurry      chan struct{}
		says       string // in the error; "" for none
	}{
		{"well", "cat\nexit 0\n", never, nil, ""}, // its input is at its end
		{"failed", "echo no mail server >&2\nexit 3\n", never, nil, `exit status 3, stderr "no mail server"`},
		{"too long", "while :; do sleep 0.01; done\n", 50 * time.Millisecond, nil, "it was ended after 50ms"},
		{"with the relay", "while :; do sleep 0.01; done\n", never, closed, "it was ended with the relay"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := script(t, tt.text)
			err := Once(path, tt.limit, tt.hurry)
			if tt.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, tt.says)
			}
		})
	}
	t.Run("not to be run", func(t *testing.T) {
		path := script(t, "exit 0\n")
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := Once(path, never, nil); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
			t.Error(err)
		}
	})
}

// TestOnceKillsAStubbornProgram: one that ignores TERM does not outlive the relay.
func TestOnceKillsAStubbornProgram(t *testing.T) {
	trapped := filepath.Join(t.TempDir(), "trapped")
	path := script(t, "trap '' TERM\n: >"+trapped+"\nwhile :; do sleep 0.01; done\n")
	hurry, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- Once(path, time.Hour, hurry) }()
	eventually(t, "it ignores TERM", func() bool { _, err := os.Stat(trapped); return err == nil }, func() any { return path })
	close(hurry)
	err := <-ended
	var pid int
	if err != nil { // on a busy machine the kernel may take longer than Once waits
		_, _ = fmt.Sscanf(err.Error(), "run "+path+": pid %d does not end on SIGKILL", &pid)
	}
	switch {
	case pid > 0:
		eventually(t, "it is gone", func() bool { return unix.Kill(pid, 0) != nil }, func() any { return pid })
	case err == nil || !strings.Contains(err.Error(), "signal: killed"):
		t.Errorf("error %v, want that it was killed", err)
	}
}

// TestOnceEndsWhatItLeaves: what a program leaves in its process group has the same time, and is
// then ended. On a busy machine the program itself may need more time: then it gets twice as much.
func TestOnceEndsWhatItLeaves(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	path := script(t, "sleep 1000 &\necho $! > "+file+"\n")
	err := Once(path, 200*time.Millisecond, nil)
	for limit := 400 * time.Millisecond; err != nil && limit < time.Minute; limit *= 2 {
		err = Once(path, limit, nil)
	}
	if err != nil {
		t.Error(err)
	}
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
	if err == nil { // a zombie, whose new parent has not reaped it
		if state, _, ok := parseStat(stat); ok && state != 'Z' && state != 'X' {
			t.Errorf("it runs on: %s", stat)
		}
	}
}
