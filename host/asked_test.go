package host

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"audisp-relay/host/broker"
)

// TestFrameLengthsAreAskedForOnce: however often a worker asks, the program that says the version is not started each time.
func TestFrameLengthsAreAskedForOnce(t *testing.T) {
	dir := t.TempDir()
	starts := filepath.Join(dir, "starts")
	script := "#!/bin/sh\necho x >>" + starts + "\necho auditctl version 4.0.2\n"
	if err := os.WriteFile(filepath.Join(dir, "auditctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "audisp-af_unix")
	serve := ServeAuditd(os.Getpid(), func(path string) bool { return path == program })
	argument, err := json.Marshal(program)
	if err != nil {
		t.Fatal(err)
	}

	for range 20 {
		a, err := serve(broker.NewCall(AuditdItem, opPadded, string(argument)))
		if want := (paddedAnswer{Padded: true, Version: "4.0.2"}); err != nil || a.Result != want {
			t.Fatalf("%+v, %v, want %+v", a.Result, err, want)
		}
	}
	if text, err := os.ReadFile(starts); err != nil || string(text) != "x\n" {
		t.Errorf("started so often: %q, %v", text, err)
	}
	if a, err := serve(broker.NewCall(AuditdItem, opPadded, `"/opt/other"`)); err == nil {
		t.Errorf("a program that is not configured: %+v", a)
	}
}
