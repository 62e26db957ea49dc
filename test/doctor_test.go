package test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/doctor"
	"audisp-relay/host"
	"audisp-relay/test/lab"
)

// diagnosis is what the command prints.
type diagnosis struct {
	Seconds          float64          `json:"seconds"`
	Findings, Hidden []doctor.Finding // in lower case
}

// doctor runs the command, of the program that auditd runs.
func (l *live) doctor() (d diagnosis, exit int) {
	l.t.Helper()
	out, err := exec.Command(l.path("audisp-relay"), "doctor", "--format", "json", "--conf-dir", l.Dir()).Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		exit = e.ExitCode()
	} else if err != nil {
		l.t.Fatal(err)
	}
	if err := json.Unmarshal(out, &d); err != nil {
		l.t.Fatalf("%v in %q", err, out)
	}
	return d, exit
}

// startDoctor runs auditd with the relay and another plugin, on a host on which nothing is wrong: an
// auditd before 4.2 that has lost its last plugin does not serve one again. The other writes what it
// reads to a file, and lives on when auditd passes its HUP on.
func startDoctor(t *testing.T, conf map[string]string) *live {
	t.Helper()
	dir, tee := tempDir(t), tool(t, "tee")
	other := lab.Plugin{Name: "other", Path: filepath.Join(dir, "other"), Args: filepath.Join(dir, "records"), Becomes: tee}
	if err := os.WriteFile(other.Path, []byte("#!/bin/sh\ntrap '' HUP\nexec "+tee+" \"$1\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := startLiveBehind(t, liveSinks, lab.Options{
		MaxLogFile: 64, Conf: conf, Plugins: []lab.Plugin{other},
	}, func(p lab.Plugin) lab.Plugin { // with a user for the worker, as packages make it
		p.Format, p.Path = "string", build(t, filepath.Dir(p.Path), "../cmd/audisp-relay", asNobody)
		return p
	})
	l.resetCounts()
	return l
}

// resetCounts lets the kernel's counts begin again: what was before, and while no auditd ran, is of
// no interest. Older kernels and auditctls do not know the second.
func (l *live) resetCounts() {
	for _, reset := range []string{"--reset-lost", "--reset_backlog_wait_time_actual"} {
		if out, err := exec.Command("auditctl", reset).CombinedOutput(); err != nil {
			l.t.Logf("auditctl %s: %v %s", reset, err, out)
		}
	}
}

// in is l for a subtest.
func (l *live) in(t *testing.T) *live { return &live{Auditd: l.Auditd, t: t, dir: l.dir} }

// awaitReload waits until auditd has dealt with a HUP: it starts and stops plugins one after the other
// then, and passes records on again when it is done. A second HUP before that can cost it all of them.
func (l *live) awaitReload() {
	l.t.Helper()
	for _, p := range l.Plugins() {
		if p.Name == "other" {
			l.DrainTo(p.Args)
		}
	}
}

// healthy waits until there is nothing to find.
func (l *live) healthy() {
	l.t.Helper()
	var last diagnosis
	defer func() {
		if l.t.Failed() {
			l.t.Logf("found last: %+v", last)
		}
	}()
	until(l.t, "the doctor to find nothing", func() bool {
		var exit int
		last, exit = l.doctor()
		return len(last.Findings) == 0 && exit == doctor.ExitClean
	})
}

// finds waits until the one finding is that, and returns it.
func (l *live) finds(codes ...string) doctor.Finding {
	l.t.Helper()
	var last diagnosis
	defer func() {
		if l.t.Failed() {
			l.t.Logf("found last: %+v", last)
		}
	}()
	until(l.t, "the doctor to find "+strings.Join(codes, " or ")+" alone", func() bool {
		var exit int
		last, exit = l.doctor()
		return len(last.Findings) == 1 && strings.Contains(" "+strings.Join(codes, " ")+" ", " "+last.Findings[0].Code+" ") && exit == doctor.ExitFinding
	})
	return last.Findings[0]
}

// apply runs the command that a finding names, or the first steps of it.
func (l *live) apply(f doctor.Finding, steps int) {
	l.t.Helper()
	parts := strings.Split(f.Fix, " && ")
	if steps > 0 {
		parts = parts[:steps]
	}
	command := strings.Join(parts, " && ")
	if out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v %s", command, err, out)
	}
}

// TestLiveDoctorHealthy: a healthy host has no findings.
func TestLiveDoctorHealthy(t *testing.T) {
	l := startDoctor(t, nil)
	l.healthy()
	d, _ := l.doctor()
	t.Logf("looked for %.2f s", d.Seconds)
}

// TestLiveDoctorKernel: settings of the kernel are found, and the first command of the fix, which
// changes them for now, ends the finding.
func TestLiveDoctorKernel(t *testing.T) {
	l := startDoctor(t, nil)
	l.healthy()
	for _, c := range []struct {
		code string
		args []string
	}{
		{"AR-BACKLOG-LIMIT", []string{"-b", "64"}},
		{"AR-RATE-LIMIT", []string{"-r", "100000"}},
		{"AR-AUDIT-OFF", []string{"-e", "0"}},
	} {
		t.Run(c.code, func(t *testing.T) {
			l := l.in(t)
			l.Ctl(c.args...)
			l.apply(l.finds(c.code), 1)
			l.healthy()
		})
	}
}

// TestLiveDoctorDropIn: what is wrong with the plugin file keeps auditd from running the relay; it
// is the one finding, and the fix that it names ends it.
func TestLiveDoctorDropIn(t *testing.T) {
	l := startDoctor(t, nil)
	l.healthy()
	file := filepath.Join(l.Dir(), "plugins.d", "relay.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		code  string
		plant func(t *testing.T)
	}{
		{"AR-DROPIN-OWNER", func(t *testing.T) {
			if err := os.Chmod(file, 0o666); err != nil {
				t.Fatal(err)
			}
		}},
		{"AR-DROPIN-INACTIVE", func(t *testing.T) { write(t, file, strings.Replace(string(text), "active = yes", "active = no", 1)) }},
	} {
		t.Run(c.code, func(t *testing.T) {
			l := l.in(t)
			c.plant(t)
			l.Reload()
			until(t, "auditd to stop the relay", func() bool { return !l.PluginRunning("relay") })
			l.awaitReload()
			l.apply(l.finds(c.code), 0)
			until(t, "auditd to run the relay", func() bool { return l.PluginRunning("relay") })
			l.awaitReload()
			l.healthy()
		})
	}
	t.Run("AR-DROPIN-TWICE", func(t *testing.T) {
		l := l.in(t)
		write(t, filepath.Join(l.Dir(), "plugins.d", "copy.conf"), string(text))
		l.Reload()
		until(t, "auditd to run both", func() bool {
			children, _ := host.Machine{}.Children(l.PID())
			return len(children) == 3 // with the other plugin
		})
		l.awaitReload()
		l.apply(l.finds("AR-DROPIN-TWICE"), 0)
		l.healthy()
	})
}

// TestLiveDoctorStopped: an auditd that does not run is the one finding, although neither the
// relay nor anything else works.
func TestLiveDoctorStopped(t *testing.T) {
	l := startDoctor(t, nil)
	l.healthy()
	l.Stop()
	if f := l.finds("AR-AUDITD-DOWN"); !strings.Contains(f.Fix, l.Dir()) && !strings.Contains(f.Fix, "systemctl") {
		t.Errorf("fix %q does not start this auditd", f.Fix)
	}
	l.StartAgain() // the command that the finding names, seen through
	l.resetCounts()
	l.healthy()
}

// TestLiveDoctorNoLog: an auditd without a log is found by either key; with the key that the fix sets,
// the finding is gone after a start.
func TestLiveDoctorNoLog(t *testing.T) {
	for _, c := range []struct{ key, value string }{{"write_logs", "no"}, {"log_format", "NOLOG"}} {
		t.Run(c.key, func(t *testing.T) {
			l := startDoctor(t, map[string]string{c.key: c.value})
			f := l.finds("AR-NO-LOG")
			l.Stop()
			l.apply(f, 1)
			l.StartAgain()
			l.resetCounts()
			l.healthy()
		})
	}
}

// TestLiveDoctorConfig: a configuration that the relay has not read, and one with an error, are found.
func TestLiveDoctorConfig(t *testing.T) {
	l := startDoctor(t, nil)
	l.healthy()
	path := l.path("relay.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	later := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		// As if it was written well after the relay had read it.
		at := time.Now().Add(5 * time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	later(string(text) + "# changed\n")
	f := l.finds("AR-CONFIG-NEWER")
	at := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, at, at); err != nil { // the time above is to come yet
		t.Fatal(err)
	}
	l.apply(f, 0)
	l.healthy()

	later(string(text) + "[sinks.x]\ntype = \"nosuch\"\n")
	if f := l.finds("AR-CONFIG"); !strings.Contains(f.Evidence, "relay.toml:") {
		t.Errorf("evidence %q has no line of the file", f.Evidence)
	}
	later(string(text))
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(l.PluginPID("relay"), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	l.healthy()
}

// TestLiveDoctorGivenUp: when auditd has started the relay as often as it may, the finding says so, or
// where auditd's messages cannot be read that it does not run.
func TestLiveDoctorGivenUp(t *testing.T) {
	l := startDoctor(t, map[string]string{"max_restarts": "1"})
	l.healthy()
	until(t, "auditd to give the relay up", func() bool {
		if pid := l.FindPlugin("relay"); pid != 0 && !isZombie(pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		for range 5 { // a record each that auditd has to write
			l.Ctl("-m", "doctor: is the relay there")
			time.Sleep(100 * time.Millisecond)
			if pid := l.FindPlugin("relay"); pid != 0 && !isZombie(pid) {
				return false
			}
		}
		return true
	})
	l.finds("AR-GAVE-UP", "AR-NOT-STARTED", "AR-CRASHED")
}
