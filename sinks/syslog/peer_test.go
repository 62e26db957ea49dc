package syslog

import (
	"bytes"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

const audispSyslog = "/sbin/audisp-syslog"

// stock returns the command that runs audisp-syslog with the socket at path as
// its /dev/log, in a mount namespace of its own.
func stock(t testing.TB, path string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		lab.Missing(t, "needs root for a mount namespace")
	}
	for _, tool := range []string{audispSyslog, "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			lab.Missing(t, "%s is not installed: %v", tool, err)
		}
	}
	cmd := exec.Command("unshare", "-m", "sh", "-c", `
		mkdir -p "$1" && mount -t tmpfs none "$1" && : >"$1/log" && mount --bind "$0" "$1/log" && mount --rbind "$1" /dev &&
		exec `+audispSyslog, path, filepath.Join(t.TempDir(), "dev"))
	cmd.Stderr = os.Stderr
	return cmd
}

// BenchmarkBesideAudispSyslog compares the CPU time, user and system, of the
// whole way from stdin to a local datagram socket with that of audisp-syslog, with
// the same records and the same reader, in turn. It prints the best µs a record
// of both; run it with -benchtime=5x or so.
func BenchmarkBesideAudispSyslog(b *testing.B) {
	records := bytes.Repeat(captures.Read(b, "audit-3.0.9-enriched.string.gz"), 100)
	feed := filepath.Join(b.TempDir(), "feed")
	if err := os.WriteFile(feed, records, 0o600); err != nil {
		b.Fatal(err)
	}
	socat, err := exec.LookPath("socat")
	if err != nil {
		lab.Missing(b, "socat is not installed: %v", err)
	}
	drains := map[string]func(path string) *exec.Cmd{
		"fast reader": func(path string) *exec.Cmd { return helper(b, "drain", path) },
		"socat":       func(path string) *exec.Cmd { return exec.Command(socat, "-u", "UNIX-RECV:"+path, "OPEN:/dev/null") },
	}
	for name, drain := range drains {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "log")
			start(b, drain(path))
			eventually(b, "reader's socket", func() bool { return connectable(path) })
			ours, theirs := math.Inf(1), math.Inf(1)
			for b.Loop() {
				theirs = min(theirs, cpuMicros(b, stock(b, path), feed))
				ours = min(ours, cpuMicros(b, helper(b, "send", path), feed))
			}
			n := float64(lines(records))
			b.ReportMetric(ours/n, "relay-µs/rec")
			b.ReportMetric(theirs/n, "audisp-syslog-µs/rec")
			b.ReportMetric(ours/theirs, "ratio")
		})
	}
}

// cpuMicros runs cmd with the contents of the file feed in a pipe as its stdin, and returns its CPU
// time, user and system, in µs.
func cpuMicros(b *testing.B, cmd *exec.Cmd, feed string) float64 {
	b.Helper()
	f, err := os.Open(feed)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(in, f); err != nil {
		b.Error(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return float64((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Microseconds())
}
