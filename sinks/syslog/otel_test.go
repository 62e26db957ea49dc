package syslog

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// otelEnv names the program that testdata/otel builds: the Collector's syslogreceiver, which
// writes what it receives to its stdout. Building it takes minutes and some 200 modules, so
// the test is skipped without it whatever is required.
const otelEnv = "AUDISP_OTEL_RECEIVER"

func startOTel(t *testing.T, dir string, l *Config) func() []byte {
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
	return func() []byte {
		// It gives messages in another order than they came in.
		lines := bytes.SplitAfter(contents(out.Name())(), []byte("\n"))
		slices.SortStableFunc(lines, func(a, b []byte) int {
			x, y := otelKey.FindSubmatch(a), otelKey.FindSubmatch(b)
			if x == nil || y == nil {
				return len(y) - len(x) // what is being written goes last
			}
			return cmp.Or(bytes.Compare(x[2], y[2]), bytes.Compare(x[1], y[1]))
		})
		return bytes.Join(lines, nil)
	}
}

// otelKey is the part and the id of a line.
var otelKey = regexp.MustCompile(`^([^|]*)\|.* msg=audit\(([^)]*)\): .*\n$`)
