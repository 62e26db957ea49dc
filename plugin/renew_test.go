package plugin

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// auditdSocket returns a stdin and auditd's end of it.
func auditdSocket(t *testing.T) (in *stdin, auditd *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if in, err = newStdin(fds[0]); err != nil {
		t.Fatal(err)
	}
	auditd = os.NewFile(uintptr(fds[1]), "auditd")
	t.Cleanup(func() { in.close(); unix.Close(in.fd); auditd.Close() })
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
	p.renew.stdin = in
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
	wait(t, "the reader is asked to end", p.renew.asked)
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
	if left, err := io.ReadAll(in); err != nil || string(left) != string(later) {
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
	if p.renew.asked() {
		t.Error("it would end later")
	}
	p.consumers()[0].Queue().Close() // as at the end
	wait(t, "all is read", func() bool { return p.Report().Input.Records == 100 })
	end()
}

// TestIdleStdinIsSilence: that a read is interrupted makes nothing come.
func TestIdleStdinIsSilence(t *testing.T) {
	t.Parallel()
	in, auditd := auditdSocket(t)
	p := New(Options{Config: configFile(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/out\"\n"), In: in})
	p.renew.stdin = in
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	auditd.Write(records(1))
	last := func() time.Time {
		r, err := Query(p.cfg.RunDir)
		if err != nil || r.Input.Records == 0 {
			return time.Time{}
		}
		return r.Input.Last
	}
	wait(t, "the record has come", func() bool { return !last().IsZero() })
	came := last()
	for range 5 {
		in.interrupt()
		wait(t, "the reader has noticed", func() bool { return !in.interrupted.Load() })
	}
	if now := last(); !now.Equal(came) {
		t.Errorf("the last record came at %v, now at %v", came, now)
	}
	auditd.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRenewRequestIsTakenOrRefused: a request that was refused does not end the process later, and one that
// the reader has taken is not refused.
func TestRenewRequestIsTakenOrRefused(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := newRenewal(self)
	r.request.Store(takenRequest)
	if err := r.grant(t.Context()); err == nil {
		t.Error("a second request is granted while the process ends")
	}

	synctest.Test(t, func(t *testing.T) {
		r := newRenewal(self)
		result := make(chan error)
		go func() { result <- r.grant(t.Context()) }()
		synctest.Wait()
		if !r.request.CompareAndSwap(openRequest, takenRequest) {
			t.Fatal("no request")
		}
		time.Sleep(2 * renewPatience) // the reader's records take long
		r.granted <- struct{}{}
		if err := <-result; err != nil {
			t.Errorf("taken and refused: %v", err)
		}

		r = newRenewal(self)
		if err := r.grant(t.Context()); err == nil || r.asked() {
			t.Errorf("%v, asked still %v", err, r.asked())
		}
	})
}
