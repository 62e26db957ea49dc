package plugin

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"audisp-relay/host"
)

// TestDeskTakesNobodyForAuditd: when auditd has gone another process may have its number and its name, and a configuration that names
// any file as its log.
func TestDeskTakesNobodyForAuditd(t *testing.T) {
	d, dir := deskFor(t, "state_dir = \"DIR/state\"\n")
	program, secret := filepath.Join(dir, "auditd"), filepath.Join(dir, "secret")
	for _, err := range []error{
		os.WriteFile(program, []byte("#!/bin/sh\nread -r line\n"), 0o755), os.WriteFile(filepath.Join(dir, "auditd.conf"), []byte("log_file = "+secret+"\n"), 0o640),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-c", dir)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if log, err := host.LogOf(cmd.Process.Pid); log.Path != secret {
		t.Fatalf("it is not like an auditd: %+v, %v", log, err)
	}
	d.p.parent, d.looked = cmd.Process.Pid, time.Time{}
	if logs := d.auditLogs(); slices.Contains(logs, secret) {
		t.Errorf("its log is one of %q", logs)
	}
}
