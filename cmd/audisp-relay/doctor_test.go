package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"audisp-relay/doctor"
	"audisp-relay/host"
	"audisp-relay/plugin"
)

// runDoctor runs the command with these flags and returns what it prints.
func runDoctor(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := newDoctorCmd()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.Execute()
	return out.String(), err
}

// TestDoctorList: every code is listed with its title, without looking at the machine.
func TestDoctorList(t *testing.T) {
	out, err := runDoctor(t, "--list")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out, "\n"); got != len(doctor.Codes()) {
		t.Errorf("%d lines, want one for each of %d codes", got, len(doctor.Codes()))
	}
}

// TestDoctorStopsWhileItLooks: a report whose facts were cut short by the end is not printed.
func TestDoctorStopsWhileItLooks(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := doctorRun{every: time.Hour, gatherer: doctor.Gatherer{
		Machine: host.Machine{Root: t.TempDir()},
		Kernel:  func() (host.KernelStatus, error) { cancel(); return host.KernelStatus{}, errors.New("stopped") },
		Rules:   func() ([]string, error) { return nil, nil },
		Query:   func(string) (*plugin.Report, error) { return nil, plugin.ErrNotRunning },
		Find:    func() (string, error) { return "", plugin.ErrNotRunning },
		Journal: func(context.Context, int) ([]string, error) { return nil, nil },
	}}
	var out bytes.Buffer
	if err := d.repeat(ctx, &out, doctor.Style{Format: doctor.Text}); err != nil || out.Len() > 0 {
		t.Errorf("%v: %s", err, out.String())
	}
}

// TestDoctorRefuses: what makes no sense is a wrong usage.
func TestDoctorRefuses(t *testing.T) {
	for _, args := range [][]string{{"--format", "xml"}, {"--every", "5ms"}, {"--every", "-1s"}, {"now"}} {
		if _, err := runDoctor(t, args...); !errors.As(err, new(usageError)) {
			t.Errorf("%q: %v, want a usageError", args, err)
		}
	}
}

// TestDoctorFailsAsNagiosHasIt: what could not be looked at is unknown, and the text is on stdout; other formats have an error.
func TestDoctorFailsAsNagiosHasIt(t *testing.T) {
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"no such sink":   {"--sink", "nosuch", "--config", dir + "/none.toml", "--run-dir", dir},
		"no such option": {"--min-spol", "1h"},
		"no number":      {"--max-lost", "many"},
		"not together":   {"--timeout", "1s"},
		"an argument":    {"now"},
	} {
		out, err := runDoctor(t, append([]string{"--format", "nagios"}, args...)...)
		if code := exitOf(t, err); code != 3 || !strings.HasPrefix(out, "AUDISP-RELAY UNKNOWN - ") || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q", name, code, out)
		}
		if out, err = runDoctor(t, args...); err == nil || errors.As(err, new(exitError)) || (out != "" && name != "no such sink") {
			t.Errorf("%s, as text: %v, %q", name, err, out)
		}
	}
}
