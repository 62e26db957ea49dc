// Package lab runs real peers for tests and measurements: the auditd of this
// machine on a configuration of its own, a load that makes audit events at a known rate,
// and a comparison of what a consumer got with audit.log.
//
// The kernel knows one audit daemon, one set of rules and one /dev/log. All of
// that is taken under a lock file and given back exactly as it was found, also
// when a test fails, panics, or is killed (see guard).
package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// RequireEnv, set to 1, turns every skip for want of an auditd into a failure.
const RequireEnv = "AUDISP_REQUIRE_AUDITD"

// LockFile is held exclusively by whoever runs an auditd or changes the
// kernel's audit rules or status.
const LockFile = "/run/audisp-relay-lab.lock"

// TB is the part of testing.TB the lab needs, so that a benchmark program can
// use the lab as well as a test.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Cleanup(func())
}

// Require skips the test, saying why, where no real auditd can be run: no
// root, no kernel audit, rules locked until reboot, or a tool missing (auditd,
// auditctl and those named). With AUDISP_REQUIRE_AUDITD=1 it fails instead.
func Require(t TB, tools ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "not root: auditd needs CAP_AUDIT_CONTROL")
		return
	}
	RequireTools(t, append([]string{"auditd", "auditctl", "go"}, tools...)...)
	st, err := ReadStatus()
	switch {
	case err != nil:
		Missing(t, "no kernel audit: %v", err)
	case st.Enabled == 2:
		Missing(t, "audit rules are locked (enabled 2) until the next boot")
	}
}

// RequireTools skips the test where one of the programs is not installed, and
// fails with AUDISP_REQUIRE_AUDITD=1.
func RequireTools(t TB, tools ...string) {
	t.Helper()
	for _, name := range tools {
		if _, err := Tool(name); err != nil {
			Missing(t, "%v", err)
			return
		}
	}
}

// Tool finds a program in PATH or in the directories of system programs,
// which a PATH often lacks.
func Tool(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return filepath.Abs(p)
	}
	for _, dir := range []string{"/sbin", "/usr/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("program %q is not installed", name)
}

// Missing skips the test for what this machine lacks, and fails with AUDISP_REQUIRE_AUDITD=1.
func Missing(t TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf(RequireEnv+"=1, but "+format, args...)
		return
	}
	t.Skipf(format, args...)
}

// NeedTool is Tool for a test that is skipped where the program is missing.
func NeedTool(t TB, name string) string {
	t.Helper()
	path, err := Tool(name)
	if err != nil {
		Missing(t, "%v", err)
	}
	return path
}

// Check fails the test where there is an error; what says at what.
func Check(t TB, err error, what string, args ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(what, args...), err)
	}
}

// lock waits for the exclusive lock on path. Closing the file gives it back; a
// child that inherits the file keeps it until it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// Wait polls until done reports true. It fails the test with what and the
// last state after limit, which is only there so that nothing hangs: a limit
// that is too long costs nothing.
func Wait(t TB, limit time.Duration, what string, done func() (ok bool, state string)) {
	t.Helper()
	if err := wait(limit, what, done); err != nil {
		t.Fatalf("%v", err)
	}
}

func wait(limit time.Duration, what string, done func() (ok bool, state string)) error {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		ok, state := done()
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s; now: %s", limit, what, state)
		}
		time.Sleep(pause)
	}
}

// Tree makes files below a new directory, which goes with the test, and links of those whose text begins with "-> ".
func Tree(t TB, files map[string]string) (root string) {
	t.Helper()
	root = tempDir(t)
	for path, text := range files {
		path = root + path
		Check(t, os.MkdirAll(filepath.Dir(path), 0o755), "make a tree")
		if to, link := strings.CutPrefix(text, "-> "); link {
			Check(t, os.Symlink(to, path), "make a tree")
		} else {
			Check(t, os.WriteFile(path, []byte(text), 0o644), "make a tree")
		}
	}
	return root
}

// tempDir makes a directory with a short name, because auditd's
// configuration lines end at 159 characters and socket paths at 107.
func tempDir(t TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab")
	Check(t, err, "make lab directory")
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove lab directory: %v", err)
		}
	})
	return dir
}

// command runs a tool to its end and returns what it printed on both outputs.
func command(name string, args ...string) (string, error) {
	path, err := Tool(name)
	if err != nil {
		return "", err
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err,
			strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
