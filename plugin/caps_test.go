package plugin

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"audisp-relay/host"
)

// capsEnv makes this package's test binary the program that drops its
// capabilities, in the directory it names.
const capsEnv = "PLUGIN_TEST_CAPS"

// TestDropCapabilities has a program like the relay's own, built without cgo, drop
// them and look at itself.
func TestDropCapabilities(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	if os.Geteuid() != 0 || sets(threads(t)[0], "CapEff")&dropped != dropped {
		if os.Getenv("AUDISP_REQUIRE_AUDITD") == "1" {
			t.Fatal("not root with all capabilities")
		}
		t.Skip("not root with all capabilities")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "caps.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary, "-test.run=^TestCapsProgram$", "-test.v")
	cmd.Env = append(os.Environ(), capsEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestCapsProgram")) {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("\n%s", out)
}

// TestCapsProgram is the program of TestDropCapabilities.
func TestCapsProgram(t *testing.T) {
	dir := os.Getenv(capsEnv)
	if dir == "" {
		return // it is none on its own
	}
	raise(t)
	stop := busyThreads(t, 4)
	before := threads(t)
	if len(before) < 5 {
		t.Errorf("only %d threads: nothing to show", len(before))
	}
	for _, s := range before {
		if sets(s, "CapEff")&sets(s, "CapPrm")&sets(s, "CapInh")&sets(s, "CapAmb")&dropped != dropped {
			t.Errorf("a thread does not have them to begin with:\n%s", s)
		}
	}

	if err := dropCapabilities(); err != nil {
		t.Fatal(err)
	}
	stopNew := busyThreads(t, 2)
	after := threads(t)
	for _, s := range after {
		for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb"} {
			if sets(s, set)&dropped != 0 {
				t.Errorf("%s still has them:\n%s", set, s)
			}
		}
		if got, want := sets(s, "CapEff"), sets(before[0], "CapEff")&^dropped; got != want {
			t.Errorf("effective are %x, want %x", got, want)
		}
		if got, want := sets(s, "CapBnd"), sets(before[0], "CapBnd"); got != want {
			t.Errorf("the bounding set became %x, was %x", got, want)
		}
	}
	t.Logf("%d threads before, %d after; effective %x, then %x; bounding %x", len(before), len(after),
		sets(before[0], "CapEff"), sets(after[0], "CapEff"), sets(after[0], "CapBnd"))
	stop()
	stopNew()

	if err := dropCapabilities(); err != nil {
		t.Errorf("a second time: %v", err)
	}
	stillWorks(t, dir)
	checkChild(t, sets(before[0], "CapBnd"))
}

// checkChild wants a child program to have all capabilities, and that what a
// program sink does to its child can still be done.
func checkChild(t *testing.T, all uint64) {
	t.Helper()
	child := exec.Command("cat", "/proc/self/status", "-")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer in.Close()
	buf := make([]byte, 64<<10)
	n, err := out.Read(buf) // it has executed cat, and waits for its input now
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"CapEff", "CapPrm", "CapBnd"} {
		if got := sets(string(buf[:n]), set); got != all {
			t.Errorf("%s of a child is %x, want the whole bounding set %x", set, got, all)
		}
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", child.Process.Pid), []byte("1"), 0); err != nil {
		t.Error(err)
	}
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// stillWorks does what a relay does after that.
func stillWorks(t *testing.T, dir string) {
	t.Helper()
	foreign := filepath.Join(dir, "foreign")
	for what, err := range map[string]error{
		"make a file":              os.WriteFile(foreign, []byte("x"), 0o600),
		"give it away":             os.Chown(foreign, 1234, 1234),
		"write another's file":     os.WriteFile(foreign, []byte("y"), 0o600),
		"change another's mode":    os.Chmod(foreign, 0o400),
		"lower the nice value":     unix.Setpriority(unix.PRIO_PROCESS, 0, -1),
		"see the parent's command": read(fmt.Sprintf("/proc/%d/cmdline", os.Getppid())),
		"see the parent's parent":  read(fmt.Sprintf("/proc/%d/stat", os.Getppid())),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := host.KernelLost(); err != nil {
		t.Errorf("AUDIT_GET: %v", err)
	}
	if err := unix.SetsockoptInt(socket(t), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20); err != unix.EPERM {
		t.Errorf("SO_SNDBUFFORCE: %v, want EPERM", err)
	}
}

func read(path string) error {
	_, err := os.ReadFile(path)
	return err
}

func socket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// raise makes the two inheritable and ambient as well, in every thread: nothing
// starts the relay so, but then they must go too.
func raise(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[0].Inheritable |= dropped
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		t.Fatal(errno)
	}
	for _, c := range []uintptr{unix.CAP_SYS_PTRACE, unix.CAP_NET_ADMIN} {
		if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c); errno != 0 {
			t.Fatal(errno)
		}
	}
}

// busyThreads makes n threads that wait in a read, as the reader and sinks do,
// until stop.
func busyThreads(t *testing.T, n int) (stop func()) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	var begun, ended sync.WaitGroup
	begun.Add(n)
	for range n {
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begun.Done()
			for {
				if _, err := unix.Read(p[0], make([]byte, 1)); err != unix.EINTR {
					return
				}
			}
		})
	}
	begun.Wait()
	return func() {
		unix.Close(p[1])
		ended.Wait()
		unix.Close(p[0])
	}
}

// threads returns the status of each thread of this process, proc(5).
func threads(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil { // it may have ended
			all = append(all, string(text))
		}
	}
	return all
}

// sets reads a set of capabilities from a status; one that is not there has all.
func sets(status, name string) uint64 {
	_, rest, _ := strings.Cut(status, "\n"+name+":")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return 1<<64 - 1
	}
	return n
}
