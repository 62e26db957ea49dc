package syslog

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"audisp-relay/config"
)

// otelEnv names the program that testdata/otel builds: the Collector's syslogreceiver, which
// writes what it receives to its stdout. Building it takes minutes and some 200 modules, so
// the test is skipped without it whatever is required.
const otelEnv = "AUDISP_OTEL_RECEIVER"

func startOTel(t *testing.T, dir string, l *config.Syslog) func() []byte {
	program := os.Getenv(otelEnv)
	if program == "" {
		t.Skipf("%s names no program: see testdata/otel", otelEnv)
	}
	_, ready := place(t, dir, l)
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	cmd := exec.Command(program, l.Address, l.Framing)
	cmd.Stdout = out
	daemon(t, cmd, ready)
	return contents(out.Name())
}
