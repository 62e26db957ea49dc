package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"audisp-relay/doctor"
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

// TestDoctorRefuses: what makes no sense is a wrong usage.
func TestDoctorRefuses(t *testing.T) {
	for _, args := range [][]string{{"--format", "xml"}, {"--every", "5ms"}, {"--every", "-1s"}, {"now"}} {
		if _, err := runDoctor(t, args...); !errors.As(err, new(usageError)) {
			t.Errorf("%q: %v, want a usageError", args, err)
		}
	}
}
