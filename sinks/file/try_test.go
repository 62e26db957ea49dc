package file

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/sinks"
)

func trialOf(t *testing.T, path string, change func(*Config)) []sinks.Step {
	t.Helper()
	y := &sinks.Trial{Timeout: 10 * time.Second, Sink: settings(path, change), ID: "a1b2c3"}
	sinks.Try(context.Background(), y)
	if y.Hung() || len(y.Steps) == 0 {
		t.Fatalf("hung %v, %+v", y.Hung(), y.Steps)
	}
	return y.Steps
}

// TestTrialWritesNothing: a file that may be written is found to be so, and stays what it was; one
// that is not there is not made.
func TestTrialWritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	steps := trialOf(t, path, nil)
	if len(steps) != 3 || !strings.Contains(steps[1].Text, "not there yet") {
		t.Errorf("%+v", steps)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the trial has made the file")
	}

	if err := os.WriteFile(path, []byte("type=X\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	steps = trialOf(t, path, func(c *Config) { c.MaxSize = 1 << 20 })
	if len(steps) != 3 || steps[1].Verdict != sinks.Passed || !strings.Contains(steps[2].Text, "free, the sink's files take at most 8MiB") {
		t.Errorf("%+v", steps)
	}
	if got := content(t, path); got != "type=X\n" {
		t.Errorf("the file holds %q", got)
	}
}

// TestTrialRefusesWhatTheSinkRefuses: links, hard links, other kinds of files, a missing directory.
func TestTrialRefusesWhatTheSinkRefuses(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	link, hard, folder := filepath.Join(dir, "link"), filepath.Join(dir, "hard"), filepath.Join(dir, "folder")
	for _, err := range []error{os.Symlink(target, link), os.Link(target, hard), os.Mkdir(folder, 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}

	for path, want := range map[string]string{
		link: "a symbolic link", hard: "it has 2 names", folder: "not a regular file",
		filepath.Join(dir, "absent", "f"): "its directory is missing: mkdir -p",
	} {
		steps := trialOf(t, path, nil)
		if s := steps[len(steps)-1]; s.Verdict != sinks.Failed || !strings.Contains(s.Text, want) {
			t.Errorf("%s: %+v", path, s)
		}
	}
}

// TestTrialSeesTheSink: who holds the file is named, and a mode that lets all read is a doubt.
func TestTrialSeesTheSink(t *testing.T) {
	w, _, path := testWriter(t, func(c *Config) { c.Mode = 0o644 })
	write(t, w, []byte("type=X msg=audit(1.000:1): a\n"))
	steps := trialOf(t, path, func(c *Config) { c.Mode = 0o644 })
	if s := steps[1]; s.Verdict != sinks.Doubt || !strings.Contains(s.Text, "held by pid") || !strings.Contains(s.Text, "every user") {
		t.Errorf("%+v", s)
	}
}
