package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"audisp-relay/plugin"
)

// output runs a command line and returns its exit code and what it wrote to stdout.
func output(t *testing.T, args ...string) (int, []byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = f, f
	code := run(args)
	os.Stdout, os.Stderr = stdout, stderr
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return code, text
}

// The exit code says whether the plugin runs and whether all is well.
func TestStatusExitCode(t *testing.T) {
	dir := t.TempDir()
	if code, text := output(t, "status", "--run-dir", dir+"/run"); code != exitNotRunning || !strings.HasPrefix(string(text), "down: ") {
		t.Errorf("without a plugin: exit code %d, %s", code, text)
	}
	config := "run_dir = '" + dir + "/run'\nstate_dir = '" + dir + "/state'\npriority_boost = 0\noom_score_adj = 0\nlog.output = '" + dir + "/log'\n" +
		"[recovery]\nenabled = false\n[sinks.f]\ntype = 'file'\npath = '" + dir + "/out/f'\n"
	write(t, dir+"/c.toml", config, 0o640)
	in, w := io.Pipe()
	p := plugin.New(plugin.Options{Config: dir + "/c.toml", In: in})
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	w.Write([]byte("type=EOE msg=audit(1.000:1): \n"))
	await := func(want int) {
		t.Helper()
		var code int
		var text []byte
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if code, text = output(t, "status", "--run-dir", dir+"/run"); code == want {
				return
			}
		}
		t.Errorf("exit code %d, want %d:\n%s", code, want, text)
	}
	await(exitDegraded) // the directory is missing
	code, text := output(t, "status", "--json", "--run-dir", dir+"/run")
	var r plugin.Report
	if err := json.Unmarshal(text, &r); err != nil || code != 0 || len(r.Degraded) != 1 || r.Degraded[0] != "sinks.f" {
		t.Errorf("--json: exit code %d, %v, degraded %q", code, err, r.Degraded)
	}
	if err := os.Mkdir(dir+"/out", 0o755); err != nil {
		t.Fatal(err)
	}
	await(0)
	for flag, want := range map[string]string{"--all": "f delivered = 1", "--watch=false": "ok: 1 sink, nothing lost within a day"} {
		if _, text := output(t, "status", flag, "--run-dir", dir+"/run"); !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q:\n%s", flag, want, text)
		}
	}
	if code, text := output(t, "status", "--all", "--json", "--run-dir", dir+"/run"); code != 2 {
		t.Errorf("--all --json: exit code %d, %s", code, text)
	}
	// The machine may have any relays, those of tests that run beside this one: they may not listen yet.
	others := regexp.MustCompile(`^(a relay runs|\d+ relays run)`)
	if dir, err := plugin.Find(); err != nil && !errors.Is(err, plugin.ErrNotRunning) && !others.MatchString(err.Error()) {
		t.Errorf("the search for relays: %q, %v", dir, err)
	}
	w.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if code, text := output(t, "status", "--run-dir", dir+"/run"); code != exitNotRunning {
		t.Errorf("after the end: exit code %d, %s", code, text)
	}
}
