package program

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/config"
	"audisp-relay/host/runnable"
	"audisp-relay/sinks"
)

// TestTrial: a program is judged and not started.
func TestTrial(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "started")
	good, open := filepath.Join(dir, "good"), filepath.Join(dir, "open")
	for path, mode := range map[string]os.FileMode{good: 0o755, open: 0o777} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\ntouch "+mark+"\n"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}

	for _, tt := range []struct {
		cfg  Config
		want string
		ok   bool
	}{
		{Config{Path: good}, "it runs as the relay does", true},
		{Config{Path: open}, "0777", false},
		{Config{Path: filepath.Join(dir, "absent")}, "absent", false},
		{Config{Path: good, User: "no-such-user"}, "there is no user no-such-user", false},
	} {
		y := &sinks.Trial{Timeout: 10 * time.Second, Sink: config.Sink{Name: "p", Type: "program", Settings: &tt.cfg}}
		sinks.Try(context.Background(), y)
		if len(y.Steps) == 0 {
			t.Fatal("no steps")
		}
		if s := y.Steps[len(y.Steps)-1]; (s.Verdict == sinks.Passed) != tt.ok || !strings.Contains(s.Text, tt.want) {
			t.Errorf("%+v: %+v", tt.cfg, s)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the trial has started the program")
	}
}

func TestMayRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o750); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}

	own := runnable.OwnerOf(info)
	for _, tt := range []struct {
		a    runnable.Account
		want bool
	}{
		{runnable.Account{UID: own, GID: 4242}, true},
		{runnable.Account{UID: 4242, GID: 4242}, false},
		{runnable.Account{UID: 4242, GID: 4242, Groups: []uint32{uint32(os.Getgid())}}, true},
	} {
		if got := mayRun(info, &tt.a); got != tt.want {
			t.Errorf("%+v: %v", tt.a, got)
		}
	}
}
