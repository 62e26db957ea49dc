package plugin

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// auditdSocket returns auditd's end of a stdin whose reads end now and then.
func auditdSocket(t *testing.T) (in stdin, auditd *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fds[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}); err != nil {
		t.Fatal(err)
	}
	in, auditd = stdin{os.NewFile(uintptr(fds[0]), "stdin")}, os.NewFile(uintptr(fds[1]), "auditd")
	t.Cleanup(func() { in.f.Close(); auditd.Close() })
	return in, auditd
}

// TestRenewEndsBetweenRecords: what was read is delivered, a record that has come in part is waited
// for, and what comes after that is left to the new program.
func TestRenewEndsBetweenRecords(t *testing.T) {
	t.Parallel()
	file := configFile(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, auditd := auditdSocket(t)
	p := New(Options{Config: file, In: in, Binary: self})
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()

	all := records(10)
	cut := len(all) - 20 // within the last one
	auditd.Write(all[:cut])
	wait(t, "nine records have come", func() bool {
		r, err := Query(p.cfg.RunDir)
		return err == nil && r.Input.Records == 9
	})
	asked := make(chan error, 1)
	go func() { asked <- AskRenew(p.cfg.RunDir) }()
	wait(t, "the reader is asked to end", p.renew.wanted.Load)
	auditd.Write(all[cut:])
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrRenew) {
		t.Errorf("Run: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(filepath.Dir(file), "out")); err != nil || string(got) != string(all) {
		t.Errorf("%d bytes are delivered, want %d: %v", len(got), len(all), err)
	}

	later := records(3)
	auditd.Write(later)
	auditd.Close()
	if left, err := io.ReadAll(in.f); err != nil || string(left) != string(later) {
		t.Errorf("the new program would read %q, %v", left, err)
	}
}

// TestRenewIsRefused: what others can write is not executed, nor anything where the program is not
// known, and the plugin goes on.
func TestRenewIsRefused(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(bad, []byte("#!/bin/sh\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(bad, 0o777); err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{"": "not known", bad: "chmod", bad + ".gone": "no such file"} {
		p, w, end := runWith(t, Options{Config: configFile(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\n"), Binary: program})
		wait(t, "it answers", func() bool { _, err := Query(p.cfg.RunDir); return err == nil })
		if err := AskRenew(p.cfg.RunDir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", program, err)
		}
		w.Write(records(2))
		wait(t, "records come", func() bool { return p.Report().Input.Records == 2 })
		end()
	}
}

// TestRenewWaitsForNoLosslessConsumer: where the stream does not move the request is refused, and
// the plugin goes on when it does.
func TestRenewWaitsForNoLosslessConsumer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, w, end := runWith(t, Options{Binary: self, Config: configFile(t, `
[sinks.away]
type = "unix"
path = "DIR/sock"
group = "root"
qos = "lossless"
q_depth = 10
when_idle = "queue"
`)})
	go w.Write(records(100))
	wait(t, "it is full", func() bool {
		_, err := Query(p.cfg.RunDir)
		return err == nil && !p.consumers()[0].Queue().Counts().StallSince.IsZero()
	})
	if err := AskRenew(p.cfg.RunDir); err == nil || !strings.Contains(err.Error(), "lossless") {
		t.Errorf("%v", err)
	}
	if p.renew.wanted.Load() {
		t.Error("it would end later")
	}
	p.consumers()[0].Queue().Close() // as at the end
	wait(t, "all is read", func() bool { return p.Report().Input.Records == 100 })
	end()
}
