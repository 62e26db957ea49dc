package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/config"
	"audisp-relay/doctor"
	"audisp-relay/doctor/canary"
	"audisp-relay/doctor/probe"
	"audisp-relay/host"
	"audisp-relay/plugin"
	"audisp-relay/sinks"
)

// modeRun runs a mode of doctor on a machine that is a tree of files, with this configuration.
func modeRun(t *testing.T, text string, args ...string) (out string, err error) {
	t.Helper()
	root := t.TempDir()
	file := filepath.Join(root, config.DefaultFile)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	notRunning := func(string) (*plugin.Report, error) { return nil, plugin.ErrNotRunning }
	g := &doctor.Gatherer{
		Machine: host.Machine{Root: root}, Version: "test", RunDir: filepath.Join(root, "run"),
		Kernel:  func() (host.KernelStatus, error) { return host.KernelStatus{Enabled: 1}, nil },
		Rules:   func() ([]string, error) { return nil, nil },
		Query:   notRunning,
		Find:    func() (string, error) { return "", plugin.ErrNotRunning },
		Journal: func(context.Context, int) ([]string, error) { return nil, nil },
	}

	cmd := newDoctorCmd()
	m := new(doctorModes)
	cmd.ResetFlags()
	m.addFlags(cmd)
	cmd.Flags().Duration("every", 0, "")
	cmd.Flags().Bool("list", false, "")
	format := cmd.Flags().String("format", "text", "")
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	cmd.SetOut(&printed)
	done, err := m.run(context.Background(), cmd, g, doctor.Format(*format))
	if !done {
		t.Fatalf("%q is no mode", args)
	}
	return printed.String(), err
}

// exitOf returns the exit code of err.
func exitOf(t *testing.T, err error) int {
	t.Helper()
	if code, ok := errors.AsType[exitError](err); ok {
		return code.code
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// TestModesRefuse: flags that make no sense together are a wrong usage, before anything is done.
func TestModesRefuse(t *testing.T) {
	for _, args := range [][]string{
		{"--profile", "pci"}, {"--profile", "stig", "--bundle", "x"}, {"--sink", "a", "--profile", "stig"}, {"--canary", "--bundle", "x"},
		{"--timeout", "3s"}, {"--sink", "a", "--timeout", "-1s"}, {"--sink", "a", "--every", "5s"}, {"--canary", "--list"},
		{"--canary=false", "--timeout", "3s"},
		{"--sink", "a", "--format", "prometheus"}, {"--sink", "a", "--canary", "--format", "nagios"}, {"--profile", "stig", "--format", "nagios"},
	} {
		if _, err := modeRun(t, "", args...); !errors.As(err, new(usageError)) {
			t.Errorf("%q: %v, want a usageError", args, err)
		}
	}
}

// TestSinkMode: the steps are printed, and the exit code says that no relay runs or that one failed.
func TestSinkMode(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	text := fmt.Sprintf("[sinks.siem]\ntype = \"syslog\"\ntransport = \"tcp\"\naddress = %q\n", l.Addr())
	out, err := modeRun(t, text, "--sink", "siem")
	if code := exitOf(t, err); code != doctor.ExitFinding {
		t.Errorf("exit code %d", code)
	}
	for _, part := range []string{"sink siem of ", "name resolution", "connect ", "acknowledgement  unknown", "no relay runs"} {
		if !strings.Contains(out, part) {
			t.Errorf("output lacks %q:\n%s", part, out)
		}
	}

	l.Close()
	out, err = modeRun(t, text, "--sink", "siem", "--format", "json", "--timeout", "20s")
	var r probe.Result
	if jerr := json.Unmarshal([]byte(out), &r); jerr != nil || r.OK || len(r.Steps) != 3 || exitOf(t, err) != doctor.ExitFinding {
		t.Errorf("%v: %s", jerr, out)
	}
	if out, err = modeRun(t, text, "--sink", "siem", "--format", "nagios"); exitOf(t, err) != 2 || !strings.HasPrefix(out, "AUDISP-RELAY CRITICAL - sink siem: connect: ") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err = modeRun(t, text, "--sink", "sime"); err == nil || !strings.Contains(err.Error(), "did you mean siem?") {
		t.Errorf("%v", err)
	}
}

// TestBundleMode: a bundle is written once, and listed.
func TestBundleMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tgz")
	out, err := modeRun(t, "[sinks.x]\ntype = \"syslog\"\n", "--bundle", path)
	if err != nil || !strings.Contains(out, "config.json") || !strings.Contains(out, "mode 0600") {
		t.Errorf("%v: %s", err, out)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := modeRun(t, "", "--bundle", path); err == nil || !strings.Contains(err.Error(), "it exists") {
		t.Errorf("written over: %v", err)
	}
}

// TestProfileMode: gaps make the exit code, in both formats.
func TestProfileMode(t *testing.T) {
	out, err := modeRun(t, "[sinks.x]\ntype = \"file\"\npath = \"/var/log/x\"\n", "--profile", "stig", "--format", "json")
	var got struct {
		Profile string
		Gaps    int
	}
	if jerr := json.Unmarshal([]byte(out), &got); jerr != nil || got.Profile != "stig" || got.Gaps == 0 || exitOf(t, err) != doctor.ExitFinding {
		t.Errorf("%v %v: %s", jerr, err, out)
	}
	if out, err = modeRun(t, "", "--profile", "stig"); !strings.Contains(out, "RHEL-09-652055") || exitOf(t, err) != doctor.ExitFinding {
		t.Errorf("%v: %s", err, out)
	}
}

// TestCanaryLog: where auditd writes no log, by any of the ways, none is waited for.
func TestCanaryLog(t *testing.T) {
	f := new(doctor.Facts)
	f.Auditd.Value.Conf = host.AuditdConf{LogFile: "/var/log/audit/audit.log", WriteLogs: true, LogFormat: "nolog"}
	f.Log.Value.Why = "auditd.conf has log_format = NOLOG"
	if log := canaryLog(f); log != "" {
		t.Errorf("with NOLOG: %s", log)
	}
	f.Log.Value.Why = ""
	if log := canaryLog(f); log != "/var/log/audit/audit.log" {
		t.Errorf("log %q", log)
	}
}

// TestCanaryMode: without a relay there is nothing to time, and no record is made.
func TestCanaryMode(t *testing.T) {
	if _, err := modeRun(t, "[sinks.x]\ntype = \"syslog\"\n", "--canary", "--timeout", time.Minute.String()); !errors.Is(err, plugin.ErrNotRunning) {
		t.Errorf("%v", err)
	}
}

// TestSinkAndCanaryAreOneDocument: a program that reads JSON gets one object, whatever was asked for.
func TestSinkAndCanaryAreOneDocument(t *testing.T) {
	sink := &probe.Result{Sink: "siem", OK: true, Steps: []sinks.Step{{Name: "connect"}}}
	record := &canary.Result{ID: "c1", Arrivals: []canary.Arrival{{Place: "audit.log"}}}
	var out bytes.Buffer
	if err := writeTried(&out, doctor.JSON, sink, record); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Sink   string
		Steps  []sinks.Step
		Canary canary.Result
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Sink != "siem" || len(got.Steps) != 1 || got.Canary.ID != "c1" || len(got.Canary.Arrivals) != 1 {
		t.Errorf("%v: %s", err, out.Bytes())
	}

	// Without a relay there is no canary, and the steps are printed nonetheless.
	text, err := modeRun(t, "[sinks.siem]\ntype = \"file\"\npath = \"/nonexistent/x\"\n", "--sink", "siem", "--canary", "--format", "json")
	var alone probe.Result
	if jerr := json.Unmarshal([]byte(text), &alone); !errors.Is(err, plugin.ErrNotRunning) || jerr != nil || alone.Sink != "siem" {
		t.Errorf("%v, %v: %s", err, jerr, text)
	}
}
