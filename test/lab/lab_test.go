package lab

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		victim()
		return
	}
	goleak.VerifyTestMain(m)
}

// kernelState is all the lab has to put back.
func kernelState(t *testing.T) (Status, []string) {
	t.Helper()
	st, err := ReadStatus()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := ReadRules()
	if err != nil {
		t.Fatal(err)
	}
	return st.settings(), rules
}

// The real auditd with its own af_unix plugin: the stream socat reads is the log.
func TestLiveLoadThroughStockPlugin(t *testing.T) {
	Require(t, "socat")
	lockFile, err := lock(LockFile)
	if err != nil {
		t.Fatal(err)
	}
	wantStatus, wantRules := kernelState(t)
	lockFile.Close()

	for _, format := range []string{"ENRICHED", "RAW"} {
		var auditdPID int
		var dir, fault string
		for tries := range 5 {
			ran := t.Run(fmt.Sprint(format, " ", tries), func(t *testing.T) {
				sock := filepath.Join(tempDir(t), "s")
				a := Start(t, Options{LogFormat: format, Plugins: []Plugin{
					{Name: "af_unix", Path: "builtin_af_unix", Args: "0640 " + sock},
					{Name: "cat", Path: "/bin/cat", Args: "-"}}})
				auditdPID, dir = a.PID(), a.Dir()
				stream := filepath.Join(a.Dir(), "stream")
				Follow(t, sock, stream)
				first := a.Drain(stream)
				res := a.Load(Load{Rate: 1000, Duration: 3 * time.Second})
				last := a.Drain(stream)
				fault = checkRun(t, a, res, stream, Compare{Raw: format == "RAW", After: first, Until: last})
				checkProcess(t, a)
			})
			if !ran {
				return
			}
			if fault == "" {
				break
			}
		}
		if fault != "" {
			t.Errorf("%s: %s", format, fault)
		}
		if err := syscall.Kill(auditdPID, 0); err == nil {
			if argv := cmdline(auditdPID); argv != nil {
				t.Errorf("pid %d is still there: %q", auditdPID, argv)
			}
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
		// Under the lock: another lab may have started meanwhile.
		lockFile, err := lock(LockFile)
		if err != nil {
			t.Fatal(err)
		}
		gotStatus, gotRules := kernelState(t)
		lockFile.Close()
		if diff := cmp.Diff(wantStatus, gotStatus); diff != "" {
			t.Errorf("audit status (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(wantRules, gotRules); diff != "" {
			t.Errorf("audit rules (-before +after):\n%s", diff)
		}
	}
}

// checkRun says what was not as it should be. On a busy machine auditd's own af_unix, like
// all of its plugins, may lack a record at any rate: then the lab has to see that.
func checkRun(t *testing.T, a *Auditd, res LoadResult, stream string, how Compare) (fault string) {
	t.Helper()
	rep, err := CompareLog(a.Logs(), []string{stream}, how)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events at %.0f/s; %s", res.Made, res.Rate(), rep)
	seen, err := res.Seen(stream)
	if err != nil {
		t.Fatal(err)
	}
	want := LoadSeen{Events: res.Made, Paths: res.Made}
	if !cmp.Equal(seen, want) && rep.Missing == 0 && rep.LogLines >= 4*res.Made {
		t.Errorf("seen %+v, want %+v, and the log has no more: %s", seen, want, rep)
	}
	switch {
	// Four records of each event are logged.
	case !rep.OK() || rep.LogLines < 4*res.Made || rep.EOE < res.Made:
		return fmt.Sprintf("%d events made, but %s", res.Made, rep)
	case !cmp.Equal(seen, want):
		return fmt.Sprintf("seen %+v, want %+v", seen, want)
	case res.Made < 2500:
		return fmt.Sprintf("%d events made in %v at 1000/s", res.Made, res.Elapsed)
	}
	return ""
}

func checkProcess(t *testing.T, a *Auditd) {
	t.Helper()
	pid := a.PluginPID("cat")
	if got := cmdline(pid); !cmp.Equal(got, []string{"/bin/cat", "-"}) {
		t.Errorf("plugin runs %q", got)
	}
	cpu, err := CPU(a.PID())
	if err != nil || cpu <= 0 {
		t.Errorf("CPU of auditd %v, %v", cpu, err)
	}
	now, peak, err := RSS(a.PID())
	if err != nil || now < 100<<10 || peak < now {
		t.Errorf("RSS of auditd %d, peak %d, %v", now, peak, err)
	}
	a.SetPlugins(Plugin{Name: "other", Path: "/usr/bin/tee", Args: "/dev/null"})
	a.Reload()
	Wait(t, 30*time.Second, "the new plugin", func() (bool, string) { return a.PluginRunning("other"), "not running" })
}

// victimEnv makes this test binary a test process that dies without cleaning up.
const victimEnv = "LAB_TEST_VICTIM"

// deadEnd is a TB that never cleans up.
type deadEnd struct{}

func (deadEnd) Helper()                           {}
func (deadEnd) Logf(string, ...any)               {}
func (deadEnd) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (deadEnd) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(3)
}
func (deadEnd) Skipf(format string, args ...any) { deadEnd{}.Fatalf(format, args...) }
func (deadEnd) Cleanup(func())                   {}

func victim() {
	a := Start(deadEnd{}, Options{Backlog: 4000, Plugins: []Plugin{{Name: "cat", Path: "/bin/cat"}}})
	a.WatchRule(a.Dir(), "victim", LoadUID)
	fmt.Printf("%d %s\n", a.PID(), a.Dir())
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// A test that is killed leaves nothing either.
func TestLiveGuardCleansUpAfterKill(t *testing.T) {
	Require(t)
	lockFile, err := lock(LockFile)
	if err != nil {
		t.Fatal(err)
	}
	wantStatus, wantRules := kernelState(t)
	lockFile.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var pid int
	var dir string
	if _, scanErr := fmt.Sscan(string(out), &pid, &dir); scanErr != nil {
		t.Fatalf("the victim printed %q, %q, ended with %v", out, stderr.String(), err)
	}
	// The guard holds the lock until it is done.
	lockFile, err = lock(LockFile)
	if err != nil {
		t.Fatal(err)
	}
	defer lockFile.Close()
	gotStatus, gotRules := kernelState(t)
	if diff := cmp.Diff(wantStatus, gotStatus); diff != "" {
		t.Errorf("audit status (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(wantRules, gotRules); diff != "" {
		t.Errorf("audit rules (-before +after):\n%s", diff)
	}
	if argv := cmdline(pid); argv != nil {
		t.Errorf("auditd %d survived: %q", pid, argv)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s survived", dir)
	}
}

func send(t *testing.T, network, addr, msg string) {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, msg); err != nil {
		t.Fatal(err)
	}
}

func TestLiveDevLogComesBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: /dev/log cannot be replaced")
	}
	RequireTools(t, "socat")
	before, beforeErr := os.Lstat(DevLog)
	t.Run("taken", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "messages")
		DrainDevLog(t, file)
		send(t, "unixgram", DevLog, "one")
		Wait(t, 30*time.Second, "the datagram", func() (bool, string) {
			n, err := CountString(file, "one")
			return n == 1, fmt.Sprint(err)
		})
	})
	after, afterErr := os.Lstat(DevLog)
	switch {
	case (beforeErr == nil) != (afterErr == nil):
		t.Errorf("%s before: %v, after: %v", DevLog, beforeErr, afterErr)
	case beforeErr == nil && !os.SameFile(before, after):
		t.Errorf("%s is another file than before", DevLog)
	}
}

func TestParseStatus(t *testing.T) {
	const out = "enabled 1\nfailure 1\npid 77\nrate_limit 0\nbacklog_limit 8192\nlost 3\nbacklog 2\n" +
		"backlog_wait_time 15000\nbacklog_wait_time_actual 9\nloginuid_immutable 0 unlocked\n"
	got, err := parseStatus(out)
	want := Status{Enabled: 1, Failure: 1, PID: 77, BacklogLimit: 8192, Lost: 3, Backlog: 2, BacklogWaitTime: 15000}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	if _, err := parseStatus("enabled 1\n"); err == nil {
		t.Error("no error for half a status")
	}
}
